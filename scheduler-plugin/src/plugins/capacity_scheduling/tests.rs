//! Quotas lent and claimed back.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;

use crate::simulation::{Report, Simulation};
use crate::{Configuration, Options};

const CONFIGURATION: &str = "apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- plugins:
    multiPoint: {enabled: [{name: CapacityScheduling}]}
    postFilter: {enabled: [{name: CapacityScheduling}], disabled: [{name: '*'}]}
";

/// Two namespaces, each with 4 cpu guaranteed and 6 allowed, on a node of 10.
fn cluster() -> Simulation {
    let options = Options { configuration: Configuration::from_yaml(CONFIGURATION).unwrap(), ..Options::default() };
    let clock = Arc::new(FixedClock(Timestamp::UNIX_EPOCH));
    let mut simulation = Simulation::new(&options, clock, &Random::seeded(1)).unwrap();
    let quota = |namespace: &str| {
        json!({"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "ElasticQuota",
               "metadata": {"name": "q", "namespace": namespace}, "spec": {"min": {"cpu": 4}, "max": {"cpu": "6"}}})
    };
    let node = json!({"kind": "Node", "metadata": {"name": "n1"},
                      "status": {"capacity": {"cpu": "10", "memory": "8Gi", "pods": "110"}}});
    simulation.add(&[node, quota("a"), quota("b")]).unwrap();
    assert!(simulation.ignored().is_empty());
    simulation
}

/// Pods of one cpu each.
fn pods(namespace: &str, numbers: std::ops::Range<usize>, priority: i64) -> Vec<Value> {
    let pod = |number| {
        json!({"kind": "Pod", "metadata": {"name": format!("{namespace}{number}"), "namespace": namespace},
               "spec": {"priority": priority, "containers": [{"resources": {"requests": {"cpu": "1"}}}]}})
    };
    numbers.map(pod).collect()
}

fn outcome(report: &Report) -> (usize, usize) {
    (report.measures.placed, report.measures.evicted)
}

#[test]
fn what_is_not_used_is_lent_up_to_the_maximum() {
    let mut cluster = cluster();
    let report = cluster.schedule(&pods("a", 0..8, 0)).unwrap();
    assert_eq!(outcome(&report), (6, 0));
    let expect = "Pod a/a6 is rejected in PreFilter because ElasticQuota a is more than Max.";
    assert!(report.placements[6].message.contains(expect), "{}", report.placements[6].message);
}

#[test]
fn what_is_guaranteed_is_claimed_back() {
    let mut cluster = cluster();
    assert_eq!(outcome(&cluster.schedule(&pods("a", 0..6, 5)).unwrap()), (6, 0));
    // Two fit beside what was lent; for the other two, two that borrowed have to go, important as they may be.
    let report = cluster.schedule(&pods("b", 0..4, 0)).unwrap();
    assert_eq!(outcome(&report), (4, 2));
    assert!(report.placements.iter().flat_map(|it| &it.evicted).all(|victim| victim.starts_with("a/")));
    // Nothing is left to be lent.
    let report = cluster.schedule(&pods("b", 4..5, 0)).unwrap();
    assert_eq!(outcome(&report), (0, 0));
    let expect = "Pod b/b4 is rejected in PreFilter because total ElasticQuota used is more than min.";
    assert!(report.placements[0].message.contains(expect), "{}", report.placements[0].message);
}

#[test]
fn who_borrows_pushes_out_only_less_important_pods_of_its_own() {
    let mut cluster = cluster();
    cluster.schedule(&pods("a", 0..6, 0)).unwrap();
    cluster.schedule(&pods("b", 0..2, 0)).unwrap();
    let report = cluster.schedule(&pods("a", 6..7, 9)).unwrap();
    assert_eq!(outcome(&report), (1, 1));
    assert!(report.placements[0].evicted[0].starts_with("a/"));
}

#[test]
fn namespaces_without_a_quota_are_not_limited_and_leave_the_others_alone() {
    let mut cluster = cluster();
    assert_eq!(outcome(&cluster.schedule(&pods("c", 0..4, 0)).unwrap()), (4, 0));
    assert_eq!(outcome(&cluster.schedule(&pods("a", 0..6, 0)).unwrap()), (6, 0));
    let report = cluster.schedule(&pods("c", 4..5, 9)).unwrap();
    assert_eq!(outcome(&report), (1, 1));
    assert!(report.placements[0].evicted[0].starts_with("c/"));
}
