//! What is cleared away since nobody else will: pods without a node, and Jobs whose time is over.

#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_tests::wait::until_within;

const LONG: Duration = Duration::from_secs(300);

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn is_marked(pod: &Pod) -> bool {
    let status = pod.status.as_ref().unwrap();
    let mut conditions = status.conditions.iter().flatten();
    status.phase.as_deref() == Some("Failed") && conditions.any(|it| it.reason.as_deref() == Some("DeletionByPodGC"))
}

#[tokio::test(start_paused = true)]
async fn pods_go_when_their_node_has_been_gone_for_forty_seconds() {
    let cluster = Cluster::builder().nodes(1).virtual_time().start().await.unwrap();
    let nodes: Api<Node> = Api::all(cluster.client());
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    nodes.create(&PostParams::default(), &object(json!({"metadata": {"name": "away"}}))).await.unwrap();
    let spec = json!({"nodeName": "away", "containers": [{"name": "a", "image": "a"}]});
    let metadata = json!({"name": "web", "finalizers": ["example.com/look"]});
    pods.create(&PostParams::default(), &object(json!({"metadata": metadata, "spec": spec}))).await.unwrap();
    nodes.delete("away", &DeleteParams::default()).await.unwrap();
    let start = tokio::time::Instant::now();
    let deleted = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some());
    let pod = until_within(LONG, &pods, "web", "deleted", deleted).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 40);
    assert!(is_marked(&pod), "{pod:?}");
    let open = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    pods.patch("web", &PatchParams::default(), &open).await.unwrap();
    until_within(LONG, &pods, "web", "gone", |pod| pod.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_goes_some_time_after_it_has_finished() {
    let cluster = Cluster::builder().virtual_time().start().await.unwrap();
    let jobs: Api<Job> = Api::default_namespaced(cluster.client());
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}});
    let spec = json!({"ttlSecondsAfterFinished": 90, "template": template});
    let job = jobs.create(&PostParams::default(), &object(json!({"metadata": {"name": "j"}, "spec": spec}))).await;
    let since = job.unwrap().metadata.creation_timestamp;
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": since});
    let conditions = [condition("FailureTarget"), condition("Failed")];
    let status = Patch::Merge(json!({"status": {"startTime": since, "conditions": conditions}}));
    jobs.patch_status("j", &PatchParams::default(), &status).await.unwrap();
    let start = tokio::time::Instant::now();
    until_within(LONG, &jobs, "j", "gone", |job| job.is_none()).await;
    assert!((88..=92).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}
