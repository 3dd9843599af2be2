//! The scheduler against the API server: what becomes of pods, their conditions and events.

#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use k8s_openapi::api::core::v1::{LimitRange, Node, Pod};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_tests::wait::until;

/// A cluster of nodes with a scheduler and nothing else.
struct Scheduling {
    cluster: Cluster,
    pods: Api<Pod>,
}

impl Scheduling {
    async fn start(nodes: usize) -> Self {
        Self::with(nodes, "").await
    }

    /// The same with features of the API.
    async fn with(nodes: usize, features: &str) -> Self {
        let builder = Cluster::builder().nodes(nodes).without_controllers().virtual_time();
        let builder = builder.api_features(features.parse().unwrap());
        let cluster = builder.disable_admission(["ServiceAccount"]).start().await.unwrap();
        let pods = Api::default_namespaced(cluster.client());
        Self { cluster, pods }
    }

    async fn create(&self, name: &str, fields: Value) {
        let mut pod = json!({
            "metadata": { "name": name, "labels": { "app": "web" } },
            "spec": { "containers": [{ "name": "app", "image": "nginx:1" }] },
        });
        for (field, value) in fields.as_object().unwrap() {
            pod["spec"][field] = value.clone();
        }
        self.pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }

    /// The node of a pod, when it has one.
    async fn node_of(&self, name: &str) -> String {
        let bound = |pod: Option<&Pod>| pod.is_some_and(|pod| node(pod).is_some());
        node(&until(&self.pods, name, "bound", bound).await.unwrap()).unwrap()
    }

    /// Why a pod has no node, as its condition says.
    async fn refused(&self, name: &str) -> (String, String) {
        let refused = |pod: Option<&Pod>| pod.is_some_and(|pod| condition(pod).is_some());
        condition(&until(&self.pods, name, "refused", refused).await.unwrap()).unwrap()
    }

    /// Events about a pod, as `Type Reason Component Note`.
    async fn events(&self, name: &str) -> Vec<String> {
        // Events are written beside the binding: let them come.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let events: Api<Event> = Api::default_namespaced(self.cluster.client());
        let all = events.list(&ListParams::default()).await.unwrap().items;
        let about = all.into_iter().filter(|event| {
            let regarding = event.regarding.as_ref();
            regarding.and_then(|regarding| regarding.name.as_deref()) == Some(name)
                && event.reporting_controller.as_deref() == Some("default-scheduler")
        });
        let lines = about.map(|event| {
            let parts = [event.type_, event.reason, event.action, event.note];
            parts.map(Option::unwrap_or_default).join(" ")
        });
        lines.collect()
    }
}

fn node(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}

fn condition(pod: &Pod) -> Option<(String, String)> {
    let conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let refused = conditions.into_iter().find(|one| one.type_ == "PodScheduled" && one.status == "False")?;
    Some((refused.reason.clone().unwrap_or_default(), refused.message.clone().unwrap_or_default()))
}

/// Not on a node with another of the kind.
fn apart() -> Value {
    let term = json!({
        "labelSelector": { "matchLabels": { "app": "web" } },
        "topologyKey": "kubernetes.io/hostname",
    });
    json!({ "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] } } })
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_bound_and_an_event_tells_of_it() {
    let scheduling = Scheduling::start(1).await;
    scheduling.create("a", json!({})).await;
    assert_eq!(scheduling.node_of("a").await, "node-0");
    let pod = scheduling.pods.get("a").await.unwrap();
    let scheduled = pod.status.unwrap().conditions.unwrap();
    assert!(scheduled.iter().any(|one| one.type_ == "PodScheduled" && one.status == "True"), "{scheduled:?}");
    let expect = "Normal Scheduled Binding Successfully assigned default/a to node-0";
    assert_eq!(scheduling.events("a").await, [expect]);
}

#[tokio::test(start_paused = true)]
async fn pods_that_want_to_be_apart_are() {
    let scheduling = Scheduling::start(3).await;
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        scheduling.create(name, apart()).await;
        nodes.push(scheduling.node_of(name).await);
    }
    nodes.sort();
    assert_eq!(nodes, ["node-0", "node-1", "node-2"]);
    scheduling.create("d", apart()).await;
    let message = "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.";
    let (reason, found) = scheduling.refused("d").await;
    assert_eq!(reason, "Unschedulable");
    assert!(found.starts_with(message), "{found}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_pod_says_why_and_is_placed_when_the_reason_is_gone() {
    let scheduling = Scheduling::start(1).await;
    let nodes: Api<Node> = Api::all(scheduling.cluster.client());
    let cordon = |on: bool| Patch::Merge(json!({ "spec": { "unschedulable": on } }));
    nodes.patch("node-0", &PatchParams::default(), &cordon(true)).await.unwrap();
    scheduling.create("a", json!({})).await;
    let (reason, message) = scheduling.refused("a").await;
    assert_eq!(reason, "Unschedulable");
    assert!(message.starts_with("0/1 nodes are available: 1 node(s) were unschedulable."), "{message}");
    let events = scheduling.events("a").await;
    assert_eq!(events[0], format!("Warning FailedScheduling Scheduling {message}"));
    nodes.patch("node-0", &PatchParams::default(), &cordon(false)).await.unwrap();
    assert_eq!(scheduling.node_of("a").await, "node-0");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_deleted_makes_room() {
    let scheduling = Scheduling::start(1).await;
    let port = json!({ "containers": [{
        "name": "app", "image": "nginx:1", "ports": [{ "containerPort": 80, "hostPort": 80 }] }] });
    scheduling.create("a", port.clone()).await;
    scheduling.node_of("a").await;
    scheduling.create("b", port).await;
    let message = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.";
    assert!(scheduling.refused("b").await.1.starts_with(message));
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    scheduling.pods.delete("a", &now).await.unwrap();
    assert_eq!(scheduling.node_of("b").await, "node-0");
}

#[tokio::test(start_paused = true)]
async fn gated_pods_wait_until_the_gate_is_gone() {
    let scheduling = Scheduling::start(1).await;
    scheduling.create("a", json!({ "schedulingGates": [{ "name": "example.com/hold" }] })).await;
    assert_eq!(scheduling.refused("a").await.0, "SchedulingGated");
    assert_eq!(scheduling.events("a").await, [""; 0]);
    let open = Patch::Merge(json!({ "spec": { "schedulingGates": [] } }));
    scheduling.pods.patch("a", &PatchParams::default(), &open).await.unwrap();
    assert_eq!(scheduling.node_of("a").await, "node-0");
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_high_priority_takes_the_place_of_a_lower_one() {
    let scheduling = Scheduling::start(1).await;
    let classes: Api<PriorityClass> = Api::all(scheduling.cluster.client());
    let class = json!({ "metadata": { "name": "high" }, "value": 1000 });
    classes.create(&PostParams::default(), &serde_json::from_value(class).unwrap()).await.unwrap();
    let mut spec = json!({ "containers": [{
        "name": "app", "image": "nginx:1", "ports": [{ "containerPort": 80, "hostPort": 80 }] }] });
    scheduling.create("low", spec.clone()).await;
    scheduling.node_of("low").await;
    spec["priorityClassName"] = json!("high");
    scheduling.create("high", spec).await;
    assert_eq!(scheduling.node_of("high").await, "node-0");
    assert!(scheduling.pods.get_opt("low").await.unwrap().is_none());
    // It was nominated until it was bound.
    let status = scheduling.pods.get("high").await.unwrap().status.unwrap();
    assert_eq!(status.nominated_node_name, None);
    let events = scheduling.events("low").await;
    assert!(
        events.iter().any(|event| event.starts_with("Normal Preempted Preempting Preempted by pod ")),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn pod_priority_resolution() {
    let scheduling = Scheduling::start(1).await;
    for (class, priority) in [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)] {
        scheduling.create(class, json!({ "priorityClassName": class })).await;
        let spec = scheduling.pods.get(class).await.unwrap().spec.unwrap();
        assert_eq!(spec.priority, Some(priority));
    }
    let unknown = json!({ "metadata": { "name": "x" },
        "spec": { "priorityClassName": "unknown", "containers": [{ "name": "c", "image": "i" }] } });
    let error = scheduling.pods.create(&PostParams::default(), &serde_json::from_value(unknown).unwrap()).await;
    assert!(error.unwrap_err().to_string().contains("no PriorityClass with name unknown was found"));
}

#[tokio::test(start_paused = true)]
async fn pod_affinity_match_label_keys() {
    // Pods of one version stay away from each other, and only from each other: the API server has put the version into the
    // selector.
    let scheduling = Scheduling::start(2).await;
    let term = |field: &str| {
        json!({ "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
            { "labelSelector": { "matchLabels": { "app": "web" } }, "topologyKey": "kubernetes.io/hostname",
              field: ["version"] }] } } })
    };
    let create = async |name: &str, version: &str, field: &str| {
        let mut pod = json!({ "metadata": { "name": name, "labels": { "app": "web", "version": version } },
            "spec": { "containers": [{ "name": "c", "image": "i" }] } });
        pod["spec"]["affinity"] = term(field)["affinity"].clone();
        scheduling.pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    };
    for (name, version) in [("a1", "1"), ("a2", "1"), ("b1", "2"), ("b2", "2")] {
        create(name, version, "matchLabelKeys").await;
    }
    let (a1, a2) = (scheduling.node_of("a1").await, scheduling.node_of("a2").await);
    let (b1, b2) = (scheduling.node_of("b1").await, scheduling.node_of("b2").await);
    assert!(a1 != a2 && b1 != b2, "{a1} {a2} {b1} {b2}");
    create("a3", "1", "matchLabelKeys").await;
    assert!(scheduling.refused("a3").await.1.contains("didn't match pod anti-affinity rules"));
    // It stays away from those of other versions: there is no node without one.
    create("c1", "3", "mismatchLabelKeys").await;
    assert!(scheduling.refused("c1").await.1.contains("didn't match pod anti-affinity rules"));
    // A selector that makes no sense does not get this far.
    let mut pod = json!({ "metadata": { "name": "x" }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    pod["spec"]["affinity"] = term("matchLabelKeys")["affinity"].clone();
    pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]["labelSelector"] =
        json!({ "matchExpressions": [{ "key": "app", "operator": "Near" }] });
    let error = scheduling.pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await;
    assert!(error.unwrap_err().to_string().contains("is invalid"));
}

#[tokio::test(start_paused = true)]
async fn taint_toleration_gt_lt() {
    let scheduling = Scheduling::with(1, "TaintTolerationComparisonOperators=true").await;
    let nodes: Api<Node> = Api::all(scheduling.cluster.client());
    let taint = json!({ "spec": { "taints": [{ "key": "sla", "value": "950", "effect": "NoSchedule" }] } });
    nodes.patch("node-0", &PatchParams::default(), &Patch::Merge(taint)).await.unwrap();
    let tolerates = |operator: &str, value: &str| json!({ "tolerations": [{ "key": "sla", "operator": operator, "value": value }] });
    scheduling.create("above", tolerates("Gt", "900")).await;
    scheduling.create("below", tolerates("Lt", "1000")).await;
    scheduling.create("higher", tolerates("Gt", "950")).await;
    for name in ["above", "below"] {
        assert_eq!(scheduling.node_of(name).await, "node-0");
    }
    assert!(scheduling.refused("higher").await.1.contains("1 node(s) had untolerated taint(s)"));
}

#[tokio::test(start_paused = true)]
async fn limit_range_and_pods_that_name_their_node() {
    let scheduling = Scheduling::start(1).await;
    let nodes: Api<Node> = Api::all(scheduling.cluster.client());
    let status = nodes.get("node-0").await.unwrap().status.unwrap();
    let cpu = status.allocatable.unwrap()["cpu"].0.clone();
    // Who names a node is not scheduled; what it takes is taken.
    let all = json!([{ "name": "c", "image": "i", "resources": { "requests": { "cpu": cpu } } }]);
    scheduling.create("pinned", json!({ "nodeName": "node-0", "containers": all })).await;
    scheduling.create("none", json!({})).await;
    assert_eq!(scheduling.node_of("none").await, "node-0");
    assert_eq!(scheduling.events("pinned").await, [""; 0]);
    // What a LimitRange gives to those who ask for nothing counts.
    let limits: Api<LimitRange> = Api::default_namespaced(scheduling.cluster.client());
    let limit = json!({ "metadata": { "name": "l" },
        "spec": { "limits": [{ "type": "Container", "defaultRequest": { "cpu": "100m" } }] } });
    limits.create(&PostParams::default(), &serde_json::from_value(limit).unwrap()).await.unwrap();
    scheduling.create("limited", json!({})).await;
    assert!(scheduling.refused("limited").await.1.contains("1 Insufficient cpu"));
}
