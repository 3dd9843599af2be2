//! What becomes of nodes, minute by minute.

use serde_json::{Value, json};
use steersman_machinery::clock::format_time;

use super::*;
use crate::testing::NOW;

fn at(seconds: i64) -> Timestamp {
    NOW + SignedDuration::from_secs(seconds)
}

/// A node that says of itself whether it is ready, and said so at some second.
fn node(name: &str, ready: Option<(&str, i64)>, taints: Value) -> Arc<Node> {
    let conditions: Vec<Value> = ready
        .into_iter()
        .map(|(status, heard)| json!({"type": "Ready", "status": status, "lastHeartbeatTime": format_time(at(heard))}))
        .collect();
    let metadata = json!({"name": name, "creationTimestamp": format_time(NOW)});
    let node = json!({"metadata": metadata, "spec": {"taints": taints}, "status": {"conditions": conditions}});
    Arc::new(serde_json::from_value(node).unwrap())
}

fn show(actions: &[Action]) -> Vec<String> {
    let show = |action: &Action| match action {
        Action::Tell { reason, .. } => (*reason).to_owned(),
        Action::SetConditions { node, conditions } => {
            format!("{}: {} {}", node.metadata.name, conditions.len(), conditions[0].reason)
        }
        Action::SetTaints { node, taints } => {
            let keys: Vec<&str> = taints.iter().map(|it| it.key.trim_start_matches("node.kubernetes.io/")).collect();
            format!("{}: [{}]", node.metadata.name, keys.join(", "))
        }
        Action::MarkPodsNotReady { node } => format!("{node}: pods"),
    };
    actions.iter().map(show).collect()
}

/// A monitor that knows these nodes.
fn knowing(nodes: &[Arc<Node>]) -> Monitor {
    let mut monitor = Monitor::default();
    let told = monitor.look(nodes, &BTreeMap::new(), NOW);
    assert_eq!(show(&told), vec!["RegisteredNode"; nodes.len()]);
    monitor
}

#[test]
fn a_node_that_is_silent_for_too_long_is_unreachable() {
    let nodes = [node("a", Some(("True", 0)), json!([])), node("b", Some(("True", 0)), json!([]))];
    let mut monitor = knowing(&nodes);
    let renewed = |time: &str| BTreeMap::from([("b".to_owned(), time.to_owned())]);
    assert_eq!(show(&monitor.look(&nodes, &renewed("1"), at(50))), Vec::<String>::new());
    let actions = monitor.look(&nodes, &renewed("2"), at(55));
    assert_eq!(show(&actions), ["a: 4 NodeStatusUnknown", "NodeNotReady", "a: pods"]);
    let nodes = [node("a", Some(("Unknown", 0)), json!([])), node("b", Some(("True", 0)), json!([]))];
    assert_eq!(show(&monitor.look(&nodes, &renewed("3"), at(60))), Vec::<String>::new());
    assert_eq!(show(&monitor.evict(at(60))), ["a: [unreachable]"]);
    let tainted = json!([{"key": UNREACHABLE, "effect": NO_EXECUTE}]);
    let nodes = [node("a", Some(("True", 63)), tainted), nodes[1].clone()];
    assert_eq!(show(&monitor.look(&nodes, &renewed("4"), at(65))), ["a: []"]);
}

#[test]
fn a_new_node_has_a_minute() {
    let nodes = [node("a", None, json!([])), node("b", Some(("True", 0)), json!([]))];
    let mut monitor = knowing(&nodes);
    let renewed = BTreeMap::from([("b".to_owned(), "2".to_owned())]);
    assert_eq!(show(&monitor.look(&nodes, &renewed, at(60))), Vec::<String>::new());
    assert_eq!(show(&monitor.look(&nodes, &renewed, at(61)))[0], "a: 4 NodeStatusNeverUpdated");
}

#[test]
fn a_node_that_says_so_is_not_ready_and_its_pods_say_so_themselves() {
    let well = [node("a", Some(("True", 0)), json!([])), node("b", Some(("True", 0)), json!([]))];
    let mut monitor = knowing(&well);
    let nodes = [node("a", Some(("False", 5)), json!([])), well[1].clone()];
    assert_eq!(show(&monitor.look(&nodes, &BTreeMap::new(), at(5))), Vec::<String>::new());
    assert_eq!(show(&monitor.evict(at(5))), ["a: [not-ready]"]);
    let other = json!([{"key": UNREACHABLE, "effect": NO_EXECUTE}]);
    let nodes = [node("a", Some(("False", 6)), other), well[1].clone()];
    assert_eq!(show(&monitor.look(&nodes, &BTreeMap::new(), at(10))), ["a: [not-ready]"]);
}

#[test]
fn if_no_node_answers_pods_stay() {
    let tainted = json!([{"key": NOT_READY, "effect": NO_EXECUTE}]);
    let nodes = [node("a", Some(("False", 0)), tainted), node("b", Some(("True", 0)), json!([]))];
    let mut monitor = knowing(&nodes);
    let nodes = [nodes[0].clone(), node("b", Some(("False", 5)), json!([]))];
    assert_eq!(show(&monitor.look(&nodes, &BTreeMap::new(), at(5))), ["a: []"]);
    assert_eq!(monitor.evict(at(5)), Vec::new());
    assert!(!monitor.is_evicting());
}

#[test]
fn nodes_that_do_not_count_make_no_zone_worse() {
    let excluded = |node: Arc<Node>| {
        let mut node = Node::clone(&node);
        node.metadata.labels.insert(EXCLUDED, "");
        Arc::new(node)
    };
    let well = node("a", Some(("True", 0)), json!([]));
    let mut monitor = knowing(&[well.clone(), excluded(node("b", Some(("True", 0)), json!([])))]);
    // The only node that counts is down, so that all of the zone is.
    let tainted = json!([{"key": NOT_READY, "effect": NO_EXECUTE}]);
    let nodes = [node("a", Some(("False", 5)), tainted), excluded(node("b", Some(("True", 5)), json!([])))];
    assert_eq!(show(&monitor.look(&nodes, &BTreeMap::new(), at(5))), ["a: []"]);
}

#[test]
fn a_node_that_goes_is_told_of() {
    let nodes = [node("a", Some(("True", 0)), json!([]))];
    let mut monitor = knowing(&nodes);
    let actions = monitor.look(&[], &BTreeMap::new(), at(5));
    let expect = "Node a event: Removing Node a from Controller".to_owned();
    assert_eq!(actions, [Action::Tell { node: nodes[0].clone(), reason: "RemovingNode", message: expect }]);
}
