//! Says in the status of a `PodGroup` of scheduler-plugins how far its pods are.
//! Source: `sigs.k8s.io/scheduler-plugins/pkg/controllers`, podgroup controller.

use std::sync::Arc;

use kube::api::Patch;
use serde::Deserialize;
use serde_json::{Value, json};
use steersman_framework::api::{Api, Resource, is_not_found};
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::informer::{Cached, Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey, null_default};
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;

use crate::error::SyncError;
use crate::objects::{PODS, Phase, Pod};
use crate::shared::Shared;

const COMPONENT: &str = "podgroup-controller";
/// The label by which a pod says to which group it belongs.
const LABEL: &str = "scheduling.x-k8s.io/pod-group";

static POD_GROUPS: Resource = Resource::namespaced("scheduling.x-k8s.io", "v1alpha1", "PodGroup", "podgroups");

/// What is read of a `PodGroup`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct PodGroup {
    metadata: Meta,
    #[serde(deserialize_with = "null_default")]
    spec: PodGroupSpec,
    #[serde(deserialize_with = "null_default")]
    status: PodGroupStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodGroupSpec {
    #[serde(deserialize_with = "null_default")]
    min_member: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodGroupStatus {
    #[serde(deserialize_with = "null_default")]
    phase: String,
    #[serde(deserialize_with = "null_default")]
    occupied_by: String,
    #[serde(deserialize_with = "null_default")]
    running: usize,
    #[serde(deserialize_with = "null_default")]
    succeeded: usize,
    #[serde(deserialize_with = "null_default")]
    failed: usize,
}

impl Cached for PodGroup {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// The status as it should be.
fn plan(group: &PodGroup, pods: &[Arc<Pod>]) -> PodGroupStatus {
    let mut status = group.status.clone();
    if group.metadata.is_deleting() || matches!(status.phase.as_str(), "Finished" | "Failed") {
        return status;
    }
    let needed = group.spec.min_member;
    match status.phase.as_str() {
        "" => "Pending".clone_into(&mut status.phase),
        "Pending" if pods.len() >= needed => {
            "Scheduling".clone_into(&mut status.phase);
            if let Some(owners) = pods.first().and_then(|pod| owners(pod)) {
                status.occupied_by = owners;
            }
        }
        "Pending" => {}
        _ => {
            let count = |phase: Phase| pods.iter().filter(|pod| pod.phase == phase).count();
            (status.running, status.succeeded, status.failed) =
                (count(Phase::Running), count(Phase::Succeeded), count(Phase::Failed));
            status.phase = phase(&status, pods.len(), needed).to_owned();
        }
    }
    status
}

fn phase(status: &PodGroupStatus, there: usize, needed: usize) -> &'static str {
    let going = status.succeeded + status.running;
    if there < needed {
        "Pending"
    } else if status.succeeded >= needed {
        "Finished"
    } else if status.failed != 0 && status.failed + going >= needed {
        "Failed"
    } else if going >= needed {
        "Running"
    } else {
        "Scheduling"
    }
}

/// The owners of a pod, as upstream writes them.
fn owners(pod: &Pod) -> Option<String> {
    let names = pod.metadata.owner_references.iter().map(|owner| format!("{}/{}", pod.metadata.namespace, owner.name));
    let mut names: Vec<String> = names.collect();
    names.sort();
    (!names.is_empty()).then(|| names.join(","))
}

fn patch(status: &PodGroupStatus) -> Value {
    let PodGroupStatus { phase, occupied_by, running, succeeded, failed } = status;
    let mut fields = json!({"phase": phase, "running": running, "succeeded": succeeded, "failed": failed});
    if !occupied_by.is_empty() {
        fields["occupiedBy"] = json!(occupied_by);
    }
    json!({ "status": fields })
}

/// The running controller.
pub(crate) struct PodGroupController {
    api: Api,
    groups: Informer<PodGroup>,
    pods: Informer<Pod>,
    queue: WorkQueue<ObjectKey>,
}

impl PodGroupController {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared) -> Self {
        let controller = Self {
            api: shared.api.clone(),
            groups: shared.informers.optional(&POD_GROUPS),
            pods: shared.informers.informer(&PODS),
            queue: shared.queue("podgroup"),
        };
        let queue = controller.queue.clone();
        controller.groups.on_change(move |delta: &Delta<PodGroup>| {
            delta.new.iter().for_each(|group| queue.add(group.metadata.key()));
        });
        let queue = controller.queue.clone();
        controller.pods.on_change(move |delta: &Delta<Pod>| {
            for pod in delta.old.iter().chain(&delta.new) {
                let group = pod.metadata.labels.get(LABEL);
                group.into_iter().for_each(|name| queue.add(ObjectKey::new(&pod.metadata.namespace, name)));
            }
        });
        controller
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let ready = async {
            self.groups.synced().await;
            self.pods.synced().await;
        };
        let workers = Workers { name: COMPONENT, concurrency, max_retries: None };
        run_when(ready, workers, &self.queue, shutdown, |key| self.sync(key)).await;
    }

    async fn sync(&self, key: ObjectKey) -> Result<Outcome, SyncError> {
        let Some(group) = self.groups.get(&key) else { return Ok(Outcome::Done) };
        let mut pods = self.pods.in_namespace(&key.namespace);
        pods.retain(|pod| pod.metadata.labels.get(LABEL).is_some_and(|name| *name == key.name));
        let status = plan(&group, &pods);
        if status == group.status {
            return Ok(Outcome::Done);
        }
        match self.api.patch_status::<Value>(&POD_GROUPS, &key, &Patch::Merge(patch(&status))).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(Outcome::Done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(phase: &str) -> PodGroup {
        serde_json::from_value(json!({"spec": {"minMember": 3}, "status": {"phase": phase}})).unwrap()
    }

    fn pods(phases: &str) -> Vec<Arc<Pod>> {
        let phase = |letter: char| match letter {
            'r' => "Running",
            's' => "Succeeded",
            'f' => "Failed",
            _ => "Pending",
        };
        let pod = |letter: char| {
            let owners = json!([{"kind": "Job", "name": "z"}, {"kind": "Job", "name": "j"}]);
            let metadata = json!({"name": "p", "namespace": "n", "ownerReferences": owners});
            let pod = json!({"metadata": metadata, "status": {"phase": phase(letter)}});
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        phases.chars().map(pod).collect()
    }

    #[test]
    fn a_group_goes_through_the_phases_of_its_pods() {
        for (before, there, after) in [
            ("", "", "Pending"),
            ("", "ppp", "Pending"),
            ("Pending", "pp", "Pending"),
            ("Pending", "ppp", "Scheduling"),
            ("Scheduling", "rrp", "Scheduling"),
            ("Scheduling", "rrr", "Running"),
            ("Scheduling", "rr", "Pending"),
            ("Running", "rrsp", "Running"),
            ("Running", "rsp", "Scheduling"),
            ("Running", "rsf", "Failed"),
            ("Running", "sss", "Finished"),
            ("Running", "sssf", "Finished"),
            ("Finished", "", "Finished"),
            ("Failed", "rrr", "Failed"),
        ] {
            let status = plan(&group(before), &pods(there));
            assert_eq!(status.phase, after, "{before} {there}");
        }
    }

    #[test]
    fn a_group_says_whose_it_is_and_how_many_run() {
        let taken = plan(&group("Pending"), &pods("ppp"));
        assert_eq!(taken.occupied_by, "n/j,n/z");
        let counted = plan(&group("Running"), &pods("rrsf"));
        assert_eq!((counted.running, counted.succeeded, counted.failed), (2, 1, 1));
        let written = patch(&taken);
        assert_eq!(written["status"]["occupiedBy"], "n/j,n/z");
    }
}
