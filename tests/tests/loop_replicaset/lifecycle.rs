//! The API of a ReplicaSet while its controller works.

use serde_json::json;
use steersman_tests::workloads::*;

#[tokio::test(start_paused = true)]
async fn test_rs_selector_immutability() {
    let world = World::start().await;
    let mut body = world.create("replicasets", replica_set(0, json!({}))).await;
    let labels = json!({"changed": "value"});
    body["spec"]["selector"]["matchLabels"] = labels.clone();
    body["spec"]["template"]["metadata"]["labels"] = labels;
    body["metadata"]["resourceVersion"].take();
    let (code, message) = world.put("replicasets", NAME, &body).await.unwrap_err();
    assert_eq!(code, 422);
    assert!(message.contains("Invalid value") && message.contains("field is immutable"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn test_replica_sets_apps_v1_default_gc_policy() {
    let world = World::start().await;
    let mut body = replica_set(2, json!({}));
    body["metadata"]["finalizers"] = json!(["fake/finalizer"]);
    world.create("replicasets", body).await;
    world.until_stable(NAME).await;
    world.delete("replicasets", NAME, json!({})).await;
    let deleting = world.get("replicasets", NAME).await;
    assert!(is_deleting(&deleting));
    assert_eq!(deleting["metadata"]["finalizers"], json!(["fake/finalizer"]));
}

#[tokio::test(start_paused = true)]
async fn should_serve_a_basic_image_on_each_replica() {
    let world = World::whole().await;
    world.create("replicasets", replica_set(2, json!({}))).await;
    let set = world
        .until("ready", async || {
            let set = world.get("replicasets", NAME).await;
            (int(&set, "/status/readyReplicas") == 2).then_some(set)
        })
        .await;
    assert_eq!(int(&set, "/status/availableReplicas"), 2);
    assert!(world.pods().await.iter().all(|pod| text(pod, "/status/phase") == "Running"));
}

#[tokio::test(start_paused = true)]
async fn replicaset_should_have_a_working_scale_subresource() {
    let world = World::start().await;
    world.create("replicasets", replica_set(1, json!({}))).await;
    world.until_stable(NAME).await;
    let scale_name = format!("{NAME}/scale");
    let mut scale = world.get("replicasets", &scale_name).await;
    assert_eq!((int(&scale, "/spec/replicas"), int(&scale, "/status/replicas")), (1, 1));
    scale["metadata"]["resourceVersion"].take();
    scale["spec"]["replicas"] = json!(2);
    world.put("replicasets", &scale_name, &scale).await.unwrap();
    let patch = json!({"spec": {"replicas": 4}});
    world.patch("replicasets", &scale_name, "strategic-merge-patch+json", patch).await.unwrap();
    assert_eq!(int(&world.until_stable(NAME).await, "/status/replicas"), 4);
}

#[tokio::test(start_paused = true)]
async fn replace_and_patch_tests() {
    let world = World::start().await;
    let created = world.create("replicasets", replica_set(1, json!({}))).await;
    world.until_stable(NAME).await;
    world.merge("replicasets", NAME, json!({"spec": {"replicas": 2}})).await;
    world.until_stable(NAME).await;
    let patch = json!({
        "metadata": {"labels": {"test-rs": "patched"}},
        "spec": {"replicas": 3, "template": {"spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "new-name", "image": "patched"}],
        }}},
    });
    let patched = world.patch("replicasets", NAME, "strategic-merge-patch+json", patch).await.unwrap();
    assert_ne!(patched["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
    assert_eq!(image(&patched), "patched", "what a patch adds comes first");
    world
        .until("ready", async || {
            world.make_all_ready().await;
            let set = world.get("replicasets", NAME).await;
            let figures = (int(&set, "/status/readyReplicas"), int(&set, "/status/availableReplicas"));
            (figures == (3, 3)).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn should_list_and_delete_a_collection_of_replica_sets() {
    let world = World::start().await;
    let mut body = replica_set(3, json!({}));
    body["metadata"]["labels"] = json!({"e2e": "yes"});
    world.create("replicasets", body).await;
    world.until_stable(NAME).await;
    assert_eq!(world.list("replicasets", "e2e=yes").await.len(), 1);
    let all = "/apis/apps/v1/namespaces/default/replicasets?labelSelector=e2e%3Dyes";
    world.send("DELETE", all, "json", None).await.unwrap();
    assert!(world.list("replicasets", "e2e=yes").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn should_validate_replicaset_status_endpoints() {
    let world = World::start().await;
    world.create("replicasets", replica_set(1, json!({}))).await;
    world.until_stable(NAME).await;
    let watched = world.watch("ReplicaSet").await;
    let status = format!("{NAME}/status");
    let mut seen = world.get("replicasets", &status).await;
    seen["status"]["conditions"] = json!([{"type": "StatusUpdate", "status": "True", "reason": "E2E"}]);
    world.put("replicasets", &status, &seen).await.unwrap();
    world.until_seen(&watched, "MODIFIED", |seen| condition(seen, "StatusUpdate").is_some()).await;
    world.settle().await;
    assert_eq!(reason(&world.get("replicasets", NAME).await, "StatusUpdate"), "E2E", "it survives the controller");
    let patch = json!({"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}});
    world.merge("replicasets", &status, patch).await;
    world.until_seen(&watched, "MODIFIED", |seen| condition(seen, "StatusPatched").is_some()).await;
    world.settle().await;
    let set = world.get("replicasets", NAME).await;
    assert!(condition(&set, "StatusPatched").is_some() && condition(&set, "StatusUpdate").is_none());
}
