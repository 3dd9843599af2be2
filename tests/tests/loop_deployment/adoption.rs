//! Which ReplicaSets belong to a Deployment.

use serde_json::{Value, json};
use steersman_tests::workloads::*;

#[tokio::test(start_paused = true)]
async fn test_general_replica_set_adoption() {
    let world = World::start().await;
    let owner = world.create("deployments", deployment(1, json!({}))).await;
    let set = world.until_revision("1", "fakeimage").await;
    let reference = |kind: &str, owner_uid: &str| json!([{"apiVersion": "apps/v1", "kind": kind, "name": NAME, "uid": owner_uid, "controller": false}]);
    for (references, count) in [(reference("StatefulSet", "1"), 2), (reference("Deployment", uid(&owner)), 1)] {
        world.merge("replicasets", name(&set), json!({"metadata": {"ownerReferences": references}})).await;
        let adopted = world
            .until("adopted", async || {
                let set = world.get("replicasets", name(&set)).await;
                (controller(&set) == uid(&owner)).then_some(set)
            })
            .await;
        assert_eq!(owners(&adopted).len(), count);
    }
}

#[tokio::test(start_paused = true)]
async fn test_replica_set_orphaning_and_adoption_when_labels_change() {
    let world = World::start().await;
    let owner = world.create("deployments", deployment(1, json!({}))).await;
    let set = world.until_revision("1", "fakeimage").await;
    let relabel = async |labels: Value| {
        let replace = json!([{"op": "replace", "path": "/metadata/labels", "value": labels}]);
        world.patch("replicasets", name(&set), "json-patch+json", replace).await.unwrap();
    };
    let owned_by = async |wanted: &str| {
        world
            .until("owned", async || (controller(&world.get("replicasets", name(&set)).await) == wanted).then_some(()))
            .await;
    };
    relabel(json!({"new-label": "new-value"})).await;
    owned_by("").await;
    let other = world
        .until("a substitute", async || {
            world.sets().await.into_iter().find(|it| name(it) != name(&set) && controller(it) == uid(&owner))
        })
        .await;
    // Without the hash, which an adopted set need not have.
    relabel(json!({"name": NAME})).await;
    owned_by(uid(&owner)).await;
    let complete = world.complete().await;
    assert_eq!(int(&complete, "/status/collisionCount"), 1);
    assert_eq!(int(&world.get("replicasets", name(&set)).await, "/spec/replicas"), 1, "the older one is the new one");
    assert_eq!(int(&world.get("replicasets", name(&other)).await, "/spec/replicas"), 0);
}

#[tokio::test(start_paused = true)]
async fn rolling_update_deployment_should_delete_old_pods_and_create_new_ones() {
    let world = World::start().await;
    let mut body = replica_set(1, json!({}));
    body["metadata"]["labels"] = json!({"foo": "bar", "pod": "httpd"});
    body["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "3546343826724305832"});
    world.create("replicasets", body).await;
    world.until_stable(NAME).await;
    let mut body = deployment(1, json!({}));
    body["spec"]["selector"]["matchLabels"] = json!({"foo": "bar"});
    body["spec"]["template"]["metadata"]["labels"] = json!({"foo": "bar"});
    body["spec"]["template"]["spec"]["containers"][0]["image"] = json!("new-image");
    world.create("deployments", body).await;
    world.until_revision("3546343826724305833", "new-image").await;
    world.complete().await;
    assert_eq!(world.sizes().await, [0, 1]);
}

/// The names of pods that were ever created.
async fn created(world: &World) -> usize {
    let writes = world.cluster.writes();
    writes.iter().filter(|write| write.method == "POST" && write.path.contains("/namespaces/default/pods")).count()
}

#[tokio::test(start_paused = true)]
async fn deployment_should_delete_old_replica_sets() {
    let world = World::start().await;
    let mut old = replica_set(1, json!({}));
    old["metadata"]["name"] = json!("old");
    old["metadata"]["labels"] = json!({"name": NAME});
    old["spec"]["selector"]["matchLabels"] = json!({"name": NAME, "old": "yes"});
    old["spec"]["template"]["metadata"]["labels"] = json!({"name": NAME, "old": "yes"});
    world.create("replicasets", old).await;
    world.until_stable("old").await;
    world.make_all_ready().await;
    let before = created(&world).await;
    world.create("deployments", deployment(1, json!({"revisionHistoryLimit": 0}))).await;
    world.complete().await;
    world.until("cleaned up", async || world.find("replicasets", "old").await.is_none().then_some(())).await;
    assert_eq!(created(&world).await, before + 1);
}

#[tokio::test(start_paused = true)]
async fn deployment_should_support_rollover() {
    let world = World::start().await;
    let mut old = replica_set(1, json!({}));
    old["metadata"]["labels"] = json!({"name": NAME});
    old["spec"]["selector"]["matchLabels"] = json!({"name": NAME, "old": "yes"});
    old["spec"]["template"]["metadata"]["labels"] = json!({"name": NAME, "old": "yes"});
    world.create("replicasets", old).await;
    world.until_stable(NAME).await;
    world.make_all_ready().await;
    let strategy = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    let mut body = deployment(1, json!({"minReadySeconds": 10, "strategy": strategy}));
    body["spec"]["template"]["spec"]["containers"][0]["image"] = json!("redis-nonexistent");
    world.create("deployments", body).await;
    let broken = world.until_revision("1", "redis-nonexistent").await;
    world.until_status([2, 1, 1, 1, 1], Some(0)).await;
    for set in [NAME, name(&broken)] {
        assert_eq!(int(&world.until_stable(set).await, "/spec/replicas"), 1);
    }
    world.set_image("agnhost").await;
    world.until_revision("2", "agnhost").await;
    world.complete_within_bounds().await;
    for set in [NAME, name(&broken)] {
        assert_eq!(int(&world.until_stable(set).await, "/spec/replicas"), 0);
    }
}
