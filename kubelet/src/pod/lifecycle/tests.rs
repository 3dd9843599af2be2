//! Pods and what becomes of them, moment by moment.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::pod::object::PodObject;
use crate::pod::status;
use crate::testing::{node, pod};

const ZERO: Timestamp = Timestamp::UNIX_EPOCH;

fn view(pod: &Value) -> PodView {
    PodView::new(serde_json::from_value::<PodObject>(pod.clone()).unwrap())
}

fn at(seconds: f64) -> Timestamp {
    ZERO + SignedDuration::from_secs_f64(seconds)
}

/// A pod with these fields laid over the usual one.
fn with(patch: Value) -> Value {
    let mut pod = pod("web");
    json_patch_merge(&mut pod, &patch);
    pod
}

fn json_patch_merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                json_patch_merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

fn annotated(annotations: &[(&str, &str)], policy: &str) -> Value {
    let annotations: Value = annotations.iter().map(|(key, value)| (key.to_string(), json!(value))).collect();
    with(json!({ "metadata": { "annotations": annotations }, "spec": { "restartPolicy": policy } }))
}

/// `Running 1/1 r0`: phase, ready containers of all, restarts; and what the first container waits for.
fn summary(view: &PodView, runtime: &Runtime) -> String {
    let ready = runtime.containers.iter().filter(|container| container.ready).count();
    let restarts: u32 = runtime.containers.iter().map(|container| container.restarts).sum();
    let status = status::render(view, runtime, &node());
    let reason = status["containerStatuses"][0]["state"]["waiting"]["reason"].as_str();
    let is_ready = runtime.condition(ConditionType::Ready).holds;
    format!(
        "{:?} {ready}/{} r{restarts}{}{}",
        runtime.phase(view),
        runtime.containers.len(),
        if is_ready { " ready" } else { "" },
        reason.map(|reason| format!(" {reason}")).unwrap_or_default(),
    )
}

/// Lets a pod live on its own for so many seconds. Returns what it was, from when on; `removed` when it asks for it.
fn live(view: &PodView, runtime: &mut Runtime, options: &Options, seconds: f64) -> Vec<String> {
    let (mut now, mut seen) = (runtime.seen.max(runtime.stopping.unwrap_or(ZERO)), Vec::<(String, Timestamp)>::new());
    for _ in 0..100 {
        let next = advance(view, runtime, options, now);
        let mut summary = summary(view, runtime);
        if next.remove {
            summary += " removed";
        }
        if seen.last().is_none_or(|(last, _)| *last != summary) {
            seen.push((summary, now));
        }
        match next.wake {
            Some(wake) if wake <= at(seconds) => {
                assert!(wake > now, "it would spin");
                now = wake;
            }
            _ => break,
        }
    }
    seen.into_iter().map(|(summary, at)| format!("{}s {summary}", at.as_second())).collect()
}

#[test]
fn pods_live_as_their_options_and_annotations_say() {
    use crate::annotations::{EXIT_AFTER, EXIT_CODE, READY, READY_DELAY, START_DELAY};
    let at_once = Options::default();
    let slow =
        Options { start_delay: Duration::from_secs(2), ready_delay: Duration::from_secs(5), ..Options::default() };
    let exits = |code, after, policy| annotated(&[(EXIT_CODE, code), (EXIT_AFTER, after)], policy);
    let init = json!({ "spec": { "initContainers": [
        { "name": "setup", "image": "busybox" },
        { "name": "proxy", "image": "envoy", "restartPolicy": "Always" },
    ] } });
    let cases: &[(&str, Value, &Options, &[&str])] = &[
        ("at once", with(json!({})), &at_once, &["0s Running 1/1 r0 ready"]),
        (
            "slowly",
            with(json!({})),
            &slow,
            &["0s Pending 0/1 r0 ContainerCreating", "2s Running 0/1 r0", "7s Running 1/1 r0 ready"],
        ),
        (
            "delays of its own",
            annotated(&[(START_DELAY, "1s"), (READY_DELAY, "1s")], "Always"),
            &slow,
            &["0s Pending 0/1 r0 ContainerCreating", "1s Running 0/1 r0", "2s Running 1/1 r0 ready"],
        ),
        ("held unready", annotated(&[(READY, "false")], "Always"), &at_once, &["0s Running 0/1 r0"]),
        (
            "with init containers",
            with(init.clone()),
            &slow,
            &["0s Pending 0/3 r0 PodInitializing", "2s Running 1/3 r0", "7s Running 3/3 r0 ready"],
        ),
        ("completes", exits("0", "30s", "Never"), &at_once, &["0s Running 1/1 r0 ready", "30s Succeeded 0/1 r0"]),
        ("fails at once", exits("3", "0s", "Never"), &at_once, &["0s Failed 0/1 r0"]),
        (
            "completes, on failure",
            exits("0", "1s", "OnFailure"),
            &at_once,
            &["0s Running 1/1 r0 ready", "1s Succeeded 0/1 r0"],
        ),
        (
            "crashes in a loop",
            exits("1", "0s", "OnFailure"),
            &at_once,
            &[
                "0s Running 0/1 r1 CrashLoopBackOff",
                "10s Running 0/1 r2 CrashLoopBackOff",
                "30s Running 0/1 r3 CrashLoopBackOff",
                "70s Running 0/1 r4 CrashLoopBackOff",
                "150s Running 0/1 r5 CrashLoopBackOff",
                "310s Running 0/1 r6 CrashLoopBackOff",
                "610s Running 0/1 r7 CrashLoopBackOff",
                "910s Running 0/1 r8 CrashLoopBackOff",
            ],
        ),
        (
            "is restarted at once after a long run",
            exits("0", "11m", "Always"),
            &slow,
            &[
                "0s Pending 0/1 r0 ContainerCreating",
                "2s Running 0/1 r0",
                "7s Running 1/1 r0 ready",
                "662s Running 0/1 r1",
                "667s Running 1/1 r1 ready",
            ],
        ),
        (
            "deadline",
            with(json!({ "spec": { "activeDeadlineSeconds": 60 } })),
            &at_once,
            &["0s Running 1/1 r0 ready", "60s Failed 0/1 r0"],
        ),
    ];
    for (what, pod, options, expect) in cases {
        let view = view(pod);
        let mut runtime = Runtime::new(&view, ZERO);
        assert_eq!(live(&view, &mut runtime, options, 1000.0), *expect, "{what}");
    }
}

#[test]
fn sidecars_end_with_the_main_containers() {
    let mut pod = annotated(&[(crate::annotations::EXIT_CODE, "0")], "Never");
    pod["spec"]["initContainers"] = json!([{ "name": "proxy", "image": "envoy", "restartPolicy": "Always" }]);
    let view = view(&pod);
    let mut runtime = Runtime::new(&view, ZERO);
    assert_eq!(live(&view, &mut runtime, &Options::default(), 10.0), ["0s Succeeded 0/2 r0"]);
    assert!(runtime.containers.iter().all(|container| matches!(container.state, State::Terminated(_))));
}

#[test]
fn a_deleted_pod_stops_after_the_delay_but_within_its_grace_period() {
    let cases: &[(&str, u64, Option<&str>, &[&str])] = &[
        ("at once", 0, None, &["100s Succeeded 0/1 r0 removed"]),
        ("slowly", 20, None, &["100s Running 1/1 r0 ready", "120s Succeeded 0/1 r0 removed"]),
        ("its own way", 0, Some("7s"), &["100s Running 1/1 r0 ready", "107s Succeeded 0/1 r0 removed"]),
        ("killed", 60, None, &["100s Running 1/1 r0 ready", "130s Succeeded 0/1 r0 removed"]),
    ];
    for (what, delay, annotation, expect) in cases {
        let options = Options { termination_delay: Duration::from_secs(*delay), ..Options::default() };
        let mut pod = pod("web");
        let mut runtime = Runtime::new(&view(&pod), ZERO);
        advance(&view(&pod), &mut runtime, &options, ZERO);
        pod["metadata"]["deletionTimestamp"] = json!(at(130.0));
        if let Some(delay) = annotation {
            pod["metadata"]["annotations"] = json!({ crate::annotations::TERMINATION_DELAY: delay });
        }
        runtime.stopping = Some(at(100.0));
        assert_eq!(live(&view(&pod), &mut runtime, &options, 1000.0), *expect, "{what}");
    }
}

#[test]
fn a_pod_that_has_not_started_or_has_ended_is_removed_at_once() {
    let options = Options {
        start_delay: Duration::from_secs(5),
        termination_delay: Duration::from_secs(5),
        ..Options::default()
    };
    let mut pod = annotated(&[(crate::annotations::EXIT_CODE, "0")], "Never");
    for (elapsed, phase) in [(1.0, Phase::Failed), (6.0, Phase::Succeeded)] {
        pod["metadata"]["deletionTimestamp"] = Value::Null;
        let mut runtime = Runtime::new(&view(&pod), ZERO);
        advance(&view(&pod), &mut runtime, &options, at(elapsed));
        pod["metadata"]["deletionTimestamp"] = json!(at(30.0));
        let next = advance(&view(&pod), &mut runtime, &options, at(elapsed));
        assert!(next.remove && next.wake.is_none());
        assert_eq!(runtime.phase(&view(&pod)), phase);
    }
}

#[test]
fn a_new_image_restarts_its_container_and_nothing_else_does() {
    let mut pod = pod("web");
    pod["spec"]["containers"] = json!([{ "name": "a", "image": "a:1" }, { "name": "b", "image": "b:1" }]);
    let mut runtime = Runtime::new(&view(&pod), ZERO);
    advance(&view(&pod), &mut runtime, &Options::default(), ZERO);
    let before = runtime.clone();
    pod["metadata"]["labels"] = json!({ "x": "y" });
    pod["metadata"]["generation"] = json!(2);
    advance(&view(&pod), &mut runtime, &Options::default(), at(5.0));
    assert_eq!(runtime, before);

    pod["spec"]["containers"][1]["image"] = json!("b:2");
    advance(&view(&pod), &mut runtime, &Options::default(), at(9.0));
    assert_eq!(runtime.containers[0], before.containers[0]);
    let restarted = &runtime.containers[1];
    assert_eq!((restarted.restarts, &*restarted.image), (1, "b:2"));
    assert_eq!(restarted.state, State::Running { since: at(9.0) });
    let status = status::render(&view(&pod), &runtime, &node());
    assert_eq!(status["containerStatuses"][1]["lastState"]["terminated"]["exitCode"], 0);
    assert_ne!(
        status["containerStatuses"][1]["containerID"],
        status["containerStatuses"][1]["lastState"]["terminated"]["containerID"]
    );
}

#[test]
fn readiness_waits_for_the_annotation_and_the_gates() {
    let gate = "example.com/load-balanced";
    let mut pod = annotated(&[(crate::annotations::READY, "false")], "Always");
    pod["spec"]["readinessGates"] = json!([{ "conditionType": gate }]);
    let mut runtime = Runtime::new(&view(&pod), ZERO);
    let mut check = |pod: &Value, now: f64, expect: [&str; 2]| {
        advance(&view(pod), &mut runtime, &Options::default(), at(now));
        let status = status::render(&view(pod), &runtime, &node());
        let ready = status["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == "Ready");
        let ready = ready.unwrap();
        let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
        assert_eq!([text("reason"), text("message")], expect);
        text("lastTransitionTime")
    };
    check(&pod, 1.0, ["ContainersNotReady", "containers with unready status: [app]"]);
    pod["metadata"]["annotations"] = json!({});
    let message = format!("corresponding condition of pod readiness gate \"{gate}\" does not exist.");
    check(&pod, 2.0, ["ReadinessGatesNotReady", &message]);
    pod["status"]["conditions"] = json!([{ "type": gate, "status": "False" }]);
    let message = format!("the status of pod readiness gate \"{gate}\" is not \"True\", but False");
    check(&pod, 3.0, ["ReadinessGatesNotReady", &message]);
    pod["status"]["conditions"] = json!([{ "type": gate, "status": "True" }]);
    assert_eq!(check(&pod, 4.0, ["", ""]), "1970-01-01T00:00:04Z");
    assert_eq!(check(&pod, 9.0, ["", ""]), "1970-01-01T00:00:04Z");
}

#[test]
fn a_status_that_was_written_is_adopted_as_it_is() {
    use crate::annotations::{EXIT_AFTER, EXIT_CODE};
    let crashing = annotated(&[(EXIT_CODE, "1"), (EXIT_AFTER, "3s")], "Always");
    let mut several = pod("web");
    several["spec"]["initContainers"] = json!([{ "name": "setup", "image": "busybox" }]);
    for (pod, now) in [(pod("web"), 0.0), (several, 0.0), (crashing.clone(), 1.0), (crashing, 16.0)] {
        let view = view(&pod);
        let mut runtime = Runtime::new(&view, ZERO);
        live(&view, &mut runtime, &Options::default(), now);
        runtime.address = Some(Ipv4Addr::new(10, 244, 0, 2));
        let status = status::render(&view, &runtime, &node());
        let mut told: Value = pod.clone();
        told["status"] = status.clone();
        let told: PodObject = serde_json::from_value(told).unwrap();
        let adopted = Runtime::adopt(&view, &told.status, at(now + 1.0));
        assert_eq!(status::render(&view, &adopted, &node()), status);
        assert_eq!(adopted.address, runtime.address);
    }
}

#[test]
fn the_first_status_is_what_a_kubelet_writes() {
    let view = view(&pod("web"));
    let mut runtime = Runtime::new(&view, ZERO);
    runtime.sets_scheduled = true;
    advance(&view, &mut runtime, &Options::default(), ZERO);
    runtime.address = Some(Ipv4Addr::new(10, 244, 0, 2));
    let mut status = status::render(&view, &runtime, &node());
    let time = "1970-01-01T00:00:00Z";
    let container = status["containerStatuses"][0].as_object_mut().unwrap();
    let ids = [container.remove("containerID").unwrap(), container.remove("imageID").unwrap()];
    assert!(ids[0].as_str().unwrap().starts_with("steersman://"));
    assert!(ids[1].as_str().unwrap().starts_with("nginx@sha256:"));
    let condition =
        |name| json!({ "type": name, "status": "True", "lastTransitionTime": time, "observedGeneration": 1 });
    let expect = json!({
        "phase": "Running",
        "observedGeneration": 1,
        "conditions": [
            condition("PodReadyToStartContainers"),
            condition("Initialized"),
            condition("ContainersReady"),
            condition("Ready"),
            condition("PodScheduled"),
        ],
        "hostIP": "172.18.0.2",
        "hostIPs": [{ "ip": "172.18.0.2" }],
        "podIP": "10.244.0.2",
        "podIPs": [{ "ip": "10.244.0.2" }],
        "startTime": time,
        "containerStatuses": [{
            "name": "app",
            "image": "nginx:stable",
            "ready": true,
            "started": true,
            "restartCount": 0,
            "state": { "running": { "startedAt": time } },
            "lastState": {},
        }],
    });
    assert_eq!(status, expect);
}

#[test]
fn only_later_patches_clear_old_reasons() {
    let view = view(&pod("web"));
    let mut runtime = Runtime::new(&view, ZERO);
    advance(&view, &mut runtime, &Options::default(), ZERO);
    let status = status::render(&view, &runtime, &node());
    let first = status::patch(&view, status.clone(), false);
    assert_eq!(first["metadata"]["uid"], "uid-web");
    assert!(first["status"]["conditions"][0].get("reason").is_none());
    let later = status::patch(&view, status, true);
    assert_eq!(later["status"]["conditions"][0].get("reason"), Some(&Value::Null));
}

/// What may happen to a pod from outside.
#[derive(Clone, Debug)]
enum Happening {
    Passes(u32),
    Annotated(&'static str, Option<&'static str>),
    Image(&'static str),
    Deleted,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    use crate::annotations::{EXIT_AFTER, EXIT_CODE, READY, READY_DELAY, START_DELAY, TERMINATION_DELAY};
    let annotation = prop::sample::select(vec![
        (READY, Some("false")),
        (READY, None),
        (EXIT_CODE, Some("0")),
        (EXIT_CODE, Some("1")),
        (EXIT_CODE, None),
        (EXIT_AFTER, Some("7s")),
        (EXIT_AFTER, None),
        (START_DELAY, Some("5s")),
        (READY_DELAY, Some("3s")),
        (TERMINATION_DELAY, Some("9s")),
    ]);
    let happening = prop_oneof![
        8 => (0..400u32).prop_map(Happening::Passes),
        5 => annotation.prop_map(|(key, value)| Happening::Annotated(key, value)),
        2 => prop::sample::select(vec!["a", "b"]).prop_map(Happening::Image),
        1 => Just(Happening::Deleted),
    ];
    prop::collection::vec(happening, 1..40)
}

/// Nothing else may happen to a pod between two wakes, whatever is done to it.
fn check_step(view: &PodView, runtime: &mut Runtime, now: Timestamp) -> Next {
    let (before, phase) = (runtime.clone(), runtime.phase(view));
    let next = advance(view, runtime, &Options::default(), now);
    assert!(next.wake.is_none_or(|wake| wake > now), "it would spin");
    if phase.is_terminal() {
        assert_eq!(runtime.phase(view), phase, "an end is an end");
        assert!(next.wake.is_none());
    }
    for (before, after) in before.containers.iter().zip(&runtime.containers) {
        assert!(after.restarts >= before.restarts);
    }
    let ready = runtime.condition(ConditionType::Ready).holds;
    assert!(!ready || runtime.phase(view) == Phase::Running);
    let settled = runtime.clone();
    assert_eq!(advance(view, runtime, &Options::default(), now), next, "a second look changes nothing");
    assert_eq!(*runtime, settled, "a second look changes nothing");
    next
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn whatever_happens_a_pod_settles_and_its_end_is_final(happenings in happenings(), policy in 0..3usize) {
        let mut pod = pod("web");
        pod["spec"]["restartPolicy"] = json!(["Always", "OnFailure", "Never"][policy]);
        pod["spec"]["initContainers"] = json!([{ "name": "proxy", "image": "envoy", "restartPolicy": "Always" }]);
        let mut runtime = Runtime::new(&view(&pod), ZERO);
        let mut now = ZERO;
        for happening in happenings {
            let until = match happening {
                Happening::Passes(seconds) => now + SignedDuration::from_secs(seconds.into()),
                Happening::Annotated(key, value) => {
                    pod["metadata"]["annotations"][key] = json!(value.unwrap_or_default());
                    now
                }
                Happening::Image(image) => {
                    pod["spec"]["containers"][0]["image"] = json!(image);
                    now
                }
                Happening::Deleted => {
                    pod["metadata"]["deletionTimestamp"] = json!(now + SignedDuration::from_secs(30));
                    now
                }
            };
            let view = view(&pod);
            let mut steps = 0;
            loop {
                let next = check_step(&view, &mut runtime, now);
                match next.wake {
                    Some(wake) if wake <= until => now = wake,
                    _ => break,
                }
                steps += 1;
                prop_assert!(steps < 1000, "too busy");
            }
            now = until;
        }
        if pod["metadata"]["deletionTimestamp"].is_string() {
            let end = now + SignedDuration::from_secs(31);
            prop_assert!(check_step(&view(&pod), &mut runtime, end).remove, "a deleted pod goes in time");
        }
    }
}
