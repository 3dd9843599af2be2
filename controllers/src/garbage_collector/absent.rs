//! Owners that are known not to be there, so that a thousand dependents ask for them once.

use std::collections::{BTreeSet, VecDeque};

use steersman_framework::meta::OwnerReference;

/// So many owners are remembered.
const CAPACITY: usize = 500;

/// Where an owner would be: a reference with the right uid and a wrong name says nothing about others with that uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) api_version: String,
    pub(super) kind: String,
    /// Empty if it would be cluster-scoped.
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

impl Place {
    /// Where an owner would be to which this refers from that namespace.
    pub(super) fn of(reference: &OwnerReference, namespace: &str) -> Self {
        Self {
            api_version: reference.api_version.clone(),
            kind: reference.kind.clone(),
            namespace: namespace.to_owned(),
            name: reference.name.clone(),
            uid: reference.uid.clone(),
        }
    }
}

/// Owners that are known not to be there.
#[derive(Debug, Default)]
pub(super) struct Absent {
    known: BTreeSet<Place>,
    order: VecDeque<Place>,
}

impl Absent {
    /// Whether nobody is there, be it in the namespace or in the cluster.
    pub(super) fn contains(&self, reference: &OwnerReference, namespace: &str) -> bool {
        !self.known.is_empty()
            && (self.known.contains(&Place::of(reference, namespace)) || self.known.contains(&Place::of(reference, "")))
    }

    pub(super) fn insert(&mut self, place: Place) {
        if !self.known.insert(place.clone()) {
            return;
        }
        self.order.push_back(place);
        if self.order.len() > CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(name: &str, uid: &str) -> OwnerReference {
        let (api_version, kind) = ("apps/v1".to_owned(), "ReplicaSet".to_owned());
        OwnerReference { api_version, kind, name: name.to_owned(), uid: uid.to_owned(), ..OwnerReference::default() }
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut absent = Absent::default();
        let numbered = |n: usize| reference("a", &n.to_string());
        (0..=CAPACITY).for_each(|n| absent.insert(Place::of(&numbered(n), "ns")));
        assert!(!absent.contains(&numbered(0), "ns") && absent.contains(&numbered(1), "ns"));
    }

    #[test]
    fn an_owner_is_absent_from_one_place() {
        let mut absent = Absent::default();
        absent.insert(Place::of(&reference("wrong", "1"), "ns"));
        absent.insert(Place::of(&reference("cluster", "2"), ""));
        assert!(absent.contains(&reference("wrong", "1"), "ns"));
        assert!(!absent.contains(&reference("right", "1"), "ns"), "the same uid under another name");
        assert!(!absent.contains(&reference("wrong", "1"), "other"));
        assert!(absent.contains(&reference("cluster", "2"), "any"));
        let other_kind = OwnerReference { kind: "Pod".to_owned(), ..reference("wrong", "1") };
        assert!(!absent.contains(&other_kind, "ns"));
    }
}
