//! Who has to go, and when nobody has to.

mod kept;

use serde_json::{Value, json};

use crate::testing::{Cluster, requests};

/// A pod with a priority that asks for cpu.
fn wants(priority: i32, cpu: &str) -> Value {
    let mut spec = requests(&json!({"cpu": cpu}));
    spec["priority"] = json!(priority);
    spec
}

/// Nodes of 4 cpu with pods that run there: their priority and cpu. They are named p1, p2 … in this order.
fn cluster(nodes: &[(&str, &[(i32, &str)])]) -> Cluster {
    let mut cluster = Cluster::new(&nodes.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (node, pods) in nodes {
        for (priority, cpu) in *pods {
            cluster.run(node, "app=victim", &wants(*priority, cpu));
        }
    }
    cluster
}

#[test]
fn the_least_harm_is_done() {
    let check = |nodes: &[(&str, &[(i32, &str)])], cpu: &str, expect: &str| {
        assert_eq!(cluster(nodes).preempt(&wants(100, cpu)), expect, "{nodes:?}");
    };
    check(&[("n1", &[(10, "4")])], "2", "n1: p1");
    // Only as many as needed, the least important ones.
    check(&[("n1", &[(10, "2"), (20, "2")])], "2", "n1: p1");
    check(&[("n1", &[(10, "1"), (20, "1"), (30, "2")])], "2", "n1: p2 p1");
    // The highest victim decides, then the sum of their priorities.
    check(&[("n1", &[(20, "4")]), ("n2", &[(10, "4")])], "2", "n2: p2");
    check(&[("n1", &[(20, "2"), (10, "2")]), ("n2", &[(20, "2"), (5, "2")])], "4", "n2: p3 p4");
    check(&[("n1", &[(20, "2"), (1, "2")]), ("n2", &[(20, "4")])], "4", "n2: p3");
    let small: &[(i32, &str)] = &[(9, "2"), (1, "1"), (1, "1")];
    check(&[("n1", &[(10, "1"), (10, "1"), (200, "2")]), ("n2", small)], "2", "n2: p6 p5");
}

#[test]
fn of_equals_that_have_not_started_the_last_is_spared() {
    let lower: &[(i32, &str)] = &[(10, "1"), (10, "1"), (10, "1"), (10, "1")];
    assert_eq!(cluster(&[("n1", lower)]).preempt(&wants(100, "1")), "n1: p1");
    assert_eq!(cluster(&[("n1", lower)]).preempt(&wants(100, "2")), "n1: p2 p1");
    let mut protected = cluster(&[("n1", &[(10, "2"), (10, "2")])]);
    let budget = json!({"metadata": {"name": "b", "namespace": "default"}, "status": {"disruptionsAllowed": 1},
        "spec": {"selector": {"matchLabels": {"app": "victim"}}}});
    protected.cache.set_budget(serde_json::from_value(budget).unwrap());
    assert_eq!(protected.preempt(&wants(100, "2")), "n1: p2", "the budget is used up by the most important");
}

#[test]
fn preemption_says_why_it_can_not_help() {
    let check = |nodes: &[(&str, &[(i32, &str)])], cpu: &str, expect: &str| {
        assert_eq!(cluster(nodes).preempt(&wants(100, cpu)), format!("no new claims to deallocate, {expect}"));
    };
    check(
        &[("n1", &[(100, "4")]), ("n2", &[(200, "4")])],
        "2",
        "preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.",
    );
    check(
        &[("n1", &[(1, "4")])],
        "5",
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
    );
    check(&[("n1", &[(200, "3"), (1, "1")])], "2", "preemption: 0/1 nodes are available: 1 Insufficient cpu.");
}

#[test]
fn polite_pods_push_nobody_out() {
    let mut polite = wants(100, "2");
    polite["preemptionPolicy"] = json!("Never");
    let said = cluster(&[("n1", &[(1, "4")])]).preempt(&polite);
    assert_eq!(said, "no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.");
}

#[test]
fn budgets_are_kept_where_possible() {
    let budget = |allowed: i64, disrupted: &str| {
        let budget = json!({
            "metadata": {"name": "b", "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"keep": "me"}}},
            "status": {"disruptionsAllowed": allowed, "disruptedPods": {disrupted: "2026-01-01T00:00:00Z"}},
        });
        serde_json::from_value(budget).unwrap()
    };
    let mut cluster = Cluster::new(&["n1", "n2"]);
    cluster.run("n1", "keep=me", &wants(1, "4"));
    cluster.run("n2", "", &wants(2, "4"));
    assert_eq!(cluster.preempt(&wants(100, "2")), "n1: p1");
    cluster.cache.set_budget(budget(0, "other"));
    assert_eq!(cluster.preempt(&wants(100, "2")), "n2: p2");
    cluster.cache.set_budget(budget(1, "other"));
    assert_eq!(cluster.preempt(&wants(100, "2")), "n1: p1");
    cluster.cache.set_budget(budget(0, "p1"));
    assert_eq!(cluster.preempt(&wants(100, "2")), "n1: p1");
}

#[test]
fn whoever_stands_in_the_way_of_affinity_has_to_go() {
    let mut cluster = cluster(&[("n1", &[(1, "1"), (1, "1")])]);
    cluster.run("n1", "app=bad", &wants(1, "1"));
    let mut spec = wants(100, "1");
    let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "bad"}}});
    spec["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    assert_eq!(cluster.preempt(&spec), "n1: p3");
}

#[test]
fn a_held_node_is_held_against_lower_priorities_only() {
    let mut cluster = Cluster::new(&["n1"]);
    let holder = cluster.pod("", &wants(50, "3"));
    cluster.cache.snapshot_mut().nominate(&holder, Some(&"n1".into()));
    let refused = "0/1 nodes are available: 1 Insufficient cpu.";
    assert_eq!(cluster.feasible("", &wants(10, "2")), refused);
    assert_eq!(cluster.feasible("", &wants(50, "2")), refused);
    assert_eq!(cluster.feasible("", &wants(51, "2")), "n1");
    assert_eq!(cluster.feasible("", &wants(10, "1")), "n1");
    cluster.cache.snapshot_mut().nominate(&holder, None);
    assert_eq!(cluster.feasible("", &wants(10, "2")), "n1");
}
