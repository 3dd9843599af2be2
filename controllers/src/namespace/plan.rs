//! The conditions of a namespace that is going away, and when to look at it again.
//! Source: `k8s.io/kubernetes/pkg/controller/namespace/deletion`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use steersman_framework::api::Resource;
use steersman_framework::meta::{Meta, null_default};
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

/// What of a pod tells how long it may take to end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GracefulPod {
    /// The metadata.
    pub metadata: Meta,
    /// What is wanted.
    #[serde(deserialize_with = "null_default")]
    pub spec: GracefulSpec,
    /// What was observed.
    #[serde(deserialize_with = "null_default")]
    pub status: GracefulStatus,
}

/// `spec` of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GracefulSpec {
    /// How long it may take.
    pub termination_grace_period_seconds: Option<i64>,
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GracefulStatus {
    /// Where it is in its life.
    pub phase: String,
}

/// How many seconds pods may take to end, counted from the deletion of their namespace: the longest of them, or 0 if that
/// is over.
pub fn grace(pods: &[GracefulPod], deleted_at: Timestamp, now: Timestamp) -> i64 {
    let live = pods.iter().filter(|pod| !matches!(pod.status.phase.as_str(), "Succeeded" | "Failed"));
    let longest = live.filter_map(|pod| pod.spec.termination_grace_period_seconds).max().unwrap_or_default().max(0);
    if now.duration_since(deleted_at) >= SignedDuration::from_secs(longest) { 0 } else { longest }
}

impl Progress {
    /// Takes in what is left of one resource, and how many seconds that may take: what has nothing to wait for should be
    /// gone.
    pub fn add_remaining(&mut self, namespace: &str, resource: &Resource, left: &[Meta], grace: i64) {
        if left.is_empty() {
            return;
        }
        let mut held = false;
        for finalizer in left.iter().flat_map(|meta| &meta.finalizers) {
            held = true;
            *self.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
        let estimate = match grace {
            0 if held => FINALIZER_ESTIMATE,
            grace => grace,
        };
        let Resource { group, version, plural, .. } = resource;
        if estimate == 0 {
            self.failures.push(format!(
                "unexpected items still remain in namespace: {namespace} for gvr: {group}/{version}, Resource={plural}"
            ));
        }
        self.estimate = self.estimate.max(estimate);
        self.remaining.insert(format!("{plural}.{group}"), left.len());
    }

    /// What is stated while pods remain: the rest has not been tried yet, and so nothing is said of what is left.
    pub fn untold(&self) -> Self {
        Self { remaining: BTreeMap::new(), finalizers: BTreeMap::new(), ..self.clone() }
    }

    /// Whether nothing is left and nothing went wrong.
    pub fn is_complete(&self) -> bool {
        self.remaining.is_empty() && self.failures.is_empty() && self.discovery_failure.is_none()
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
            Some(known) => {
                let since = known.last_transition_time.filter(|_| known.status == condition.status);
                let condition =
                    Condition { last_transition_time: since.or(condition.last_transition_time), ..condition };
                if *known == condition {
                    continue;
                }
                *known = condition;
            }
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
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

    fn left(finalizers: &[&str]) -> Meta {
        Meta { finalizers: finalizers.iter().map(|finalizer| (*finalizer).to_owned()).collect(), ..Meta::default() }
    }

    fn things() -> Resource {
        Resource::namespaced("g", "v1", "Thing", "things")
    }

    #[test]
    fn what_is_left_tells_when_to_look_again() {
        let unexpected = "unexpected items still remain in namespace: ns for gvr: g/v1, Resource=things";
        for (metas, grace, estimate, complaints) in [
            (vec![], 0, 0, vec![]),
            (vec![left(&["f"])], 0, 15, vec![]),
            (vec![left(&[]), left(&[])], 30, 30, vec![]),
            (vec![left(&["f"])], 3, 3, vec![]),
            (vec![left(&[])], 0, 0, vec![unexpected]),
        ] {
            let mut progress = Progress::default();
            progress.add_remaining("ns", &things(), &metas, grace);
            assert_eq!(progress.estimate, estimate, "{metas:?} {grace}");
            assert_eq!(progress.failures, complaints, "{metas:?} {grace}");
        }
        let progress = Progress { estimate: 15, ..Progress::default() };
        assert_eq!(progress.recheck().as_secs(), 8);
    }

    #[test]
    fn pods_may_take_as_long_as_the_longest_of_them_since_the_namespace_was_deleted() {
        let pod = |phase: &str, seconds: Option<i64>| GracefulPod {
            spec: GracefulSpec { termination_grace_period_seconds: seconds },
            status: GracefulStatus { phase: phase.to_owned() },
            ..GracefulPod::default()
        };
        let pods = [pod("Running", Some(30)), pod("Pending", Some(20)), pod("Failed", Some(90)), pod("Running", None)];
        for (passed, expect) in [(0, 30), (29, 30), (30, 0), (100, 0)] {
            assert_eq!(grace(&pods, NOW, NOW + SignedDuration::from_secs(passed)), expect, "{passed}");
        }
        assert_eq!(grace(&pods[2..], NOW, NOW), 0, "what has ended needs no time");
    }

    #[test]
    fn while_pods_remain_nothing_is_said_of_what_is_left_but_what_went_wrong() {
        let mut progress = Progress::default();
        progress.add_remaining("ns", &crate::objects::PODS, &[left(&[])], 0);
        let conditions = plan_conditions(&[], &progress.untold(), NOW).unwrap();
        let reasons: Vec<&str> = conditions.iter().map(|condition| condition.reason.as_str()).collect();
        let expect = [
            "ResourcesDiscovered",
            "ParsedGroupVersions",
            "ContentDeletionFailed",
            "ContentRemoved",
            "ContentHasNoFinalizers",
        ];
        assert_eq!(reasons, expect);
        assert_eq!(
            conditions[2].message,
            "Failed to delete all resource types, 1 remaining: unexpected items still remain in namespace: ns for gvr: /v1, Resource=pods"
        );
    }

    #[test]
    fn a_condition_that_only_says_more_keeps_its_time() {
        let mut progress = Progress::default();
        progress.add_remaining("ns", &things(), &[left(&["f"]), left(&["f"])], 0);
        let before = plan_conditions(&[], &progress, NOW).unwrap();
        progress = Progress::default();
        progress.add_remaining("ns", &things(), &[left(&["f"])], 0);
        let later = NOW + SignedDuration::from_secs(60);
        let after = plan_conditions(&before, &progress, later).unwrap();
        assert_eq!(after[3].last_transition_time, before[3].last_transition_time);
        assert_ne!(after[3].message, before[3].message);
        let gone = plan_conditions(&after, &Progress::default(), later).unwrap();
        assert_eq!(gone[3].last_transition_time, Some(later));
    }

    #[test]
    fn conditions_say_what_is_left() {
        let mut progress = Progress::default();
        progress.add_remaining("ns", &things(), &[left(&["f"])], 0);
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
        assert!(!failed.is_complete(), "what answers is emptied, but that is not all");
        failed.failures = vec!["b".to_owned(), "a".to_owned()];
        let conditions = plan_conditions(&done, &failed, NOW).unwrap();
        let message = |at: usize| (conditions[at].reason.as_str(), conditions[at].message.as_str());
        assert_eq!(message(0), ("DiscoveryFailed", "away"));
        let content = "Failed to delete all resource types, 2 remaining: a, b";
        assert_eq!(message(2), ("ContentDeletionFailed", content));
    }
}
