use serde_json::{Value, json};

use super::*;
use crate::printers::Printer;

const NOW: &str = "2026-01-01T00:10:00Z";

fn check(object: Value, expect: [&str; 3]) {
    let cells = POD.cells(&object, NOW.parse().unwrap());
    assert_eq!(cells.len(), POD.columns().len());
    assert_eq!(cells[1..4], expect.map(Value::from), "{object}");
}

fn pod(spec: Value, status: Value) -> Value {
    json!({"metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec, "status": status})
}

fn containers(phase: &str, count: usize, statuses: Value) -> Value {
    pod(json!({"containers": vec![json!({}); count]}), json!({"phase": phase, "containerStatuses": statuses}))
}

fn running(restarts: i64) -> Value {
    json!({"ready": true, "restartCount": restarts, "state": {"running": {}}})
}

#[test]
fn containers_decide_over_the_phase() {
    check(containers("Pending", 1, json!([])), ["0/1", "Pending", "0"]);
    check(containers("Running", 2, json!([running(3), {"restartCount": 3}])), ["1/2", "Running", "6"]);
    let waiting = |reason: &str| json!({"state": {"waiting": {"reason": reason}}});
    check(containers("Running", 2, json!([running(0), waiting("ImagePullBackOff")])), ["1/2", "ImagePullBackOff", "0"]);
    let terminated = |code: i64, reason: &str| json!({"state": {"terminated": {"exitCode": code, "reason": reason}}});
    check(containers("Running", 2, json!([waiting("A"), terminated(0, "B")])), ["0/2", "A", "0"]);
    check(containers("Running", 2, json!([terminated(0, "Completed"), running(0)])), ["1/2", "NotReady", "0"]);
    check(containers("Running", 2, json!([terminated(0, "Completed"), terminated(1, "Error")])), ["0/2", "Error", "0"]);
    check(
        containers("Failed", 1, json!([{"state": {"terminated": {"exitCode": 137, "signal": 9}}}])),
        ["0/1", "Signal:9", "0"],
    );
    check(containers("Failed", 1, json!([terminated(3, "")])), ["0/1", "ExitCode:3", "0"]);
    let mut ready = containers("Running", 2, json!([terminated(0, "Completed"), running(0)]));
    ready["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    check(ready, ["1/2", "Running", "0"]);
}

#[test]
fn init_containers_show_how_far_they_are() {
    let ended = |seconds_ago: u32, restarts: i64, state: Value| {
        let minutes = 10 - seconds_ago.div_ceil(60);
        let at = format!("2026-01-01T00:{minutes:02}:{:02}Z", (60 - seconds_ago % 60) % 60);
        json!({"restartCount": restarts, "state": state, "lastState": {"terminated": {"finishedAt": at}}})
    };
    let spec = |init: usize| json!({"containers": [{}], "initContainers": vec![json!({}); init]});
    let status = |init: Value, main: Value| json!({"phase": "Pending", "initContainerStatuses": init, "containerStatuses": main});
    let running = json!({"running": {}});
    let done = json!({"terminated": {"exitCode": 0}});
    check(pod(spec(1), status(json!([ended(10, 3, running.clone())]), json!([]))), ["0/1", "Init:0/1", "3 (10s ago)"]);
    check(
        pod(spec(2), status(json!([ended(120, 2, done.clone()), ended(10, 3, running.clone())]), json!([]))),
        ["0/1", "Init:1/2", "5 (10s ago)"],
    );
    let mut main = ended(20, 4, running);
    main["ready"] = json!(true);
    let mut object = pod(spec(1), status(json!([ended(10, 3, done)]), json!([main])));
    object["status"]["phase"] = json!("Running");
    check(object, ["1/1", "Running", "4 (20s ago)"]);
    for (state, expect) in [
        (json!({"terminated": {"exitCode": 2}}), "Init:ExitCode:2"),
        (json!({"terminated": {"exitCode": 2, "reason": "Error"}}), "Init:Error"),
        (json!({"waiting": {"reason": "CrashLoopBackOff"}}), "Init:CrashLoopBackOff"),
        (json!({"waiting": {"reason": "PodInitializing"}}), "Init:0/1"),
    ] {
        check(pod(spec(1), status(json!([{"state": state}]), json!([]))), ["0/1", expect, "0"]);
    }
}

#[test]
fn sidecars_count_as_containers() {
    let spec = json!({"containers": [{}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]});
    let side = json!({"name": "s", "started": true, "ready": true, "restartCount": 2, "state": {"running": {}}});
    let status = json!({"phase": "Running", "initContainerStatuses": [side], "containerStatuses": [running(1)]});
    check(pod(spec, status), ["2/2", "Running", "3"]);
}

#[test]
fn deletion_shows_unless_the_pod_has_ended() {
    for (phase, reason, expect) in [
        ("Running", "", "Terminating"),
        ("Pending", "", "Terminating"),
        ("Succeeded", "Completed", "Completed"),
        ("Running", "NodeLost", "Unknown"),
        ("Failed", "Evicted", "Evicted"),
    ] {
        let mut object = pod(json!({"containers": [{}]}), json!({"phase": phase, "reason": reason}));
        object["metadata"]["deletionTimestamp"] = json!(NOW);
        check(object, ["0/1", expect, "0"]);
    }
    let gated = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]});
    check(pod(json!({"containers": [{}]}), gated), ["0/1", "SchedulingGated", "0"]);
}

#[test]
fn wide_cells_and_row_conditions() {
    let now = NOW.parse().unwrap();
    let bare = POD.cells(&pod(json!({}), json!({})), now);
    assert_eq!(bare[4..], ["10m", NONE, NONE, NONE, NONE].map(Value::from));
    let gates = json!([{"conditionType": "a"}, {"conditionType": "b"}]);
    let object = pod(
        json!({"nodeName": "n", "readinessGates": gates}),
        json!({"podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.1"}], "nominatedNodeName": "m",
            "conditions": [{"type": "b", "status": "True"}], "phase": "Succeeded"}),
    );
    assert_eq!(POD.cells(&object, now)[5..], ["10.0.0.1", "n", "m", "1/2"].map(Value::from));
    assert_eq!(POD.row_conditions(&object)[0]["reason"], "Succeeded");
    assert!(POD.row_conditions(&bare[0]).is_empty());
}

#[test]
fn a_sidecar_that_started_holds_nothing_up_even_while_it_restarts() {
    let spec = json!({"containers": [{}], "initContainers": [{"name": "side", "restartPolicy": "Always"}]});
    let side = |started: bool| {
        json!([{"name": "side", "started": started, "ready": false,
            "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}])
    };
    let status = |started| json!({"phase": "Running", "initContainerStatuses": side(started), "containerStatuses": [running(0)]});
    check(pod(spec.clone(), status(true)), ["1/2", "Running", "0"]);
    check(pod(spec, status(false)), ["0/2", "Init:Error", "0"]);
}
