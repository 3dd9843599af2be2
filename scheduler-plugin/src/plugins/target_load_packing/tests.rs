//! Scores by load.

use serde_json::json;
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;

use super::*;
use crate::simulation::Simulation;
use crate::{Configuration, Options};

#[test]
fn the_score_rises_to_the_target_and_falls_beyond_it() {
    let check = |utilization: f64, expect: i64| assert_eq!(score(utilization, 40.0), expect, "{utilization}");
    for (utilization, expect) in [(0.0, 40), (20.0, 70), (40.0, 100), (40.1, 40), (70.0, 20), (100.0, 0), (101.0, 0)] {
        check(utilization, expect);
    }
}

#[test]
fn arguments_that_make_no_sense_are_named() {
    let check = |change: fn(&mut TargetLoadPackingArgs), expect: &str| {
        let mut args = TargetLoadPackingArgs::default();
        change(&mut args);
        let error = TargetLoadPacking::new(&args, &Handle::for_tests()).err().unwrap_or_default();
        assert!(error.starts_with(expect), "{error}");
    };
    check(|_| {}, "");
    check(|args| args.target_utilization = 0, "targetUtilization: Invalid value: 0");
    check(|args| args.default_requests_multiplier = "x".to_owned(), "defaultRequestsMultiplier: Invalid value");
    check(|args| args.metric_provider.provider_type = "Prometheus".to_owned(), "metricProvider.type: Unsupported");
}

#[test]
fn pods_go_to_the_fullest_node_below_the_target_by_what_is_measured_and_expected() {
    let configuration = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n\
                         - plugins: {multiPoint: {enabled: [{name: TargetLoadPacking, weight: 50}]}}\n";
    let options = Options { configuration: Configuration::from_yaml(configuration).unwrap(), ..Options::default() };
    let clock = Arc::new(FixedClock(Timestamp::UNIX_EPOCH));
    let mut simulation = Simulation::new(&options, clock, &Random::seeded(1)).unwrap();
    let node = |name: &str| json!({"kind": "Node", "metadata": {"name": name}, "status": {"capacity": {"cpu": "10", "memory": "8Gi", "pods": "110"}}});
    let metrics = |name: &str, cpu: &str| {
        json!({"apiVersion": "metrics.k8s.io/v1beta1", "kind": "NodeMetrics", "metadata": {"name": name},
               "timestamp": "1970-01-01T00:00:00Z", "usage": {"cpu": cpu, "memory": "1Gi"}})
    };
    let busy = json!({"kind": "Pod", "metadata": {"name": "new"}, "spec": {"nodeName": "n2", "containers": [
        {"resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "2"}}}]}});
    // n2 will use 3 + 2 cpu: the pod that has just come is not measured yet. n4 has no metrics.
    let cluster = [
        node("n1"),
        metrics("n1", "1"),
        node("n2"),
        metrics("n2", "3"),
        node("n3"),
        metrics("n3", "2500000000n"),
        node("n4"),
        busy,
    ];
    simulation.add(&cluster).unwrap();
    let pod = json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [
        {"resources": {"requests": {"cpu": "1"}}}]}});
    let report = simulation.schedule(&[pod]).unwrap();
    assert_eq!(report.placements[0].node.as_deref(), Some("n3"), "2.5 and 1.5 are the target");
}
