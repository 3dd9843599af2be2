//! Which events can help a pod that was refused for the sake of other pods.

use super::{required, required_anti};
use crate::cluster_event::{EventObject, Happening, QueueingHint};
use crate::pod::{Pod, PodSpec};
use crate::selector::given_and_matches;
use crate::wire::PodAffinityTerm;

/// Whether the term of `owner` may mean pods like `other`. What a namespace selector selects is not looked up here: a
/// needless attempt does no harm, a missed one does.
fn may_match(term: &PodAffinityTerm, owner: &PodSpec, other: &PodSpec) -> bool {
    let in_namespace = match (&term.namespace_selector, term.namespaces.as_slice()) {
        (Some(_), _) => true,
        (None, []) => owner.namespace == other.namespace,
        (None, listed) => listed.iter().any(|name| **name == *other.namespace),
    };
    in_namespace && given_and_matches(term.label_selector.as_ref(), &other.labels)
}

/// Whether it matters to the pod that pods like `other` come.
fn is_wanted(pod: &PodSpec, other: &PodSpec) -> bool {
    required(pod).iter().any(|term| may_match(term, pod, other))
}

/// Whether it matters to the pod that pods like `other` go: they are in the way, or they were the last of a group whose
/// first member this pod may become.
fn is_unwanted(pod: &PodSpec, other: &PodSpec) -> bool {
    required_anti(pod).iter().any(|term| may_match(term, pod, other))
        || required_anti(other).iter().any(|term| may_match(term, other, pod))
        || is_wanted(pod, other)
}

pub(super) fn hint(pod: &Pod, happening: &Happening) -> QueueingHint {
    let EventObject::AssignedPod { old, new } = &happening.object else { return QueueingHint::Queue };
    // Only what an update changes can matter.
    let same = matches!((old, new), (Some(old), Some(new)) if old.spec.labels == new.spec.labels);
    let came = new.as_ref().is_some_and(|new| is_wanted(&pod.spec, &new.spec));
    let went = old.as_ref().is_some_and(|old| is_unwanted(&pod.spec, &old.spec));
    if !same && (came || went) { QueueingHint::Queue } else { QueueingHint::Skip }
}
