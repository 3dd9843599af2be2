//! What controllers do beside the great loops: quotas are counted, lost nodes are emptied, storage goes when it is free.

#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod, ResourceQuota};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_tests::wait::{until, until_within};

async fn create<K>(api: &Api<K>, object: Value) -> kube::Result<K>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await
}

fn used(quota: &ResourceQuota, name: &str) -> Option<String> {
    Some(quota.status.as_ref()?.used.as_ref()?.get(name)?.0.clone())
}

#[tokio::test(start_paused = true)]
async fn a_quota_counts_what_is_there_and_gives_back_what_goes() {
    let cluster = Cluster::builder().virtual_time().start().await.unwrap();
    let quotas: Api<ResourceQuota> = Api::default_namespaced(cluster.client());
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    // Every namespace has a ConfigMap from the beginning; one that was made before the quota counts as well.
    let before = maps.list(&Default::default()).await.unwrap().items.len();
    create(&maps, json!({"metadata": {"name": "a"}})).await.unwrap();
    let (one, two) = ((before + 1).to_string(), (before + 2).to_string());
    let hard = json!({"count/configmaps": two, "pods": "1"});
    create(&quotas, json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})).await.unwrap();
    let counted = |expect: &str| {
        let expect = expect.to_owned();
        move |quota: Option<&ResourceQuota>| used(quota.unwrap(), "count/configmaps").as_ref() == Some(&expect)
    };
    let quota = until(&quotas, "q", "counted", counted(&one)).await.unwrap();
    assert_eq!(used(&quota, "pods").as_deref(), Some("0"));
    create(&maps, json!({"metadata": {"name": "b"}})).await.unwrap();
    until(&quotas, "q", "used up", counted(&two)).await;
    let refused = create(&maps, json!({"metadata": {"name": "c"}})).await.unwrap_err();
    assert!(refused.to_string().contains("exceeded quota: q, requested: count/configmaps=1"), "{refused}");
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    until(&quotas, "q", "given back", counted(&one)).await;
    create(&maps, json!({"metadata": {"name": "c"}})).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_loses_its_pods_after_five_minutes() {
    // Two nodes are there, and one that says once that it is ready and then nothing more.
    let cluster = Cluster::builder().nodes(2).virtual_time().start().await.unwrap();
    let nodes: Api<Node> = Api::all(cluster.client());
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    create(&nodes, json!({"metadata": {"name": "lost"}})).await.unwrap();
    let ready = json!({"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"});
    let status = Patch::Merge(json!({"status": {"conditions": [ready]}}));
    nodes.patch_status("lost", &PatchParams::default(), &status).await.unwrap();
    let taints = |node: &Node| -> Vec<String> {
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        taints
            .iter()
            .map(|taint| format!("{}:{}", taint.key.trim_start_matches("node.kubernetes.io/"), taint.effect))
            .collect()
    };
    until(&nodes, "lost", "open", |node| taints(node.unwrap()).is_empty()).await;
    let containers = json!([{"name": "a", "image": "a"}]);
    let spec = json!({"nodeName": "lost", "containers": containers});
    create(&pods, json!({"metadata": {"name": "web"}, "spec": spec})).await.unwrap();

    let start = tokio::time::Instant::now();
    let both = |node: Option<&Node>| taints(node.unwrap()) == ["unreachable:NoSchedule", "unreachable:NoExecute"];
    until_within(Duration::from_secs(120), &nodes, "lost", "unreachable", both).await;
    let silent = start.elapsed().as_secs();
    assert!((50..=70).contains(&silent), "unreachable after {silent} s");
    let evicted = |pod: Option<&Pod>| pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some());
    let pod = until_within(Duration::from_secs(600), &pods, "web", "evicted", evicted).await;
    let tolerated = start.elapsed().as_secs() - silent;
    assert!((299..=301).contains(&tolerated), "evicted after {tolerated} s");
    let conditions = pod.unwrap().status.unwrap().conditions.unwrap_or_default();
    assert!(conditions.iter().any(|it| it.reason.as_deref() == Some("DeletionByTaintManager")), "{conditions:?}");
}

#[tokio::test(start_paused = true)]
async fn a_claim_goes_when_its_last_pod_has_gone() {
    let cluster = Cluster::builder().nodes(1).without_scheduler().virtual_time().start().await.unwrap();
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(cluster.client());
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    let resources = json!({"requests": {"storage": "1Gi"}});
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": resources});
    create(&claims, json!({"metadata": {"name": "data"}, "spec": spec})).await.unwrap();
    let volume = json!({"name": "v", "persistentVolumeClaim": {"claimName": "data"}});
    let spec = json!({"nodeName": "node-0", "containers": [{"name": "a", "image": "a"}], "volumes": [volume]});
    create(&pods, json!({"metadata": {"name": "web"}, "spec": spec})).await.unwrap();
    claims.delete("data", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(claims.get("data").await.unwrap().metadata.deletion_timestamp.is_some());
    pods.delete("web", &DeleteParams::default()).await.unwrap();
    until(&claims, "data", "gone", |claim| claim.is_none()).await;
}
