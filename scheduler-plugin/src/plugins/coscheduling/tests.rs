//! Gangs in small clusters: all or none.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;

use crate::simulation::{Report, Simulation};
use crate::{Configuration, Options};

/// The plugin in place of the usual sorter.
const CONFIGURATION: &str = "apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- plugins:
    multiPoint: {enabled: [{name: Coscheduling}]}
    queueSort: {enabled: [{name: Coscheduling}], disabled: [{name: '*'}]}
";

fn schedule(cluster: &[Value], pods: &[Value]) -> Report {
    let options = Options { configuration: Configuration::from_yaml(CONFIGURATION).unwrap(), ..Options::default() };
    let clock = Arc::new(FixedClock(Timestamp::UNIX_EPOCH));
    let mut simulation = Simulation::new(&options, clock, &Random::seeded(1)).unwrap();
    simulation.add(cluster).unwrap();
    assert!(simulation.ignored().is_empty(), "{:?}", simulation.ignored());
    simulation.schedule(pods).unwrap()
}

fn node(name: &str, cpu: &str) -> Value {
    json!({"kind": "Node", "metadata": {"name": name}, "status": {"capacity": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}})
}

fn group(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup",
           "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

/// Pods of one cpu each.
fn pods(group: &str, count: usize) -> Vec<Value> {
    let pod = |number| {
        json!({"kind": "Pod", "metadata": {"name": format!("{group}{number}"), "labels": {super::POD_GROUP_LABEL: group}},
               "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}})
    };
    (0..count).map(pod).collect()
}

fn messages(report: &Report) -> Vec<&str> {
    report.placements.iter().map(|placement| placement.message.as_str()).collect()
}

#[test]
fn a_group_is_placed_all_or_none() {
    let check = |cpu: &str, count: usize, expect: usize| {
        let cluster = [node("n1", cpu), node("n2", "1"), group("g", json!({"minMember": 3}))];
        let report = schedule(&cluster, &pods("g", count));
        assert_eq!(report.measures.placed, expect, "{count} pods on {cpu}+1: {:?}", messages(&report));
    };
    check("2", 3, 3);
    check("1", 3, 0);
    check("8", 2, 0);
    // More than the least is welcome, and optional.
    check("2", 4, 3);
    check("8", 5, 5);
}

#[test]
fn too_few_siblings_and_a_missing_group_are_told() {
    let report = schedule(&[node("n1", "8"), group("g", json!({"minMember": 3}))], &pods("g", 1));
    let expect = "0/1 nodes are available: pre-filter pod g0 cannot find enough sibling pods, current pods number: 1, \
                  minMember of group: 3.";
    assert!(messages(&report)[0].starts_with(expect), "{:?}", messages(&report));
    assert_eq!(messages(&schedule(&[node("n1", "8")], &pods("g", 1))), ["Coscheduling: PodGroup not found"]);
}

#[test]
fn a_group_whose_least_resources_are_not_there_is_not_begun() {
    let needs = |cpu: &str| group("g", json!({"minMember": 2, "minResources": {"cpu": cpu}}));
    let taken = json!({"kind": "Pod", "metadata": {"name": "old"}, "spec": {"nodeName": "n1", "containers": [
        {"resources": {"requests": {"cpu": "1"}}}]}});
    assert_eq!(schedule(&[node("n1", "4"), taken.clone(), needs("3")], &pods("g", 2)).measures.placed, 2);
    let report = schedule(&[node("n1", "4"), taken, needs("4")], &pods("g", 2));
    assert!(messages(&report)[0].contains("resource gap: cpu:1000"), "{:?}", messages(&report));
    assert_eq!(report.measures.placed, 0);
}

#[test]
fn two_groups_that_do_not_fit_together_do_not_hold_each_other_up() {
    let cluster = [node("n1", "4"), group("a", json!({"minMember": 3})), group("b", json!({"minMember": 3}))];
    // As they may come: one of each in turn.
    let (a, b) = (pods("a", 3), pods("b", 3));
    let mixed: Vec<Value> = a.into_iter().zip(b).flat_map(|(a, b)| [a, b]).collect();
    let report = schedule(&cluster, &mixed);
    assert_eq!(report.measures.placed, 3, "{:?}", messages(&report));
}
