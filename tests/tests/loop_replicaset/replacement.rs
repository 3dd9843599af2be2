//! Pods that fail or go are replaced.

use serde_json::json;
use steersman_tests::workloads::*;

#[tokio::test(start_paused = true)]
async fn test_deleting_and_failed_pods() {
    let world = World::start().await;
    world.create("replicasets", replica_set(2, json!({}))).await;
    world.until_stable(NAME).await;
    let pods = world.pods().await;
    world.merge("pods", name(&pods[0]), json!({"metadata": {"finalizers": ["fake.example.com/blockDeletion"]}})).await;
    world.delete("pods", name(&pods[0]), json!({})).await;
    world.report(name(&pods[1]), json!({"phase": "Failed"})).await;
    let after = world.until("four pods", async || Some(world.pods().await).filter(|pods| pods.len() == 4)).await;
    world.settle().await;
    assert_eq!(world.pods().await.len(), 4);
    assert!(pods.iter().all(|pod| after.iter().any(|it| uid(it) == uid(pod))));
}

#[tokio::test(start_paused = true)]
async fn test_terminating_replicas() {
    let mut world = World::idle().await;
    world.terminating_replicas(false).await;
    let template = json!({"spec": {"nodeName": "fake-node", "terminationGracePeriodSeconds": 300}});
    world.create("replicasets", replica_set(5, json!({"template": template}))).await;
    world.until_stable(NAME).await;
    let told = async |expect: Option<i64>, active: usize, all: usize| {
        world_until(&world, expect).await;
        let pods = world.pods().await;
        assert_eq!((pods.iter().filter(|pod| is_active(pod)).count(), pods.len()), (active, all));
    };
    let pods = world.pods().await;
    world.delete("pods", name(&pods[0]), json!({})).await;
    world.settle().await;
    told(None, 5, 6).await;
    world.terminating_replicas(true).await;
    world.delete("pods", name(&pods[1]), json!({})).await;
    world.settle().await;
    world_until(&world, Some(2)).await;
    assert_eq!(world.pods().await.len(), 7);
    world.delete("pods", name(&pods[0]), json!({"gracePeriodSeconds": 0})).await;
    world_until(&world, Some(1)).await;
    world.terminating_replicas(false).await;
    world_until(&world, None).await;
}

async fn world_until(world: &World, terminating: Option<i64>) {
    world
        .until(&format!("{terminating:?} terminating"), async || {
            let set = world.get("replicasets", NAME).await;
            let told = set.pointer("/status/terminatingReplicas").and_then(serde_json::Value::as_i64);
            (told == terminating && int(&set, "/status/replicas") == 5).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_set_that_is_being_deleted_creates_and_deletes_nothing() {
    let world = World::start().await;
    world.create("replicasets", replica_set(2, json!({}))).await;
    world.until_stable(NAME).await;
    world.merge("replicasets", NAME, json!({"metadata": {"finalizers": ["fake.example.com/hold"]}})).await;
    world.delete("replicasets", NAME, json!({})).await;
    let pods = world.pods().await;
    world.delete("pods", name(&pods[0]), json!({})).await;
    world.create("pods", pod("orphan")).await;
    world
        .until("counted", async || (int(&world.get("replicasets", NAME).await, "/status/replicas") == 1).then_some(()))
        .await;
    world.settle().await;
    assert_eq!(world.pods().await.len(), 2);
    assert!(owners(&world.get("pods", "orphan").await).is_empty());
}
