//! Disruption budgets in a whole cluster: evictions are counted, refused, and allowed again.

#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, EvictParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_tests::wait::{until, until_within};

/// Clients ask again for a while when they are refused for now, so pods take longer than that to be ready.
const LONG: Duration = Duration::from_secs(1500);

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// `currentHealthy`, `desiredHealthy`, `expectedPods` and `disruptionsAllowed`.
fn figures(budget: Option<&PodDisruptionBudget>) -> [i64; 4] {
    let status = json!(budget.and_then(|budget| budget.status.as_ref()));
    let figure = |field: &str| status[field].as_i64().unwrap_or(-1);
    ["currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed"].map(figure)
}

fn reason(budget: &PodDisruptionBudget) -> String {
    let conditions = budget.status.as_ref().unwrap().conditions.iter().flatten();
    conditions.map(|it| format!("{}={} {}", it.type_, it.status, it.reason)).collect()
}

fn deployment(ready: bool) -> Deployment {
    let annotations =
        if ready { json!({"steersman.dev/ready-delay": "10m"}) } else { json!({"steersman.dev/ready": "false"}) };
    object(json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}, "annotations": annotations},
            "spec": {"containers": [{"name": "a", "image": "a"}]},
        },
    }}))
}

fn budget(limits: Value) -> PodDisruptionBudget {
    let mut spec = json!({"selector": {"matchLabels": {"app": "web"}}});
    spec.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
    object(json!({"metadata": {"name": "web"}, "spec": spec}))
}

#[tokio::test(start_paused = true)]
async fn evictions_are_refused_below_the_budget_and_allowed_when_pods_are_healthy_again() {
    let cluster = Cluster::builder().nodes(2).virtual_time().start().await.unwrap();
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(cluster.client());
    let deployments: Api<Deployment> = Api::default_namespaced(cluster.client());
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    budgets.create(&PostParams::default(), &budget(json!({"maxUnavailable": "30%"}))).await.unwrap();
    until(&budgets, "web", "counted", |it| figures(it) == [0, 0, 0, 0]).await;
    deployments.create(&PostParams::default(), &deployment(true)).await.unwrap();
    let full = until_within(LONG, &budgets, "web", "full", |it| figures(it) == [3, 2, 3, 1]).await.unwrap();
    assert_eq!(reason(&full), "DisruptionAllowed=True SufficientPods");
    let names = async || {
        let pods = pods.list(&ListParams::default()).await.unwrap().items;
        pods.into_iter().map(|pod| pod.metadata.name.unwrap()).collect::<Vec<_>>()
    };
    let before = names().await;
    pods.evict(&before[0], &EvictParams::default()).await.unwrap();
    let refused = pods.evict(&before[1], &EvictParams::default()).await.unwrap_err();
    assert!(refused.to_string().contains("violate the pod's disruption budget"), "{refused}");
    let again = until_within(LONG, &budgets, "web", "full again", |it| figures(it) == [3, 2, 3, 1]).await.unwrap();
    assert_eq!(again.status.unwrap().disrupted_pods, None, "what went is forgotten");
    pods.evict(&before[1], &EvictParams::default()).await.unwrap();
    until_within(LONG, &budgets, "web", "full once more", |it| figures(it) == [3, 2, 3, 1]).await;
    // The scale counts, not the pods that there are.
    let five = Patch::Merge(json!({"spec": {"replicas": 5}}));
    deployments.patch("web", &PatchParams::default(), &five).await.unwrap();
    until_within(LONG, &budgets, "web", "scaled", |it| figures(it) == [5, 3, 5, 2]).await;
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_not_ready_use_up_the_budget() {
    let cluster = Cluster::builder().nodes(1).virtual_time().start().await.unwrap();
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(cluster.client());
    let deployments: Api<Deployment> = Api::default_namespaced(cluster.client());
    deployments.create(&PostParams::default(), &deployment(false)).await.unwrap();
    budgets.create(&PostParams::default(), &budget(json!({"minAvailable": 2}))).await.unwrap();
    let none = until(&budgets, "web", "none healthy", |it| figures(it) == [0, 2, 3, 0]).await.unwrap();
    assert_eq!(reason(&none), "DisruptionAllowed=False InsufficientPods");
}

#[tokio::test(start_paused = true)]
async fn pods_whose_owner_has_no_scale_cannot_be_counted_and_a_stale_mark_is_taken_back() {
    let cluster = Cluster::builder().nodes(1).virtual_time().start().await.unwrap();
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(cluster.client());
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::default_namespaced(cluster.client());
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    let owner = maps.create(&PostParams::default(), &object(json!({"metadata": {"name": "owner"}}))).await.unwrap();
    let owner = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid, "controller": true,
    });
    let metadata = json!({"name": "p", "labels": {"app": "web"}, "ownerReferences": [owner]});
    let pod = json!({"metadata": metadata, "spec": {"containers": [{"name": "a", "image": "a"}]}});
    pods.create(&PostParams::default(), &object(pod)).await.unwrap();
    budgets.create(&PostParams::default(), &budget(json!({"maxUnavailable": 1}))).await.unwrap();
    let failed = |it: Option<&PodDisruptionBudget>| {
        it.is_some_and(|it| it.status.is_some() && reason(it) == "DisruptionAllowed=False SyncFailed")
    };
    let failed = until(&budgets, "web", "failed", failed).await.unwrap();
    let message = failed.status.unwrap().conditions.unwrap().remove(0).message;
    assert_eq!(message, "configmaps does not implement the scale subresource");

    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "m",
        "lastTransitionTime": "2020-01-01T00:00:00Z",
    });
    let mark = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
    pods.patch_status("p", &PatchParams::default(), &mark).await.unwrap();
    let condition = |pod: &Pod| {
        let mut conditions = pod.status.clone().unwrap().conditions.unwrap_or_default().into_iter();
        conditions.find(|it| it.type_ == "DisruptionTarget")
    };
    let taken_back = |pod: Option<&Pod>| pod.and_then(condition).is_some_and(|it| it.status == "False");
    let pod = until_within(Duration::from_secs(180), &pods, "p", "unmarked", taken_back).await.unwrap();
    let condition = condition(&pod).unwrap();
    assert_eq!((condition.reason, condition.message), (None, None));
}
