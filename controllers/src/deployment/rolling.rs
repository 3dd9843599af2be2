//! The arithmetic of a rolling update: how far the new set grows and the old ones shrink in one sync.
//! Source: `k8s.io/kubernetes/pkg/controller/deployment/rolling.go`.

use crate::deployment::sets::{Sets, is_rolling_update, max_replicas, max_unavailable, sum};
use crate::objects::{Deployment, ReplicaSet};

/// A new size for the set at a place of [`Sets::all`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// The place of the set.
    pub place: usize,
    /// Its new size.
    pub size: i32,
}

/// The size of the new set, which has `present` pods now (0 if it does not exist), given the others.
pub fn new_size(deployment: &Deployment, sets: &Sets, present: i32) -> i32 {
    let wanted = deployment.spec.replicas;
    if !is_rolling_update(deployment) {
        return wanted;
    }
    let room = max_replicas(deployment).saturating_sub(sets.total());
    if room <= 0 { present } else { present + room.min(wanted - present) }
}

/// How the new set changes; `None` if it does not.
pub fn plan_new(deployment: &Deployment, sets: &Sets) -> Option<Resize> {
    let place = sets.new?;
    let present = sets.all[place].spec.replicas;
    let size = match present.cmp(&deployment.spec.replicas) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Greater => deployment.spec.replicas,
        std::cmp::Ordering::Less => new_size(deployment, sets, present),
    };
    (size != present).then_some(Resize { place, size })
}

/// How the old sets shrink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shrink {
    /// The steps, in order; a set may occur twice.
    pub steps: Vec<Resize>,
    /// Whether a set that claims more available pods than it wants stopped the planning: its status lags behind.
    pub stopped: bool,
}

/// Takes away what can be spared: first pods that are of no use anyway, then healthy ones, from the oldest set on.
pub fn plan_old(deployment: &Deployment, sets: &Sets) -> Shrink {
    let Some(new) = sets.new_set() else { return Shrink::default() };
    let min_available = deployment.spec.replicas - max_unavailable(deployment);
    let missing = new.spec.replicas.saturating_sub(kept(new));
    let budget = sets.total().saturating_sub(min_available).saturating_sub(missing);
    if budget <= 0 || sets.active_old().next().is_none() {
        return Shrink::default();
    }
    let mut shrink = shrink_unhealthy(sets, budget);
    if !shrink.stopped {
        shrink_healthy(sets, min_available, &mut shrink);
    }
    shrink
}

/// The available pods that a set keeps. One that was shrunk just now may still tell of more; upstream counts them all, and
/// takes as many too many elsewhere.
fn kept(set: &ReplicaSet) -> i32 {
    set.status.available_replicas.min(set.spec.replicas)
}

fn shrink_unhealthy(sets: &Sets, budget: i32) -> Shrink {
    let mut shrink = Shrink::default();
    let mut left = budget;
    for (place, set) in sets.active_old() {
        let (size, available) = (set.spec.replicas, set.status.available_replicas);
        if left <= 0 {
            break;
        }
        if size == available {
            continue;
        }
        if available > size {
            shrink.stopped = true;
            break;
        }
        let count = left.min(size.saturating_sub(available));
        left -= count;
        shrink.steps.push(Resize { place, size: size - count });
    }
    shrink
}

fn shrink_healthy(sets: &Sets, min_available: i32, shrink: &mut Shrink) {
    let available = sum(sets.active_old().map(|(_, set)| set).chain(sets.new_set()).map(kept));
    let mut left = available.saturating_sub(min_available);
    for (place, set) in sets.active_old() {
        let shrunk = shrink.steps.iter().find(|step| step.place == place);
        let size = shrunk.map_or(set.spec.replicas, |step| step.size);
        if left <= 0 {
            break;
        }
        let count = left.min(size);
        if count > 0 {
            left -= count;
            shrink.steps.push(Resize { place, size: size - count });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(replicas: i32, surge: Value, unavailable: Value) -> Deployment {
        let strategy =
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
        serde_json::from_value(json!({"spec": {"replicas": replicas, "strategy": strategy}})).unwrap()
    }

    /// Sets of (size, available); the last one is new.
    fn sets(sizes: &[(i32, i32)]) -> Sets {
        let set = |(size, available): &(i32, i32)| -> ReplicaSet {
            serde_json::from_value(json!({"spec": {"replicas": size}, "status": {"availableReplicas": available}}))
                .unwrap()
        };
        Sets { all: sizes.iter().map(set).collect(), new: Some(sizes.len() - 1) }
    }

    #[test]
    fn the_new_set_grows_into_the_room_there_is() {
        let check = |replicas: i32, surge: i32, old: i32, new: i32, expect: Option<i32>| {
            let sets = sets(&[(old, old), (new, new)]);
            let resize = plan_new(&deployment(replicas, json!(surge), json!(0)), &sets);
            assert_eq!(resize.map(|resize| resize.size), expect, "{replicas} {surge} {old} {new}");
        };
        // With neither surge nor unavailable pods the latter become one.
        check(10, 0, 10, 0, None);
        check(10, 2, 10, 0, Some(2));
        check(10, 2, 5, 0, Some(7));
        check(10, 2, 10, 2, None);
        check(10, 2, 2, 11, Some(10));
        check(6, 10, 5, 2, Some(6));
        assert_eq!(new_size(&deployment(1, json!(1), json!(0)), &sets(&[(5, 5)]), 5), 5);
    }

    #[test]
    fn old_sets_shrink_by_what_can_be_spared() {
        let check = |unavailable: i32, old: (i32, i32), new: (i32, i32), expect: &[i32]| {
            let shrink = plan_old(&deployment(10, json!(0), json!(unavailable)), &sets(&[old, new]));
            let sizes: Vec<i32> = shrink.steps.iter().map(|step| step.size).collect();
            assert_eq!(sizes, expect, "{unavailable} {old:?} {new:?}");
        };
        check(0, (10, 10), (0, 0), &[9]);
        check(2, (10, 10), (0, 0), &[8]);
        check(2, (10, 8), (0, 0), &[8]);
        check(2, (10, 9), (0, 0), &[9, 8]);
        check(2, (8, 8), (2, 0), &[]);
    }

    /// One old set, and no new one.
    fn one_old(size: i32, available: i32) -> Sets {
        Sets { new: None, ..sets(&[(size, available)]) }
    }

    #[test]
    fn pods_of_no_use_go_as_far_as_the_budget_goes() {
        for (available, budget, removed) in [(8, 1, 1), (8, 3, 2), (8, 0, 0), (10, 3, 0)] {
            let steps = shrink_unhealthy(&one_old(10, available), budget).steps;
            let sizes: Vec<i32> = steps.iter().map(|step| 10 - step.size).filter(|count| *count > 0).collect();
            assert_eq!(sizes.iter().sum::<i32>(), removed, "{available} available, {budget} to spare");
        }
    }

    #[test]
    fn healthy_pods_go_down_to_what_has_to_be_available() {
        for (unavailable, size, available, expect) in
            [(0, 10, 10, Some(9)), (2, 10, 10, Some(8)), (2, 10, 8, None), (2, 0, 10, None), (2, 10, 1, None)]
        {
            let deployment = deployment(10, json!(0), json!(unavailable));
            let least = deployment.spec.replicas - max_unavailable(&deployment);
            let mut shrink = Shrink::default();
            shrink_healthy(&one_old(size, available), least, &mut shrink);
            let got = shrink.steps.first().map(|step| step.size);
            assert_eq!(got, expect, "{unavailable} {size} {available}");
        }
    }

    #[test]
    fn a_worked_trace() {
        let deployment = deployment(10, json!("25%"), json!("25%"));
        assert_eq!(plan_new(&deployment, &sets(&[(10, 10), (0, 0)])).unwrap().size, 3);
        assert_eq!(plan_old(&deployment, &sets(&[(10, 10), (3, 0)])).steps[0].size, 8);
        assert_eq!(plan_new(&deployment, &sets(&[(8, 8), (3, 0)])).unwrap().size, 5);
        assert_eq!(plan_old(&deployment, &sets(&[(8, 8), (5, 0)])), Shrink::default());
        assert_eq!(plan_old(&deployment, &sets(&[(8, 8), (5, 1)])).steps[0].size, 7);
    }

    #[test]
    fn the_oldest_and_sickest_go_first() {
        let deployment = deployment(10, json!(3), json!(2));
        let shrink = plan_old(&deployment, &sets(&[(5, 5), (4, 1), (4, 0)]));
        let steps: Vec<(usize, i32)> = shrink.steps.iter().map(|step| (step.place, step.size)).collect();
        assert_eq!(steps, [(1, 3)], "one pod to spare, and it is taken from the set with useless pods");
    }

    #[test]
    fn pods_that_are_to_go_are_not_counted_on() {
        // The new set has been shrunk from 9 to 5, say by a rollback of a rollback, and does not show it yet.
        let deployment = deployment(10, json!(3), json!(2));
        let shrink = plan_old(&deployment, &sets(&[(5, 5), (5, 9)]));
        assert_eq!(shrink.steps, [Resize { place: 0, size: 3 }], "5 and 3 stay, as is needed");
    }

    #[test]
    fn a_set_whose_status_lags_stops_the_shrinking() {
        let shrink = plan_old(&deployment(10, json!(3), json!(2)), &sets(&[(5, 6), (5, 5)]));
        assert_eq!(shrink, Shrink { steps: vec![], stopped: true });
    }
}
