//! A paused Deployment rolls nothing out, but scales.

use serde_json::json;
use steersman_tests::workloads::*;

#[tokio::test(start_paused = true)]
async fn test_paused_deployment() {
    let world = World::start().await;
    world.create("deployments", deployment(1, json!({"paused": true}))).await;
    let paused = world.until_observed().await;
    assert_eq!(reason(&paused, "Progressing"), "DeploymentPaused");
    assert!(world.sets().await.is_empty(), "paused at birth");
    world.change(json!({"paused": false})).await;
    world.until_observed().await;
    let set = world.until_revision("1", "fakeimage").await;
    world.complete().await;

    world.change(json!({"paused": true})).await;
    world.until_observed().await;
    world.change(json!({"template": {"spec": {"terminationGracePeriodSeconds": 1}}})).await;
    world.until_observed().await;
    world.settle().await;
    let sets = world.sets().await;
    assert_eq!(sets.len(), 1);
    assert_eq!(sets[0]["spec"]["template"], set["spec"]["template"]);
}

#[tokio::test(start_paused = true)]
async fn test_scale_paused_deployment() {
    let world = World::start().await;
    world.create("deployments", deployment(1, json!({}))).await;
    world.until_revision("1", "fakeimage").await;
    world.complete().await;
    world.change(json!({"paused": true})).await;
    world.until_observed().await;
    world.change(json!({"replicas": 10})).await;
    world.until_observed().await;
    assert_eq!(world.sizes().await, [10]);
    assert_eq!(world.complete().await["spec"]["paused"], true);
}

#[tokio::test(start_paused = true)]
async fn pausing_holds_the_deadline_and_resuming_starts_it_anew() {
    let world = World::start().await;
    let reason = async || reason(&world.deployment().await, "Progressing");
    world.create("deployments", deployment(1, json!({"progressDeadlineSeconds": 10}))).await;
    world.until_revision("1", "fakeimage").await;
    world.change(json!({"paused": true})).await;
    tokio::time::sleep(std::time::Duration::from_secs(100)).await;
    assert_eq!(reason().await, "DeploymentPaused");
    world.change(json!({"paused": false})).await;
    tokio::time::sleep(std::time::Duration::from_secs(9)).await;
    assert_eq!(reason().await, "DeploymentResumed");
    world.until("late", async || (reason().await == "ProgressDeadlineExceeded").then_some(())).await;
    let condition = condition(&world.deployment().await, "Progressing").unwrap();
    assert_eq!(condition["status"], "False");
    assert!(text(&condition, "/message").ends_with("has timed out progressing."));
}
