//! Which events can help a pod that was refused for the sake of other pods.

use super::{required, required_anti};
use crate::cluster_event::{EventObject, Happening, QueueingHint};
use crate::pod::{Pod, PodSpec};
use crate::selector::given_and_matches;
use crate::wire::{Node, PodAffinityTerm};

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

/// Whether a node that comes or gets other labels matters to the pod: by its place under the keys of the pod's terms.
fn node_helps(pod: &PodSpec, old: Option<&Node>, new: &Node) -> bool {
    let of = |node: &Node, key: &str| node.metadata.labels.get(key).cloned();
    let moved =
        |term: &PodAffinityTerm| old.is_some_and(|old| of(old, &term.topology_key) != of(new, &term.topology_key));
    let is_place = |term: &PodAffinityTerm| new.metadata.labels.contains_key(&term.topology_key);
    let (near, away) = (required(pod), required_anti(pod));
    // Without terms of its own it was refused for the sake of others, of which nothing is known here.
    near.is_empty() && away.is_empty()
        || near.iter().any(|term| is_place(term) && (old.is_none() || moved(term)))
        || away.iter().any(|term| old.is_none() || moved(term))
}

pub(super) fn hint(pod: &Pod, happening: &Happening) -> QueueingHint {
    let (old, new) = match &happening.object {
        EventObject::AssignedPod { old, new } => (old, new),
        EventObject::Node { old, new } if !node_helps(&pod.spec, old.as_deref(), new) => return QueueingHint::Skip,
        _ => return QueueingHint::Queue,
    };
    // Only what an update changes can matter.
    let same = matches!((old, new), (Some(old), Some(new)) if old.spec.labels == new.spec.labels);
    let came = new.as_ref().is_some_and(|new| is_wanted(&pod.spec, &new.spec));
    let went = old.as_ref().is_some_and(|old| is_unwanted(&pod.spec, &old.spec));
    if !same && (came || went) { QueueingHint::Queue } else { QueueingHint::Skip }
}
