//! Status and progress, by upstream's tables.

use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

fn deployment(replicas: i32, deadline: Option<i32>) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "generation": 2},
        "spec": {
            "replicas": replicas,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "progressDeadlineSeconds": deadline,
        },
    }))
    .unwrap()
}

fn counters(replicas: i32, updated: i32, ready: i32, available: i32) -> DeploymentStatus {
    DeploymentStatus {
        observed_generation: 2,
        replicas,
        updated_replicas: updated,
        ready_replicas: ready,
        available_replicas: available,
        ..DeploymentStatus::default()
    }
}

fn sets(new: &[serde_json::Value]) -> Sets {
    Sets {
        all: new.iter().map(|set| serde_json::from_value(set.clone()).unwrap()).collect(),
        new: new.len().checked_sub(1),
    }
}

fn progressing(value: &str, reason: &str, seconds_ago: i64) -> DeploymentCondition {
    new_condition(PROGRESSING, value, reason, String::new(), NOW - SignedDuration::from_secs(seconds_ago))
}

#[test]
fn complete_means_all_new_and_available() {
    for (wanted, replicas, updated, available, expect) in [
        (5, 5, 5, 4, false),
        (5, 5, 5, 3, false),
        (5, 5, 5, 5, true),
        (5, 5, 4, 5, false),
        (1, 2, 1, 1, false),
        (1, 1, 1, 0, false),
    ] {
        let status = counters(replicas, updated, 0, available);
        assert_eq!(is_complete(&deployment(wanted, None), &status), expect, "{wanted} {status:?}");
    }
    let stale = DeploymentStatus { observed_generation: 1, ..counters(5, 5, 5, 5) };
    assert!(!is_complete(&deployment(5, None), &stale));
}

#[test]
fn progress_is_any_counter_that_got_better() {
    for (old, new, expect) in [
        ((10, 4, 4, 4), (10, 6, 4, 4), true),
        ((10, 4, 4, 4), (10, 4, 4, 4), false),
        ((10, 4, 6, 6), (8, 4, 6, 6), true),
        ((10, 7, 3, 3), (10, 6, 3, 3), false),
        ((10, 4, 7, 7), (8, 8, 5, 5), true),
        ((10, 10, 9, 8), (10, 10, 10, 8), true),
        ((10, 10, 10, 9), (10, 10, 10, 10), true),
    ] {
        let status = |(a, b, c, d): (i32, i32, i32, i32)| counters(a, b, c, d);
        assert_eq!(is_progressing(&status(old), &status(new)), expect, "{old:?} {new:?}");
    }
}

#[test]
fn the_deadline() {
    let check = |seconds: Option<i32>, condition: DeploymentCondition, expect: bool| {
        let status = DeploymentStatus { conditions: vec![condition.clone()], ..counters(1, 0, 0, 0) };
        assert_eq!(is_timed_out(&deployment(1, seconds), &status, NOW), expect, "{seconds:?} {condition:?}");
    };
    check(None, progressing("True", reason::UPDATED, 1000), false);
    check(Some(i32::MAX), progressing("True", reason::UPDATED, 1000), false);
    check(Some(10), progressing("True", reason::UPDATED, 11), true);
    check(Some(10), progressing("True", reason::UPDATED, 10), false);
    check(Some(10), progressing("True", reason::AVAILABLE, 1000), false);
    check(Some(10), progressing("False", reason::TIMED_OUT, 1), true);
    // Who may write a status may write any time there.
    let last =
        DeploymentCondition { last_update_time: Some(Timestamp::MAX), ..progressing("True", reason::UPDATED, 0) };
    check(Some(i32::MAX - 1), last, false);
}

#[test]
fn the_state_table_of_progressing() {
    let check =
        |stored: Option<DeploymentCondition>, old: (i32, i32, i32, i32), set: serde_json::Value, expect: &str| {
            let mut deployment = deployment(2, Some(60));
            deployment.status = counters(old.0, old.1, old.2, old.3);
            deployment.status.conditions = stored.clone().into_iter().collect();
            let status = plan_rollout_status(&deployment, &sets(std::slice::from_ref(&set)), NOW);
            let got = condition(&status, PROGRESSING).map_or("-", |condition| condition.reason.as_str());
            assert_eq!(got, expect, "{stored:?} {old:?} {set}");
        };
    let set = |size: i32, available: i32| {
        json!({
            "metadata": {"name": "web-1"}, "spec": {"replicas": 2},
            "status": {"replicas": size, "readyReplicas": available, "availableReplicas": available},
        })
    };
    let updated = || Some(progressing("True", reason::UPDATED, 61));
    check(Some(progressing("True", reason::AVAILABLE, 9)), (2, 2, 2, 2), set(2, 1), reason::AVAILABLE);
    // Pods of a finished rollout that come back are no progress of it, as long as all pods are new.
    check(Some(progressing("True", reason::AVAILABLE, 9)), (2, 2, 0, 0), set(2, 1), reason::AVAILABLE);
    check(updated(), (2, 2, 2, 1), set(2, 2), reason::AVAILABLE);
    check(updated(), (1, 1, 0, 0), set(2, 0), reason::UPDATED);
    check(updated(), (2, 2, 0, 0), set(2, 0), reason::TIMED_OUT);
    check(Some(progressing("True", reason::CREATED, 5)), (2, 2, 0, 0), set(2, 0), reason::CREATED);
    check(Some(progressing("False", reason::TIMED_OUT, 5)), (2, 2, 0, 0), set(2, 1), reason::UPDATED);
    check(None, (0, 0, 0, 0), set(0, 0), "-");
}

#[test]
fn progress_moves_the_update_time_and_keeps_the_transition_time() {
    let mut deployment = deployment(2, Some(60));
    deployment.status = counters(1, 1, 0, 0);
    deployment.status.conditions = vec![progressing("True", reason::UPDATED, 30)];
    let set = json!({"metadata": {"name": "web-1"}, "status": {"replicas": 2}});
    let status = plan_rollout_status(&deployment, &sets(&[set]), NOW);
    let condition = condition(&status, PROGRESSING).unwrap();
    assert_eq!(condition.last_update_time, Some(NOW));
    assert_eq!(condition.last_transition_time, Some(NOW - SignedDuration::from_secs(30)));
    assert_eq!(condition.message, "ReplicaSet \"web-1\" is progressing.");
}

#[test]
fn conditions_are_written_only_if_they_say_something_new() {
    let mut status = DeploymentStatus {
        conditions: vec![progressing("True", reason::UPDATED, 30), progressing("True", "x", 40)],
        ..DeploymentStatus::default()
    };
    status.conditions[1].kind = "Foreign".to_owned();
    let before = status.clone();
    set_condition(&mut status, progressing("True", reason::UPDATED, 0));
    assert_eq!(status, before);
    set_condition(&mut status, progressing("True", reason::FOUND, 0));
    assert_eq!(status.conditions[0].kind, "Foreign");
    assert_eq!(status.conditions[1].last_transition_time, Some(NOW - SignedDuration::from_secs(30)));
    set_condition(&mut status, progressing("Unknown", reason::PAUSED, 0));
    assert_eq!(status.conditions[1].last_transition_time, Some(NOW));
}

#[test]
fn terminating_pods_are_summed_unless_unknown() {
    let told = |n: i32| json!({"status": {"terminatingReplicas": n, "observedGeneration": 1}});
    let (fresh, silent) = (json!({}), json!({"status": {"observedGeneration": 1}}));
    for (all, expect) in [
        (vec![told(3)], Some(3)),
        (vec![told(3), told(1), fresh.clone()], Some(4)),
        (vec![fresh], Some(0)),
        (vec![told(3), silent.clone()], None),
        (vec![silent], None),
    ] {
        assert_eq!(terminating(&sets(&all)), expect, "{all:?}");
    }
}

#[test]
fn the_failure_of_the_new_set_comes_first() {
    let failing = |message: &str| {
        let condition =
            json!({"type": REPLICA_FAILURE, "status": "True", "reason": "FailedCreate", "message": message});
        json!({"status": {"conditions": [condition]}})
    };
    let message = |sets: &Sets| replica_failure(sets).map(|condition| condition.message);
    assert_eq!(message(&sets(&[failing("old"), failing("new")])).as_deref(), Some("new"));
    assert_eq!(message(&sets(&[failing("old"), json!({})])).as_deref(), Some("old"));
    assert_eq!(message(&sets(&[json!({})])), None);
}

#[test]
fn pausing_and_resuming() {
    let check = |paused: bool, stored: Option<&str>, expect: Option<&str>| {
        let mut deployment = deployment(1, Some(60));
        deployment.spec.paused = paused;
        deployment.status.conditions = stored.map(|reason| progressing("True", reason, 5)).into_iter().collect();
        let got = plan_pause(&deployment, NOW).map(|condition| condition.reason);
        assert_eq!(got.as_deref(), expect, "{paused} {stored:?}");
    };
    check(true, None, Some(reason::PAUSED));
    check(true, Some(reason::UPDATED), Some(reason::PAUSED));
    check(true, Some(reason::PAUSED), None);
    check(true, Some(reason::TIMED_OUT), None);
    check(false, Some(reason::PAUSED), Some(reason::RESUMED));
    check(false, Some(reason::UPDATED), None);
    check(false, None, None);
}

#[test]
fn when_to_look_again() {
    let check = |millis_ago: i64, expect: Recheck| {
        let mut deployment = deployment(1, Some(60));
        deployment.status.conditions = vec![progressing("True", reason::UPDATED, 0)];
        let now = NOW + SignedDuration::from_millis(millis_ago);
        assert_eq!(plan_recheck(&deployment, &counters(1, 0, 0, 0), now), expect, "{millis_ago}");
    };
    check(30_000, Recheck::After(Duration::from_secs(31)));
    check(59_000, Recheck::After(Duration::from_secs(2)));
    check(59_001, Recheck::Soon);
    check(60_000, Recheck::Soon);
    check(61_000, Recheck::Soon);
    check(120_000, Recheck::Soon);
    let mut timed_out = deployment(1, Some(60));
    timed_out.status.conditions = vec![progressing("False", reason::TIMED_OUT, 5)];
    assert_eq!(plan_recheck(&timed_out, &counters(1, 0, 0, 0), NOW), Recheck::Never);
    timed_out.status.conditions = vec![progressing("True", reason::AVAILABLE, 500)];
    assert_eq!(plan_recheck(&timed_out, &counters(1, 0, 0, 0), NOW), Recheck::Never, "it was finished");
    assert_eq!(plan_recheck(&deployment(1, None), &counters(1, 0, 0, 0), NOW), Recheck::Never);
}

#[test]
fn available_means_that_no_more_are_missing_than_may_be() {
    let check = |kind: &str, replicas: i32, unavailable: i32, sizes: &[(i32, i32)], expect: (bool, i32)| {
        let mut deployment = deployment(replicas, None);
        deployment.spec.strategy.kind = kind.to_owned();
        deployment.spec.strategy.rolling_update.max_unavailable = Some(json!(unavailable));
        let set = |(size, available): &(i32, i32)| json!({"spec": {"replicas": size}, "status": {"availableReplicas": available}});
        let all: Vec<serde_json::Value> = sizes.iter().map(set).collect();
        let status = plan_status(&deployment, &sets(&all), NOW);
        let told = condition(&status, AVAILABLE).unwrap();
        let (reason, message) = match expect.0 {
            true => ("MinimumReplicasAvailable", "Deployment has minimum availability."),
            false => ("MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
        };
        assert_eq!((told.reason.as_str(), told.message.as_str()), (reason, message), "{kind} {replicas} {sizes:?}");
        assert_eq!(told.status == "True", expect.0);
        assert_eq!(status.unavailable_replicas, expect.1, "{sizes:?}: by what is wanted of the sets");
    };
    check("RollingUpdate", 10, 2, &[(8, 8), (5, 0)], (true, 5));
    check("RollingUpdate", 10, 2, &[(8, 7), (5, 0)], (false, 6));
    check("RollingUpdate", 10, 2, &[(8, 8), (5, 5)], (true, 0));
    check("Recreate", 10, 2, &[(10, 9)], (false, 1));
    check("Recreate", 10, 2, &[(10, 10)], (true, 0));
    check("RollingUpdate", 0, 0, &[(0, 0)], (true, 0));
    check("Recreate", 0, 0, &[], (true, 0));
    check("RollingUpdate", 5, 1, &[(3, 5)], (true, 0));
}
