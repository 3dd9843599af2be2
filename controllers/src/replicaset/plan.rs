//! What a ReplicaSet wants done, and what its status is: pure functions of what was observed.
//! Source: `k8s.io/kubernetes/pkg/controller/replicaset`.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use steersman_machinery::clock::truncate_to_second;

use crate::objects::{Condition, Pod, ReplicaSet, ReplicaSetStatus};
use crate::replicaset::ranking::{self, Rules};

/// The most pods that one sync creates or deletes.
pub const BURST: usize = 500;

/// The condition that says that pods could not be created or deleted.
pub const REPLICA_FAILURE: &str = "ReplicaFailure";

/// What to do about the number of pods.
#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    /// Nothing.
    Keep,
    /// Create so many.
    Create(usize),
    /// Delete these.
    Delete(Vec<Arc<Pod>>),
}

/// Compares the active pods with the wanted number; `related` are those that count for the spread over nodes.
pub fn plan_scale(set: &ReplicaSet, active: &[Arc<Pod>], related: &[Arc<Pod>], rules: Rules) -> Scale {
    let wanted = usize::try_from(set.spec.replicas).unwrap_or_default();
    if active.len() < wanted {
        Scale::Create((wanted - active.len()).min(BURST))
    } else if active.len() > wanted {
        let count = (active.len() - wanted).min(BURST);
        Scale::Delete(ranking::choose(active, related, count, rules))
    } else {
        Scale::Keep
    }
}

/// Whether some of so many active pods are to be deleted and others not, so that one has to choose.
pub fn needs_choice(set: &ReplicaSet, active: usize) -> bool {
    let wanted = usize::try_from(set.spec.replicas).unwrap_or_default();
    active > wanted && (active - wanted).min(BURST) < active
}

/// The sizes of the batches in which `count` pods are created while all goes well: 1, 2, 4, …
pub fn slow_start(count: usize) -> impl Iterator<Item = usize> {
    let mut left = count;
    let mut batch = 1;
    std::iter::from_fn(move || {
        let size = batch.min(left);
        left -= size;
        batch *= 2;
        (size > 0).then_some(size)
    })
}

/// The status that the pods amount to. `terminating` is left out if nobody is to be told; `failure` is the reason and
/// message of a failed [`Scale`].
pub fn plan_status(
    set: &ReplicaSet,
    active: &[Arc<Pod>],
    terminating: Option<usize>,
    failure: Option<(&str, String)>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let template_labels = set.spec.template.value.pointer("/metadata/labels").and_then(Value::as_object);
    let is_fully_labeled = |pod: &&Arc<Pod>| {
        let mut labels = template_labels.into_iter().flatten();
        labels.all(|(key, value)| pod.metadata.labels.get(key) == value.as_str())
    };
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let available = |pod: &&Arc<Pod>| is_available(pod, set.spec.min_ready_seconds, now);
    ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: count(active.iter().filter(is_fully_labeled).count()),
        ready_replicas: count(active.iter().filter(|pod| pod.ready).count()),
        available_replicas: count(active.iter().filter(available).count()),
        terminating_replicas: terminating.map(count),
        observed_generation: set.metadata.generation,
        conditions: plan_conditions(&set.status.conditions, failure, now),
    }
}

fn plan_conditions(present: &[Condition], failure: Option<(&str, String)>, now: Timestamp) -> Vec<Condition> {
    let mut conditions = present.to_vec();
    match failure {
        None => conditions.retain(|condition| condition.kind != REPLICA_FAILURE),
        // One that is there already stays as it is, so that its time tells when the trouble began.
        Some(_) if conditions.iter().any(|condition| condition.kind == REPLICA_FAILURE) => {}
        Some((reason, message)) => conditions.push(Condition {
            kind: REPLICA_FAILURE.to_owned(),
            status: "True".to_owned(),
            last_transition_time: Some(truncate_to_second(now)),
            reason: reason.to_owned(),
            message,
        }),
    }
    conditions
}

/// Whether a pod has been ready for long enough.
pub fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    pod.ready
        && (min_ready_seconds == 0
            || pod.ready_since.is_some_and(|since| until(since, min_ready_seconds, now).is_none()))
}

/// How long it takes until `min_ready_seconds` have passed; `None` if they have.
fn until(since: Timestamp, min_ready_seconds: i32, now: Timestamp) -> Option<Duration> {
    let left = SignedDuration::from_secs(min_ready_seconds.into()) - now.duration_since(since);
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}

/// When to look again since a ready pod becomes available, counted from `now`: `None` if there is no such pod.
/// `observed` is the moment at which the status was computed.
pub fn next_check(
    active: &[Arc<Pod>],
    min_ready_seconds: i32,
    observed: Timestamp,
    now: Timestamp,
) -> Option<Duration> {
    let ready = active.iter().filter(|pod| pod.ready).filter_map(|pod| pod.ready_since);
    let pending = ready.filter_map(|since| until(since, min_ready_seconds, observed).map(|left| (left, since)));
    let (_, since) = pending.min()?;
    Some(until(since, min_ready_seconds, now).unwrap_or_default())
}

/// Whether `status` says anything that the stored one does not.
pub fn is_status_news(set: &ReplicaSet, status: &ReplicaSetStatus) -> bool {
    set.status != *status
}

#[cfg(test)]
mod tests;
