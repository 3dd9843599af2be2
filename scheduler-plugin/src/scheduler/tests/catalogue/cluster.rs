//! What the scheduler takes in of the cluster and of its queue: upstream's `test/integration/scheduler` itself, and its
//! `bind`, `eventhandler`, `batch` and `queueing`.

use steersman_framework::api::Resource;

use super::*;
use crate::cluster_event::{ActionType, EventResource};
use crate::configuration::{PluginReference, ProfileConfiguration};
use crate::plugin::{FilterPlugin, PreEnqueuePlugin};
use crate::snapshot::NodeRef;
use crate::status::Status;
use crate::watched::Watched;

fn enabled(name: &str, plugins: crate::registry::Registry) -> Options {
    let mut options = Options { plugins, ..Options::default() };
    options.configuration.profiles[0].multi_point.enabled = vec![PluginReference { name: name.to_owned(), weight: 0 }];
    options
}

#[tokio::test(start_paused = true)]
async fn unschedulable_nodes() {
    let world = World::default();
    let cordoned = json!({"spec": {"unschedulable": true}});
    world.set("nodes", changed(node("n1", "4"), cordoned));
    world.set("pods", wants("p", json!({})));
    let script = async {
        seconds(5).await;
        assert_eq!(world.node_of("p"), None);
        world.set("nodes", node("n1", "4"));
        seconds(5).await;
    };
    beside(&world, Options::default(), script).await;
    assert_eq!(world.node_of("p").as_deref(), Some("n1"), "{:?}", world.writes());
}

#[tokio::test(start_paused = true)]
async fn multiple_schedulers() {
    let world = World::default();
    world.set("nodes", node("n1", "4"));
    for (name, scheduler) in [("a", "default-scheduler"), ("b", "foo-scheduler")] {
        world.set("pods", wants(name, json!({ "schedulerName": scheduler })));
    }
    let mut options = Options::default();
    options.configuration.profiles =
        vec![ProfileConfiguration { scheduler_name: "foo-scheduler".to_owned(), ..Default::default() }];
    let script = async {
        seconds(5).await;
        assert_eq!(["a", "b"].map(|name| world.node_of(name).is_some()), [true, false]);
        assert!(world.get("pods", "b")["status"].is_null(), "nobody says anything about the pods of others");
        // A second one begins beside it.
        beside(&world, options, seconds(5)).await;
    };
    beside(&world, Options::default(), script).await;
    assert_eq!(world.node_of("b").as_deref(), Some("n1"));
}

#[tokio::test(start_paused = true)]
async fn allocatable() {
    let capacity = json!({"status": {"capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"}}});
    for (cpu, fits) in [("4", true), ("1", false)] {
        let world = World::default();
        world.set("nodes", changed(node("n1", cpu), capacity.clone()));
        world.set("pods", pod("p", "2"));
        beside(&world, Options::default(), seconds(2)).await;
        assert_eq!(world.node_of("p").is_some(), fits, "{cpu}");
    }
}

#[tokio::test(start_paused = true)]
async fn scheduler_informers() {
    // What others have placed takes its room, whoever it was and whenever it is seen.
    let theirs = json!({"spec": {"schedulerName": "foo-scheduler", "nodeName": "n1"}});
    for late in [false, true] {
        let world = World::default();
        world.set("nodes", node("n1", "4"));
        let other = changed(pod("other", "4"), theirs.clone());
        if !late {
            world.set("pods", other.clone());
        }
        let script = async {
            seconds(1).await;
            if late {
                world.set("pods", other);
                seconds(1).await;
            }
            world.set("pods", pod("p", "1"));
            seconds(5).await;
        };
        beside(&world, Options::default(), script).await;
        assert_eq!(world.node_of("p"), None, "{late}");
    }
    let world = World::default();
    world.set("nodes", node("n1", "4"));
    let unknown = json!({"nodeSelector": {"kubernetes.io/hostname": "unknown"}});
    world.set("pods", wants("p", unknown));
    beside(&world, Options::default(), seconds(2)).await;
    assert_eq!(world.node_of("p"), None);
}

#[tokio::test(start_paused = true)]
async fn node_events() {
    let world = World::default();
    let taint = json!({"spec": {"taints": [{"key": "t", "value": "v", "effect": "NoSchedule"}]}});
    world.set("nodes", node("n1", "1"));
    world.set("pods", pod("p1", "1"));
    world.set("pods", pod("p2", "2"));
    let tolerant = json!({"spec": {"tolerations": [{"key": "t", "value": "v", "effect": "NoSchedule"}]}});
    let script = async {
        seconds(2).await;
        assert_eq!(world.node_of("p1").as_deref(), Some("n1"));
        world.set("nodes", changed(node("n2", "4"), taint));
        seconds(2).await;
        assert_eq!(world.node_of("p2"), None, "it is large enough, but tainted");
        world.set("pods", changed(pod("p3", "1"), tolerant));
        seconds(2).await;
        assert_eq!(world.node_of("p3").as_deref(), Some("n2"));
        world.set("nodes", node("n2", "4"));
        seconds(15).await;
        assert_eq!(world.node_of("p2").as_deref(), Some("n2"), "{:?}", world.writes());
    };
    beside(&world, Options::default(), script).await;
}

/// Wants a taint on nodes, of all things, and hears of taints only.
struct Tainted;

impl Plugin for Tainted {
    fn name(&self) -> &'static str {
        "Tainted"
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::node(ActionType::UPDATE_NODE_TAINT)]
    }

    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }
}

impl FilterPlugin for Tainted {
    fn filter(&self, _: &CycleState, _: &Pod, node: NodeRef<'_>) -> Status {
        if node.taints().is_empty() { Status::unschedulable("no taint") } else { Status::success() }
    }
}

#[tokio::test(start_paused = true)]
async fn update_node_event() {
    let world = World::default();
    world.set("nodes", node("n1", "4"));
    world.set("pods", wants("p", json!({})));
    let mut plugins = crate::registry::Registry::default();
    plugins.add(Tainted);
    let both = json!({"metadata": {"labels": {"new": "one"}},
        "spec": {"taints": [{"key": "t", "effect": "PreferNoSchedule"}]}});
    let script = async {
        seconds(2).await;
        assert_eq!(world.node_of("p"), None);
        world.set("nodes", changed(node("n1", "4"), both));
        seconds(5).await;
    };
    beside(&world, enabled("Tainted", plugins), script).await;
    assert_eq!(world.node_of("p").as_deref(), Some("n1"), "one update that changes two things is two events");
}

#[tokio::test(start_paused = true)]
async fn default_binder() {
    // While a pod is being bound it is replaced by another of its name, which belongs elsewhere.
    let world = World::default();
    ["n1", "n2"].into_iter().for_each(|name| world.set("nodes", node(name, "4")));
    world.set_latency(Duration::from_secs(1));
    let to = |node: &str| wants("p", json!({"nodeSelector": {"kubernetes.io/hostname": node}}));
    world.set("pods", to("n1"));
    let script = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.delete("pods", "p");
        world.set("pods", changed(to("n2"), json!({"metadata": {"uid": "another"}})));
        seconds(20).await;
    };
    beside(&world, Options::default(), script).await;
    assert_eq!(world.node_of("p").as_deref(), Some("n2"), "{:?}", world.writes());
    assert_eq!(world.get("pods", "p")["metadata"]["uid"], "another");
}

#[tokio::test(start_paused = true)]
async fn batch_scenarios() {
    // Equal pods, different ones, and one in between that has no place: all get what each for itself would have got.
    let whole = |name: &str| pod(name, "4");
    let half = |name: &str| pod(name, "2");
    let unable = |name: &str| changed(pod(name, "1"), json!({"spec": {"nodeSelector": {"nowhere": "x"}}}));
    let cases: [(&str, Vec<Value>, usize); 6] = [
        ("one pod", vec![whole("a")], 1),
        ("different pods", vec![whole("a"), half("b"), pod("c", "1")], 3),
        ("equal pods that need a node each", vec![whole("a"), whole("b"), whole("c")], 3),
        ("two batches in a row", vec![whole("a"), whole("b"), half("c"), half("d")], 4),
        ("several pods a node", vec![half("a"), half("b"), half("c"), half("d"), half("e"), half("f")], 6),
        ("one that has no place", vec![whole("a"), unable("b"), whole("c"), whole("d")], 3),
    ];
    for (name, pods, placed) in cases {
        let world = World::default();
        ["n1", "n2", "n3"].into_iter().for_each(|name| world.set("nodes", node(name, "4")));
        let names: Vec<_> = pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        pods.into_iter().for_each(|pod| world.set("pods", pod));
        beside(&world, Options::default(), seconds(2)).await;
        let nodes: Vec<_> = names.iter().filter_map(|name| world.node_of(name)).collect();
        assert_eq!(nodes.len(), placed, "{name} {:?}", world.writes());
    }
}

#[tokio::test(start_paused = true)]
async fn scheduling_gates() {
    let gated = |name: &str| wants(name, json!({"schedulingGates": [{"name": "foo"}, {"name": "bar"}]}));
    let world = World::default();
    world.set("nodes", node("n1", "4"));
    for name in ["a", "b", "c"] {
        world.set("pods", gated(name));
    }
    world.set("pods", wants("d", json!({})));
    let bound = || ["a", "b", "c", "d"].map(|name| world.node_of(name).is_some());
    let script = async {
        seconds(2).await;
        assert_eq!(bound(), [false, false, false, true]);
        world.set("pods", wants("a", json!({"schedulingGates": [{"name": "bar"}]})));
        seconds(2).await;
        assert_eq!(bound(), [false, false, false, true], "one gate is left");
        world.set("pods", wants("a", json!({})));
        seconds(2).await;
        assert_eq!(bound(), [true, false, false, true], "those that have theirs stay");
        world.delete("pods", "d");
        world.delete("pods", "b");
        seconds(2).await;
        assert_eq!(bound(), [true, false, false, false]);
        world.set("pods", wants("c", json!({})));
        seconds(2).await;
        assert_eq!(bound(), [true, false, true, false]);
    };
    beside(&world, Options::default(), script).await;
}

const FOOS: Resource = Resource::namespaced("example.com", "v1", "Foo", "foos");

/// Waits for an object of its own resource.
struct WaitsForFoo(Watched<Value>);

impl Plugin for WaitsForFoo {
    fn name(&self) -> &'static str {
        "WaitsForFoo"
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::of(EventResource::Custom("foos.example.com"), ActionType::ADD)]
    }

    fn as_pre_enqueue(&self) -> Option<&dyn PreEnqueuePlugin> {
        Some(self)
    }
}

impl PreEnqueuePlugin for WaitsForFoo {
    fn pre_enqueue(&self, _: &Pod) -> Status {
        if self.0.all().is_empty() { Status::unresolvable("no foo") } else { Status::success() }
    }
}

#[tokio::test(start_paused = true)]
async fn custom_resource_enqueue() {
    let world = World::default();
    world.set("nodes", node("n1", "4"));
    world.set("pods", wants("p", json!({})));
    let mut plugins = crate::registry::Registry::default();
    plugins.register("WaitsForFoo", |_, handle| Ok(Arc::new(WaitsForFoo(handle.watches.watch(&FOOS)))));
    let script = async {
        seconds(5).await;
        assert_eq!((world.node_of("p"), world.writes().len()), (None, 0));
        world.set(
            "foos",
            json!({"apiVersion": "example.com/v1", "kind": "Foo",
            "metadata": {"name": "f", "namespace": "default"}}),
        );
        seconds(2).await;
    };
    beside(&world, enabled("WaitsForFoo", plugins), script).await;
    assert_eq!(world.node_of("p").as_deref(), Some("n1"));
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_going_take_room_but_are_not_spread_from() {
    let going = json!({"metadata": {"deletionTimestamp": "2026-05-01T10:00:30Z", "labels": {"app": "web"}}});
    let affinity = |kind: &str| {
        let term = json!({"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"});
        json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}})
    };
    let spread = json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}],
        "nodeSelector": {"kubernetes.io/hostname": "n1"}});
    let all = || json!({"metadata": {"labels": {"app": "web"}}});
    let cases = [
        ("room", json!({"spec": asks("cpu", "2")}), "n2"),
        ("ports", json!({"spec": port("0.0.0.0", "TCP")}), "n2"),
        ("affinity", json!({ "spec": affinity("podAffinity") }), "n1"),
        ("anti-affinity", json!({ "spec": affinity("podAntiAffinity") }), "n2"),
        ("spreading", changed(all(), json!({ "spec": spread })), "n1"),
    ];
    for (name, pod, expected) in cases {
        let world = World::default();
        ["n1", "n2"].into_iter().for_each(|name| world.set("nodes", node(name, "4")));
        let taking = changed(port("0.0.0.0", "TCP"), json!({"terminationGracePeriodSeconds": 30}));
        let mut taking = changed(wants("going", taking), json!({"spec": {"nodeName": "n1"}}));
        taking["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "3"}});
        world.set("pods", changed(taking, going.clone()));
        world.set("pods", changed(wants("p", json!({})), pod));
        beside(&world, Options::default(), seconds(2)).await;
        assert_eq!(world.node_of("p").as_deref(), Some(expected), "{name} {:?}", world.writes());
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_cut_and_conditions_are_not() {
    let world = World::default();
    let long = "x".repeat(50);
    for number in 0..40 {
        let resource = format!("example.com/{long}-{number:02}");
        world.set("nodes", changed(node(&format!("n{number:02}"), "4"), has(&resource, "1")));
    }
    let requests: serde_json::Map<_, _> =
        (0..40).map(|number| (format!("example.com/{long}-{number:02}"), json!("1"))).collect();
    let spec = json!({"containers": [{"name": "c", "image": "app:1", "resources": {"requests": requests}}]});
    world.set("pods", wants("p", spec));
    beside(&world, Options::default(), seconds(2)).await;
    let condition = world.get("pods", "p")["status"]["conditions"][0]["message"].as_str().unwrap().to_owned();
    assert!(condition.len() > 2000 && condition.contains("-39. "), "{condition}");
    let note = world.events()[0]["note"].as_str().unwrap().to_owned();
    assert!(note.len() <= 1024 && note.ends_with(" ...") && condition.starts_with(&note[..1000]), "{note}");
}

#[tokio::test(start_paused = true)]
async fn a_volume_of_which_one_node_is_unknown() {
    // A volume can be had from a node that is not there and from one that is.
    let world = World::default();
    ["n1", "n2"].into_iter().for_each(|name| world.set("nodes", node(name, "4")));
    let expression = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": ["gone", "n2"]});
    let affinity = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}});
    world.set(
        "persistentvolumes",
        json!({"metadata": {"name": "v"}, "status": {"phase": "Bound"},
        "spec": {"local": {"path": "/v"}, "nodeAffinity": affinity}}),
    );
    world.set(
        "persistentvolumeclaims",
        json!({"metadata": {"name": "c", "namespace": "default", "uid": "c",
            "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": "v"}, "status": {"phase": "Bound"}}),
    );
    let volumes = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]});
    world.set("pods", wants("p", volumes));
    beside(&world, Options::default(), seconds(2)).await;
    assert_eq!(world.node_of("p").as_deref(), Some("n2"), "{:?}", world.writes());
}
