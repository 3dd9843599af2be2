//! The whole loop against a scripted server, under virtual time.

mod catalogue;
mod devices;
mod enqueue;
mod framework;
mod gangs;
mod quotas;
mod world;

use serde_json::json;
use steersman_framework::clock::TokioClock;
use steersman_framework::runtime::Shutdown;
use steersman_machinery::random::Random;

use steersman_framework::metrics::Metrics;

use super::*;
use crate::cluster_event::ClusterEvent;
use crate::plugin::{Binding, PermitPlugin, Plugin, PreBindPlugin, ReservePlugin};
use crate::{Status, cycle_state::CycleState};
use world::{World, node, pod};

/// Runs a scheduler beside a script; stops it when the script ends.
async fn beside(world: &World, options: Options, script: impl Future<Output = ()>) {
    counted(world, options, Metrics::default(), script).await;
}

/// The same with metrics.
async fn counted(world: &World, options: Options, metrics: Metrics, script: impl Future<Output = ()>) {
    let (trigger, shutdown) = Shutdown::new();
    let clock = Arc::new(TokioClock::starting_at("2026-05-01T10:00:00Z".parse().unwrap()));
    let context = Context { metrics, ..Context::new(world.client(), clock, Random::seeded(7), shutdown) };
    let stop = async {
        script.await;
        trigger.trigger();
    };
    let (result, ()) = futures::join!(run(context, options), stop);
    result.unwrap();
}

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_bound_and_told_of() {
    let world = World::default();
    world.set("nodes", node("n1", "4"));
    world.set("pods", pod("a", "1"));
    beside(&world, Options::default(), seconds(1)).await;
    assert_eq!(world.node_of("a").as_deref(), Some("n1"));
    assert_eq!(world.writes(), ["bind a n1", "Scheduled Successfully assigned default/a to n1"]);
}

#[tokio::test(start_paused = true)]
async fn pods_of_other_schedulers_only_take_room() {
    let world = World::default();
    world.set("nodes", node("n1", "1"));
    let mut other = pod("other", "1");
    other["spec"]["schedulerName"] = json!("somebody");
    world.set("pods", other);
    beside(&world, Options::default(), seconds(1)).await;
    assert_eq!(world.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_room_waits_until_there_is_some() {
    let world = World::default();
    world.set("nodes", node("n1", "1"));
    let mut first = pod("first", "1");
    first["spec"]["nodeName"] = json!("n1");
    world.set("pods", first);
    world.set("pods", pod("second", "1"));
    let script = async {
        seconds(20).await;
        assert_eq!(world.node_of("second"), None);
        world.delete("pods", "first");
        seconds(1).await;
        assert_eq!(world.node_of("second").as_deref(), Some("n1"));
    };
    beside(&world, Options::default(), script).await;
    let message = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are \
                   available: 1 No preemption victims found for incoming pod.";
    assert_eq!(
        world.writes(),
        [
            format!("FailedScheduling {message}"),
            format!("status second PodScheduled=False Unschedulable: {message}"),
            "bind second n1".to_owned(),
            "Scheduled Successfully assigned default/second to n1".to_owned(),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_before_all_nodes_gets_the_first() {
    let world = World::default();
    world.set("pods", pod("a", "1"));
    let script = async {
        seconds(5).await;
        world.set("nodes", node("n1", "4"));
        seconds(15).await;
    };
    beside(&world, Options::default(), script).await;
    assert_eq!(world.node_of("a").as_deref(), Some("n1"));
    assert!(world.writes()[0].ends_with("no nodes available to schedule pods"), "{:?}", world.writes());
}

#[tokio::test(start_paused = true)]
async fn a_refused_binding_is_tried_again_after_a_pause_and_gives_the_room_back() {
    let world = World::default();
    world.set("nodes", node("n1", "1"));
    world.set("pods", pod("a", "1"));
    world.refuse_bindings(2);
    beside(&world, Options::default(), seconds(10)).await;
    let writes = world.writes();
    let binds = writes.iter().filter(|write| write.starts_with("bind")).count();
    assert_eq!(binds, 3, "{writes:?}");
    let refused = "status a PodScheduled=False SchedulerError: running Bind plugin \"DefaultBinder\": not now";
    assert!(writes.contains(&refused.to_owned()), "{writes:?}");
    assert_eq!(world.node_of("a").as_deref(), Some("n1"));
}

#[tokio::test(start_paused = true)]
async fn decisions_do_not_wait_for_bindings_and_count_what_is_under_way() {
    let world = World::default();
    world.set_latency(Duration::from_secs(1));
    for name in ["n1", "n2"] {
        world.set("nodes", node(name, "10"));
    }
    for number in 0..20 {
        world.set("pods", pod(&format!("p{number:02}"), "1"));
    }
    let script = async {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let on = |node: &str| (0..20).filter(|n| world.node_of(&format!("p{n:02}")).as_deref() == Some(node)).count();
        assert_eq!((on("n1"), on("n2")), (10, 10));
    };
    beside(&world, Options::default(), script).await;
}

#[tokio::test(start_paused = true)]
async fn one_seed_gives_one_trace() {
    let trace = async || {
        let world = World::default();
        for number in 0..5 {
            world.set("nodes", node(&format!("n{number}"), "4"));
        }
        for number in 0..30 {
            world.set("pods", pod(&format!("p{number}"), "900m"));
        }
        beside(&world, Options::default(), seconds(60)).await;
        world.writes()
    };
    let first = trace().await;
    assert_eq!(first, trace().await);
    assert_eq!(first.iter().filter(|write| write.starts_with("bind")).count(), 20);
}

#[tokio::test(start_paused = true)]
async fn gated_pods_are_left_alone_until_the_last_gate_is_gone() {
    let world = World::default();
    world.set("nodes", node("n1", "4"));
    let mut gated = pod("a", "1");
    gated["spec"]["schedulingGates"] = json!([{"name": "x"}]);
    world.set("pods", gated);
    let script = async {
        seconds(400).await;
        assert_eq!(world.writes(), [""; 0]);
        world.set("pods", pod("a", "1"));
        seconds(1).await;
    };
    beside(&world, Options::default(), script).await;
    assert_eq!(world.node_of("a").as_deref(), Some("n1"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_high_priority_gets_the_place_of_a_lower_one() {
    let world = World::default();
    world.set_latency(Duration::from_millis(100));
    world.set("nodes", node("n1", "2"));
    for (name, priority) in [("low", 1), ("middle", 5)] {
        let mut running = pod(name, "1");
        running["spec"]["nodeName"] = json!("n1");
        running["spec"]["priority"] = json!(priority);
        world.set("pods", running);
    }
    let mut high = pod("high", "1");
    high["spec"]["priority"] = json!(9);
    world.set("pods", high);
    beside(&world, Options::default(), seconds(30)).await;
    assert_eq!(world.node_of("high").as_deref(), Some("n1"));
    assert_eq!(world.node_of("middle").as_deref(), Some("n1"));
    let message = "0/1 nodes are available: 1 Insufficient cpu.";
    assert_eq!(
        world.writes(),
        [
            "status low DisruptionTarget=True PreemptionByScheduler: default-scheduler: preempting to accommodate a \
             higher priority pod"
                .to_owned(),
            format!("FailedScheduling {message}"),
            format!("status high PodScheduled=False Unschedulable: {message} on n1"),
            "delete low uid-low".to_owned(),
            "Preempted Preempted by pod uid-high on node n1".to_owned(),
            "bind high n1".to_owned(),
            "Scheduled Successfully assigned default/high to n1".to_owned(),
        ]
    );
}

/// Keeps count of reservations, and holds every pod for a while at Permit.
struct Patient(Arc<parking_lot::Mutex<Vec<String>>>, Duration);

impl Plugin for Patient {
    fn name(&self) -> &'static str {
        "Patient"
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        Vec::new()
    }

    fn as_reserve(&self) -> Option<&dyn ReservePlugin> {
        Some(self)
    }

    fn as_permit(&self) -> Option<&dyn PermitPlugin> {
        Some(self)
    }
}

impl ReservePlugin for Patient {
    fn reserve(&self, _: &mut CycleState, pod: &Pod, node_name: &str) -> Status {
        self.0.lock().push(format!("reserve {} {node_name}", pod.name));
        Status::success()
    }

    fn unreserve(&self, _: &mut CycleState, pod: &Pod, node_name: &str) {
        self.0.lock().push(format!("unreserve {} {node_name}", pod.name));
    }
}

impl PermitPlugin for Patient {
    fn permit(&self, _: &mut CycleState, _: &Pod, _: &str) -> (Status, Duration) {
        (Status::wait(), self.1)
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_nobody_permits_gives_everything_back() {
    let world = World::default();
    world.set("nodes", node("n1", "4"));
    world.set("pods", pod("a", "1"));
    let log = Arc::default();
    let mut options = Options::default();
    options.plugins.add(Patient(Arc::clone(&log), Duration::from_secs(30)));
    options.configuration.profiles[0].multi_point.enabled =
        vec![crate::configuration::PluginReference { name: "Patient".to_owned(), weight: 0 }];
    beside(&world, options, seconds(31)).await;
    assert_eq!(*log.lock(), ["reserve a n1", "unreserve a n1"]);
    let message = "0/1 nodes are available: 1 rejected due to timeout after waiting 30s at plugin Patient.";
    let nominated = r#"status a {"nominatedNodeName":"n1"}"#;
    assert_eq!(world.writes()[..2], [nominated.to_owned(), format!("FailedScheduling {message}")]);
    assert_eq!(world.node_of("a"), None);
}

/// Panics before each binding, with a count of what was reserved meanwhile.
struct Clumsy(Arc<parking_lot::Mutex<Vec<&'static str>>>);

impl Plugin for Clumsy {
    fn name(&self) -> &'static str {
        "Clumsy"
    }

    fn as_reserve(&self) -> Option<&dyn ReservePlugin> {
        Some(self)
    }

    fn as_pre_bind(&self) -> Option<&dyn PreBindPlugin> {
        Some(self)
    }
}

impl ReservePlugin for Clumsy {
    fn reserve(&self, _: &mut CycleState, _: &Pod, _: &str) -> Status {
        self.0.lock().push("reserve");
        Status::success()
    }

    fn unreserve(&self, _: &mut CycleState, _: &Pod, _: &str) {
        self.0.lock().push("unreserve");
    }
}

impl PreBindPlugin for Clumsy {
    fn pre_bind<'a>(&'a self, _: &'a Binding) -> futures::future::BoxFuture<'a, Status> {
        Box::pin(async { panic!("oh dear") })
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_panics_gives_back_what_was_reserved_and_its_pod_waits_longer_each_time() {
    let world = World::default();
    world.set("nodes", node("n1", "1"));
    world.set("pods", pod("a", "1"));
    let log = Arc::default();
    let mut options = Options::default();
    options.plugins.add(Clumsy(Arc::clone(&log)));
    options.configuration.profiles[0].multi_point.enabled =
        vec![crate::configuration::PluginReference { name: "Clumsy".to_owned(), weight: 0 }];
    beside(&world, options, seconds(10)).await;
    // After 0, 1, 3 and 7 seconds, or a little less: backoffs end together.
    assert_eq!(*log.lock(), ["reserve", "unreserve"].repeat(4));
    assert!(
        world.writes()[2].ends_with("PodScheduled=False SchedulerError: a plugin panicked"),
        "{:?}",
        world.writes()
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_counted_can_be_scraped() {
    let world = World::default();
    world.set("nodes", node("n1", "1"));
    let mut first = pod("first", "1");
    first["spec"]["nodeName"] = json!("n1");
    world.set("pods", first);
    world.set("pods", pod("second", "1"));
    let metrics = Metrics::recording();
    let check = |lines: &[&str]| {
        let text = metrics.render();
        for line in lines {
            assert!(text.lines().any(|have| have == format!("scheduler_{line}")), "{line} in\n{text}");
        }
    };
    let script = async {
        seconds(20).await;
        check(&[
            r#"schedule_attempts_total{profile="default-scheduler",result="unschedulable"} 1"#,
            r#"pending_pods{queue="unschedulable"} 1"#,
            r#"unschedulable_pods{plugin="NodeResourcesFit",profile="default-scheduler"} 1"#,
            r#"pending_pods{queue="gated"} 0"#,
            r#"cache_size{type="pods"} 1"#,
            "preemption_attempts_total 1",
            r#"queue_incoming_pods_total{event="UnschedulablePodAdd",queue="active"} 1"#,
            r#"queue_incoming_pods_total{event="ScheduleAttemptFailure",queue="unschedulable"} 1"#,
        ]);
        world.delete("pods", "first");
        seconds(1).await;
    };
    counted(&world, Options::default(), metrics.clone(), script).await;
    let point = |point: &str, status: &str, count: u32| {
        format!(
            "framework_extension_point_duration_seconds_count{{extension_point=\"{point}\",\
             profile=\"default-scheduler\",status=\"{status}\"}} {count}"
        )
    };
    check(&[
        r#"schedule_attempts_total{profile="default-scheduler",result="scheduled"} 1"#,
        r#"scheduling_attempt_duration_seconds_count{profile="default-scheduler",result="scheduled"} 1"#,
        r#"scheduling_attempt_duration_seconds_bucket{profile="default-scheduler",result="scheduled",le="16.384"} 1"#,
        "scheduling_algorithm_duration_seconds_count 2",
        r#"pod_scheduling_attempts_bucket{le="1"} 0"#,
        r#"pod_scheduling_attempts_bucket{le="2"} 1"#,
        r#"pod_scheduling_sli_duration_seconds_bucket{attempts="2",le="10.24"} 0"#,
        r#"pod_scheduling_sli_duration_seconds_bucket{attempts="2",le="20.48"} 1"#,
        r#"queue_incoming_pods_total{event="AssignedPodDelete",queue="active"} 1"#,
        r#"pending_pods{queue="unschedulable"} 0"#,
        r#"unschedulable_pods{plugin="NodeResourcesFit",profile="default-scheduler"} 0"#,
        // What was found out for the pod before is not found out again.
        r#"plugin_evaluation_total{extension_point="Filter",plugin="NodeResourcesFit",profile="default-scheduler"} 2"#,
        r#"plugin_execution_duration_seconds_count{extension_point="Filter",plugin="NodeResourcesFit",status="Unschedulable"} 1"#,
        r#"queueing_hint_execution_duration_seconds_count{event="AssignedPodDelete",hint="Queue",plugin="NodeResourcesFit"} 1"#,
        r#"event_handling_duration_seconds_count{event="NodeAdd"} 1"#,
        r#"event_handling_duration_seconds_count{event="UnschedulablePodAdd"} 1"#,
        r#"event_handling_duration_seconds_count{event="AssignedPodDelete"} 1"#,
        r#"inflight_events{event="PodPopped"} 0"#,
        r#"goroutines{operation="binding"} 0"#,
        r#"batch_attempts_total{profile="default-scheduler",result="hint_used"} 1"#,
        r#"batch_attempts_total{profile="default-scheduler",result="no_hint"} 1"#,
        r#"get_node_hint_duration_seconds_count{hinted="hint",profile="default-scheduler"} 1"#,
        &point("PreFilter", "Success", 1),
        &point("Filter", "Success", 1),
        &point("PostFilter", "Unschedulable", 1),
        &point("Reserve", "Success", 1),
        &point("Bind", "Success", 1),
    ]);
}

#[tokio::test(start_paused = true)]
async fn decisions_are_explained_to_who_asks_and_on_the_pod_before_it_is_bound() {
    let world = World::default();
    world.set("nodes", node("n1", "4"));
    world.set("pods", pod("a", "1"));
    world.set("pods", pod("b", "9"));
    let explanations = Explanations::new(10).annotating();
    let options = Options { explanations: Some(explanations.clone()), ..Options::default() };
    beside(&world, options, seconds(1)).await;
    let told = explanations.get("default/b").unwrap();
    assert!(told.message.starts_with("0/1 nodes are available: 1 Insufficient cpu."), "{told}");
    assert_eq!(explanations.get("default/a").unwrap().node.as_deref(), Some("n1"));
    let mut of_a = world.writes();
    of_a.retain(|write| ["annotate a", "bind a n1"].contains(&write.as_str()));
    assert_eq!(of_a, ["annotate a", "bind a n1"]);
    let annotation = world.get("pods", "a")["metadata"]["annotations"][crate::explanations::ANNOTATION].clone();
    assert!(annotation.as_str().unwrap().contains(r#""node":"n1""#), "{annotation}");
}
