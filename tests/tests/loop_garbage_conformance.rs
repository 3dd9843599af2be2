//! The tests of upstream's `test/e2e/apimachinery/garbage_collector.go`, under their names. Those that are about
//! ReplicationControllers there are about ReplicaSets here, the only kind of the two that makes pods.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, ObjectList, Patch, PatchParams, PostParams, Preconditions};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_tests::manifests::deployment;
use steersman_tests::wait::{until, until_rolled_out};

/// Longer than the collector takes to find that it has nothing to do.
const LONG: Duration = Duration::from_secs(60);

struct World {
    _cluster: Cluster,
    deployments: Api<Deployment>,
    sets: Api<ReplicaSet>,
    pods: Api<Pod>,
}

async fn world() -> World {
    let cluster = Cluster::builder().nodes(2).virtual_time().start().await.unwrap();
    let client = cluster.client();
    World {
        _cluster: cluster,
        deployments: Api::default_namespaced(client.clone()),
        sets: Api::default_namespaced(client.clone()),
        pods: Api::default_namespaced(client),
    }
}

async fn all<K: Clone + DeserializeOwned + std::fmt::Debug>(api: &Api<K>) -> ObjectList<K> {
    api.list(&ListParams::default()).await.unwrap()
}

fn exactly<K: Resource>(object: &K, how: DeleteParams) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions { uid: object.meta().uid.clone(), resource_version: None }),
        ..how
    }
}

fn reference<K: Resource<DynamicType = ()>>(owner: &K) -> Value {
    json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()), "name": owner.meta().name, "uid": owner.meta().uid,
    })
}

impl World {
    async fn set(&self, name: &str, replicas: i32) -> ReplicaSet {
        let labels = json!({"set": name});
        let template =
            json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "app:1"}]}});
        let spec = json!({"replicas": replicas, "selector": {"matchLabels": labels}, "template": template});
        let set = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        self.sets.create(&PostParams::default(), &set).await.unwrap();
        let is_ready = |set: Option<&ReplicaSet>| {
            set.and_then(|set| set.status.as_ref()).is_some_and(|status| {
                status.observed_generation == Some(1) && status.ready_replicas.unwrap_or_default() == replicas
            })
        };
        until(&self.sets, name, "ready", is_ready).await.unwrap()
    }

    async fn own(&self, pod: &str, owners: Value) {
        let patch = Patch::Merge(json!({"metadata": {"ownerReferences": owners}}));
        self.pods.patch(pod, &PatchParams::default(), &patch).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn should_delete_rs_created_by_deployment_when_not_orphaning() {
    let world = world().await;
    world.deployments.create(&PostParams::default(), &deployment("web", 2)).await.unwrap();
    let web = until_rolled_out(&world.deployments, "web").await;
    world.deployments.delete("web", &exactly(&web, DeleteParams::background())).await.unwrap();
    tokio::time::sleep(LONG).await;
    let left = (all(&world.deployments).await.items, all(&world.sets).await.items, all(&world.pods).await.items);
    assert!(left.0.is_empty() && left.1.is_empty() && left.2.is_empty(), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn should_orphan_rs_created_by_deployment_when_delete_options_propagation_policy_is_orphan() {
    let world = world().await;
    world.deployments.create(&PostParams::default(), &deployment("web", 2)).await.unwrap();
    let web = until_rolled_out(&world.deployments, "web").await;
    world.deployments.delete("web", &exactly(&web, DeleteParams::orphan())).await.unwrap();
    tokio::time::sleep(LONG).await;
    assert!(all(&world.deployments).await.items.is_empty());
    let (sets, pods) = (all(&world.sets).await.items, all(&world.pods).await.items);
    assert_eq!((sets.len(), pods.len()), (1, 2));
    assert!(sets[0].owner_references().is_empty());
    assert!(pods.iter().all(|pod| pod.owner_references()[0].uid == sets[0].uid().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn should_delete_pods_created_by_rc_when_not_orphaning() {
    let world = world().await;
    let set = world.set("web", 2).await;
    world.sets.delete("web", &exactly(&set, DeleteParams::background())).await.unwrap();
    tokio::time::sleep(LONG).await;
    assert!(all(&world.pods).await.items.is_empty());
}

#[tokio::test(start_paused = true)]
async fn should_orphan_pods_created_by_rc_if_delete_options_say_so() {
    let world = world().await;
    let set = world.set("web", 20).await;
    world.sets.delete("web", &exactly(&set, DeleteParams::orphan())).await.unwrap();
    until(&world.sets, "web", "gone", |set| set.is_none()).await;
    tokio::time::sleep(LONG).await;
    let pods = all(&world.pods).await.items;
    assert_eq!(pods.len(), 20, "none is collected by mistake");
    assert!(pods.iter().all(|pod| pod.owner_references().is_empty() && pod.metadata.deletion_timestamp.is_none()));
}

#[tokio::test(start_paused = true)]
async fn should_keep_the_rc_around_until_all_its_pods_are_deleted_if_the_delete_options_say_so() {
    let world = world().await;
    let set = world.set("web", 20).await;
    world.sets.delete("web", &exactly(&set, DeleteParams::foreground())).await.unwrap();
    let waiting = world.sets.get("web").await.unwrap();
    assert!(waiting.metadata.deletion_timestamp.is_some(), "it is there as long as its pods are");
    until(&world.sets, "web", "gone", |set| set.is_none()).await;
    assert!(all(&world.pods).await.items.is_empty(), "with the set all its pods are gone");
}

#[tokio::test(start_paused = true)]
async fn should_not_delete_dependents_that_have_both_valid_owner_and_owner_that_is_waiting() {
    let world = world().await;
    let goes = world.set("goes", 10).await;
    let stays = world.set("stays", 0).await;
    let pods: Vec<Pod> = all(&world.pods).await.items;
    let mut shared: Vec<String> = pods.iter().take(5).map(ResourceExt::name_any).collect();
    for pod in pods.iter().take(5) {
        let own = json!(pod.owner_references()[0]);
        world.own(&pod.name_any(), json!([own, reference(&stays)])).await;
    }
    world.sets.delete("goes", &exactly(&goes, DeleteParams::foreground())).await.unwrap();
    until(&world.sets, "goes", "gone", |set| set.is_none()).await;
    tokio::time::sleep(LONG).await;
    let left = all(&world.pods).await.items;
    let mut names: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
    names.sort();
    shared.sort();
    assert_eq!(names, shared);
    for pod in left {
        assert!(pod.metadata.deletion_timestamp.is_none());
        let owners: Vec<&str> = pod.owner_references().iter().map(|owner| owner.name.as_str()).collect();
        assert_eq!(owners, ["stays"], "it is owned by the one that is left");
    }
}

#[tokio::test(start_paused = true)]
async fn should_not_be_blocked_by_dependency_circle() {
    let world = world().await;
    let mut pods = Vec::new();
    for name in ["one", "two", "three"] {
        let spec = json!({"containers": [{"name": "c", "image": "app:1"}]});
        let pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        pods.push(world.pods.create(&PostParams::default(), &pod).await.unwrap());
    }
    for (pod, owner) in [("one", &pods[2]), ("two", &pods[0]), ("three", &pods[1])] {
        let mut owner = reference(owner);
        (owner["controller"], owner["blockOwnerDeletion"]) = (json!(true), json!(true));
        world.own(pod, json!([owner])).await;
    }
    world.pods.delete("one", &exactly(&pods[0], DeleteParams::foreground())).await.unwrap();
    tokio::time::sleep(LONG).await;
    assert!(all(&world.pods).await.items.is_empty());
}
