//! The status tells how it goes.

use serde_json::json;
use steersman_tests::workloads::*;

#[tokio::test(start_paused = true)]
async fn test_deployment_available_condition() {
    let world = World::start().await;
    let slow = json!({"minReadySeconds": 3600, "progressDeadlineSeconds": 7200});
    world.create("deployments", deployment(10, slow)).await;
    world.until_revision("1", "fakeimage").await;
    let available = async || reason(&world.deployment().await, "Available");
    world.until_status([10, 10, 0, 0, 10], Some(0)).await;
    assert_eq!(available().await, "MinimumReplicasUnavailable");
    world.make_all_ready().await;
    world.until_status([10, 10, 10, 0, 10], Some(0)).await;
    assert_eq!(available().await, "MinimumReplicasUnavailable");
    world.change(json!({"minReadySeconds": 1})).await;
    world.until_status([10, 10, 10, 10, 0], Some(0)).await;
    assert_eq!(available().await, "MinimumReplicasAvailable");
}

#[tokio::test(start_paused = true)]
async fn test_terminating_replicas_deployment_status() {
    let mut world = World::idle().await;
    world.terminating_replicas(false).await;
    let template = json!({"spec": {"nodeName": "fake-node", "terminationGracePeriodSeconds": 300}});
    world.create("deployments", deployment(6, json!({"strategy": {"type": "Recreate"}, "template": template}))).await;
    world.complete().await;
    world.until_status([6, 6, 6, 6, 0], None).await;
    for (on, replicas, terminating) in [(false, 4, None), (true, 3, Some(3)), (false, 2, None)] {
        world.terminating_replicas(on).await;
        world.change(json!({"replicas": replicas})).await;
        world.until_status([replicas, replicas, replicas, replicas, 0], terminating).await;
    }
}

#[tokio::test(start_paused = true)]
async fn conditions_of_others_stay_and_ours_come_last() {
    let world = World::start().await;
    world.create("deployments", deployment(1, json!({}))).await;
    let pending = world.until_observed().await;
    let mut conditions = pending["status"]["conditions"].as_array().unwrap().clone();
    conditions.insert(0, json!({"type": "Foreign", "status": "True"}));
    world.merge("deployments", "test/status", json!({"status": {"conditions": conditions}})).await;
    let complete = world.complete().await;
    let kinds: Vec<&str> =
        complete["status"]["conditions"].as_array().unwrap().iter().map(|it| text(it, "/type")).collect();
    assert_eq!(kinds.len(), 3);
    assert_eq!(kinds[0], "Foreign");
    assert_eq!(world.complete().await, complete, "nothing is written any more");
}

#[tokio::test(start_paused = true)]
async fn no_time_that_somebody_writes_into_a_status_stops_anything() {
    let world = World::start().await;
    world.create("deployments", deployment(1, json!({}))).await;
    world.until_observed().await;
    // There is not time enough after it for any deadline.
    let last = "9999-12-30T21:59:59Z";
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "Odd", "lastTransitionTime": last});
    let mut progress = condition("Progressing");
    progress["lastUpdateTime"] = json!(last);
    let conditions = json!({"status": {"conditions": [progress, condition("Foreign")]}});
    world.merge("deployments", "test/status", conditions).await;
    let sets = world.sets().await;
    let conditions = json!({"status": {"conditions": [condition("Foreign")]}});
    world.merge("replicasets", &format!("{}/status", name(&sets[0])), conditions).await;
    let complete = world.complete().await;
    assert_eq!(reason(&complete, "Progressing"), "NewReplicaSetAvailable");
    world.set_image("new-image").await;
    world.complete().await;
    assert_eq!(world.sizes().await, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn without_a_deadline_there_is_no_progress_to_tell() {
    let world = World::start().await;
    world.create("deployments", deployment(1, json!({"progressDeadlineSeconds": i32::MAX}))).await;
    let complete = world.complete().await;
    assert_eq!(reason(&complete, "Progressing"), "");
    world.change(json!({"progressDeadlineSeconds": 60})).await;
    world
        .until("found", async || {
            (reason(&world.deployment().await, "Progressing") == "NewReplicaSetAvailable").then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_shows_in_the_conditions_until_it_is_raised() {
    let mut world = World::of(bare().enable_admission(["ResourceQuota"])).await;
    world.run(options("deployment,replicaset,resourcequota"));
    let quota = json!({"metadata": {"name": "quota"}, "spec": {"hard": {"pods": "1"}}});
    world.create("resourcequotas", quota).await;
    world
        .until("counted", async || world.get("resourcequotas", "quota").await.pointer("/status/hard/pods").map(drop))
        .await;
    world.create("deployments", deployment(2, json!({}))).await;
    world
        .until("a failure", async || {
            (reason(&world.deployment().await, "ReplicaFailure") == "FailedCreate").then_some(())
        })
        .await;
    world.merge("resourcequotas", "quota", json!({"spec": {"hard": {"pods": "9"}}})).await;
    world
        .until("raised", async || {
            (text(&world.get("resourcequotas", "quota").await, "/status/hard/pods") == "9").then_some(())
        })
        .await;
    // The failure is tried again with longer and longer pauses; a change of the ReplicaSet cuts that short.
    world.change(json!({"replicas": 3})).await;
    let complete = world.complete().await;
    assert_eq!(reason(&complete, "ReplicaFailure"), "");
}
