//! Namespaces: what is in each of them from the start, and how they end.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_tests::manifests::deployment;
use steersman_tests::wait::{until, until_rolled_out};

/// A cluster with a namespace `team` that has its service account.
async fn team() -> (Cluster, Client) {
    let cluster = Cluster::builder().nodes(1).virtual_time().start().await.unwrap();
    let client = cluster.client();
    create(&Api::<Namespace>::all(client.clone()), json!({"metadata": {"name": "team"}})).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "team");
    until(&accounts, "default", "there", |account| account.is_some()).await;
    (cluster, client)
}

async fn create<K>(api: &Api<K>, object: Value)
where
    K: Clone + serde::Serialize + serde::de::DeserializeOwned + std::fmt::Debug,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_default_service_account_comes_back() {
    let (_cluster, client) = team().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client, "team");
    let first = accounts.get("default").await.unwrap().metadata.uid;
    accounts.delete("default", &DeleteParams::default()).await.unwrap();
    let renewed = |account: Option<&ServiceAccount>| account.is_some_and(|account| account.metadata.uid != first);
    until(&accounts, "default", "another one", renewed).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_takes_everything_with_it() {
    let (_cluster, client) = team().await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "team");
    create(&Api::<ConfigMap>::namespaced(client.clone(), "team"), json!({"metadata": {"name": "settings"}})).await;
    deployments.create(&PostParams::default(), &deployment("web", 3)).await.unwrap();
    until_rolled_out(&deployments, "web").await;

    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.delete("team", &DeleteParams::default()).await.unwrap();
    until(&namespaces, "team", "gone", |namespace| namespace.is_none()).await;
    let pods: Api<Pod> = Api::all(client);
    assert!(pods.list(&Default::default()).await.unwrap().items.is_empty());
}

#[tokio::test(start_paused = true)]
async fn pods_go_first_and_nothing_else_goes_before() {
    let (_cluster, client) = team().await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "team");
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "team");
    create(&maps, json!({"metadata": {"name": "settings"}})).await;
    let spec = json!({"containers": [{"name": "main", "image": "app:1"}]});
    create(&pods, json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}, "spec": spec})).await;

    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.delete("team", &DeleteParams::default()).await.unwrap();
    let asked = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some());
    until(&pods, "held", "asked to go", asked).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(maps.get("settings").await.is_ok(), "while a pod is there nothing else goes");
    let late = serde_json::from_value(json!({"metadata": {"name": "late"}})).unwrap();
    let refused = maps.create(&PostParams::default(), &late).await.unwrap_err();
    assert!(refused.to_string().contains("because it is being terminated"), "{refused}");

    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    pods.patch("held", &PatchParams::default(), &release).await.unwrap();
    until(&namespaces, "team", "gone", |namespace| namespace.is_none()).await;
}
