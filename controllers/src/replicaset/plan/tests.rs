//! The rules of a ReplicaSet, by tables.

use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

fn set(replicas: i32, min_ready_seconds: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": {"name": "rs", "generation": 3},
        "spec": {
            "replicas": replicas,
            "minReadySeconds": min_ready_seconds,
            "template": {"metadata": {"labels": {"a": "1", "b": "2"}}},
        },
    }))
    .unwrap()
}

/// A pod that has been ready for so many seconds.
fn ready(seconds: f64) -> Arc<Pod> {
    Arc::new(Pod { ready: true, ready_since: Some(NOW - SignedDuration::from_secs_f64(seconds)), ..Pod::default() })
}

fn pods(count: usize) -> Vec<Arc<Pod>> {
    vec![Arc::default(); count]
}

#[test]
fn the_difference_is_created_or_deleted_up_to_the_burst() {
    let rules = Rules { now: NOW, deletion_cost: true };
    assert_eq!(plan_scale(&set(3, 0), &pods(3), &[], rules), Scale::Keep);
    assert_eq!(plan_scale(&set(3, 0), &pods(1), &[], rules), Scale::Create(2));
    assert_eq!(plan_scale(&set(1000, 0), &pods(1), &[], rules), Scale::Create(500));
    let Scale::Delete(victims) = plan_scale(&set(0, 0), &pods(700), &[], rules) else {
        panic!("pods are deleted");
    };
    assert_eq!(victims.len(), 500);
}

#[test]
fn one_chooses_only_where_some_stay() {
    for (wanted, active, expect) in
        [(3, 3, false), (3, 2, false), (3, 4, true), (0, 4, false), (0, 500, false), (0, 501, true), (0, 0, false)]
    {
        assert_eq!(needs_choice(&set(wanted, 0), active), expect, "{wanted} {active}");
    }
}

#[test]
fn batches_double() {
    for (count, expect) in
        [(0, vec![]), (1, vec![1]), (10, vec![1, 2, 4, 3]), (500, vec![1, 2, 4, 8, 16, 32, 64, 128, 245])]
    {
        assert_eq!(slow_start(count).collect::<Vec<_>>(), expect, "{count}");
    }
}

#[test]
fn pods_are_counted_by_readiness_age_and_labels() {
    let not_ready = Arc::new(Pod {
        metadata: serde_json::from_value(json!({"labels": {"a": "1", "b": "2", "c": "3"}})).unwrap(),
        ..Pod::default()
    });
    let status = plan_status(&set(3, 3600), &[not_ready, ready(0.0), ready(7200.0)], Some(2), None, NOW);
    let expect = ReplicaSetStatus {
        replicas: 3,
        fully_labeled_replicas: 1,
        ready_replicas: 2,
        available_replicas: 1,
        terminating_replicas: Some(2),
        observed_generation: 3,
        conditions: Vec::new(),
    };
    assert_eq!(status, expect);
}

#[test]
fn availability() {
    let untimed = Pod { ready: true, ..Pod::default() };
    assert!(is_available(&untimed, 0, NOW), "no waiting, no time needed");
    assert!(!is_available(&untimed, 1, NOW));
    assert!(!is_available(&Pod::default(), 0, NOW));
    for (seconds, expect) in [(9.9, false), (10.0, true), (11.0, true)] {
        assert_eq!(is_available(&ready(seconds), 10, NOW), expect, "{seconds}");
    }
}

#[test]
fn a_failure_is_stated_once_and_taken_back() {
    let failure = |message: &str| Some(("FailedCreate", message.to_owned()));
    let mut set = set(1, 0);
    let other = Condition { kind: "Other".to_owned(), ..Condition::default() };
    set.status.conditions = vec![other.clone()];
    set.status = plan_status(&set, &[], Some(0), failure("first"), NOW);
    assert_eq!(set.status.conditions.len(), 2);
    assert_eq!(set.status.conditions[1].message, "first");
    let again = plan_status(&set, &[], Some(0), failure("second"), NOW + SignedDuration::from_secs(9));
    assert!(!is_status_news(&set, &again), "the first message and time stay");
    let over = plan_status(&set, &[], Some(0), None, NOW);
    assert_eq!(over.conditions, [other], "foreign conditions survive");
    assert!(is_status_news(&set, &over));
}

#[test]
fn the_next_check_is_when_the_first_pod_becomes_available() {
    let check = |seconds: &[f64], min_ready: i32, later: i64, expect: Option<f64>| {
        let pods: Vec<_> = seconds.iter().map(|seconds| ready(*seconds)).collect();
        let got = next_check(&pods, min_ready, NOW, NOW + SignedDuration::from_secs(later));
        assert_eq!(got.map(|left| left.as_secs_f64()), expect, "{seconds:?}");
    };
    check(&[2.0, 0.0, 4.0], 10, 0, Some(6.0));
    check(&[2.0, 0.0, 4.0], 10, 2, Some(4.0));
    check(&[2.0, 0.0, 4.0], 10, 7, Some(0.0));
    check(&[15.0, 11.0, 10.0], 10, 0, None);
    check(&[0.0, 2.0, 4.3], 5, 0, Some(0.7));
}
