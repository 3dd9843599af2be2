//! Preemption where plugins, spreading or bindings stand in the way: further rows of upstream's
//! `test/integration/scheduler/preemption`.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::preemption::{gone, placed, ranked, world};
use super::*;
use crate::configuration::PluginReference;
use crate::plugin::{Binding, FilterPlugin, PreBindPlugin, PreFilterPlugin, PreFilterResult};
use crate::snapshot::{NodeRef, Snapshot};
use crate::status::Status;

/// Lets a pod in only where nobody else is, and does not say why if `final_word`.
struct Alone {
    final_word: bool,
}

/// How many pods are on each node, as far as it heard of.
#[derive(Default)]
struct Counts(BTreeMap<String, i64>);

const COUNTS: &str = "PreFilterAlone";

impl Plugin for Alone {
    fn name(&self) -> &'static str {
        "Alone"
    }

    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }

    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }
}

impl PreFilterPlugin for Alone {
    fn pre_filter(&self, state: &mut CycleState, _: &Pod, snapshot: &Snapshot) -> Result<PreFilterResult, Status> {
        let counts = snapshot.nodes().map(|node| (node.name().to_string(), node.pods().len() as i64));
        state.write(COUNTS, Counts(counts.collect()));
        Ok(PreFilterResult::ALL_NODES)
    }

    fn add_pod(&self, state: &mut CycleState, _: &Pod, _: &Pod, node: NodeRef<'_>) {
        let counts = state.read_mut::<Counts>(COUNTS).unwrap();
        *counts.0.entry(node.name().to_string()).or_default() += 1;
    }

    fn remove_pod(&self, state: &mut CycleState, _: &Pod, _: &Pod, node: NodeRef<'_>) {
        let counts = state.read_mut::<Counts>(COUNTS).unwrap();
        *counts.0.entry(node.name().to_string()).or_default() -= 1;
    }
}

impl FilterPlugin for Alone {
    fn filter(&self, state: &CycleState, _: &Pod, node: NodeRef<'_>) -> Status {
        let counts = state.read::<Counts>(COUNTS).unwrap();
        match counts.0.get(&**node.name()) {
            Some(0) | None => Status::success(),
            Some(_) if self.final_word => Status::unresolvable("never"),
            Some(_) => Status::unschedulable("not alone"),
        }
    }
}

fn with_plugin(plugin: impl Plugin) -> Options {
    let mut options = Options::default();
    let reference = PluginReference { name: plugin.name().to_owned(), weight: 0 };
    options.configuration.profiles[0].multi_point.enabled = vec![reference];
    options.plugins.add(plugin);
    options
}

#[tokio::test(start_paused = true)]
async fn preemption_with_plugins() {
    // There is room, but a plugin lets pods in only where nobody is: those that count have to go, if that helps.
    for (final_word, victims) in [(false, vec!["low"]), (true, vec![])] {
        let world =
            world(&[("n1", "4")], [("pods", placed("n1", "low", 1, "1")), ("pods", ranked("p", 9, "1", json!({})))]);
        beside(&world, with_plugin(Alone { final_word }), seconds(10)).await;
        assert_eq!(gone(&world), victims, "{:?}", world.writes());
        assert_eq!(world.node_of("p").is_some(), !final_word, "{:?}", world.writes());
    }
}

#[tokio::test(start_paused = true)]
async fn preemption_for_the_sake_of_spreading() {
    let web = json!({"metadata": {"labels": {"app": "web"}}});
    let constraint = json!({"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}});
    let spread = changed(
        web.clone(),
        json!({"spec": {"topologySpreadConstraints": [constraint],
        "nodeSelector": {"kubernetes.io/hostname": "n1"}}}),
    );
    let spread = changed(
        spread,
        json!({"spec": {"topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
         "nodeAffinityPolicy": "Ignore", "labelSelector": {"matchLabels": {"app": "web"}}}]}}),
    );
    for (priority, helps) in [(1, true), (9, false)] {
        let there = changed(placed("n1", "there", priority, "1"), web.clone());
        let world =
            world(&[("n1", "4"), ("n2", "4")], [("pods", there), ("pods", ranked("p", 9, "1", spread.clone()))]);
        beside(&world, Options::default(), seconds(10)).await;
        assert_eq!(gone(&world) == ["there"], helps, "{:?}", world.writes());
        assert_eq!(world.node_of("p").is_some(), helps, "{:?}", world.writes());
    }
}

/// Cannot prepare the pods of a name, the first time.
struct Stumbles(Mutex<bool>);

impl Plugin for Stumbles {
    fn name(&self) -> &'static str {
        "Stumbles"
    }

    fn as_pre_bind(&self) -> Option<&dyn PreBindPlugin> {
        Some(self)
    }
}

impl PreBindPlugin for Stumbles {
    fn pre_bind<'a>(&'a self, binding: &'a Binding) -> futures::future::BoxFuture<'a, Status> {
        let first = &*binding.pod.name == "p" && !std::mem::replace(&mut *self.0.lock(), true);
        Box::pin(async move { if first { Status::error("stumbled") } else { Status::success() } })
    }
}

#[tokio::test(start_paused = true)]
async fn nominated_node_after_a_binding_that_failed() {
    // The room that was made is not kept for a pod whose binding failed: nobody would know for how long.
    let world =
        world(&[("n1", "1")], [("pods", placed("n1", "low", 1, "1")), ("pods", ranked("p", 9, "1", json!({})))]);
    let script = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let stumbled = world.writes().iter().any(|write| write.contains("stumbled"));
        assert!(stumbled, "{:?}", world.writes());
        assert!(world.get("pods", "p")["status"]["nominatedNodeName"].is_null(), "{:?}", world.writes());
        seconds(10).await;
    };
    beside(&world, with_plugin(Stumbles(Mutex::new(false))), script).await;
    assert_eq!(gone(&world), ["low"]);
    assert_eq!(world.node_of("p").as_deref(), Some("n1"), "{:?}", world.writes());
}

#[tokio::test(start_paused = true)]
async fn nominated_node_where_preemption_does_not_help_any_more() {
    // The node was promised; then it gets too small for the pod, whoever goes.
    let world =
        world(&[("n1", "2")], [("pods", placed("n1", "low", 1, "2")), ("pods", ranked("p", 9, "2", json!({})))]);
    world.stay_when_asked_to_go();
    let script = async {
        seconds(2).await;
        assert_eq!(world.get("pods", "p")["status"]["nominatedNodeName"], json!("n1"), "{:?}", world.writes());
        world.delete("pods", "low");
        world.set("nodes", node("n1", "1"));
        seconds(20).await;
        world.set("nodes", node("n2", "1"));
        seconds(20).await;
    };
    beside(&world, Options::default(), script).await;
    assert_eq!(world.node_of("p"), None);
    assert!(world.get("pods", "p")["status"]["nominatedNodeName"].is_null(), "{:?}", world.writes());
}
