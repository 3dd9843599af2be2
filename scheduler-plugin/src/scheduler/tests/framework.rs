//! What plugins can rely on at each extension point: the rows of upstream's `test/integration/scheduler/plugins`,
//! `rescheduling` and `queueing` under their names.

mod scripted;

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::world::merge;
use super::*;
use crate::cluster_event::ActionType;
use crate::configuration::{PluginReference, PluginSet, ProfileConfiguration};
use crate::plugin::QueueSortPlugin;
use crate::profile::Point;
use crate::queue::QueuedPod;
use scripted::{Log, Scripted};

fn named(name: &str) -> PluginReference {
    PluginReference { name: name.to_owned(), weight: 0 }
}

/// A scheduler with these plugins after the default ones, but for those of preemption.
fn with(plugins: impl IntoIterator<Item = Scripted>) -> Options {
    let mut options = Options::default();
    let set = &mut options.configuration.profiles[0].multi_point;
    set.disabled = vec![named("DefaultPreemption"), named("DynamicResources")];
    for plugin in plugins {
        set.enabled.push(named(plugin.name));
        options.plugins.add(plugin);
    }
    options
}

fn cluster(nodes: &[&str]) -> World {
    let world = World::default();
    nodes.iter().for_each(|name| world.set("nodes", node(name, "4")));
    world
}

fn no() -> Status {
    Status::unschedulable("no")
}

fn broken() -> Status {
    Status::error("broken")
}

fn yes() -> Status {
    Status::success()
}

/// The reason of the pod's last `PodScheduled` condition, or where it runs.
fn fate(world: &World) -> String {
    match world.node_of("p") {
        Some(_) => "Scheduled".to_owned(),
        None => world.get("pods", "p")["status"]["conditions"][0]["reason"].as_str().unwrap_or("none").to_owned(),
    }
}

/// What becomes of a pod within a second, on a cluster of two nodes.
async fn one_attempt(options: Options) -> String {
    let world = cluster(&["n1", "n2"]);
    world.set("pods", pod("p", "1"));
    beside(&world, options, async { tokio::time::sleep(Duration::from_millis(500)).await }).await;
    fate(&world)
}

#[tokio::test(start_paused = true)]
async fn pre_filter_plugin() {
    for (answer, expected) in [(yes(), "Scheduled"), (no(), "Unschedulable"), (broken(), "SchedulerError")] {
        let log = Log::default();
        let fate = one_attempt(with([Scripted::new("A", &log).at(Point::PreFilter, [answer])])).await;
        assert_eq!((fate.as_str(), log.count("PreFilter A")), (expected, 1));
    }
    let only = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    for (names, expected) in [(only(&["n2"]), Some("n2")), (only(&["n2", "gone"]), Some("n2")), (only(&["gone"]), None)]
    {
        let world = cluster(&["n1", "n2", "n3"]);
        world.set("pods", pod("p", "1"));
        let mut plugin = Scripted::new("A", &Log::default()).at(Point::PreFilter, []);
        plugin.nodes = Some(names);
        beside(&world, with([plugin]), seconds(1)).await;
        assert_eq!(world.node_of("p").as_deref(), expected, "{:?}", world.writes());
    }
}

#[tokio::test(start_paused = true)]
async fn filter_plugin() {
    // A node is asked about until one says no; an error ends the attempt.
    for (answer, expected) in [(yes(), "Scheduled"), (no(), "Unschedulable"), (broken(), "SchedulerError")] {
        let log = Log::default();
        let fate = one_attempt(with([Scripted::new("A", &log).at(Point::Filter, [answer])])).await;
        assert_eq!(fate, expected);
        assert!(log.count("Filter A") >= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn post_filter_plugin() {
    let unresolvable = || Status::unresolvable("never");
    let cases: [([Status; 2], [usize; 2]); 5] = [
        ([yes(), yes()], [1, 0]),
        ([no(), yes()], [1, 1]),
        ([no(), no()], [1, 1]),
        ([broken(), yes()], [1, 0]),
        ([unresolvable(), yes()], [1, 0]),
    ];
    for ([first, second], calls) in cases {
        let log = Log::default();
        let what = format!("{first} {second}");
        let refuses = Scripted::new("A", &log).at(Point::Filter, [no()]).at(Point::PostFilter, [first]);
        let fate = one_attempt(with([refuses, Scripted::new("B", &log).at(Point::PostFilter, [second])])).await;
        assert_eq!(fate, "Unschedulable", "{what}");
        assert_eq!([log.count("PostFilter A"), log.count("PostFilter B")], calls, "{what}");
    }
    // Nobody is asked if there is a node, or if it could not be found out.
    for (filter, score) in [(yes(), yes()), (broken(), yes()), (yes(), broken())] {
        let log = Log::default();
        let plugin = Scripted::new("A", &log).at(Point::Filter, [filter]).at(Point::Score, [score]);
        one_attempt(with([plugin.at(Point::PostFilter, [])])).await;
        assert_eq!(log.count("PostFilter"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn score_and_normalize_score_plugins() {
    let world = cluster(&["n1", "n2", "n3"]);
    world.set("pods", pod("p", "1"));
    let log = Log::default();
    let mut plugin = Scripted::new("A", &log).at(Point::Score, []).at(Point::PreScore, []);
    plugin.scores = [("n1", 100), ("n2", 0), ("n3", 100)].into();
    let mut options = with([plugin]);
    options.configuration.profiles[0].multi_point.enabled[0].weight = 100;
    beside(&world, options, seconds(1)).await;
    assert_eq!(world.node_of("p").as_deref(), Some("n2"), "after the scores were turned upside down");
    assert_eq!(log.lines(), ["PreScore A", "Score A", "Score A", "Score A", "Normalize A 3"]);
    for point in [Point::Score, Point::PreScore] {
        let mut plugin = Scripted::new("A", &Log::default()).at(Point::Score, []);
        plugin = plugin.at(point, [broken()]);
        assert_eq!(one_attempt(with([plugin])).await, "SchedulerError", "{point:?}");
    }
    let skipping = Scripted::new("A", &log).at(Point::Score, [broken()]).at(Point::PreScore, [Status::skip()]);
    assert_eq!(one_attempt(with([skipping])).await, "Scheduled", "who skips is not asked for scores");
}

#[tokio::test(start_paused = true)]
async fn reserve_plugins_are_undone_in_reverse_order_whatever_fails() {
    let three = |log: &Log, failing: usize| {
        let one = |(number, name)| {
            let answer = if number == failing { no() } else { yes() };
            Scripted::new(name, log).at(Point::Reserve, [answer])
        };
        ["A", "B", "C"].into_iter().enumerate().map(one).collect::<Vec<_>>()
    };
    let undone = ["Unreserve C", "Unreserve B", "Unreserve A"];
    for failing in 0..3 {
        let log = Log::default();
        assert_eq!(one_attempt(with(three(&log, failing))).await, "Unschedulable");
        let reserved = ["Reserve A", "Reserve B", "Reserve C"];
        assert_eq!(log.lines(), [&reserved[..=failing], &undone[..]].concat(), "the one at {failing} fails");
    }
    for (point, answer) in [
        (Point::Permit, no()),
        (Point::Permit, broken()),
        (Point::PreBind, no()),
        (Point::PreBind, broken()),
        (Point::Bind, broken()),
    ] {
        let log = Log::default();
        let mut options = with(three(&log, 3));
        options.plugins.add(Scripted::new("D", &Log::default()).at(point, [answer.clone()]));
        let set = PluginSet { enabled: vec![named("D")], disabled: vec![named("*")] };
        options.configuration.profiles[0].points.insert(point, set);
        let fate = one_attempt(options).await;
        assert_ne!(fate, "Scheduled", "{point:?} {answer}");
        assert_eq!(log.lines()[3..6], undone, "{point:?} {answer}");
    }
    let log = Log::default();
    assert_eq!(one_attempt(with(three(&log, 3))).await, "Scheduled");
    assert_eq!(log.count("Unreserve"), 0);
}

#[tokio::test(start_paused = true)]
async fn permit_plugin_allows_holds_and_rejects() {
    let permit = |log: &Log, name, answer| Scripted::new(name, log).at(Point::Permit, [answer]);
    for (answer, expected) in [(yes(), "Scheduled"), (no(), "Unschedulable"), (broken(), "SchedulerError")] {
        assert_eq!(one_attempt(with([permit(&Log::default(), "A", answer)])).await, expected);
    }
    // Two that hold, each for its time: the first to end rejects.
    let (world, log) = (cluster(&["n1"]), Log::default());
    world.set("pods", pod("p", "1"));
    let mut first = permit(&log, "A", Status::wait());
    first.wait = Duration::from_secs(3);
    let script = async {
        seconds(2).await;
        assert_eq!(fate(&world), "none");
        seconds(2).await;
        assert_eq!(fate(&world), "Unschedulable");
    };
    beside(&world, with([first, permit(&log, "B", Status::wait())]), script).await;
    let message = "rejected due to timeout after waiting 3s at plugin A";
    assert!(world.writes().iter().any(|write| write.contains(message)), "{:?}", world.writes());
    // A rejection cancels whoever else holds the pod: later ones are not asked.
    let log = Log::default();
    assert_eq!(one_attempt(with([permit(&log, "A", no()), permit(&log, "B", Status::wait())])).await, "Unschedulable");
    assert_eq!(log.count("Permit B"), 0);
}

#[tokio::test(start_paused = true)]
async fn permit_plugins_cancelled() {
    // Two hold the pod; one of them rejects it, and the other has nothing more to say.
    let world = cluster(&["n1"]);
    world.set("pods", pod("held", "1"));
    let log = Log::default();
    let mut options = with([Scripted::new("A", &log).at(Point::Permit, [Status::wait()])]);
    let waiting = Arc::new(Mutex::new(None));
    let given = Arc::clone(&waiting);
    options.plugins.register("Pairs", move |_, handle| {
        *given.lock() = Some(handle.waiting_pods.clone());
        Ok(Arc::new(Pairs { waiting: handle.waiting_pods.clone(), allow: true }))
    });
    options.configuration.profiles[0].multi_point.enabled.push(named("Pairs"));
    let script = async {
        seconds(1).await;
        let waiting = waiting.lock().clone().unwrap();
        assert_eq!(waiting.uids().len(), 1);
        waiting.reject("uid-held", "Pairs", "not this one");
        waiting.allow("uid-held", "A");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    beside(&world, options, script).await;
    assert_eq!(world.node_of("held"), None);
    assert!(world.writes().iter().any(|write| write.contains("not this one")), "{:?}", world.writes());
}

/// Holds the first pod until the second comes, and then lets both go or none.
struct Pairs {
    waiting: crate::waiting::WaitingPods,
    allow: bool,
}

impl Plugin for Pairs {
    fn name(&self) -> &'static str {
        "Pairs"
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        Vec::new()
    }

    fn as_permit(&self) -> Option<&dyn PermitPlugin> {
        Some(self)
    }
}

impl PermitPlugin for Pairs {
    fn permit(&self, _: &mut CycleState, _: &Pod, _: &str) -> (Status, Duration) {
        let waiting = self.waiting.uids();
        for uid in &waiting {
            if self.allow {
                self.waiting.allow(uid, "Pairs");
            } else {
                self.waiting.reject(uid, "Pairs", "not these two");
            }
        }
        let status = match (waiting.is_empty(), self.allow) {
            (true, _) => Status::wait(),
            (false, true) => yes(),
            (false, false) => no(),
        };
        (status, Duration::from_secs(10))
    }
}

#[tokio::test(start_paused = true)]
async fn co_scheduling_with_permit_plugin() {
    for allow in [true, false] {
        let world = cluster(&["n1"]);
        world.set("pods", pod("a", "1"));
        let mut options = with([]);
        options
            .plugins
            .register("Pairs", move |_, handle| Ok(Arc::new(Pairs { waiting: handle.waiting_pods.clone(), allow })));
        options.configuration.profiles[0].multi_point.enabled.push(named("Pairs"));
        let script = async {
            seconds(1).await;
            assert_eq!(world.node_of("a"), None);
            world.set("pods", pod("b", "1"));
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        beside(&world, options, script).await;
        for name in ["a", "b"] {
            assert_eq!(world.node_of(name).is_some(), allow, "{name} {:?}", world.writes());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_held_gives_way_in_memory_or_goes() {
    let options = |point: Point| {
        let answer = if point == Point::Permit { Status::wait() } else { yes() };
        let mut held = Scripted::new("A", &Log::default()).at(point, [answer]);
        (held.only, held.lingers) = ("held", Duration::from_secs(60));
        let mut options = with([held]);
        options.configuration.profiles[0].multi_point.disabled.clear();
        options
    };
    for (point, why) in
        [(Point::Permit, "waiting on permit for pod: preempted"), (Point::PreBind, "preempted by DefaultPreemption")]
    {
        let world = World::default();
        world.set("nodes", node("n1", "1"));
        world.set("pods", pod("held", "1"));
        let script = async {
            seconds(1).await;
            let mut high = pod("high", "1");
            high["spec"]["priority"] = json!(10);
            world.set("pods", high);
            seconds(10).await;
        };
        beside(&world, options(point), script).await;
        let writes = world.writes();
        assert_eq!(world.node_of("high").as_deref(), Some("n1"), "{writes:?}");
        assert!(!writes.iter().any(|write| write.starts_with("delete")), "{writes:?}");
        assert!(!world.get("pods", "held").is_null());
        let told = |text: &str| writes.iter().any(|write| write.contains(text));
        assert!(told("Preempted Preempted by pod uid-high on node n1 (in kube-scheduler memory)."), "{writes:?}");
        assert!(told(&format!("FailedScheduling {why}")), "{writes:?}");
    }
    // Deleting the pod that is held lets others in.
    let world = World::default();
    world.set("nodes", node("n1", "1"));
    world.set("pods", pod("held", "1"));
    let script = async {
        seconds(1).await;
        world.set("pods", pod("other", "1"));
        seconds(5).await;
        assert_eq!(world.node_of("other"), None);
        world.delete("pods", "held");
        seconds(5).await;
    };
    beside(&world, options(Point::Permit), script).await;
    assert_eq!(world.node_of("other").as_deref(), Some("n1"), "{:?}", world.writes());
}

#[tokio::test(start_paused = true)]
async fn prebind_plugin_and_requeue_by_bind_failure() {
    // Errors are tried again without an event; rejections wait for one.
    for (answer, later) in [(broken(), "Scheduled"), (no(), "Unschedulable")] {
        for point in [Point::PreBind, Point::Reserve, Point::Permit] {
            let plugin = Scripted::new("A", &Log::default()).at(point, [answer.clone(), yes()]).told(Vec::new());
            let world = cluster(&["n1"]);
            world.set("pods", pod("p", "1"));
            beside(&world, with([plugin]), seconds(20)).await;
            assert_eq!(fate(&world), later, "{point:?} {answer}");
        }
    }
    // What a failed binding gives back helps others that wait for room.
    let world = World::default();
    world.set("nodes", node("n1", "1"));
    world.set("pods", pod("first", "1"));
    let mut plugin = Scripted::new("A", &Log::default()).at(Point::Permit, [Status::wait()]);
    plugin.only = "first";
    plugin.wait = Duration::from_secs(5);
    let script = async {
        seconds(1).await;
        world.set("pods", pod("second", "1"));
        seconds(3).await;
        assert_eq!(world.node_of("second"), None);
        seconds(6).await;
    };
    beside(&world, with([plugin]), script).await;
    assert_eq!(world.node_of("second").as_deref(), Some("n1"), "{:?}", world.writes());
}

#[tokio::test(start_paused = true)]
async fn re_scheduling_after_permit_and_reserve() {
    let added = ClusterEvent::node(ActionType::ADD);
    for point in [Point::Reserve, Point::Permit] {
        for (events, requeued) in [(vec![added], true), (vec![ClusterEvent::pod(ActionType::ADD)], false)] {
            let log = Log::default();
            let world = cluster(&["n1"]);
            world.set("pods", pod("p", "1"));
            let plugin = Scripted::new("A", &log).at(point, [no(), yes()]).told(events);
            let script = async {
                seconds(3).await;
                assert_eq!(fate(&world), "Unschedulable");
                world.set("nodes", node("n2", "4"));
                seconds(12).await;
            };
            beside(&world, with([plugin]), script).await;
            assert_eq!(fate(&world) == "Scheduled", requeued, "{point:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requeue_by_permit_rejection() {
    // The event comes while the pod is held, so that it is remembered, and helps when the pod is rejected.
    let added = ClusterEvent::node(ActionType::ADD);
    for (events, requeued) in [(vec![added], true), (vec![], false)] {
        let world = cluster(&["n1"]);
        world.set("pods", pod("p", "1"));
        let mut plugin = Scripted::new("A", &Log::default()).at(Point::Permit, [Status::wait(), yes()]).told(events);
        plugin.wait = Duration::from_secs(5);
        let script = async {
            seconds(2).await;
            world.set("nodes", node("n2", "4"));
            seconds(20).await;
        };
        beside(&world, with([plugin]), script).await;
        assert_eq!(fate(&world) == "Scheduled", requeued);
    }
}

#[tokio::test(start_paused = true)]
async fn bind_and_post_bind_plugins() {
    let skip = Status::skip;
    let cases: [([Status; 2], bool, &str, &[&str]); 5] = [
        ([skip(), skip()], true, "Scheduled", &["Bind A", "Bind B", "PostBind C"]),
        ([skip(), yes()], true, "none", &["Bind A", "Bind B", "PostBind C"]),
        ([yes(), yes()], true, "none", &["Bind A", "PostBind C"]),
        ([broken(), yes()], true, "SchedulerError", &["Bind A"]),
        ([skip(), skip()], false, "SchedulerError", &["Bind A", "Bind B"]),
    ];
    for ([first, second], default, expected, lines) in cases {
        let log = Log::default();
        let what = format!("{first:?} {second:?} {default}");
        let mut options = with([Scripted::new("C", &log).at(Point::PostBind, [])]);
        options.plugins.add(Scripted::new("A", &log).at(Point::Bind, [first]));
        options.plugins.add(Scripted::new("B", &log).at(Point::Bind, [second]));
        let mut enabled = vec![named("A"), named("B")];
        enabled.extend(default.then(|| named("DefaultBinder")));
        let set = PluginSet { enabled, disabled: vec![named("*")] };
        options.configuration.profiles[0].points.insert(Point::Bind, set);
        assert_eq!(one_attempt(options).await, expected, "{what}");
        assert_eq!(log.lines(), lines, "{what}");
    }
}

/// Later pods first.
struct LastFirst;

impl Plugin for LastFirst {
    fn name(&self) -> &'static str {
        "LastFirst"
    }

    fn as_queue_sort(&self) -> Option<&dyn QueueSortPlugin> {
        Some(self)
    }
}

impl QueueSortPlugin for LastFirst {
    fn less(&self, a: &QueuedPod, b: &QueuedPod) -> bool {
        a.pod.name > b.pod.name
    }
}

#[tokio::test(start_paused = true)]
async fn queue_sort_plugin() {
    for (reversed, expected) in [(false, ["a", "b", "c"]), (true, ["c", "b", "a"])] {
        let world = cluster(&["n1"]);
        ["a", "b", "c"].into_iter().for_each(|name| world.set("pods", pod(name, "1")));
        let mut options = Options::default();
        if reversed {
            options.plugins.add(LastFirst);
            let set = PluginSet { enabled: vec![named("LastFirst")], disabled: vec![named("*")] };
            options.configuration.profiles[0].points.insert(Point::QueueSort, set);
        }
        beside(&world, options, seconds(1)).await;
        let binds: Vec<_> =
            world.writes().into_iter().filter_map(|write| write.strip_prefix("bind ").map(str::to_owned)).collect();
        assert_eq!(binds, expected.map(|name| format!("{name} n1")));
    }
}

#[tokio::test(start_paused = true)]
async fn pre_enqueue_plugin_events_to_register() {
    // Who registers nothing is not asked again; who registers an event is, when it comes.
    let labelled = ClusterEvent::pod(ActionType::UPDATE_POD_LABEL);
    for (events, admitted) in [(vec![], false), (vec![labelled], true)] {
        let log = Log::default();
        let world = cluster(&["n1"]);
        world.set("pods", pod("p", "1"));
        let plugin = Scripted::new("A", &log).at(Point::PreEnqueue, [no(), yes()]).told(events);
        let script = async {
            seconds(3).await;
            assert_eq!(world.writes(), [""; 0], "nothing is written about a pod that is not let in");
            assert_eq!(log.count("PreEnqueue A"), 1);
            let mut changed = pod("p", "1");
            merge(&mut changed, json!({"metadata": {"labels": {"new": "one"}}}));
            world.set("pods", changed);
            seconds(3).await;
        };
        beside(&world, with([plugin]), script).await;
        assert_eq!(fate(&world) == "Scheduled", admitted);
    }
}

/// Rejects all pods but the one that wakes the others, and wakes them when that is let through.
struct Wakes(Mutex<BTreeSet<Arc<str>>>);

impl Plugin for Wakes {
    fn name(&self) -> &'static str {
        "Wakes"
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        Vec::new()
    }

    fn as_permit(&self) -> Option<&dyn PermitPlugin> {
        Some(self)
    }
}

impl PermitPlugin for Wakes {
    fn permit(&self, state: &mut CycleState, pod: &Pod, _: &str) -> (Status, Duration) {
        let mut seen = self.0.lock();
        if &*pod.name == "executor" {
            state.activate(seen.iter().cloned());
            return (yes(), Duration::ZERO);
        }
        let first = seen.insert(pod.uid.clone());
        (if first { no() } else { yes() }, Duration::ZERO)
    }
}

#[tokio::test(start_paused = true)]
async fn activate_pods() {
    let world = cluster(&["n1"]);
    ["a", "b"].into_iter().for_each(|name| world.set("pods", pod(name, "1")));
    let mut options = with([]);
    options.plugins.add(Wakes(Mutex::default()));
    options.configuration.profiles[0].multi_point.enabled.push(named("Wakes"));
    let script = async {
        seconds(20).await;
        assert_eq!((world.node_of("a"), world.node_of("b")), (None, None));
        world.set("pods", pod("executor", "1"));
        seconds(1).await;
    };
    beside(&world, options, script).await;
    for name in ["executor", "a", "b"] {
        assert_eq!(world.node_of(name).as_deref(), Some("n1"), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn pop_from_backoff_q_when_active_q_empty() {
    let world = cluster(&["n1"]);
    world.set("pods", pod("p", "1"));
    let mut options = with([Scripted::new("A", &Log::default()).at(Point::Filter, [no(), yes()])]);
    options.configuration.pod_initial_backoff = Duration::from_secs(1000);
    options.configuration.pod_max_backoff = Duration::from_secs(1000);
    let script = async {
        seconds(2).await;
        assert_eq!(fate(&world), "Unschedulable");
        world.set("nodes", node("n2", "4"));
        seconds(5).await;
    };
    beside(&world, options, script).await;
    assert_eq!(fate(&world), "Scheduled");
}

#[tokio::test(start_paused = true)]
async fn multiple_scheduling_profiles() {
    let world = cluster(&["n1"]);
    let by = |name: &str, scheduler: &str| {
        let mut pod = pod(name, "1");
        pod["spec"]["schedulerName"] = json!(scheduler);
        pod
    };
    for (name, scheduler) in [("a", "default-scheduler"), ("b", "custom-scheduler"), ("c", "nobody")] {
        world.set("pods", by(name, scheduler));
    }
    let mut options = Options::default();
    let custom = ProfileConfiguration { scheduler_name: "custom-scheduler".to_owned(), ..Default::default() };
    options.configuration.profiles.push(custom);
    beside(&world, options, seconds(2)).await;
    assert_eq!(["a", "b", "c"].map(|name| world.node_of(name).is_some()), [true, true, false]);
    let told = world.events();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let by = told.iter().map(|it| (text(&it["regarding"]["name"]), text(&it["reportingController"])));
    let by: BTreeSet<_> = by.collect();
    let by: Vec<_> = by.iter().map(|(pod, who)| (pod.as_str(), who.as_str())).collect();
    assert_eq!(by, [("a", "default-scheduler"), ("b", "custom-scheduler")]);
}

#[tokio::test(start_paused = true)]
async fn nominated_node_name_is_set_before_pre_bind_and_wait_on_permit() {
    let pre_bind = |acts: bool| {
        let mut plugin = Scripted::new("A", &Log::default()).at(Point::PreBind, []);
        plugin.acts = acts;
        plugin
    };
    let permit = |answer: Status| {
        let mut plugin = Scripted::new("B", &Log::default()).at(Point::Permit, [answer]);
        plugin.wait = Duration::from_secs(1);
        plugin
    };
    for (name, plugins, told) in [
        ("PreBind acts", vec![pre_bind(true)], true),
        ("PreBind does not", vec![pre_bind(false)], false),
        ("the pod waits", vec![permit(Status::wait())], true),
        ("the pod is permitted", vec![permit(yes())], false),
    ] {
        let world = cluster(&["n1"]);
        world.set("pods", pod("p", "1"));
        beside(&world, with(plugins), async { tokio::time::sleep(Duration::from_millis(500)).await }).await;
        let nominated = r#"status p {"nominatedNodeName":"n1"}"#.to_owned();
        assert_eq!(world.writes().first() == Some(&nominated), told, "{name} {:?}", world.writes());
    }
}
