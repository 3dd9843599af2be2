//! Which pods belong to a ReplicaSet.

use serde_json::{Value, json};
use steersman_tests::workloads::*;

fn reference(kind: &str, name: &str, uid: &str, controller: Option<bool>) -> Value {
    let mut reference = json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid});
    if let Some(controller) = controller {
        reference["controller"] = json!(controller);
    }
    reference
}

#[tokio::test(start_paused = true)]
async fn test_adoption() {
    let ours = |uid: &str| {
        let mut ours = reference("ReplicaSet", NAME, uid, Some(true));
        ours["blockOwnerDeletion"] = json!(true);
        ours
    };
    type References = fn(&str) -> Vec<Value>;
    let cases: [(References, bool); 4] = [
        (|uid| vec![reference("ReplicaSet", NAME, uid, None)], true),
        (|_| vec![], true),
        (|uid| vec![reference("ReplicaSet", NAME, uid, Some(true))], false),
        (|uid| vec![reference("ReplicaSet", "rs", "1", Some(true)), reference("ReplicaSet", NAME, uid, None)], false),
    ];
    for (references, adopted) in cases {
        let mut world = World::idle().await;
        let set = world.create("replicasets", replica_set(1, json!({}))).await;
        let before = references(uid(&set));
        let mut body = pod("pod");
        body["metadata"]["ownerReferences"] = json!(before);
        world.create("pods", body).await;
        world.run(options("replicaset"));
        world.until_stable(NAME).await;
        let expect = if adopted { vec![ours(uid(&set))] } else { before };
        assert_eq!(owners(&world.get("pods", "pod").await), expect);
    }
}

#[tokio::test(start_paused = true)]
async fn test_general_pod_adoption() {
    let world = World::start().await;
    let set = world.create("replicasets", replica_set(1, json!({}))).await;
    world.until_stable(NAME).await;
    let pods = world.pods().await;
    let pod = name(&pods[0]);
    for (reference, count) in [
        (reference("StatefulSet", NAME, "1", Some(false)), 2),
        (reference("ReplicaSet", NAME, uid(&set), Some(false)), 1),
    ] {
        world.merge("pods", pod, json!({"metadata": {"ownerReferences": [reference]}})).await;
        let owners = world
            .until("adopted", async || {
                let pod = world.get("pods", pod).await;
                (controller(&pod) == uid(&set)).then(|| owners(&pod).len())
            })
            .await;
        assert_eq!(owners, count);
    }
}

#[tokio::test(start_paused = true)]
async fn test_overlapping_rss() {
    let world = World::start().await;
    for size in [1, 2] {
        let mut body = replica_set(size, json!({}));
        body["metadata"]["name"] = json!(format!("rs-{size}"));
        world.create("replicasets", body).await;
    }
    world.until("three pods", async || (world.pods().await.len() == 3).then_some(())).await;
    for size in [1, 2] {
        assert_eq!(int(&world.until_stable(&format!("rs-{size}")).await, "/status/replicas"), size);
    }
}

#[tokio::test(start_paused = true)]
async fn test_pod_orphaning_and_adoption_when_labels_change() {
    let world = World::start().await;
    let set = world.create("replicasets", replica_set(1, json!({}))).await;
    world.until_stable(NAME).await;
    let pods = world.pods().await;
    let pod = name(&pods[0]);
    world.merge("pods", pod, json!({"metadata": {"labels": {"foo": null, "new": "label"}}})).await;
    world.until("let go", async || controller(&world.get("pods", pod).await).is_empty().then_some(())).await;
    world.until("replaced", async || (world.pods().await.len() == 2).then_some(())).await;
    world.merge("pods", pod, json!({"metadata": {"labels": {"foo": "bar"}}})).await;
    world
        .until("one pod again", async || {
            let pods = world.pods().await;
            (pods.len() == 1 && controller(&pods[0]) == uid(&set)).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn test_extra_pods_adoption_and_deletion() {
    let mut world = World::idle().await;
    for name in ["pod-1", "pod-2", "pod-3"] {
        world.create("pods", pod(name)).await;
    }
    world.run(options("replicaset"));
    let set = world.create("replicasets", replica_set(2, json!({}))).await;
    world
        .until("two pods", async || {
            let pods = world.pods().await;
            let owned = pods.iter().filter(|pod| controller(pod) == uid(&set)).count();
            (pods.len() == 2 && owned == 2).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn should_adopt_matching_pods_on_creation_and_release_no_longer_matching_pods() {
    let world = World::start().await;
    world.create("pods", pod("pod")).await;
    let set = world.create("replicasets", replica_set(1, json!({}))).await;
    world.until("adopted", async || (controller(&world.get("pods", "pod").await) == uid(&set)).then_some(())).await;
    assert!(owners(&world.get("pods", "pod").await).iter().all(|owner| owner.get("controller").is_some()));
    world.merge("pods", "pod", json!({"metadata": {"labels": {"foo": "not-matching"}}})).await;
    world.until("let go", async || owners(&world.get("pods", "pod").await).is_empty().then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_or_is_ending_is_neither_adopted_nor_let_go() {
    let world = World::start().await;
    let mut ending = pod("ending");
    ending["spec"]["nodeName"] = json!("node");
    world.create("pods", ending).await;
    world.delete("pods", "ending", json!({})).await;
    world.create("pods", pod("ended")).await;
    world.report("ended", json!({"phase": "Succeeded"})).await;
    world.create("replicasets", replica_set(1, json!({}))).await;
    world.until_stable(NAME).await;
    for name in ["ending", "ended"] {
        assert!(owners(&world.get("pods", name).await).is_empty(), "{name}");
    }
    assert_eq!(world.pods().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_forged_reference_from_elsewhere_makes_no_pod_ours() {
    let world = World::start().await;
    let set = world.create("replicasets", replica_set(1, json!({}))).await;
    world.until_stable(NAME).await;
    let forged = async |namespace: &str, pod_name: &str, owner: Value| {
        let mut body = pod(pod_name);
        body["metadata"]["ownerReferences"] = json!([owner]);
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        world.send("POST", &path, "json", Some(&body)).await.unwrap();
    };
    forged("kube-public", "elsewhere", reference("ReplicaSet", NAME, uid(&set), Some(true))).await;
    forged("default", "other-kind", reference("StatefulSet", NAME, uid(&set), Some(true))).await;
    forged("default", "other-name", reference("ReplicaSet", "other", uid(&set), Some(true))).await;
    world.merge("replicasets", NAME, json!({"spec": {"minReadySeconds": 1}})).await;
    let stable = world.until_stable(NAME).await;
    assert_eq!(int(&stable, "/status/replicas"), 1);
    world.settle().await;
    assert_eq!(world.pods().await.len(), 3, "nothing was deleted");
}
