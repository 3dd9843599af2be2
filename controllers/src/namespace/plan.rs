//! The conditions of a namespace that is going away, and when to look at it again.
//! Source: `k8s.io/kubernetes/pkg/controller/namespace/deletion`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use steersman_framework::meta::Meta;
use steersman_machinery::clock::truncate_to_second;

use crate::objects::Condition;

/// How long an object with finalizers is expected to stay, in seconds.
const FINALIZER_ESTIMATE: i64 = 15;

/// How the deletion of the content went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Why discovery failed, if it did.
    pub discovery_failure: Option<String>,
    /// What went wrong with single resources.
    pub failures: Vec<String>,
    /// How many objects are left of each resource (`pods.`, `deployments.apps`).
    pub remaining: BTreeMap<String, usize>,
    /// How many objects each finalizer holds.
    pub finalizers: BTreeMap<String, usize>,
    /// How many seconds what is left will take.
    pub estimate: i64,
}

impl Progress {
    /// Takes in what is left of one resource; `is_pods`: they go when their grace period is over.
    pub fn add_remaining(&mut self, resource: String, left: &[Meta], is_pods: bool, now: Timestamp) {
        if left.is_empty() {
            return;
        }
        let finalizers = left.iter().flat_map(|meta| &meta.finalizers);
        let mut held = false;
        for finalizer in finalizers {
            held = true;
            *self.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
        let grace = left.iter().filter(|_| is_pods).filter_map(|pod| pod.deletion_timestamp);
        let grace = grace.map(|until| until.duration_since(now).as_secs().max(1)).max();
        let estimate = grace.unwrap_or(0).max(if held { FINALIZER_ESTIMATE } else { 0 });
        if estimate == 0 {
            self.failures.push(format!("unexpected items still remain in namespace for {resource}"));
        }
        self.estimate = self.estimate.max(estimate);
        self.remaining.insert(resource, left.len());
    }

    /// Whether nothing is left and nothing went wrong.
    pub fn is_complete(&self) -> bool {
        self.remaining.is_empty() && self.failures.is_empty() && self.discovery_failure.is_none()
    }

    /// Whether something is left or went wrong, so that what comes after it has to wait.
    pub fn holds_up(&self) -> bool {
        !self.remaining.is_empty() || !self.failures.is_empty()
    }

    /// When to look again at what is left.
    pub fn recheck(&self) -> Duration {
        Duration::from_secs(self.estimate.unsigned_abs() / 2 + 1)
    }
}

/// The conditions after an attempt; `None` if they are as before.
pub fn plan_conditions(present: &[Condition], progress: &Progress, now: Timestamp) -> Option<Vec<Condition>> {
    let mut conditions = present.to_vec();
    let mut changed = false;
    for (kind, status, reason, message) in statements(progress) {
        let condition = Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            last_transition_time: Some(truncate_to_second(now)),
            reason: reason.to_owned(),
            message,
        };
        match conditions.iter_mut().find(|known| known.kind == condition.kind) {
            None => conditions.push(condition),
            Some(known)
                if known.status != condition.status
                    || known.reason != condition.reason
                    || known.message != condition.message =>
            {
                *known = condition;
            }
            Some(_) => continue,
        }
        changed = true;
    }
    changed.then_some(conditions)
}

fn statements(progress: &Progress) -> [(&'static str, &'static str, &'static str, String); 5] {
    let state = |kind: &'static str, bad: Option<(&'static str, String)>, good: (&'static str, &'static str)| match bad
    {
        Some((reason, message)) => (kind, "True", reason, message),
        None => (kind, "False", good.0, good.1.to_owned()),
    };
    let discovery = progress.discovery_failure.as_ref().map(|error| ("DiscoveryFailed", error.clone()));
    let content = (!progress.failures.is_empty()).then(|| {
        let mut all = progress.failures.clone();
        all.sort();
        let (count, all) = (all.len(), all.join(", "));
        ("ContentDeletionFailed", format!("Failed to delete all resource types, {count} remaining: {all}"))
    });
    let remaining = (!progress.remaining.is_empty()).then(|| {
        let each =
            progress.remaining.iter().map(|(resource, count)| format!("{resource} has {count} resource instances"));
        ("SomeResourcesRemain", format!("Some resources are remaining: {}", join(each)))
    });
    let finalizers = (!progress.finalizers.is_empty()).then(|| {
        let each =
            progress.finalizers.iter().map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"));
        ("SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {}", join(each)))
    });
    [
        state(
            "NamespaceDeletionDiscoveryFailure",
            discovery,
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        state(
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        state(
            "NamespaceDeletionContentFailure",
            content,
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        state("NamespaceContentRemaining", remaining, ("ContentRemoved", "All content successfully removed")),
        state(
            "NamespaceFinalizersRemaining",
            finalizers,
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    ]
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

    fn left(finalizers: &[&str], grace: Option<i64>) -> Meta {
        Meta {
            finalizers: finalizers.iter().map(|finalizer| (*finalizer).to_owned()).collect(),
            deletion_timestamp: grace.map(|seconds| NOW + SignedDuration::from_secs(seconds)),
            ..Meta::default()
        }
    }

    #[test]
    fn what_is_left_tells_when_to_look_again() {
        let check = |metas: &[Meta], is_pods: bool, estimate: i64, complaints: usize| {
            let mut progress = Progress::default();
            progress.add_remaining("things.g".to_owned(), metas, is_pods, NOW);
            assert_eq!((progress.estimate, progress.failures.len()), (estimate, complaints), "{metas:?}");
        };
        check(&[], false, 0, 0);
        check(&[left(&["f"], None)], false, 15, 0);
        check(&[left(&[], Some(30)), left(&[], Some(20))], true, 30, 0);
        check(&[left(&[], Some(-5))], true, 1, 0);
        check(&[left(&["f"], Some(3))], true, 15, 0);
        check(&[left(&[], None)], false, 0, 1);
        let progress = Progress { estimate: 15, ..Progress::default() };
        assert_eq!(progress.recheck().as_secs(), 8);
    }

    #[test]
    fn conditions_say_what_is_left() {
        let mut progress = Progress::default();
        progress.add_remaining("things.g".to_owned(), &[left(&["f"], None)], false, NOW);
        let conditions = plan_conditions(&[], &progress, NOW).unwrap();
        let lines: Vec<String> =
            conditions.iter().map(|c| format!("{}={} {}: {}", c.kind, c.status, c.reason, c.message)).collect();
        assert_eq!(
            lines[3],
            "NamespaceContentRemaining=True SomeResourcesRemain: Some resources are remaining: things.g has 1 resource instances"
        );
        assert_eq!(
            lines[4],
            "NamespaceFinalizersRemaining=True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: f in 1 resource instances"
        );
        assert_eq!(plan_conditions(&conditions, &progress, NOW), None);
        let done = plan_conditions(&conditions, &Progress::default(), NOW).unwrap();
        assert!(done.iter().all(|condition| condition.status == "False"));
        let mut failed = Progress { discovery_failure: Some("away".to_owned()), ..Progress::default() };
        assert!(!failed.holds_up() && !failed.is_complete(), "what answers is emptied, but that is not all");
        failed.failures = vec!["b".to_owned(), "a".to_owned()];
        assert!(failed.holds_up());
        let conditions = plan_conditions(&done, &failed, NOW).unwrap();
        let message = |at: usize| (conditions[at].reason.as_str(), conditions[at].message.as_str());
        assert_eq!(message(0), ("DiscoveryFailed", "away"));
        let content = "Failed to delete all resource types, 2 remaining: a, b";
        assert_eq!(message(2), ("ContentDeletionFailed", content));
    }
}
