//! What objects cost, by table.

use serde_json::json;

use super::*;
use crate::resource_list::show;

fn now() -> Timestamp {
    "2026-05-01T10:00:00Z".parse().unwrap()
}

#[track_caller]
fn check((group, resource): (&str, &str), object: Value, expect: &str) {
    let evaluator = Evaluator::of(&GroupResource::new(group, resource));
    let usage = evaluator.usage(&object, now());
    assert!(usage.keys().all(|name| evaluator.tracks(name)), "{usage:?}");
    assert_eq!(show(&usage), expect);
}

#[test]
fn pods_cost_what_they_ask_for_until_they_are_done() {
    let containers = json!([{"name": "a", "resources": {
        "requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1G", "hugepages-2Mi": "2Mi", "example.com/gpu": "2"},
        "limits": {"cpu": "2", "example.com/gpu": "2"}}}]);
    let pod = |metadata: Value, phase: &str| json!({"metadata": metadata, "spec": {"containers": containers}, "status": {"phase": phase}});
    let whole = "count/pods=1,cpu=1,ephemeral-storage=1G,hugepages-2Mi=2Mi,limits.cpu=2,memory=1Gi,pods=1,\
        requests.cpu=1,requests.ephemeral-storage=1G,requests.example.com/gpu=2,requests.hugepages-2Mi=2Mi,\
        requests.memory=1Gi";
    let pods = ("", "pods");
    check(pods, pod(json!({}), "Running"), whole);
    check(pods, pod(json!({}), "Succeeded"), "count/pods=1");
    let deleted = |at: &str| json!({"deletionTimestamp": at, "deletionGracePeriodSeconds": 30});
    check(pods, pod(deleted("2026-05-01T09:59:30Z"), "Running"), whole);
    check(pods, pod(deleted("2026-05-01T09:59:29Z"), "Running"), "count/pods=1");
}

#[test]
fn services_cost_their_node_ports() {
    let service = |spec: Value| json!({"spec": spec});
    let ports = json!([{"port": 1}, {"port": 2, "nodePort": 30001}]);
    let check = |spec: Value, node_ports: usize, load_balancers: usize| {
        let expect = format!(
            "count/services=1,services=1,services.loadbalancers={load_balancers},services.nodeports={node_ports}"
        );
        check(("", "services"), service(spec), &expect);
    };
    check(json!({"ports": ports}), 0, 0);
    check(json!({"ports": ports, "type": "NodePort"}), 2, 0);
    check(json!({"ports": ports, "type": "LoadBalancer"}), 2, 1);
    check(json!({"ports": ports, "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false}), 1, 1);
}

#[test]
fn claims_cost_by_class() {
    let claim = |class: &str, asked: &str, allocated: &str| {
        json!({"spec": {"storageClassName": class, "resources": {"requests": {"storage": asked}}},
            "status": {"allocatedResources": {"storage": allocated}}})
    };
    let claims = ("", "persistentvolumeclaims");
    check(
        claims,
        claim("gold", "1Gi", "2Gi"),
        "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
        gold.storageclass.storage.k8s.io/requests.storage=2Gi,persistentvolumeclaims=1,requests.storage=2Gi",
    );
    check(
        claims,
        claim("", "1500m", "0"),
        "count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=2",
    );
}

#[test]
fn devices_cost_the_most_that_may_be_given() {
    let exactly =
        |class: &str, count: u32| json!({"deviceClassName": class, "allocationMode": "ExactCount", "count": count});
    let requests = json!([
        {"name": "a", "exactly": exactly("gpu", 2)},
        {"name": "b", "firstAvailable": [exactly("gpu", 3), exactly("gpu", 1), exactly("nic", 1)]},
        {"name": "c", "exactly": {"deviceClassName": "nic", "allocationMode": "All"}},
    ]);
    check(
        ("resource.k8s.io", "resourceclaims"),
        json!({"spec": {"devices": {"requests": requests}}}),
        "count/resourceclaims.resource.k8s.io=1,gpu.deviceclass.resource.k8s.io/devices=5,\
        nic.deviceclass.resource.k8s.io/devices=33",
    );
}

#[test]
fn everything_else_is_counted() {
    check(("", "secrets"), json!({}), "count/secrets=1,secrets=1");
    check(("", "serviceaccounts"), json!({}), "count/serviceaccounts=1");
    check(("stable.example.com", "widgets"), json!({}), "count/widgets.stable.example.com=1");
}

#[test]
fn containers_have_to_say_what_is_limited() {
    let limits = |cpu: Value| json!({"limits": cpu});
    let pod = json!({"spec": {
        "containers": [{"name": "b", "resources": limits(json!({"cpu": "1"}))}, {"name": "a"}],
        "initContainers": [{"name": "i"}]}});
    let limited = ["limits.cpu", "memory", "limits.ephemeral-storage", "pods"];
    assert_eq!(missing(&pod, limited).as_deref(), Some("limits.cpu for: a,i; memory for: a,b,i"));
    assert_eq!(missing(&pod, ["pods"]), None);
    let whole = json!({"spec": {"containers": [{"name": "a"}], "resources": {"limits": {"cpu": "1"}}}});
    assert_eq!(missing(&whole, limited), None);
}

#[test]
fn scopes_select_pods_and_claims() {
    let pods = Evaluator::of(&GroupResource::new("", "pods"));
    let asks = json!([{"name": "a", "resources": {"requests": {"cpu": "1"}}}]);
    let selector = |scope: &str, operator: &str, values: &[&str]| json!({"scopeSelector": {"matchExpressions": [{"scopeName": scope, "operator": operator, "values": values}]}});
    let term = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "podAffinityTerm": {"namespaceSelector": {}}}]}});
    for (quota, spec, expect) in [
        (json!({"scopes": ["Terminating"]}), json!({"activeDeadlineSeconds": 0}), true),
        (json!({"scopes": ["Terminating"]}), json!({}), false),
        (json!({"scopes": ["NotTerminating", "BestEffort"]}), json!({"containers": [{"name": "a"}]}), true),
        (json!({"scopes": ["NotTerminating", "BestEffort"]}), json!({"containers": asks}), false),
        (json!({"scopes": ["NotBestEffort"]}), json!({"containers": asks}), true),
        (json!({"scopes": ["PriorityClass"]}), json!({"priorityClassName": "x"}), true),
        (json!({"scopes": ["PriorityClass"]}), json!({}), false),
        (selector("PriorityClass", "In", &["x"]), json!({"priorityClassName": "x"}), true),
        (selector("PriorityClass", "In", &["x"]), json!({"priorityClassName": "y"}), false),
        (selector("PriorityClass", "NotIn", &["x"]), json!({}), true),
        (selector("PriorityClass", "DoesNotExist", &[]), json!({}), true),
        (json!({"scopes": ["CrossNamespacePodAffinity"]}), json!({"affinity": term}), true),
        (json!({"scopes": ["CrossNamespacePodAffinity"]}), json!({}), false),
        (json!({"scopes": ["VolumeAttributesClass"]}), json!({}), false),
    ] {
        let quota = json!({"spec": quota});
        assert_eq!(pods.in_scopes(&quota, &json!({"spec": spec})), expect, "{quota} {spec}");
    }
    let claims = Evaluator::of(&GroupResource::new("", "persistentvolumeclaims"));
    let quota = json!({"spec": selector("VolumeAttributesClass", "In", &["fast"])});
    assert!(claims.in_scopes(&quota, &json!({"status": {"currentVolumeAttributesClassName": "fast"}})));
    assert!(!claims.in_scopes(&quota, &json!({"spec": {"volumeAttributesClassName": "slow"}})));
    let secrets = Evaluator::of(&GroupResource::new("", "secrets"));
    assert!(!secrets.in_scopes(&json!({"spec": {"scopes": ["BestEffort"]}}), &json!({})));
}

#[test]
fn a_total_has_every_limit_that_is_tracked() {
    let pods = Evaluator::of(&GroupResource::new("", "pods"));
    let hard = resource_list::parse(Some(&json!({"pods": "2", "requests.cpu": "1", "secrets": "1"})));
    let pod = json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "100m"}}}]}});
    let total = |objects: &[Value]| show(&pods.total(&json!({}), objects, &hard, now()));
    assert_eq!(total(&[]), "pods=0,requests.cpu=0");
    assert_eq!(total(&[pod.clone(), pod]), "pods=2,requests.cpu=200m");
}
