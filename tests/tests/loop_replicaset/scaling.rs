//! A ReplicaSet keeps as many pods as are wanted.

use serde_json::json;
use steersman_controllers::{Features, Options};
use steersman_tests::workloads::*;

#[tokio::test(start_paused = true)]
async fn test_spec_replicas_change() {
    let world = World::start().await;
    world.create("replicasets", replica_set(2, json!({}))).await;
    world.until_stable(NAME).await;
    for replicas in [3, 0, 2] {
        world.merge("replicasets", NAME, json!({"spec": {"replicas": replicas}})).await;
        assert_eq!(int(&world.until_stable(NAME).await, "/status/replicas"), replicas);
    }
    let before = world.get("replicasets", NAME).await;
    let template = json!({"spec": {"template": {"metadata": {"annotations": {"test": "annotation"}}}}});
    let after = world.merge("replicasets", NAME, template).await;
    assert_eq!(int(&after, "/metadata/generation"), int(&before, "/metadata/generation") + 1);
    world.until_stable(NAME).await;
}

#[tokio::test(start_paused = true)]
async fn test_rs_scale_subresource() {
    let world = World::start().await;
    world.create("replicasets", replica_set(1, json!({}))).await;
    world.until_stable(NAME).await;
    let scale_name = format!("{NAME}/scale");
    for replicas in [3, 0] {
        let mut scale = world.get("replicasets", &scale_name).await;
        scale["spec"]["replicas"] = json!(replicas);
        world.put("replicasets", &scale_name, &scale).await.unwrap();
        assert_eq!(int(&world.until_stable(NAME).await, "/spec/replicas"), replicas);
    }
}

#[tokio::test(start_paused = true)]
async fn test_pod_deletion_cost() {
    let costs = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
    // Of the pods, the first has restarted five times and the second never.
    for (costs, counts, survivor) in [
        (costs("1000", "100"), true, 0),
        (costs("100", "100"), true, 1),
        (None, true, 1),
        (costs("1000", "100"), false, 1),
    ] {
        let mut world = World::idle().await;
        let features = Features { pod_deletion_cost: counts, ..Features::default() };
        world.run(Options { features, ..options("replicaset") });
        world.create("replicasets", replica_set(2, json!({}))).await;
        world.until_stable(NAME).await;
        let pods = world.pods().await;
        for (pod, restarts) in pods.iter().zip([5, 0]) {
            let container =
                json!({"name": "fake-name", "restartCount": restarts, "ready": true, "image": "i", "imageID": ""});
            world.report(name(pod), json!({"phase": "Running", "containerStatuses": [container]})).await;
        }
        if let Some((first, second)) = &costs {
            for (pod, cost) in pods.iter().zip([first, second]) {
                let annotations = json!({"controller.kubernetes.io/pod-deletion-cost": cost});
                world.merge("pods", name(pod), json!({"metadata": {"annotations": annotations}})).await;
            }
        }
        world.settle().await;
        world.merge("replicasets", NAME, json!({"spec": {"replicas": 1}})).await;
        let left = world.until("one pod", async || Some(world.pods().await).filter(|pods| pods.len() == 1)).await;
        assert_eq!(name(&left[0]), name(&pods[survivor]), "{costs:?} {counts}");
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_a_burst_takes_several_rounds() {
    let world = World::start().await;
    world.create("replicasets", replica_set(501, json!({}))).await;
    assert_eq!(int(&world.until_stable(NAME).await, "/status/replicas"), 501);
    world.merge("replicasets", NAME, json!({"spec": {"replicas": 0}})).await;
    world.until_stable(NAME).await;
    assert!(world.pods().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn pods_are_named_after_their_set_and_cut_to_63_characters() {
    for length in [57, 58, 60] {
        let world = World::start().await;
        let set = "a".repeat(length);
        let mut body = replica_set(1, json!({}));
        body["metadata"]["name"] = json!(set);
        world.create("replicasets", body).await;
        let pod = world.until("a pod", async || world.pods().await.pop()).await;
        let prefix = if length == 57 { format!("{set}-") } else { "a".repeat(58) };
        assert!(name(&pod).starts_with(&prefix) && name(&pod).len() == prefix.len() + 5, "{}", name(&pod));
        assert_eq!(text(&pod, "/metadata/generateName"), format!("{set}-"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_of_the_same_name_starts_afresh() {
    let world = World::start().await;
    for _ in 0..3 {
        let set = world.create("replicasets", replica_set(2, json!({}))).await;
        let own = async || world.pods().await.iter().filter(|pod| controller(pod) == uid(&set)).count();
        world.until("two pods", async || (own().await == 2).then_some(())).await;
        world.delete("replicasets", NAME, json!({"propagationPolicy": "Background"})).await;
    }
    assert_eq!(world.pods().await.len(), 6, "nobody collects garbage here");
}
