//! Placements of small workloads in small clusters.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;

use super::*;
use crate::Configuration;

fn simulation(configuration: &str, cluster: &[Value]) -> Simulation {
    let configuration = match configuration {
        "" => Configuration::default(),
        profiles => Configuration::from_yaml(&format!(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n{profiles}"
        ))
        .unwrap(),
    };
    let options = Options { configuration, ..Options::default() };
    let clock = Arc::new(FixedClock(Timestamp::UNIX_EPOCH));
    let mut simulation = Simulation::new(&options, clock, &Random::seeded(1)).unwrap();
    simulation.add(cluster).unwrap();
    simulation
}

fn node(name: &str, cpu: &str) -> Value {
    json!({"kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
           "status": {"capacity": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}})
}

fn pod(name: &str, cpu: &str, more: Value) -> Value {
    let mut pod = json!({"kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": {
        "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]}});
    for (key, value) in more.as_object().into_iter().flatten() {
        pod["spec"][key] = value.clone();
    }
    pod
}

/// `pod node` for each, and what is said about those without.
fn told(report: &Report) -> Vec<String> {
    let line = |placement: &Placement| {
        let name = placement.pod.trim_start_matches("default/");
        let node = placement.node.as_deref().unwrap_or("-");
        let evicted = placement.evicted.iter().map(|victim| format!(" -{}", victim.trim_start_matches("default/")));
        let message = if placement.message.is_empty() { String::new() } else { format!(" {}", placement.message) };
        format!("{name} {node}{}{message}", evicted.collect::<String>())
    };
    report.placements.iter().map(line).collect()
}

#[test]
fn pods_are_placed_in_order_and_count_for_those_after_them() {
    let mut simulation = simulation("", &[node("n1", "2"), node("n2", "1")]);
    let report = simulation.schedule(&[pod("a", "2", json!({})), pod("b", "1", json!({})), pod("c", "1", json!({}))]);
    let expect = [
        "a n1",
        "b n2",
        "c - 0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption victims \
         found for incoming pod.",
    ];
    assert_eq!(told(&report.unwrap()), expect);
}

#[test]
fn a_pod_that_waits_for_another_is_tried_again_when_that_is_placed() {
    let near = json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "b"}}}]}}});
    let mut simulation = simulation("", &[node("n1", "2"), node("n2", "2")]);
    let report = simulation.schedule(&[pod("a", "1", near), pod("b", "1", json!({}))]).unwrap();
    assert!(report.placements[0].node.is_some());
    assert_eq!(report.placements[0].node, report.placements[1].node);
}

#[test]
fn important_pods_push_others_out() {
    let class = json!({"kind": "PriorityClass", "metadata": {"name": "high"}, "value": 100});
    let mut running = pod("old", "1", json!({"nodeName": "n1"}));
    running["metadata"]["uid"] = json!("u");
    let mut simulation = simulation("", &[node("n1", "2"), class, running]);
    let high = json!({"priorityClassName": "high"});
    let report = simulation.schedule(&[pod("a", "1", json!({})), pod("b", "2", high)]).unwrap();
    assert_eq!(told(&report), ["a - had to make room for default/b", "b n1 -a -old"]);
    assert_eq!((report.measures.placed, report.measures.unplaced, report.measures.evicted), (1, 1, 2));
}

#[test]
fn pods_of_no_profile_and_gated_ones_are_told() {
    let mut simulation = simulation("- schedulerName: mine\n", &[node("n1", "2")]);
    let gated = json!({"schedulerName": "mine", "schedulingGates": [{"name": "x"}]});
    let report = simulation.schedule(&[pod("a", "1", json!({})), pod("b", "1", gated)]).unwrap();
    let expect =
        ["a - no profile is called \"default-scheduler\"", "b - SchedulingGates: waiting for scheduling gates: [x]"];
    assert_eq!(told(&report), expect);
}

#[test]
fn what_is_free_on_nodes_that_are_too_full_is_fragmented() {
    let mut simulation = simulation("", &[node("n1", "4"), node("n2", "4"), node("n3", "4")]);
    let report = simulation.schedule(&[pod("a", "3", json!({})), pod("b", "3", json!({})), pod("c", "3", json!({}))]);
    let cpu = report.unwrap().measures.cpu;
    assert_eq!((cpu.utilization, cpu.fragmentation, cpu.imbalance), (0.75, 1.0, 0.0));
    let report = simulation.schedule(&[pod("d", "1", json!({}))]).unwrap();
    assert_eq!(report.measures.cpu.fragmentation, 0.0, "one more of that size has room");
    assert_eq!(report.measures.cpu.by_node, [1.0, 0.75, 0.75]);
    assert!((report.measures.cpu.imbalance - 0.117_851).abs() < 1e-6);
}

#[test]
fn what_can_not_be_read_is_named_and_what_is_not_needed_is_counted() {
    let mut simulation = simulation("", &[json!({"kind": "ConfigMap", "metadata": {"name": "c"}})]);
    assert_eq!(simulation.ignored().get("ConfigMap"), Some(&1));
    let odd = json!({"kind": "Node", "metadata": {"name": "n"}, "spec": {"taints": 7}});
    let error = simulation.add(&[odd]).unwrap_err().to_string();
    assert!(error.starts_with("Node \"n\": "), "{error}");
    let error = simulation.schedule(&[json!({"kind": "Pod", "metadata": {"name": "p"}})]).unwrap_err().to_string();
    assert_eq!(error, "Pod \"p\": spec: Required value");
}

#[test]
fn pods_have_names_of_their_own() {
    let mut simulation = simulation("", &[node("n1", "2"), pod("r", "1", json!({"nodeName": "n1"}))]);
    let twice = [pod("a", "1", json!({})), pod("a", "1", json!({}))];
    let error = simulation.schedule(&twice).unwrap_err().to_string();
    assert_eq!(error, "Pod \"a\": default/a is there twice: the pods need names of their own");
    let error = simulation.schedule(&[pod("r", "1", json!({}))]).unwrap_err().to_string();
    assert_eq!(error, "Pod \"r\": default/r runs in the cluster already: leave it out there, or rename it");
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    let mut simulation = simulation("", &[node("n1", "2")]);
    let error = simulation.schedule(&[pod("a", "1", json!({"tolerations": [{"key": 5}]}))]).unwrap_err().to_string();
    assert_eq!(error, "Pod \"a\": spec.tolerations[0].key: invalid type: integer `5`, expected a string");
}
