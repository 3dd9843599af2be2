//! The garbage collector against the API server: what has no owner goes, what is held stays, and circles end.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, ObjectMeta, Patch, PatchParams,
    PostParams, PropagationPolicy,
};
use kube::runtime::wait::{Condition, conditions};
use kube::{Client, Resource, ResourceExt};
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_tests::manifests::deployment;
use steersman_tests::wait::{until, until_rolled_out};

async fn cluster() -> (Cluster, Client) {
    let cluster = Cluster::builder().nodes(1).virtual_time().start().await.unwrap();
    let client = cluster.client();
    (cluster, client)
}

fn owner(of: &ConfigMap) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": of.name_any(), "uid": of.uid().unwrap(),
        "blockOwnerDeletion": true,
    })
}

async fn create(maps: &Api<ConfigMap>, name: &str, owners: Vec<Value>) -> ConfigMap {
    let map = json!({"metadata": {"name": name, "ownerReferences": owners}});
    maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap()
}

async fn patch<K>(api: &Api<K>, name: &str, metadata: Value)
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let patch = Patch::Merge(json!({"metadata": metadata}));
    api.patch(name, &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_foreground_deletion_waits_for_the_pods() {
    let (_cluster, client) = cluster().await;
    let (deployments, pods): (Api<Deployment>, Api<Pod>) =
        (Api::default_namespaced(client.clone()), Api::default_namespaced(client));
    deployments.create(&PostParams::default(), &deployment("web", 2)).await.unwrap();
    until_rolled_out(&deployments, "web").await;
    let held = pods.list(&ListParams::default()).await.unwrap().items[0].name_any();
    patch(&pods, &held, json!({"finalizers": ["example.com/hold"]})).await;

    deployments.delete("web", &DeleteParams::foreground()).await.unwrap();
    let only_held = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some());
    until(&pods, &held, "asked to go", only_held).await;
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    let waiting = deployments.get("web").await.unwrap();
    assert_eq!(waiting.finalizers(), ["foregroundDeletion"]);
    assert_eq!(pods.list(&ListParams::default()).await.unwrap().items.len(), 1);

    patch(&pods, &held, json!({"finalizers": null})).await;
    until(&deployments, "web", "gone", |deployment| deployment.is_none()).await;
    assert!(pods.list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_circle_of_owners_can_be_deleted() {
    for params in [DeleteParams::foreground(), DeleteParams::background()] {
        let (_cluster, client) = cluster().await;
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let a = create(&maps, "a", Vec::new()).await;
        let b = create(&maps, "b", vec![owner(&a)]).await;
        let c = create(&maps, "c", vec![owner(&b)]).await;
        patch(&maps, "a", json!({"ownerReferences": [owner(&c)]})).await;
        maps.delete("a", &params).await.unwrap();
        for name in ["a", "b", "c"] {
            until(&maps, name, "gone", |map| map.is_none()).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_goes_with_its_last_owner() {
    let (_cluster, client) = cluster().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let (a, b) = (create(&maps, "a", Vec::new()).await, create(&maps, "b", Vec::new()).await);
    create(&maps, "child", vec![owner(&a), owner(&b)]).await;
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    let disowned = |map: Option<&ConfigMap>| map.is_some_and(|map| map.owner_references().len() == 1);
    let child = until(&maps, "child", "without the owner that is gone", disowned).await.unwrap();
    assert_eq!(child.owner_references()[0].name, "b");
    maps.delete("b", &DeleteParams::default()).await.unwrap();
    until(&maps, "child", "gone", |map| map.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_never_was_or_lives_elsewhere_does_not_count() {
    let (_cluster, client) = cluster().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let elsewhere: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-public");
    let events: Api<Event> = Api::default_namespaced(client);
    let nobody = ConfigMap {
        metadata: ObjectMeta {
            name: Some("nobody".to_owned()),
            uid: Some("11111111-1111-1111-1111-111111111111".to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    create(&maps, "orphan", vec![owner(&nobody)]).await;
    until(&maps, "orphan", "gone", |map| map.is_none()).await;

    let far = create(&elsewhere, "far", Vec::new()).await;
    create(&maps, "stray", vec![owner(&far)]).await;
    until(&maps, "stray", "gone", |map| map.is_none()).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let reported = events.list(&ListParams::default()).await.unwrap().items.into_iter().any(|event| {
        event.reason.as_deref() == Some("OwnerRefInvalidNamespace")
            && event.involved_object.name.as_deref() == Some("stray")
    });
    assert!(reported);
    assert!(elsewhere.get("far").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn custom_resources_are_collected_and_orphaned_like_all_others() {
    let (_cluster, client) = cluster().await;
    let definition = json!({
        "metadata": {"name": "ships.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": {"plural": "ships", "kind": "Ship"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    });
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &serde_json::from_value(definition).unwrap()).await.unwrap();
    until(&definitions, "ships.example.com", "established", |definition| {
        conditions::is_crd_established().matches_object(definition)
    })
    .await;

    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.com", "v1", "Ship"), "ships");
    let ships: Api<DynamicObject> = Api::all_with(client, &kind);
    let launch = async |name: &str, owner: Option<&DynamicObject>| {
        let mut ship = DynamicObject::new(name, &kind);
        ship.metadata.owner_references = owner.map(|owner| vec![owner.controller_owner_ref(&kind).unwrap()]);
        ships.create(&PostParams::default(), &ship).await.unwrap()
    };
    let flagship = launch("flagship", None).await;
    launch("tender", Some(&flagship)).await;
    ships.delete("flagship", &DeleteParams::default()).await.unwrap();
    until(&ships, "tender", "gone with its owner", |ship| ship.is_none()).await;

    let flagship = launch("flagship", None).await;
    launch("tender", Some(&flagship)).await;
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    ships.delete("flagship", &orphan).await.unwrap();
    until(&ships, "flagship", "gone", |ship| ship.is_none()).await;
    assert!(ships.get("tender").await.unwrap().owner_references().is_empty());
}
