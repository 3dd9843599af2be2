//! Devices, extended resources that stand for them, and features of nodes.

use super::*;

fn asks_for_gpu() -> Value {
    p("1", json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"example.com/gpu": "1"}}}]}}))
}

fn class(extended: Value) -> Value {
    json!({"metadata": {"name": "gpu"}, "spec": extended})
}

fn stands_for(resource: &str) -> Value {
    class(json!({"extendedResourceName": resource}))
}

fn claim(name: &str, status: Value) -> Value {
    let request = json!({"name": "r", "exactly": {"deviceClassName": "gpu", "count": 1}});
    json!({"metadata": {"name": name, "namespace": "default", "uid": name}, "status": status,
        "spec": {"devices": {"requests": [request]}}})
}

fn held() -> Value {
    json!({"allocation": {"devices": {"results": [{"request": "r", "driver": "x", "pool": "p", "device": "d"}]}}})
}

fn slice(name: &str, pool: &str) -> Value {
    let pool = json!({"name": pool, "generation": 1, "resourceSliceCount": 1});
    json!({"metadata": {"name": name},
        "spec": {"driver": "x", "allNodes": true, "pool": pool, "devices": [{"name": "d"}]}})
}

fn needs_restarts() -> Value {
    let rules = json!([{"action": "RestartAllContainers"}]);
    p("1", json!({"spec": {"containers": [{"name": "c", "restartPolicyRules": rules}]}}))
}

fn declares(name: &str) -> Value {
    let features = json!({"declaredFeatures": ["RestartAllContainersOnContainerExits"]});
    changed(node(name, "4"), json!({"status": features}))
}

pub(super) fn scenes() -> Vec<Scene> {
    [extended(), claims(), features()].into_iter().flatten().collect()
}

fn extended() -> Vec<Scene> {
    let bare = || ("nodes", node("n1", "4"));
    let full = [
        ("nodes", allocatable(json!({"example.com/gpu": "1"}))),
        (
            "pods",
            changed(asks_for_gpu(), json!({"metadata": {"name": "other", "uid": "o"}, "spec": {"nodeName": "n1"}})),
        ),
    ];
    vec![
        Scene::new([bare()], asks_for_gpu())
            .wakes("the node gets the extended resource", {
                set("nodes", changed(node("n1", "4"), json!({"status": {"allocatable": {"example.com/gpu": "1"}}})))
            })
            .wakes("a class stands for the extended resource", set("deviceclasses", stands_for("example.com/gpu")))
            .sleeps("a class stands for another resource", set("deviceclasses", stands_for("example.com/npu"))),
        Scene::new([bare(), ("deviceclasses", class(json!({})))], asks_for_gpu())
            .wakes("a class begins to stand for it", set("deviceclasses", stands_for("example.com/gpu"))),
        Scene::new(full, asks_for_gpu())
            .sleeps("a node that has the resource gets more cpu", {
                set(
                    "nodes",
                    changed(allocatable(json!({"example.com/gpu": "1"})), json!({"metadata": {"labels": {"x": "y"}}})),
                )
            })
            .wakes("who has it goes", gone("pods", "other")),
    ]
}

fn claims() -> Vec<Scene> {
    let pod = || p("1", json!({"spec": {"resourceClaims": [{"name": "a", "resourceClaimName": "c"}]}}));
    let scarce = [
        ("nodes", node("n1", "4")),
        ("deviceclasses", class(json!({}))),
        ("resourceslices", slice("s", "p")),
        ("resourceclaims", claim("c", json!({}))),
        ("resourceclaims", claim("other", held())),
    ];
    let reserved = changed(held(), json!({"reservedFor": [{"uid": "x"}]}));
    vec![
        Scene::new(scarce, pod())
            .wakes("another claim gives its device back", set("resourceclaims", claim("other", json!({}))))
            .wakes("another claim goes with its device", gone("resourceclaims", "other"))
            .sleeps("another claim is reserved", set("resourceclaims", claim("other", reserved)))
            .sleeps("its own claim gets a label", set("resourceclaims", noted(claim("c", json!({})))))
            .wakes("a driver publishes more", set("resourceslices", slice("t", "q")))
            .wakes("a driver publishes something else", set("resourceslices", noted(slice("s", "p"))))
            .wakes("a node comes", set("nodes", node("n2", "4"))),
        Scene::new([("nodes", node("n1", "4")), ("resourceclaims", claim("c", json!({})))], pod())
            .wakes("the class of devices comes", set("deviceclasses", class(json!({})))),
    ]
}

fn features() -> Vec<Scene> {
    vec![
        Scene::new([("nodes", node("n1", "4"))], needs_restarts())
            .wakes("the node declares the feature", set("nodes", declares("n1")))
            .wakes("a node that declares it comes", set("nodes", declares("n2")))
            .sleeps("the node changes otherwise", set("nodes", node("n1", "8")))
            .wakes("the pod does not need the feature any more", set("pods", pod("p", "1")))
            .sleeps("the pod changes otherwise", set("pods", noted(needs_restarts()))),
    ]
}
