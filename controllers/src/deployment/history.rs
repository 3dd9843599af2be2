//! Which old ReplicaSets are deleted: the history is kept to `revisionHistoryLimit`.

use std::cmp::Ordering;

use crate::deployment::revision::revision;
use crate::deployment::sets::Sets;
use crate::objects::{Deployment, ReplicaSet};

/// A limit that is none.
const UNLIMITED: i32 = i32::MAX;

/// The old sets to delete, in order. Sets that still have pods are skipped, and no later ones take their place.
pub fn plan_cleanup<'a>(deployment: &Deployment, sets: &'a Sets) -> Vec<&'a ReplicaSet> {
    let limit = deployment.spec.revision_history_limit.filter(|limit| *limit != UNLIMITED);
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else {
        return Vec::new();
    };
    let mut old: Vec<&ReplicaSet> = sets.old().map(|(_, set)| set).filter(|set| !set.metadata.is_deleting()).collect();
    let excess = old.len().saturating_sub(limit);
    // They come by age; sets whose revisions can't be compared stay so.
    insertion_sort(&mut old);
    let drained = |set: &&ReplicaSet| {
        set.status.replicas == 0 && set.spec.replicas == 0 && set.metadata.generation <= set.status.observed_generation
    };
    old.into_iter().take(excess).filter(drained).collect()
}

/// By revision where both are readable. That is no total order, so the standard library's sort might panic.
fn insertion_sort(sets: &mut [&ReplicaSet]) {
    let revision = |set: &ReplicaSet| revision(&set.metadata.annotations);
    for end in 1..sets.len() {
        let mut at = end;
        while at > 0 {
            let order = revision(sets[at - 1]).zip(revision(sets[at])).map(|(a, b)| a.cmp(&b));
            if order != Some(Ordering::Greater) {
                break;
            }
            sets.swap(at - 1, at);
            at -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Sets by age: name, revision, spec and status size.
    fn check(sets: &[(&str, &str, i32, i32)], limit: i32, expect: &[&str]) {
        let set = |(name, revision, spec, status): &(&str, &str, i32, i32)| -> ReplicaSet {
            let annotations = match *revision {
                "" => json!({}),
                revision => json!({"deployment.kubernetes.io/revision": revision}),
            };
            serde_json::from_value(json!({
                "metadata": {"name": name, "annotations": annotations},
                "spec": {"replicas": spec},
                "status": {"replicas": status},
            }))
            .unwrap()
        };
        let observed = Sets { all: sets.iter().map(set).collect(), new: None };
        let deployment: Deployment = serde_json::from_value(json!({"spec": {"revisionHistoryLimit": limit}})).unwrap();
        let deleted = plan_cleanup(&deployment, &observed);
        let names: Vec<&str> = deleted.iter().map(|set| set.metadata.name.as_str()).collect();
        assert_eq!(names, expect, "{sets:?} {limit}");
    }

    #[test]
    fn the_lowest_revisions_go_if_they_are_drained() {
        check(&[("a", "1", 0, 0), ("b", "2", 0, 0), ("c", "3", 0, 0)], 1, &["a", "b"]);
        check(&[("a", "", 0, 0), ("b", "", 0, 1), ("c", "", 1, 0), ("d", "", 1, 1)], 0, &["a"]);
        check(&[("a", "1", 0, 0), ("b", "2", 0, 0)], 1, &["a"]);
        check(&[("a", "2", 0, 0), ("b", "1", 0, 0)], 1, &["b"]);
        check(&[("a", "1", 0, 0), ("b", "", 0, 0)], 1, &["b"]);
        check(&[("a", "", 0, 0), ("b", "2", 0, 0)], 1, &["a"]);
        check(&[("a", "1", 1, 1), ("b", "2", 0, 0), ("c", "3", 0, 0)], 1, &["b"]);
        check(&[("a", "1", 1, 1), ("b", "2", 1, 1), ("c", "3", 0, 0)], 1, &[]);
        check(&[("a", "3", 0, 0), ("b", "1", 0, 0), ("c", "4", 0, 0), ("d", "2", 0, 0)], 2, &["b", "d"]);
        check(&[("a", "1", 0, 0), ("b", "2", 0, 0), ("c", "3", 0, 0)], i32::MAX, &[]);
    }

    #[test]
    fn a_set_that_is_being_deleted_or_unobserved_stays() {
        let mut sets = Sets { all: vec![ReplicaSet::default()], new: None };
        let deployment: Deployment = serde_json::from_value(json!({"spec": {"revisionHistoryLimit": 0}})).unwrap();
        assert_eq!(plan_cleanup(&deployment, &sets).len(), 1);
        sets.all[0].metadata.generation = 2;
        assert!(plan_cleanup(&deployment, &sets).is_empty());
        sets.all[0].metadata.generation = 0;
        sets.all[0].metadata.deletion_timestamp = Some(jiff::Timestamp::UNIX_EPOCH);
        assert!(plan_cleanup(&deployment, &sets).is_empty());
    }
}
