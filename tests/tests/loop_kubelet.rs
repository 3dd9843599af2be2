//! Simulated nodes against the API server: what becomes of pods and nodes, without controllers and scheduler.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what is not as expected fails the test")]

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition, PodStatus};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_tests::wait::{until, until_within};

/// A cluster of one node, and what lives on it.
struct OneNode {
    cluster: Cluster,
    pods: Api<Pod>,
}

impl OneNode {
    async fn start() -> Self {
        let builder = Cluster::builder().nodes(1).without_controllers().without_scheduler().virtual_time();
        let cluster = builder.disable_admission(["ServiceAccount"]).start().await.unwrap();
        let pods = Api::default_namespaced(cluster.client());
        Self { cluster, pods }
    }

    /// Creates a bound pod with these fields laid over the usual ones.
    async fn create(&self, metadata: Value, spec: Value) -> Pod {
        let mut pod = json!({
            "metadata": { "name": "web" },
            "spec": { "nodeName": "node-0", "containers": [{ "name": "app", "image": "nginx:1" }] },
        });
        for (part, fields) in [("metadata", metadata), ("spec", spec)] {
            for (field, value) in fields.as_object().unwrap() {
                pod[part][field] = value.clone();
            }
        }
        let pod = serde_json::from_value(pod).unwrap();
        self.pods.create(&PostParams::default(), &pod).await.unwrap()
    }

    async fn patch(&self, patch: Value) {
        self.pods.patch("web", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn until(&self, what: &str, done: impl Fn(&PodStatus) -> bool) -> PodStatus {
        let found = until(&self.pods, "web", what, |pod| pod.is_some_and(|pod| done(status(pod)))).await;
        status(&found.unwrap()).clone()
    }
}

fn status(pod: &Pod) -> &PodStatus {
    pod.status.as_ref().unwrap()
}

fn condition<'a>(status: &'a PodStatus, kind: &str) -> &'a PodCondition {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == kind).unwrap_or_else(|| panic!("no {kind} in {status:#?}"))
}

fn is_ready(status: &PodStatus) -> bool {
    status.conditions.iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn phase(status: &PodStatus) -> &str {
    status.phase.as_deref().unwrap_or_default()
}

fn restarts(status: &PodStatus) -> i32 {
    status.container_statuses.iter().flatten().map(|container| container.restart_count).sum()
}

#[tokio::test(start_paused = true)]
async fn a_bound_pod_is_ready_after_one_write_and_its_status_is_complete() {
    let node = OneNode::start().await;
    let created = node.create(json!({}), json!({})).await;
    let mut events =
        node.pods.watch(&WatchParams::default(), &created.metadata.resource_version.unwrap()).await.unwrap().boxed();
    let Some(WatchEvent::Modified(pod)) = events.try_next().await.unwrap() else { panic!("no change") };
    let status = status(&pod);
    assert_eq!(phase(status), "Running");
    for kind in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"] {
        let condition = condition(status, kind);
        assert_eq!((&*condition.status, condition.observed_generation), ("True", Some(1)), "{kind}");
        assert!(condition.last_transition_time.is_some(), "{kind}");
    }
    assert_eq!(status.conditions.iter().flatten().count(), 5);
    assert_eq!(status.pod_ip.as_deref(), Some("10.244.0.2"));
    assert_eq!(status.host_ip.as_deref(), Some("172.18.0.2"));
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"), "what is not the kubelet's stays");
    let managers = pod.metadata.managed_fields.unwrap();
    assert!(managers.iter().any(|entry| entry.manager.as_deref() == Some("kubelet")));
    tokio::time::sleep(Duration::from_secs(600)).await;
    let later = node.pods.get("web").await.unwrap();
    assert_eq!(later.metadata.resource_version, pod.metadata.resource_version, "it is left alone from then on");
}

#[tokio::test(start_paused = true)]
async fn readiness_is_held_by_an_annotation_and_leaves_no_reason_behind() {
    let node = OneNode::start().await;
    node.create(json!({ "annotations": { "steersman.dev/ready": "false" } }), json!({})).await;
    let held = node.until("running", |status| phase(status) == "Running").await;
    assert_eq!(condition(&held, "Ready").reason.as_deref(), Some("ContainersNotReady"));
    node.patch(json!({ "metadata": { "annotations": { "steersman.dev/ready": "true" } } })).await;
    let ready = node.until("ready", is_ready).await;
    for kind in ["Ready", "ContainersReady"] {
        let condition = condition(&ready, kind);
        assert_eq!((&condition.reason, &condition.message), (&None, &None), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn pods_complete_fail_and_crash_as_they_are_told() {
    let node = OneNode::start().await;
    let exits =
        |code: &str| json!({ "annotations": { "steersman.dev/exit-code": code, "steersman.dev/exit-after": "20s" } });
    for (code, policy, expect) in
        [("0", "Never", "Succeeded"), ("3", "Never", "Failed"), ("0", "OnFailure", "Succeeded")]
    {
        node.create(exits(code), json!({ "restartPolicy": policy })).await;
        let ended = node.until(expect, |status| phase(status) == expect).await;
        assert_eq!(
            condition(&ended, "Ready").reason.as_deref(),
            Some(if expect == "Failed" { "PodFailed" } else { "PodCompleted" })
        );
        node.pods.delete("web", &DeleteParams::default()).await.unwrap();
        until(&node.pods, "web", "gone", |pod| pod.is_none()).await;
    }

    node.create(exits("1"), json!({})).await;
    let waiting = node
        .until("backing off", |status| {
            let container = &status.container_statuses.as_ref().unwrap()[0];
            restarts(status) == 1 && container.state.as_ref().is_some_and(|state| state.waiting.is_some())
        })
        .await;
    let container = &waiting.container_statuses.unwrap()[0];
    let waiting = container.state.as_ref().unwrap().waiting.as_ref().unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("CrashLoopBackOff"));
    assert!(
        waiting.message.as_ref().unwrap().starts_with("back-off 10s restarting failed container=app pod=web_default(")
    );
    assert_eq!(container.last_state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 1);
    node.until("restarted again", |status| restarts(status) == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_goes_when_its_finalizers_do() {
    let node = OneNode::start().await;
    node.create(json!({ "finalizers": ["example.com/account"] }), json!({})).await;
    node.until("ready", is_ready).await;
    node.pods.delete("web", &DeleteParams::default()).await.unwrap();
    node.until("ended", |status| phase(status) == "Succeeded").await;
    node.patch(json!({ "metadata": { "finalizers": null } })).await;
    until(&node.pods, "web", "gone", |pod| pod.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_image_restarts_the_container() {
    let node = OneNode::start().await;
    node.create(json!({}), json!({})).await;
    node.until("ready", is_ready).await;
    let image = json!({ "spec": { "containers": [{ "name": "app", "image": "nginx:2" }] } });
    node.pods.patch("web", &PatchParams::default(), &Patch::Strategic(image)).await.unwrap();
    let restarted = node.until("restarted", |status| restarts(status) == 1).await;
    assert_eq!(restarted.container_statuses.as_ref().unwrap()[0].image, "nginx:2");
    assert_eq!(restarted.observed_generation, Some(2));
}

#[tokio::test(start_paused = true)]
async fn nodes_renew_their_leases_and_report_their_status() {
    let node = OneNode::start().await;
    let client = node.cluster.client();
    let nodes: Api<Node> = Api::all(client.clone());
    let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    let conditions = |node: &Node| node.status.clone().unwrap().conditions.unwrap();
    let before = nodes.get("node-0").await.unwrap();
    let first = until(&leases, "node-0", "there", |lease| lease.is_some()).await.unwrap().spec.unwrap();
    assert_eq!(first.holder_identity.as_deref(), Some("node-0"));

    tokio::time::sleep(Duration::from_secs(301)).await;
    let after = nodes.get("node-0").await.unwrap();
    assert_eq!(conditions(&after).len(), conditions(&before).len());
    for (before, after) in conditions(&before).iter().zip(conditions(&after)) {
        assert_eq!((&before.type_, &before.last_transition_time), (&after.type_, &after.last_transition_time));
        assert!(before.last_heartbeat_time < after.last_heartbeat_time);
    }
    let renewed = leases.get("node-0").await.unwrap().spec.unwrap();
    let elapsed = renewed.renew_time.unwrap().0.duration_since(first.renew_time.unwrap().0);
    assert_eq!(elapsed.as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn many_pods_on_many_nodes_become_ready_and_each_has_an_address() {
    const PODS: usize = 500;
    let builder = Cluster::builder().nodes(100).without_controllers().without_scheduler().virtual_time();
    let cluster = builder.disable_admission(["ServiceAccount"]).start().await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    for index in 0..PODS {
        let pod = json!({
            "metadata": { "name": format!("pod-{index}") },
            "spec": { "nodeName": format!("node-{}", index % 100), "containers": [{ "name": "app", "image": "nginx" }] },
        });
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }
    let last = format!("pod-{}", PODS - 1);
    until_within(Duration::from_secs(60), &pods, &last, "ready", |pod| pod.is_some_and(|pod| is_ready(status(pod))))
        .await;
    let list = pods.list(&ListParams::default()).await.unwrap();
    assert!(list.iter().all(|pod| is_ready(status(pod))));
    let addresses: std::collections::BTreeSet<_> = list.iter().map(|pod| status(pod).pod_ip.clone()).collect();
    assert_eq!(addresses.len(), PODS);
}
