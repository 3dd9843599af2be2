//! Whether a term of one pod means another pod.

use crate::pod::PodSpec;
use crate::selector::{given_and_matches, matches};
use crate::snapshot::Snapshot;
use crate::wire::PodAffinityTerm;

/// Whether the term of `owner` means pods like `other`. Without namespaces and namespace selector it means the owner's
/// namespace only; an empty namespace selector means all.
pub(super) fn matches_term(term: &PodAffinityTerm, (owner, other): (&PodSpec, &PodSpec), snapshot: &Snapshot) -> bool {
    in_namespaces(term, (owner, other), snapshot) && given_and_matches(term.label_selector.as_ref(), &other.labels)
}

fn in_namespaces(term: &PodAffinityTerm, (owner, other): (&PodSpec, &PodSpec), snapshot: &Snapshot) -> bool {
    if term.namespaces.is_empty() && term.namespace_selector.is_none() {
        return owner.namespace == other.namespace;
    }
    let listed = term.namespaces.iter().any(|name| **name == *other.namespace);
    listed
        || term.namespace_selector.as_ref().is_some_and(|selector| {
            let none = crate::wire::Map::new();
            matches(selector, snapshot.namespace_labels(&other.namespace).unwrap_or(&none))
        })
}

/// Whether all terms of `owner` mean pods like `other`.
pub(super) fn matches_all(
    terms: &[PodAffinityTerm],
    (owner, other): (&PodSpec, &PodSpec),
    snapshot: &Snapshot,
) -> bool {
    terms.iter().all(|term| matches_term(term, (owner, other), snapshot))
}
