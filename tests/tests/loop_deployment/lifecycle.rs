//! The API of a Deployment while its controller works.

use serde_json::json;
use steersman_tests::workloads::*;

#[tokio::test(start_paused = true)]
async fn deployment_should_have_a_working_scale_subresource() {
    let world = World::start().await;
    world.create("deployments", deployment(1, json!({}))).await;
    world.complete().await;
    let scale_name = format!("{NAME}/scale");
    let mut scale = world.get("deployments", &scale_name).await;
    assert_eq!((int(&scale, "/spec/replicas"), int(&scale, "/status/replicas")), (1, 1));
    assert_eq!(scale["status"]["selector"], format!("name={NAME}"));
    scale["metadata"]["resourceVersion"].take();
    scale["spec"]["replicas"] = json!(2);
    world.put("deployments", &scale_name, &scale).await.unwrap();
    assert_eq!(int(&world.deployment().await, "/spec/replicas"), 2);
    let patch = json!({"spec": {"replicas": 4}});
    world.patch("deployments", &scale_name, "strategic-merge-patch+json", patch).await.unwrap();
    assert_eq!(int(&world.deployment().await, "/spec/replicas"), 4);
    world.complete().await;
}

#[tokio::test(start_paused = true)]
async fn should_run_the_lifecycle_of_a_deployment() {
    let world = World::start().await;
    let watched = world.watch("Deployment").await;
    let mut body = deployment(2, json!({}));
    body["metadata"]["labels"] = json!({"test-deployment-static": "true"});
    let created = world.create("deployments", body).await;
    world.until_seen(&watched, "ADDED", |seen| uid(seen) == uid(&created)).await;
    world.complete().await;
    world.until_seen(&watched, "MODIFIED", |seen| int(seen, "/status/readyReplicas") == 2).await;
    let patch = json!({
        "metadata": {"labels": {"test-deployment": "patched"}},
        "spec": {"replicas": 1, "template": {"spec": {
            "terminationGracePeriodSeconds": 2,
            "containers": [{"name": "fake-name", "image": "patched"}],
        }}},
    });
    let patched = world.patch("deployments", NAME, "strategic-merge-patch+json", patch).await.unwrap();
    let version = |object: &serde_json::Value| text(object, "/metadata/resourceVersion").parse::<u64>().unwrap();
    assert!(version(&patched) > version(&created));
    world.until_seen(&watched, "MODIFIED", |seen| version(seen) == version(&patched)).await;
    let complete = world.complete().await;
    assert_eq!(figures(&complete).0, [1, 1, 1, 1, 0]);
    assert_eq!(image(&complete), "patched");
    let everywhere = "/apis/apps/v1/deployments?labelSelector=test-deployment-static%3Dtrue";
    let list = world.send("GET", everywhere, "json", None).await.unwrap();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));

    let mut whole = complete.clone();
    whole["metadata"]["resourceVersion"].take();
    whole["metadata"]["labels"]["test-deployment"] = json!("updated");
    whole["spec"]["replicas"] = json!(2);
    whole["spec"]["template"]["spec"]["containers"][0]["image"] = json!("updated");
    world.put("deployments", NAME, &whole).await.unwrap();
    let seen = world.get("deployments", &format!("{NAME}/status")).await;
    assert_eq!((image(&seen), text(&seen, "/metadata/labels/test-deployment")), ("updated", "updated"));
    world.complete().await;
    world.until_status([2, 2, 2, 2, 0], Some(0)).await;

    let lie = json!({"status": {"readyReplicas": 0, "availableReplicas": 0}});
    let lied = world.patch("deployments", "test/status", "strategic-merge-patch+json", lie).await.unwrap();
    assert_eq!(int(&lied, "/status/readyReplicas"), 0);
    let is_lie = |seen: &serde_json::Value| version(seen) == version(&lied);
    world.until_seen(&watched, "MODIFIED", |seen| is_lie(seen) && int(seen, "/status/readyReplicas") == 0).await;
    world.until_status([2, 2, 2, 2, 0], Some(0)).await;

    let all = "/apis/apps/v1/namespaces/default/deployments?labelSelector=test-deployment-static%3Dtrue";
    world.send("DELETE", all, "json", None).await.unwrap();
    assert!(world.find("deployments", NAME).await.is_none());
    world.until_seen(&watched, "DELETED", |seen| uid(seen) == uid(&created)).await;
}

#[tokio::test(start_paused = true)]
async fn should_validate_deployment_status_endpoints() {
    let world = World::start().await;
    world.create("deployments", deployment(1, json!({}))).await;
    world.complete().await;
    let watched = world.watch("Deployment").await;
    let status = format!("{NAME}/status");
    let mut seen = world.get("deployments", &status).await;
    let conditions = seen["status"]["conditions"].as_array_mut().unwrap();
    conditions.push(json!({"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}));
    world.put("deployments", &status, &seen).await.unwrap();
    world.until_seen(&watched, "MODIFIED", |seen| condition(seen, "StatusUpdate").is_some()).await;
    world.settle().await;
    assert_eq!(reason(&world.deployment().await, "StatusUpdate"), "E2E", "it survives the controller");
    let patch = json!({"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}});
    let patched = world.merge("deployments", &status, patch).await;
    assert_eq!(patched["status"]["conditions"].as_array().map(Vec::len), Some(1));
    world.until_seen(&watched, "MODIFIED", |seen| condition(seen, "StatusPatched").is_some()).await;
    world.settle().await;
    let kinds: Vec<String> = ["StatusPatched", "Available", "Progressing"]
        .into_iter()
        .filter(|kind| condition(&patched, kind).is_some())
        .map(str::to_owned)
        .collect();
    assert_eq!(kinds, ["StatusPatched"]);
    world
        .until("ours beside it", async || {
            let now = world.deployment().await;
            (condition(&now, "StatusPatched").is_some() && condition(&now, "Available").is_some()).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_waits_for_its_dependents_only_keeps_its_status() {
    for policy in ["Foreground", "Orphan"] {
        // Nobody collects garbage here, so it stays as it is.
        let world = World::start().await;
        world.create("deployments", deployment(2, json!({}))).await;
        world.complete().await;
        world.delete("deployments", NAME, json!({"propagationPolicy": policy})).await;
        world.until_observed().await;
        world.set_image("new-image").await;
        world.change(json!({"replicas": 5})).await;
        let deleting = world.until_observed().await;
        world.settle().await;
        assert!(is_deleting(&deleting));
        assert_eq!(world.sizes().await, [2], "{policy}");
    }
}
