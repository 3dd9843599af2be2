//! What the ReplicaSets of a Deployment amount to, and how its rollout goes.
//! Source: `k8s.io/kubernetes/pkg/controller/deployment/{progress,sync}.go`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use steersman_machinery::clock::truncate_to_second;

use crate::deployment::sets::{self, Sets, max_unavailable};
use crate::objects::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use crate::replicaset::plan::REPLICA_FAILURE;

/// The condition about the number of available pods.
pub const AVAILABLE: &str = "Available";
/// The condition about the rollout.
pub const PROGRESSING: &str = "Progressing";

/// Reasons of [`PROGRESSING`].
pub mod reason {
    /// A set was made for the template.
    pub const CREATED: &str = "NewReplicaSetCreated";
    /// A set with the template was there.
    pub const FOUND: &str = "FoundNewReplicaSet";
    /// No set could be made.
    pub const CREATE_ERROR: &str = "ReplicaSetCreateError";
    /// Pods come and go.
    pub const UPDATED: &str = "ReplicaSetUpdated";
    /// The rollout is complete.
    pub const AVAILABLE: &str = "NewReplicaSetAvailable";
    /// Nothing has moved for too long.
    pub const TIMED_OUT: &str = "ProgressDeadlineExceeded";
    /// Rollouts are held.
    pub const PAUSED: &str = "DeploymentPaused";
    /// Rollouts are held no longer.
    pub const RESUMED: &str = "DeploymentResumed";
}

/// A deadline that is none.
const NO_DEADLINE: i32 = i32::MAX;

/// The progress deadline, if one applies.
pub fn deadline(deployment: &Deployment) -> Option<i32> {
    deployment.spec.progress_deadline_seconds.filter(|seconds| *seconds != NO_DEADLINE)
}

/// One condition of a status.
pub fn condition<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().find(|condition| condition.kind == kind)
}

/// A condition whose times are `now`.
pub fn new_condition(kind: &str, status: &str, reason: &str, message: String, now: Timestamp) -> DeploymentCondition {
    let now = Some(truncate_to_second(now));
    DeploymentCondition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        last_update_time: now,
        last_transition_time: now,
        reason: reason.to_owned(),
        message,
    }
}

/// Writes a condition: not at all if status and reason are as before; if only the reason is new the transition time
/// stays. A written condition comes last.
pub fn set_condition(status: &mut DeploymentStatus, mut condition: DeploymentCondition) {
    if let Some(present) = self::condition(status, &condition.kind).filter(|present| present.status == condition.status)
    {
        if present.reason == condition.reason {
            return;
        }
        condition.last_transition_time = present.last_transition_time;
    }
    remove_condition(status, &condition.kind.clone());
    status.conditions.push(condition);
}

/// Takes a condition away.
pub fn remove_condition(status: &mut DeploymentStatus, kind: &str) {
    status.conditions.retain(|condition| condition.kind != kind);
}

/// The status without what concerns the rollout.
pub fn plan_status(deployment: &Deployment, sets: &Sets, now: Timestamp) -> DeploymentStatus {
    let sum = |field: fn(&ReplicaSet) -> i32| sets::sum(sets.all.iter().map(field));
    let available = sum(|set| set.status.available_replicas);
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: sum(|set| set.status.replicas),
        updated_replicas: sets.new_set().map_or(0, |set| set.status.replicas),
        ready_replicas: sum(|set| set.status.ready_replicas),
        available_replicas: available,
        unavailable_replicas: sets.total().saturating_sub(available).max(0),
        terminating_replicas: terminating(sets),
        collision_count: deployment.status.collision_count,
        conditions: deployment.status.conditions.clone(),
    };
    let enough = available >= deployment.spec.replicas - max_unavailable(deployment);
    let (value, reason, message) = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set_condition(&mut status, new_condition(AVAILABLE, value, reason, message.to_owned(), now));
    status
}

/// The pods that are being deleted; unknown if a set that was looked at does not tell.
fn terminating(sets: &Sets) -> Option<i32> {
    let mut each = sets.all.iter().map(|set| match set.status.terminating_replicas {
        None if set.status.observed_generation == 0 => Some(0),
        told => told,
    });
    each.try_fold(0, |sum: i32, told| Some(sum.saturating_add(told?)))
}

/// The status with what concerns the rollout.
pub fn plan_rollout_status(deployment: &Deployment, sets: &Sets, now: Timestamp) -> DeploymentStatus {
    let mut status = plan_status(deployment, sets, now);
    let present = condition(&deployment.status, PROGRESSING);
    let finished = present.is_some_and(|condition| condition.reason == reason::AVAILABLE)
        && status.replicas == status.updated_replicas;
    match deadline(deployment) {
        None => remove_condition(&mut status, PROGRESSING),
        // A finished rollout is not estimated again: pods that fail later only change Available.
        Some(_) if finished => {}
        Some(_) => estimate_progress(deployment, sets, &mut status, now),
    }
    match replica_failure(sets) {
        Some(failure) => set_condition(&mut status, failure),
        None => remove_condition(&mut status, REPLICA_FAILURE),
    }
    status
}

fn estimate_progress(deployment: &Deployment, sets: &Sets, status: &mut DeploymentStatus, now: Timestamp) {
    let subject = match sets.new_set() {
        Some(set) => format!("ReplicaSet \"{}\"", set.metadata.name),
        None => format!("Deployment \"{}\"", deployment.metadata.name),
    };
    let progressing = |value: &str, reason: &str, what: &str| {
        new_condition(PROGRESSING, value, reason, format!("{subject} {what}"), now)
    };
    if is_complete(deployment, status) {
        set_condition(status, progressing("True", reason::AVAILABLE, "has successfully progressed."));
    } else if is_progressing(&deployment.status, status) {
        let mut condition = progressing("True", reason::UPDATED, "is progressing.");
        if let Some(present) = self::condition(&deployment.status, PROGRESSING) {
            if present.status == "True" {
                condition.last_transition_time = present.last_transition_time;
            }
            // Written in any case, so that the deadline starts anew.
            remove_condition(status, PROGRESSING);
        }
        set_condition(status, condition);
    } else if is_timed_out(deployment, status, now) {
        set_condition(status, progressing("False", reason::TIMED_OUT, "has timed out progressing."));
    }
}

/// Whether all pods are new and available, and the present specification was looked at.
pub fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = deployment.spec.replicas;
    status.updated_replicas == wanted
        && status.replicas == wanted
        && status.available_replicas == wanted
        && status.observed_generation >= deployment.metadata.generation
}

fn is_progressing(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let outdated = |status: &DeploymentStatus| status.replicas.saturating_sub(status.updated_replicas);
    new.updated_replicas > old.updated_replicas
        || outdated(new) < outdated(old)
        || new.ready_replicas > old.ready_replicas
        || new.available_replicas > old.available_replicas
}

/// Whether nothing has moved for longer than the deadline.
pub fn is_timed_out(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> bool {
    let (Some(seconds), Some(condition)) = (deadline(deployment), condition(status, PROGRESSING)) else {
        return false;
    };
    match condition.reason.as_str() {
        reason::AVAILABLE => false,
        reason::TIMED_OUT => true,
        // By what has passed: a time that somebody wrote there may have nothing after it.
        _ => passed(condition, now) > SignedDuration::from_secs(seconds.into()),
    }
}

/// How long nothing has moved; for ever if nobody said when it did.
fn passed(condition: &DeploymentCondition, now: Timestamp) -> SignedDuration {
    condition.last_update_time.map_or(SignedDuration::MAX, |updated| now.duration_since(updated))
}

fn replica_failure(sets: &Sets) -> Option<DeploymentCondition> {
    let sets = sets.new_set().into_iter().chain(&sets.all);
    let failure = sets.flat_map(|set| &set.status.conditions).find(|condition| condition.kind == REPLICA_FAILURE)?;
    Some(DeploymentCondition {
        kind: failure.kind.clone(),
        status: failure.status.clone(),
        last_update_time: failure.last_transition_time,
        last_transition_time: failure.last_transition_time,
        reason: failure.reason.clone(),
        message: failure.message.clone(),
    })
}

/// The condition that holding or releasing the rollout asks for; `None` if nothing changes.
pub fn plan_pause(deployment: &Deployment, now: Timestamp) -> Option<DeploymentCondition> {
    deadline(deployment)?;
    let reason = condition(&deployment.status, PROGRESSING).map(|condition| condition.reason.as_str());
    match (deployment.spec.paused, reason) {
        (_, Some(reason::TIMED_OUT)) | (true, Some(reason::PAUSED)) => None,
        (true, _) => {
            Some(new_condition(PROGRESSING, "Unknown", reason::PAUSED, "Deployment is paused".to_owned(), now))
        }
        (false, Some(reason::PAUSED)) => {
            Some(new_condition(PROGRESSING, "Unknown", reason::RESUMED, "Deployment is resumed".to_owned(), now))
        }
        (false, _) => None,
    }
}

/// When a rollout is to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// When something changes.
    Never,
    /// As soon as possible.
    Soon,
    /// After this time.
    After(Duration),
}

/// When to look whether the deadline has passed, given that the status has nothing new.
pub fn plan_recheck(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> Recheck {
    let (Some(seconds), Some(present)) = (deadline(deployment), condition(&deployment.status, PROGRESSING)) else {
        return Recheck::Never;
    };
    // A finished rollout does not time out either, so there is nothing to look for; upstream looks all the same, again
    // and again, as long as pods of it are missing.
    if is_complete(deployment, status) || matches!(present.reason.as_str(), reason::TIMED_OUT | reason::AVAILABLE) {
        return Recheck::Never;
    }
    let left = SignedDuration::from_secs(seconds.into()).saturating_sub(passed(present, now));
    if left < SignedDuration::from_secs(1) {
        return Recheck::Soon;
    }
    // A second more, since times in conditions are whole seconds.
    Duration::try_from(left).map_or(Recheck::Soon, |left| Recheck::After(left + Duration::from_secs(1)))
}

#[cfg(test)]
mod tests;
