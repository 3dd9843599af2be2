use serde_json::json;

use super::*;

#[track_caller]
fn check(old: Option<Value>, new: Option<Value>, expect: &[(&str, &str)]) {
    let lines = tell(old.as_ref(), new.as_ref());
    let found: Vec<_> = lines.iter().map(|line| (line.who.as_str(), line.what.as_str())).collect();
    assert_eq!(found, expect);
}

fn nginx() -> Value {
    json!({
        "kind": "Deployment",
        "metadata": {"name": "nginx", "managedFields": [{
            "manager": "you",
            "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {"f:image": {}}}}}},
        }]},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"image": "nginx:stable"}]}}},
    })
}

fn managed(object: &mut Value, manager: &str, subresource: &str) {
    let entries = object["metadata"]["managedFields"].as_array_mut().unwrap();
    entries.push(json!({"manager": manager, "subresource": subresource}));
}

#[test]
fn a_deployment_is_created_changed_and_gone() {
    check(None, Some(nginx()), &[("you", "creates Deployment nginx: 1 × nginx:stable")]);
    let mut changed = nginx();
    changed["spec"]["replicas"] = json!(5);
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("nginx:mainline");
    check(
        Some(nginx()),
        Some(changed),
        &[
            ("you", "scales Deployment nginx: 1 → 5"),
            ("you", "changes Deployment nginx: image nginx:stable → nginx:mainline"),
        ],
    );
    check(Some(nginx()), None, &[("apiserver", "Deployment nginx is gone")]);
    check(Some(nginx()), Some(nginx()), &[]);
}

#[test]
fn a_status_is_told_with_its_writer() {
    let mut new = nginx();
    new["status"] =
        json!({"observedGeneration": 1, "replicas": 1, "conditions": [{"type": "Available", "reason": "Enough"}]});
    managed(&mut new, "kube-controller-manager", "status");
    check(
        Some(nginx()),
        Some(new),
        &[
            (
                "kube-controller-manager",
                "writes status of Deployment nginx: observed generation 1, 0 updated, 0 ready, 0 available of 1",
            ),
            ("kube-controller-manager", "writes status of Deployment nginx: Available because Enough"),
        ],
    );
}

#[test]
fn a_pod_is_bound_by_its_scheduler_and_reported_by_its_node() {
    let pod = |node: &str, phase: &str| {
        json!({
            "kind": "Pod",
            "metadata": {"name": "a", "managedFields": [{"manager": "kubelet", "subresource": "status"}]},
            "spec": {"nodeName": node, "schedulerName": "default-scheduler"},
            "status": {"phase": phase},
        })
    };
    check(Some(pod("", "Pending")), Some(pod("node-1", "Pending")), &[("default-scheduler", "binds Pod a to node-1")]);
    check(
        Some(pod("node-1", "Pending")),
        Some(pod("node-1", "Running")),
        &[("kubelet", "reports Pod a on node-1: Running, not ready")],
    );
}

#[test]
fn an_event_is_told_once_for_each_count() {
    let event = |count: i64| {
        json!({"kind": "Event", "metadata": {"name": "e"}, "source": {"component": "deployment-controller"},
               "reason": "ScalingReplicaSet", "message": "Scaled up", "count": count})
    };
    let line = ("deployment-controller", "says ScalingReplicaSet: Scaled up");
    check(None, Some(event(1)), &[line]);
    check(Some(event(1)), Some(event(1)), &[]);
    check(Some(event(1)), Some(event(2)), &[line]);
    check(Some(event(1)), None, &[]);
}
