//! The status tells how many pods there are and how they are.

use serde_json::json;
use steersman_tests::workloads::*;

#[tokio::test(start_paused = true)]
async fn test_ready_and_available_replicas() {
    let world = World::start().await;
    world.create("replicasets", replica_set(3, json!({"minReadySeconds": 3600}))).await;
    world.until_stable(NAME).await;
    let pods = world.pods().await;
    world.make_ready(name(&pods[1])).await;
    let long_ago = json!([{"type": "Ready", "status": "True", "lastTransitionTime": "2025-12-31T21:00:00Z"}]);
    world.report(name(&pods[2]), json!({"phase": "Running", "conditions": long_ago})).await;
    let set = world
        .until("counted", async || {
            let set = world.get("replicasets", NAME).await;
            (int(&set, "/status/readyReplicas") == 2).then_some(set)
        })
        .await;
    assert_eq!((int(&set, "/status/replicas"), int(&set, "/status/availableReplicas")), (3, 1));
    // The other one becomes available when its time has come, without anything else happening.
    tokio::time::sleep(std::time::Duration::from_secs(3601)).await;
    assert_eq!(int(&world.get("replicasets", NAME).await, "/status/availableReplicas"), 2);
}

#[tokio::test(start_paused = true)]
async fn test_fully_labeled_replicas() {
    let world = World::start().await;
    world.create("replicasets", replica_set(2, json!({}))).await;
    world.until_stable(NAME).await;
    let extra = json!({"spec": {"template": {"metadata": {"labels": {"extraKey": "extraValue"}}}}});
    world.merge("replicasets", NAME, extra).await;
    world.until_stable(NAME).await;
    let pods = world.pods().await;
    assert_eq!(int(&world.get("replicasets", NAME).await, "/status/fullyLabeledReplicas"), 0);
    world.merge("pods", name(&pods[0]), json!({"metadata": {"labels": {"extraKey": "extraValue"}}})).await;
    let set = world
        .until("counted", async || {
            let set = world.get("replicasets", NAME).await;
            (int(&set, "/status/fullyLabeledReplicas") == 1).then_some(set)
        })
        .await;
    assert_eq!(int(&set, "/status/replicas"), 2);
    assert_eq!(world.pods().await.len(), 2, "a new template replaces nothing");
}

#[tokio::test(start_paused = true)]
async fn should_surface_a_failure_condition_on_a_common_issue_like_exceeded_quota() {
    let mut world = World::of(bare().enable_admission(["ResourceQuota"])).await;
    world.run(options("replicaset,resourcequota"));
    world.create("resourcequotas", json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "2"}}})).await;
    world
        .until("counted", async || world.get("resourcequotas", "q").await.pointer("/status/hard/pods").map(drop))
        .await;
    world.create("replicasets", replica_set(3, json!({}))).await;
    let failure = async || condition(&world.get("replicasets", NAME).await, "ReplicaFailure");
    let condition = world.until("a failure", failure).await;
    assert_eq!((text(&condition, "/status"), text(&condition, "/reason")), ("True", "FailedCreate"));
    let message = text(&condition, "/message");
    assert!(message.contains("exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"), "{message}");
    let told = world.messages("FailedCreate").await;
    assert!(told.iter().all(|text| text.starts_with("Error creating: ")) && !told.is_empty(), "{told:?}");
    world.merge("replicasets", NAME, json!({"spec": {"replicas": 2}})).await;
    world.until("no failure", async || failure().await.is_none().then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn pods_are_told_in_events() {
    let world = World::start().await;
    world.create("replicasets", replica_set(1, json!({}))).await;
    world.until_stable(NAME).await;
    let pods = world.pods().await;
    assert_eq!(world.messages("SuccessfulCreate").await, [format!("Created pod: {}", name(&pods[0]))]);
    world.merge("replicasets", NAME, json!({"spec": {"replicas": 0}})).await;
    world.until_stable(NAME).await;
    world.settle().await;
    assert_eq!(world.messages("SuccessfulDelete").await, [format!("Deleted pod: {}", name(&pods[0]))]);
}
