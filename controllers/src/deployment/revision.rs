//! Revisions and the annotations that follow the Deployment to its ReplicaSets.
//! Source: `k8s.io/kubernetes/pkg/controller/deployment/util`.

use steersman_framework::meta::StringMap;

use crate::deployment::sets::{DESIRED_REPLICAS, MAX_REPLICAS, Sets};
use crate::objects::ReplicaSet;

/// The annotation with the revision of a Deployment or a set.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// The annotation with the earlier revisions of a set.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The annotation that asks for a rollback.
pub const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const HISTORY_MAX: usize = 2000;

/// Whether an annotation stays where it is instead of being copied.
pub fn is_skipped(key: &str) -> bool {
    matches!(key, LAST_APPLIED | REVISION | REVISION_HISTORY | DESIRED_REPLICAS | MAX_REPLICAS | ROLLBACK_TO)
}

/// The revision in some annotations: 0 if there is none, `None` if it is not a number.
pub fn revision(annotations: &StringMap) -> Option<i64> {
    annotations.get(REVISION).map_or(Some(0), |text| text.parse().ok())
}

/// The revision that the new set is to have.
pub fn next_revision(sets: &Sets) -> i64 {
    sets.old().filter_map(|(_, set)| revision(&set.metadata.annotations)).max().unwrap_or_default().max(0) + 1
}

/// The second highest revision of all sets; 0 if there is none.
pub fn last_revision(sets: &Sets) -> i64 {
    let (mut max, mut second) = (0, 0);
    for revision in sets.all.iter().filter_map(|set| revision(&set.metadata.annotations)) {
        if revision >= max {
            (max, second) = (revision, max);
        } else if revision > second {
            second = revision;
        }
    }
    second
}

/// Copies the Deployment's annotations to a set and raises its revision; returns whether anything changed.
///
/// `existing` says whether the set was there before: then its former revision moves to the history.
pub fn annotate(set: &mut StringMap, deployment: &StringMap, new_revision: i64, existing: bool) -> bool {
    // Upstream leaves a set alone whose revision was tampered with.
    let present = if set.get(REVISION) == Some("") { Some(0) } else { revision(set) };
    let Some(present) = present else { return false };
    let mut changed = false;
    for (key, value) in deployment.iter().filter(|(key, _)| !is_skipped(key)) {
        changed |= set.insert(key, value);
    }
    let former = set.get(REVISION).map(str::to_owned);
    if present >= new_revision {
        return changed;
    }
    set.insert(REVISION, new_revision.to_string());
    if let Some(former) = former.filter(|_| existing) {
        let history = extend_history(set.get(REVISION_HISTORY).unwrap_or_default(), &former, HISTORY_MAX);
        if let Some(history) = history {
            set.insert(REVISION_HISTORY, history);
        }
    }
    true
}

/// Appends a revision, dropping the oldest ones if it gets too long; `None` if it cannot be made to fit.
fn extend_history(history: &str, revision: &str, max: usize) -> Option<String> {
    // Upstream takes a history that begins with a comma for an empty one.
    if history.split(',').next() == Some("") {
        return Some(revision.to_owned());
    }
    let mut entries: Vec<&str> = history.split(',').collect();
    entries.push(revision);
    while entries.join(",").len() > max && entries.len() > 1 {
        entries.remove(0);
    }
    let text = entries.join(",");
    (text.len() <= max).then_some(text)
}

/// The set with a revision: an old one if several have it.
pub fn with_revision(sets: &Sets, wanted: i64) -> Option<&ReplicaSet> {
    let old = sets.old().map(|(_, set)| set);
    old.chain(sets.new_set()).find(|set| revision(&set.metadata.annotations) == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> StringMap {
        pairs.iter().copied().collect()
    }

    fn sets(revisions: &[&str]) -> Sets {
        let set = |revision: &&str| {
            let mut set = ReplicaSet::default();
            set.metadata.annotations.insert(REVISION, *revision);
            set
        };
        Sets { all: revisions.iter().map(set).collect(), new: None }
    }

    #[test]
    fn revisions_go_on_after_the_highest() {
        assert_eq!(next_revision(&sets(&[])), 1);
        assert_eq!(next_revision(&sets(&["3", "x", "7"])), 8);
        assert_eq!(next_revision(&sets(&["3546343826724305832"])), 3_546_343_826_724_305_833);
        assert_eq!(last_revision(&sets(&["3", "7", "5"])), 5);
        assert_eq!(last_revision(&sets(&["7", "7"])), 7);
        assert_eq!(last_revision(&sets(&["7"])), 0);
    }

    #[test]
    fn annotations_are_copied_but_for_those_of_the_controller() {
        let deployment = map(&[("a", "1"), (LAST_APPLIED, "x"), (REVISION, "9"), (ROLLBACK_TO, "0")]);
        let mut set = map(&[("a", "0"), ("b", "2")]);
        assert!(annotate(&mut set, &deployment, 1, false));
        assert_eq!(set, map(&[("a", "1"), ("b", "2"), (REVISION, "1")]));
        assert!(!annotate(&mut set, &deployment, 1, true));
    }

    #[test]
    fn a_reused_set_remembers_its_former_revisions() {
        let mut set = map(&[(REVISION, "1")]);
        assert!(annotate(&mut set, &map(&[]), 3, true));
        assert!(annotate(&mut set, &map(&[]), 5, true));
        assert_eq!(set, map(&[(REVISION, "5"), (REVISION_HISTORY, "1,3")]));
        let mut odd = map(&[(REVISION, "x")]);
        assert!(!annotate(&mut odd, &map(&[("a", "1")]), 5, true), "what was tampered with is left alone");
        assert_eq!(odd, map(&[(REVISION, "x")]));
        let mut ahead = map(&[(REVISION, "7")]);
        assert!(!annotate(&mut ahead, &map(&[]), 5, true), "a revision is never lowered");
        assert_eq!(ahead, map(&[(REVISION, "7")]));
    }

    #[test]
    fn a_long_history_loses_its_oldest_entries() {
        let mut history = String::new();
        for revision in 11..20 {
            history = extend_history(&history, &revision.to_string(), 5).unwrap();
        }
        assert_eq!(history, "18,19");
        assert_eq!(extend_history("1", "123456", 5), None);
    }
}
