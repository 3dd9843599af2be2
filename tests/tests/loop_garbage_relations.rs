//! The garbage collector and relations of every sort, after upstream's `test/integration/garbagecollector` and
//! `test/e2e/apimachinery/garbage_collector.go`.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_tests::wait::until;

const FLEET: &str = "ships.example.com";

struct World {
    _cluster: Cluster,
    client: Client,
}

fn ship() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.com", "v1", "Ship"), "ships")
}

fn map() -> ApiResource {
    ApiResource::erase::<ConfigMap>(&())
}

fn ships() -> CustomResourceDefinition {
    serde_json::from_value(json!({
        "metadata": {"name": FLEET},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "ships", "kind": "Ship"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    }))
    .unwrap()
}

/// A reference to an owner that holds up its deletion, unless it is said otherwise.
fn owned_by(kind: &ApiResource, owner: &DynamicObject) -> Value {
    json!({
        "apiVersion": kind.api_version, "kind": kind.kind, "name": owner.name_any(), "uid": owner.uid(),
        "blockOwnerDeletion": true,
    })
}

impl World {
    async fn new() -> Self {
        let builder = Cluster::builder().virtual_time().without_scheduler().crds([ships()]);
        let cluster = builder.controllers("garbage-collector,namespace".parse().unwrap()).start().await.unwrap();
        let client = cluster.client();
        Self { _cluster: cluster, client }
    }

    fn api(&self, kind: &ApiResource) -> Api<DynamicObject> {
        Api::default_namespaced_with(self.client.clone(), kind)
    }

    async fn create(&self, kind: &ApiResource, name: &str, owners: &[Value]) -> DynamicObject {
        let mut object = DynamicObject::new(name, kind);
        object.metadata.owner_references = serde_json::from_value(owners.into()).unwrap();
        self.api(kind).create(&PostParams::default(), &object).await.unwrap()
    }

    async fn patch(&self, kind: &ApiResource, name: &str, metadata: Value) {
        let patch = Patch::Merge(json!({"metadata": metadata}));
        self.api(kind).patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    async fn delete(&self, kind: &ApiResource, name: &str, params: &DeleteParams) {
        self.api(kind).delete(name, params).await.unwrap();
    }

    async fn until_gone(&self, kind: &ApiResource, name: &str) {
        until(&self.api(kind), name, "gone", |object| object.is_none()).await;
    }

    async fn get(&self, kind: &ApiResource, name: &str) -> Option<DynamicObject> {
        self.api(kind).get_opt(name).await.unwrap()
    }
}

/// Long enough for whatever would go to be gone.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn custom_and_built_in_resources_own_each_other() {
    let world = World::new().await;
    let (ship, map) = (ship(), map());
    for (owner_kind, kind, params) in [
        (&ship, &map, DeleteParams::background()),
        (&map, &ship, DeleteParams::background()),
        (&ship, &map, DeleteParams::foreground()),
        (&map, &ship, DeleteParams::foreground()),
    ] {
        let owner = world.create(owner_kind, "owner", &[]).await;
        world.create(kind, "dependent", &[owned_by(owner_kind, &owner)]).await;
        world.delete(owner_kind, "owner", &params).await;
        world.until_gone(owner_kind, "owner").await;
        world.until_gone(kind, "dependent").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_blocking_reference_blocks_and_another_does_not() {
    for (block, is_held) in [(json!(true), true), (json!(false), false), (Value::Null, false)] {
        let world = World::new().await;
        let owner = world.create(&map(), "owner", &[]).await;
        let mut reference = owned_by(&map(), &owner);
        reference["blockOwnerDeletion"] = block.clone();
        world.create(&map(), "dependent", &[reference]).await;
        world.patch(&map(), "dependent", json!({"finalizers": ["example.com/hold"]})).await;
        world.delete(&map(), "owner", &DeleteParams::foreground()).await;
        settle().await;
        assert_eq!(world.get(&map(), "owner").await.is_some(), is_held, "{block}");
        let dependent = world.get(&map(), "dependent").await.unwrap();
        assert!(dependent.metadata.deletion_timestamp.is_some(), "{block}");
        world.patch(&map(), "dependent", json!({"finalizers": null})).await;
        world.until_gone(&map(), "owner").await;
        world.until_gone(&map(), "dependent").await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_valid_owner_and_one_that_waits_the_valid_one_counts() {
    let world = World::new().await;
    let leaving = world.create(&map(), "leaving", &[]).await;
    let staying = world.create(&map(), "staying", &[]).await;
    let both = [owned_by(&map(), &leaving), owned_by(&map(), &staying)];
    world.create(&map(), "shared", &both).await;
    world.create(&map(), "own", &both[..1]).await;
    world.delete(&map(), "leaving", &DeleteParams::foreground()).await;
    world.until_gone(&map(), "leaving").await;
    world.until_gone(&map(), "own").await;
    settle().await;
    let shared = world.get(&map(), "shared").await.unwrap();
    assert!(shared.metadata.deletion_timestamp.is_none());
    let owners: Vec<&str> = shared.owner_references().iter().map(|owner| owner.name.as_str()).collect();
    assert_eq!(owners, ["staying"]);
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_of_the_own_survives_a_deletion_in_the_foreground_and_another_in_the_background() {
    let world = World::new().await;
    world.create(&map(), "held", &[]).await;
    world.patch(&map(), "held", json!({"finalizers": ["example.com/hold"]})).await;
    world.delete(&map(), "held", &DeleteParams::foreground()).await;
    settle().await;
    world.delete(&map(), "held", &DeleteParams::background()).await;
    settle().await;
    assert_eq!(world.get(&map(), "held").await.unwrap().finalizers(), ["example.com/hold"]);
    world.patch(&map(), "held", json!({"finalizers": null})).await;
    world.until_gone(&map(), "held").await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_scoped_owner_counts_everywhere_and_one_in_a_namespace_not_for_the_cluster() {
    let world = World::new().await;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let reference = |name: &str, uid: Option<String>, kind: &str| json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": uid}]);
    let anchor = namespaces.get("kube-public").await.unwrap();
    let owners = reference("kube-public", anchor.uid(), "Namespace");
    world.create(&map(), "anchored", owners.as_array().unwrap()).await;
    let local = world.create(&map(), "local", &[]).await;
    let adrift =
        json!({"metadata": {"name": "adrift", "ownerReferences": reference("local", local.uid(), "ConfigMap")}});
    namespaces.create(&PostParams::default(), &serde_json::from_value(adrift).unwrap()).await.unwrap();
    settle().await;
    assert!(world.get(&map(), "anchored").await.is_some());
    assert!(namespaces.get("adrift").await.unwrap().metadata.deletion_timestamp.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_reference_that_names_the_wrong_object_is_one_to_nobody() {
    let world = World::new().await;
    let owner = world.create(&map(), "owner", &[]).await;
    for (field, value) in [("name", "somebody"), ("kind", "Secret"), ("uid", "11111111-1111-1111-1111-111111111111")] {
        let mut reference = owned_by(&map(), &owner);
        reference[field] = json!(value);
        world.create(&map(), "stray", &[reference]).await;
        world.until_gone(&map(), "stray").await;
    }
    // That the same uid was asked for in the wrong place says nothing about the right one.
    world.create(&map(), "child", &[owned_by(&map(), &owner)]).await;
    settle().await;
    assert!(world.get(&map(), "child").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn with_a_definition_go_its_objects_and_what_they_own() {
    let world = World::new().await;
    let owner = world.create(&ship(), "owner", &[]).await;
    world.create(&ship(), "dependent", &[owned_by(&ship(), &owner)]).await;
    world.create(&map(), "cargo", &[owned_by(&ship(), &owner)]).await;
    // The collector knows them all by now.
    settle().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    definitions.delete(FLEET, &DeleteParams::default()).await.unwrap();
    until(&definitions, FLEET, "gone", |definition| definition.is_none()).await;
    world.until_gone(&map(), "cargo").await;

    // It comes back, and the collector with it.
    definitions.create(&PostParams::default(), &ships()).await.unwrap();
    settle().await;
    let owner = world.create(&ship(), "owner", &[]).await;
    world.create(&ship(), "dependent", &[owned_by(&ship(), &owner)]).await;
    world.delete(&ship(), "owner", &DeleteParams::default()).await;
    world.until_gone(&ship(), "dependent").await;
}

#[tokio::test(start_paused = true)]
async fn hundreds_go_with_their_owner_in_any_way_at_once() {
    const EACH: usize = 60;
    let world = World::new().await;
    let secret = ApiResource::erase::<Secret>(&());
    let ways = [DeleteParams::background(), DeleteParams::foreground()];
    for (number, _) in ways.iter().enumerate() {
        let owner = world.create(&map(), &format!("owner-{number}"), &[]).await;
        for child in 0..EACH {
            world.create(&secret, &format!("child-{number}-{child}"), &[owned_by(&map(), &owner)]).await;
        }
    }
    for (number, params) in ways.iter().enumerate() {
        world.delete(&map(), &format!("owner-{number}"), params).await;
    }
    for number in 0..ways.len() {
        world.until_gone(&map(), &format!("owner-{number}")).await;
    }
    settle().await;
    assert!(world.api(&secret).list(&ListParams::default()).await.unwrap().items.is_empty());
}
