//! Pods that are being deleted: whom they hinder and whom not.

use serde_json::{Value, json};
use steersman_tests::workloads::*;

fn lingering() -> Value {
    json!({"spec": {"nodeName": "fake-node", "terminationGracePeriodSeconds": 300}})
}

/// Deletes active pods of an image, with grace.
async fn delete_pods(world: &World, image: &str, count: usize) {
    let of_image = |pod: &&Value| is_active(pod) && text(pod, "/spec/containers/0/image") == image;
    for pod in world.pods().await.iter().filter(of_image).take(count) {
        world.delete("pods", name(pod), json!({})).await;
    }
}

async fn recreate(gate: bool) {
    let told = |count| gate.then_some(count);
    let mut world = World::idle().await;
    world.terminating_replicas(gate).await;
    let spec = json!({"strategy": {"type": "Recreate"}, "template": lingering()});
    world.create("deployments", deployment(6, spec)).await;
    world.until_revision("1", "fakeimage").await;
    world.complete().await;

    world.set_image("new-image").await;
    world.until_status([0, 0, 0, 0, 0], told(6)).await;
    assert_eq!(world.sizes().await, [0], "no new set before the old pods are gone");
    world.finish_terminating().await;
    world.until_status([6, 6, 0, 0, 6], told(0)).await;
    world.until_revision("2", "new-image").await;
    delete_pods(&world, "new-image", 1).await;
    world.until_status([6, 6, 0, 0, 6], told(1)).await;
    assert_eq!(world.pods().await.len(), 7, "it was replaced at once");
    for (replicas, terminating) in [(7, 1), (5, 3)] {
        world.change(json!({"replicas": replicas})).await;
        world.until_status([replicas, replicas, 0, 0, replicas], told(terminating)).await;
    }
    world.complete().await;
    world.until_status([5, 5, 5, 5, 0], told(3)).await;
    world.finish_terminating().await;
    world.until_status([5, 5, 5, 5, 0], told(0)).await;
}

#[tokio::test(start_paused = true)]
async fn test_recreate_deployment_for_pod_replacement() {
    for gate in [false, true] {
        recreate(gate).await;
    }
}

async fn proportional(gate: bool) {
    let told = |count| gate.then_some(count);
    let mut world = World::idle().await;
    world.terminating_replicas(gate).await;
    let limits = json!({"rollingUpdate": {"maxSurge": 20, "maxUnavailable": 0}});
    world.create("deployments", deployment(100, json!({"strategy": limits, "template": lingering()}))).await;
    world.until_revision("1", "fakeimage").await;
    world.complete().await;
    delete_pods(&world, "fakeimage", 15).await;
    world.until_status([100, 100, 85, 85, 15], told(15)).await;
    world.complete().await;

    world.set_image("new-image").await;
    world.until_status([120, 20, 100, 100, 20], told(15)).await;
    assert_eq!(world.sizes().await, [100, 20]);
    delete_pods(&world, "new-image", 1).await;
    world.until_status([120, 20, 100, 100, 20], told(16)).await;
    world.change(json!({"replicas": 120})).await;
    world.until("in proportion", async || (world.sizes().await == [117, 23]).then_some(())).await;
    check_annotations(&world).await;
    world.until_revision("2", "new-image").await;
    world.complete().await;
    check_annotations(&world).await;
}

async fn check_annotations(world: &World) {
    for (set, revision) in world.sets().await.iter().zip(["1", "2"]) {
        let expect = json!({
            "deployment.kubernetes.io/desired-replicas": "120",
            "deployment.kubernetes.io/max-replicas": "140",
            "deployment.kubernetes.io/revision": revision,
        });
        assert_eq!(set["metadata"]["annotations"], expect);
    }
}

// These take long since they have 140 pods, as upstream's do.
#[tokio::test(start_paused = true)]
async fn test_rolling_update_and_proportional_scaling_for_deployment_pod_replacement() {
    proportional(true).await;
}

#[tokio::test(start_paused = true)]
async fn test_rolling_update_and_proportional_scaling_for_deployment_pod_replacement_with_the_gate_off() {
    proportional(false).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_an_old_template_that_has_ended_does_not_hold_recreation() {
    for (phase, held) in [("Failed", false), ("Succeeded", false), ("Unknown", true), ("Running", true)] {
        let world = World::start().await;
        let spec = json!({"strategy": {"type": "Recreate"}, "template": lingering()});
        world.create("deployments", deployment(1, spec)).await;
        world.complete().await;
        let pods = world.pods().await;
        world.set_image("new-image").await;
        world.until("drained", async || (world.sizes().await == [0]).then_some(())).await;
        world.report(name(&pods[0]), json!({"phase": phase})).await;
        // Nothing else wakes the Deployment up: the pod that lies about is not gone.
        world.change(json!({"revisionHistoryLimit": 9})).await;
        world.until_observed().await;
        world.settle().await;
        assert_eq!(world.sets().await.len(), if held { 1 } else { 2 }, "{phase}");
    }
}
