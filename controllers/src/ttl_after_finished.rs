//! Deletes Jobs some time after they have finished, where they say so (`ttlSecondsAfterFinished`).
//! Source: `k8s.io/kubernetes/pkg/controller/ttlafterfinished`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Preconditions};
use serde::Deserialize;
use steersman_framework::api::{Api, is_not_found};
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::informer::{Cached, Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey, null_default};
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;
use steersman_machinery::clock::SharedClock;

use crate::error::SyncError;
use crate::objects::{Condition, JOBS};
use crate::shared::Shared;

const COMPONENT: &str = "ttl-after-finished-controller";

/// What is read of a Job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Job {
    metadata: Meta,
    #[serde(deserialize_with = "null_default")]
    spec: JobSpec,
    #[serde(deserialize_with = "null_default")]
    status: JobStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JobSpec {
    ttl_seconds_after_finished: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct JobStatus {
    #[serde(deserialize_with = "null_default")]
    conditions: Vec<Condition>,
}

impl Cached for Job {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// What becomes of a Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// It stays as it is.
    Stay,
    /// Its time comes after this.
    Wait(Duration),
    /// Its time has come.
    Delete,
    /// It does not say when it finished.
    Unclear,
}

fn decide(job: &Job, now: Timestamp) -> Decision {
    let ended = |it: &&Condition| matches!(it.kind.as_str(), "Complete" | "Failed") && it.status == "True";
    let finished = job.status.conditions.iter().find(ended);
    let (Some(ttl), Some(finished), false) =
        (job.spec.ttl_seconds_after_finished, finished, job.metadata.is_deleting())
    else {
        return Decision::Stay;
    };
    let Some(finished) = finished.last_transition_time else { return Decision::Unclear };
    let left = SignedDuration::from_secs(ttl).saturating_sub(now.duration_since(finished));
    match Duration::try_from(left) {
        Ok(left) if !left.is_zero() => Decision::Wait(left),
        _ => Decision::Delete,
    }
}

/// The running controller.
pub(crate) struct TtlAfterFinishedController {
    api: Api,
    clock: SharedClock,
    jobs: Informer<Job>,
    queue: WorkQueue<ObjectKey>,
}

impl TtlAfterFinishedController {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared) -> Self {
        let controller = Self {
            api: shared.api.clone(),
            clock: shared.clock.clone(),
            jobs: shared.informers.informer(&JOBS),
            queue: shared.queue("ttl_jobs_to_delete"),
        };
        let (queue, clock) = (controller.queue.clone(), shared.clock.clone());
        controller.jobs.on_change(move |delta: &Delta<Job>| {
            if let Some(job) = delta.new.as_ref().filter(|job| decide(job, clock.now()) != Decision::Stay) {
                queue.add(job.metadata.key());
            }
        });
        controller
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let workers = Workers { name: COMPONENT, concurrency, max_retries: None };
        run_when(self.jobs.synced(), workers, &self.queue, shutdown, |key| self.sync(key)).await;
    }

    async fn sync(&self, key: ObjectKey) -> Result<Outcome, SyncError> {
        let Some(cached) = self.jobs.get(&key) else { return Ok(Outcome::Done) };
        if let Some(outcome) = self.outcome(&cached)? {
            return Ok(outcome);
        }
        // The cache may be late, and the Job may live longer by now.
        let fresh: Job = match self.api.get(&JOBS, &key).await {
            Ok(job) => job,
            Err(error) if is_not_found(&error) => return Ok(Outcome::Done),
            Err(error) => return Err(error.into()),
        };
        if let Some(outcome) = self.outcome(&fresh)? {
            return Ok(outcome);
        }
        let preconditions = Some(Preconditions { uid: Some(fresh.metadata.uid), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::foreground() };
        match self.api.delete(&JOBS, &key, &params).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(Outcome::Done),
        }
    }

    /// `None`: it is to be deleted.
    fn outcome(&self, job: &Job) -> Result<Option<Outcome>, SyncError> {
        match decide(job, self.clock.now()) {
            Decision::Stay => Ok(Some(Outcome::Done)),
            Decision::Wait(left) => Ok(Some(Outcome::After(left))),
            Decision::Delete => Ok(None),
            Decision::Unclear => {
                let message = format!("unable to find the time when the Job {} finished", job.metadata.key());
                Err(SyncError::Refused(message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use steersman_machinery::clock::format_time;

    use super::*;
    use crate::testing::NOW;

    #[test]
    fn a_job_goes_when_its_time_after_the_end_is_over() {
        let since = format_time(NOW - SignedDuration::from_secs(30));
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": since});
        let wait = |seconds| Decision::Wait(Duration::from_secs(seconds));
        for (ttl, condition, deleted, expect) in [
            (json!(100), condition("Complete", "True"), Value::Null, wait(70)),
            (json!(100), condition("Failed", "True"), Value::Null, wait(70)),
            (json!(30), condition("Complete", "True"), Value::Null, Decision::Delete),
            (json!(0), condition("Failed", "True"), Value::Null, Decision::Delete),
            (json!(0), condition("Failed", "True"), json!(since), Decision::Stay),
            (json!(0), condition("Failed", "False"), Value::Null, Decision::Stay),
            (json!(0), condition("FailureTarget", "True"), Value::Null, Decision::Stay),
            (Value::Null, condition("Complete", "True"), Value::Null, Decision::Stay),
            (json!(0), json!({"type": "Complete", "status": "True"}), Value::Null, Decision::Unclear),
        ] {
            let job: Job = serde_json::from_value(json!({
                "metadata": {"name": "j", "deletionTimestamp": deleted},
                "spec": {"ttlSecondsAfterFinished": ttl},
                "status": {"conditions": [condition]},
            }))
            .unwrap();
            assert_eq!(decide(&job, NOW), expect, "{job:?}");
        }
    }
}
