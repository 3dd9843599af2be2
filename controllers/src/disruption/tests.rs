use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::testing::NOW;

fn budget(spec: Value, status: Value) -> Budget {
    let metadata = json!({"name": "b", "namespace": "ns", "generation": 3, "resourceVersion": "7"});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
}

fn pod(name: &str, ready: bool) -> Pod {
    let status = if ready { "True" } else { "False" };
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"app": "web"}},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]},
    }))
    .unwrap()
}

fn moment(seconds: i64) -> Timestamp {
    NOW + SignedDuration::from_secs(seconds)
}

#[test]
fn what_a_budget_wants_of_nine_pods_whose_owners_want_ten() {
    for (spec, expect) in [
        (json!({"minAvailable": 4}), Some((9, 4))),
        (json!({"minAvailable": 0}), Some((9, 0))),
        (json!({"minAvailable": 40}), Some((9, 40))),
        (json!({"minAvailable": "45%"}), Some((10, 5))),
        (json!({"minAvailable": "0%"}), Some((10, 0))),
        (json!({"minAvailable": "100%"}), Some((10, 10))),
        (json!({"maxUnavailable": 3}), Some((10, 7))),
        (json!({"maxUnavailable": 30}), Some((10, 0))),
        (json!({"maxUnavailable": "25%"}), Some((10, 7))),
        (json!({"maxUnavailable": "25%", "minAvailable": 1}), Some((10, 7))),
        (json!({}), Some((0, 0))),
        (json!({"minAvailable": "many"}), None),
    ] {
        let got = wanted(&budget(spec.clone(), json!({})).spec, 9, 10).ok();
        assert_eq!(got.map(|it| (it.expected, it.healthy)), expect, "{spec}");
    }
}

#[test]
fn as_many_pods_may_go_as_are_healthy_beyond_need() {
    for (ready, unready, expected, desired, allowed) in
        [(3, 0, 3, 2, 1), (2, 1, 3, 2, 0), (1, 2, 3, 2, 0), (3, 0, 3, 0, 3), (0, 0, 0, 0, 0), (2, 0, 0, 0, 0)]
    {
        let pods = (0..ready + unready).map(|n| Arc::new(pod(&format!("p{n}"), n < ready))).collect::<Vec<_>>();
        let want = plan::Wanted { expected, healthy: desired };
        let status = plan(&budget(json!({}), json!(null)), &pods, want, NOW).status.unwrap();
        assert_eq!((status.current_healthy, status.disruptions_allowed), (ready, allowed), "{ready} {unready}");
        assert_eq!((status.expected_pods, status.desired_healthy, status.observed_generation), (expected, desired, 3));
        let verdict = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        let condition = &status.conditions[0];
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), verdict);
        let known = Budget { status, ..budget(json!({}), json!(null)) };
        assert_eq!(plan(&known, &pods, want, moment(60)), plan::Plan::default(), "it is that already");
    }
}

#[test]
fn evicted_pods_do_not_count_until_they_had_two_minutes_to_go() {
    let status = json!({"disruptedPods": {
        "going": format_time(moment(-30)), "stays": format_time(moment(-120)),
        "gone": format_time(moment(-10)), "deleting": format_time(moment(-1)),
    }});
    let mut deleting = pod("deleting", true);
    deleting.metadata.deletion_timestamp = Some(NOW);
    let pods = [pod("going", true), pod("stays", true), pod("other", true), deleting].map(Arc::new);
    let known = budget(json!({}), status);
    let got = plan(&known, &pods, plan::Wanted { expected: 4, healthy: 1 }, NOW);
    let status = got.status.unwrap();
    assert_eq!((status.current_healthy, status.disruptions_allowed), (2, 1));
    assert_eq!(status.disrupted_pods.keys().collect::<Vec<_>>(), ["going"]);
    assert_eq!(got.recheck, Some(moment(90)));
    assert_eq!(got.not_deleted.iter().map(|pod| pod.metadata.name.as_str()).collect::<Vec<_>>(), ["stays"]);
}

#[test]
fn a_budget_that_cannot_be_counted_allows_nothing() {
    let status = json!({"disruptionsAllowed": 2, "currentHealthy": 4, "observedGeneration": 2, "conditions": [
        {"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods",
            "lastTransitionTime": "2026-01-01T00:00:00Z"},
    ]});
    let failed = fail_safe(&budget(json!({}), status), "no", NOW).unwrap();
    assert_eq!((failed.disruptions_allowed, failed.current_healthy, failed.observed_generation), (0, 4, 2));
    assert_eq!(
        json!(failed.conditions),
        json!([{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no",
            "observedGeneration": 2, "lastTransitionTime": format_time(NOW)}])
    );
    let known = Budget { status: failed, ..budget(json!({}), json!({})) };
    assert_eq!(fail_safe(&known, "no", moment(5)), None);
}

#[test]
fn a_mark_is_stale_after_two_minutes_unless_the_kubelet_made_it_or_the_pod_ends() {
    let marked = |status: &str, reason: &str, phase: &str, deleted: Value| -> Pod {
        let condition = json!({"type": "DisruptionTarget", "status": status, "reason": reason,
            "lastTransitionTime": format_time(moment(-50))});
        let metadata = json!({"name": "a", "deletionTimestamp": deleted});
        serde_json::from_value(json!({"metadata": metadata, "status": {"phase": phase, "conditions": [condition]}}))
            .unwrap()
    };
    let evicted = "EvictionByEvictionAPI";
    for (pod, expect) in [
        (marked("True", evicted, "Running", json!(null)), Some(70)),
        (marked("False", evicted, "Running", json!(null)), None),
        (marked("True", "TerminationByKubelet", "Running", json!(null)), None),
        (marked("True", evicted, "Failed", json!(null)), None),
        (marked("True", evicted, "Running", json!(format_time(NOW))), None),
    ] {
        assert_eq!(stale_after(&pod, NOW).map(|left| left.as_secs()), expect, "{pod:?}");
    }
    let late = marked("True", evicted, "Running", json!(null));
    assert_eq!(stale_after(&late, moment(500)), Some(SignedDuration::ZERO));
}

#[test]
fn a_budget_without_a_selector_covers_nothing_and_with_an_empty_one_everything() {
    let web = pod("a", true);
    for (spec, expect) in [
        (json!({}), false),
        (json!({"selector": {}}), true),
        (json!({"selector": {"matchLabels": {"app": "web"}}}), true),
        (json!({"selector": {"matchLabels": {"app": "db"}}}), false),
    ] {
        assert_eq!(budget(spec.clone(), json!({})).covers(&web.metadata), expect, "{spec}");
    }
}

#[test]
fn selectors_are_shown_as_upstream_prints_them() {
    let selector = serde_json::from_value(json!({
        "matchLabels": {"a": "1", "b": "2"},
        "matchExpressions": [{"key": "c", "operator": "In", "values": ["x", "y"]}],
    }))
    .unwrap();
    assert_eq!(
        selector_text(&selector),
        "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement{\
         LabelSelectorRequirement{Key:c,Operator:In,Values:[x y],},},}"
    );
}
