//! The controllers are killed before and after each of their writes, and started anew. Whenever that is, everything ends
//! as if they had lived on, and nothing is created or deleted once more than then.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests fail like tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
    PropagationPolicy,
};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use steersman::{Cluster, Write};
use steersman_tests::faults::{Faults, Loss};
use steersman_tests::manifests::{deployment, deployment_with, image_patch};
use steersman_tests::wait::{until, until_rolled_out};

const CONTROLLERS: &str = "deployment,replicaset,garbage-collector";

/// How a run ended.
#[derive(Debug, PartialEq)]
struct End {
    /// What is there, without what differs from run to run.
    objects: Vec<Value>,
    /// How often a resource was created or deleted, by whomever.
    writes: BTreeMap<String, usize>,
}

fn ship() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.com", "v1", "Ship"), "ships")
}

fn ships() -> CustomResourceDefinition {
    serde_json::from_value(json!({
        "metadata": {"name": "ships.example.com"},
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

/// Runs a scenario; how it ended, and how many writes the controllers made.
async fn run(scenario: impl AsyncFn(&Client), loss: Loss, at: Option<usize>) -> (End, usize) {
    let faults = Faults::new(loss, at);
    let builder = Cluster::builder().nodes(2).virtual_time().without_controllers().record_writes().crds([ships()]);
    let cluster = builder.disable_admission(["ServiceAccount"]).start().await.unwrap();
    let client = cluster.client();
    tokio::select! {
        biased;
        _ = faults.run_controllers(&cluster, CONTROLLERS) => {}
        () = async {
            scenario(&client).await;
            // Whatever would still be done wrongly is done now.
            tokio::time::sleep(Duration::from_secs(60)).await;
        } => {}
    }
    let end = End { objects: objects(&client).await, writes: writes(&cluster.writes()) };
    (end, faults.seen())
}

/// Creations and deletions by resource, as far as they came to pass.
fn writes(all: &[Write]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for write in all.iter().filter(|write| matches!(write.status, 200..300)) {
        let path = write.path.split('?').next().unwrap_or_default();
        let rest = path.split_once("/namespaces/default/").map(|(_, rest)| rest);
        let Some(resource) = rest.map(|rest| rest.split('/').next().unwrap_or_default()) else { continue };
        if matches!(write.method.as_str(), "POST" | "DELETE") && resource != "events" && !path.ends_with("/binding") {
            *counts.entry(format!("{} {resource}", write.method)).or_default() += 1;
        }
    }
    counts
}

async fn objects(client: &Client) -> Vec<Value> {
    let kind = |group: &str, kind: &str| ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    let kinds = [kind("", "ConfigMap"), kind("", "Secret"), kind("", "Pod"), kind("apps", "ReplicaSet")];
    let mut all = Vec::new();
    for kind in kinds.into_iter().chain([kind("apps", "Deployment"), ship()]) {
        let api: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &kind);
        let mut some: Vec<Value> =
            api.list(&ListParams::default()).await.unwrap().items.iter().map(|object| stable(&kind, object)).collect();
        some.sort_by_key(Value::to_string);
        all.extend(some);
    }
    all
}

/// An object without uids, versions, times, generated names, and where a pod landed.
fn stable(kind: &ApiResource, object: &DynamicObject) -> Value {
    let meta = &object.metadata;
    let owners = meta.owner_references.iter().flatten();
    let owners: Vec<Value> = owners.map(|owner| json!([owner.kind, owner.name, owner.controller])).collect();
    let mut status = object.data["status"].clone();
    if kind.kind == "Pod" {
        status = status["phase"].take();
    }
    if let Some(conditions) = status.pointer_mut("/conditions").and_then(Value::as_array_mut) {
        for condition in conditions.iter_mut() {
            // The message is the one that was there when the reason came; who saw more of what passed has another.
            for field in ["lastUpdateTime", "lastTransitionTime", "message"] {
                condition[field].take();
            }
        }
        conditions.sort_by_key(|condition| condition["type"].to_string());
    }
    let mut spec = object.data["spec"].clone();
    spec.as_object_mut().and_then(|spec| spec.remove("nodeName"));
    json!({
        "kind": kind.kind, "name": meta.generate_name.clone().unwrap_or_else(|| object.name_any()),
        "labels": meta.labels, "annotations": meta.annotations, "generation": meta.generation,
        "finalizers": meta.finalizers, "deleting": meta.deletion_timestamp.is_some(), "owners": owners,
        "spec": spec, "status": status,
    })
}

fn crash_anywhere(scenario: impl AsyncFn(&Client) + Copy, loss: Loss, least: usize) {
    let run = |at| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(scenario, loss, at))
    };
    let (undisturbed, count) = run(None);
    assert!(count >= least, "only {count} writes");
    assert!(!undisturbed.objects.is_empty(), "nothing is left to compare");
    let mut at = 0;
    loop {
        println!("{loss:?} number {at}");
        let (end, seen) = run(Some(at));
        if seen <= at {
            break;
        }
        assert_eq!(end.writes, undisturbed.writes, "{loss:?} number {at}");
        for (object, as_before) in end.objects.iter().zip(&undisturbed.objects) {
            assert_eq!(object, as_before, "{loss:?} number {at}");
        }
        assert_eq!(end.objects.len(), undisturbed.objects.len(), "{loss:?} number {at}");
        at += 1;
    }
    assert!(at >= least, "only {at} writes");
}

/// A rollout, a new image, more pods, back to the first image, fewer pods; beside it one that recreates.
async fn rollout(client: &Client) {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let recreate = deployment_with("batch", 1, json!({"strategy": {"type": "Recreate"}, "revisionHistoryLimit": 0}));
    for deployment in [deployment("web", 2), recreate] {
        deployments.create(&PostParams::default(), &deployment).await.unwrap();
    }
    for name in ["web", "batch"] {
        until_rolled_out(&deployments, name).await;
    }
    let scale = |replicas: i32| json!({"spec": {"replicas": replicas}});
    let patches = [
        ("batch", image_patch("app:2")),
        ("web", image_patch("app:2")),
        ("web", scale(3)),
        ("web", image_patch("app:1")),
        ("web", scale(1)),
    ];
    for (name, patch) in patches {
        deployments.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
        until_rolled_out(&deployments, name).await;
    }
}

/// Where things are made that own each other.
struct Garden<'a>(&'a Client);

impl Garden<'_> {
    fn api(&self, kind: &ApiResource) -> Api<DynamicObject> {
        Api::default_namespaced_with(self.0.clone(), kind)
    }

    async fn plant(&self, kind: &ApiResource, name: &str, owners: &[(&ApiResource, &DynamicObject)]) -> DynamicObject {
        let owner = |(kind, object): &(&ApiResource, &DynamicObject)| {
            json!({
                "apiVersion": kind.api_version, "kind": kind.kind, "name": object.name_any(), "uid": object.uid(),
                "blockOwnerDeletion": true,
            })
        };
        let owners: Vec<Value> = owners.iter().map(owner).collect();
        let mut object = DynamicObject::new(name, kind);
        object.metadata.owner_references = serde_json::from_value(owners.into()).unwrap();
        self.api(kind).create(&PostParams::default(), &object).await.unwrap()
    }

    async fn delete(&self, kind: &ApiResource, name: &str, policy: PropagationPolicy) {
        let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        self.api(kind).delete(name, &params).await.unwrap();
    }

    async fn gone(&self, kind: &ApiResource, names: &[&str]) {
        for name in names {
            until(&self.api(kind), name, "gone", |object| object.is_none()).await;
        }
    }
}

/// Chains over kinds of all sorts are deleted in every way, and so is what a Deployment owns.
async fn garbage(client: &Client) {
    let garden = Garden(client);
    let ship = &ship();
    let (map, secret) = (&ApiResource::erase::<ConfigMap>(&()), &ApiResource::erase::<Secret>(&()));
    let keeper = garden.plant(map, "keeper", &[]).await;

    let root = garden.plant(map, "root", &[]).await;
    let middle = garden.plant(ship, "middle", &[(map, &root)]).await;
    garden.plant(secret, "leaf", &[(ship, &middle)]).await;
    garden.plant(secret, "shared", &[(map, &root), (map, &keeper)]).await;
    garden.delete(map, "root", PropagationPolicy::Foreground).await;
    garden.gone(map, &["root"]).await;

    let root = garden.plant(ship, "back", &[]).await;
    let middle = garden.plant(map, "back-map", &[(ship, &root)]).await;
    garden.plant(ship, "back-ship", &[(map, &middle)]).await;
    garden.delete(ship, "back", PropagationPolicy::Background).await;
    garden.gone(ship, &["back-ship"]).await;

    let root = garden.plant(ship, "orphaning", &[]).await;
    garden.plant(map, "orphan-map", &[(ship, &root)]).await;
    garden.plant(ship, "orphan-ship", &[(ship, &root)]).await;
    garden.delete(ship, "orphaning", PropagationPolicy::Orphan).await;
    garden.gone(ship, &["orphaning"]).await;

    let first = garden.plant(map, "first", &[]).await;
    let second = garden.plant(map, "second", &[(map, &first)]).await;
    let circle = json!({"metadata": {"ownerReferences": [{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "second", "uid": second.uid(), "blockOwnerDeletion": true,
    }]}});
    garden.api(map).patch("first", &PatchParams::default(), &Patch::Merge(circle)).await.unwrap();
    garden.delete(map, "first", PropagationPolicy::Foreground).await;
    garden.gone(map, &["first", "second"]).await;

    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let kind = &ApiResource::erase::<Deployment>(&());
    for (name, policy) in [("fore", PropagationPolicy::Foreground), ("free", PropagationPolicy::Orphan)] {
        deployments.create(&PostParams::default(), &deployment(name, 1)).await.unwrap();
        until_rolled_out(&deployments, name).await;
        garden.delete(kind, name, policy).await;
        garden.gone(kind, &[name]).await;
    }
}

#[test]
fn a_rollout_survives_a_crash_before_any_write() {
    crash_anywhere(rollout, Loss::ProcessBefore, 35);
}

#[test]
fn a_rollout_survives_a_crash_after_any_write() {
    crash_anywhere(rollout, Loss::ProcessAfter, 35);
}

#[test]
fn garbage_collection_survives_a_crash_before_any_write() {
    crash_anywhere(garbage, Loss::ProcessBefore, 20);
}

#[test]
fn garbage_collection_survives_a_crash_after_any_write() {
    crash_anywhere(garbage, Loss::ProcessAfter, 20);
}
