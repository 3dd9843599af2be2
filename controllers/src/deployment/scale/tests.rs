//! Proportional scaling, by upstream's tables.

use serde_json::json;

use super::*;

fn deployment(replicas: i32, surge: i32) -> Deployment {
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": 1}});
    serde_json::from_value(json!({"spec": {"replicas": replicas, "strategy": strategy}})).unwrap()
}

/// Sets by size, oldest first, all annotated with the Deployment's former size.
fn sets(sizes: &[i32], new: bool, desired: i32, max: i32) -> Sets {
    let set = |size: &i32| -> ReplicaSet {
        let annotations = json!({DESIRED_REPLICAS: desired.to_string(), MAX_REPLICAS: max.to_string()});
        serde_json::from_value(json!({
            "metadata": {"annotations": annotations},
            "spec": {"replicas": size},
            "status": {"availableReplicas": 0},
        }))
        .unwrap()
    };
    Sets { all: sizes.iter().map(set).collect(), new: new.then(|| sizes.len() - 1) }
}

/// Performs the plan; gives the sizes, oldest first.
fn scaled(deployment: &Deployment, mut sets: Sets) -> Vec<i32> {
    for resize in plan_scale(deployment, &sets).0 {
        sets.all[resize.place].spec.replicas = resize.size;
    }
    sets.all.iter().map(|set| set.spec.replicas).collect()
}

fn check(from: i32, to: i32, before: &[i32], after: &[i32]) {
    let got = scaled(&deployment(to, 0), sets(before, true, from, from));
    assert_eq!(got, after, "{from} -> {to}: {before:?}");
}

#[test]
fn sets_grow_and_shrink_in_proportion() {
    check(10, 12, &[10], &[12]);
    check(10, 5, &[10], &[5]);
    check(5, 10, &[3, 2], &[6, 4]);
    check(5, 3, &[3, 2], &[2, 1]);
    check(9, 4, &[1, 8], &[0, 4]);
    check(7, 10, &[2, 3, 2], &[3, 4, 3]);
    check(13, 8, &[3, 8, 2], &[2, 5, 1]);
    check(3, 4, &[1, 1, 1], &[1, 1, 2]);
    check(3, 2, &[1, 1, 1], &[0, 1, 1]);
    check(6, 0, &[1, 2, 3], &[0, 0, 0]);
    check(6, 6, &[0, 0, 0], &[0, 0, 6]);
}

#[test]
fn without_a_new_set_the_newest_of_the_largest_takes_the_rest() {
    assert_eq!(scaled(&deployment(5, 0), sets(&[2, 2], false, 4, 4)), [2, 3]);
    assert_eq!(scaled(&deployment(14, 0), sets(&[3, 7], false, 10, 10)), [4, 10]);
}

#[test]
fn of_sets_that_are_all_empty_only_one_is_written() {
    let (sizes, annotate) = plan_scale(&deployment(6, 0), &sets(&[0, 0, 0], true, 6, 6));
    assert_eq!((sizes, annotate), (vec![Resize { place: 2, size: 6 }], false));
    let (sizes, _) = plan_scale(&deployment(6, 0), &sets(&[0, 0, 0], false, 6, 6));
    assert_eq!(sizes, [Resize { place: 2, size: 6 }], "the latest, where none is new");
    assert_eq!(plan_scale(&deployment(6, 0), &Sets::default()).0, []);
}

#[test]
fn surge_counts() {
    assert_eq!(scaled(&deployment(20, 2), sets(&[6, 6], true, 10, 12)), [11, 11]);
    assert_eq!(scaled(&deployment(50, 6), sets(&[8, 5], true, 10, 13)), [34, 22]);
    assert_eq!(scaled(&deployment(30, 3), sets(&[8, 5], true, 10, 13)), [20, 13]);
    assert_eq!(scaled(&deployment(120, 20), sets(&[100, 20], true, 100, 120)), [117, 23]);
    assert_eq!(scaled(&deployment(2, 1), sets(&[1, 2], true, 2, 3)), [1, 2]);
}

#[test]
fn what_was_applied_in_part_is_finished() {
    let mut sets = sets(&[1, 1, 2], true, 5, 5);
    sets.all[1].metadata.annotations.insert(DESIRED_REPLICAS, "3");
    sets.all[1].metadata.annotations.insert(MAX_REPLICAS, "3");
    assert!(is_scaling_event(&deployment(5, 0), &sets));
    assert_eq!(scaled(&deployment(5, 0), sets), [1, 2, 2]);
}

#[test]
fn a_saturated_new_set_drains_the_others() {
    let mut sets = sets(&[2, 5], true, 5, 6);
    sets.all[1].status.available_replicas = 5;
    assert_eq!(scaled(&deployment(5, 1), sets), [0, 5]);
}

#[test]
fn recreate_with_several_active_sets_does_nothing() {
    let mut deployment = deployment(5, 0);
    deployment.spec.strategy.kind = "Recreate".to_owned();
    assert_eq!(scaled(&deployment, sets(&[2, 2], true, 4, 4)), [2, 2]);
}

#[test]
fn fractions() {
    let check = |replicas: i32, status: i32, surge: i32, size: i32, max: Option<&str>, expect: i32| {
        let mut deployment = deployment(replicas, surge);
        deployment.status.replicas = status;
        let mut set = ReplicaSet::default();
        set.spec.replicas = size;
        if let Some(max) = max {
            set.metadata.annotations.insert(MAX_REPLICAS, max);
        }
        assert_eq!(fraction(&deployment, &set), expect, "{replicas} {status} {surge} {size} {max:?}");
    };
    check(0, 0, 0, 10, None, -10);
    check(10, 0, 0, 5, None, 0);
    check(10, 0, 0, 5, Some("0"), 0);
    check(120, 100, 0, 50, None, 10);
    check(120, 100, 0, 50, Some("0"), 10);
    check(120, 0, 0, 50, Some("100"), 10);
    check(120, 0, 10, 50, Some("110"), 9);
    check(10, 0, 0, 6, Some("12"), -1);
    check(100, 0, 10, 50, Some("130"), -8);
}

#[test]
fn only_a_readable_annotation_of_an_active_set_makes_a_scaling_event() {
    let check = |size: i32, desired: &str, expect: bool| {
        let mut sets = sets(&[size], true, 1, 1);
        sets.all[0].metadata.annotations.insert(DESIRED_REPLICAS, desired);
        assert_eq!(is_scaling_event(&deployment(5, 0), &sets), expect, "{size} {desired}");
    };
    check(3, "3", true);
    check(3, "5", false);
    check(0, "3", false);
    check(3, "x", false);
}
