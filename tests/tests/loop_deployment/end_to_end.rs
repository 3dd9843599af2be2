//! Deployments in a whole cluster, with nodes, scheduler and garbage collector: upstream's end-to-end tests.

use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, DynamicObject, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use steersman_machinery::random::Random;
use steersman_tests::workloads::*;

async fn gone(world: &World, resource: &str) {
    world.until(&format!("no {resource}"), async || world.list(resource, "").await.is_empty().then_some(())).await;
}

async fn rolled_out(world: &World) -> Value {
    world
        .until("rolled out", async || {
            let deployment = world.deployment().await;
            is_complete(&deployment).then_some(deployment)
        })
        .await
}

#[tokio::test(start_paused = true)]
async fn deployment_reaping_should_cascade_to_its_replica_sets_and_pods() {
    for policy in ["Background", "Foreground"] {
        let world = World::whole().await;
        let created = world.create("deployments", deployment(2, json!({}))).await;
        rolled_out(&world).await;
        let only_this = json!({"propagationPolicy": policy, "preconditions": {"uid": uid(&created)}});
        world.delete("deployments", NAME, only_this).await;
        for resource in ["deployments", "replicasets", "pods"] {
            gone(&world, resource).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn test_deployment_replica_set_orphaning_and_adoption_regarding_controller_ref() {
    let world = World::whole().await;
    let created = world.create("deployments", deployment(2, json!({}))).await;
    rolled_out(&world).await;
    let orphan = json!({"propagationPolicy": "Orphan", "preconditions": {"uid": uid(&created)}});
    world.delete("deployments", NAME, orphan).await;
    gone(&world, "deployments").await;
    let sets = world.sets().await;
    assert_eq!((sets.len(), controller(&sets[0]), world.pods().await.len()), (1, String::new(), 2));
    let mut body = deployment(2, json!({}));
    body["metadata"]["name"] = json!("another");
    let another = world.create("deployments", body).await;
    world
        .until("adopted", async || {
            let after = world.sets().await;
            assert_eq!((after.len(), uid(&after[0])), (1, uid(&sets[0])));
            (controller(&after[0]) == uid(&another)).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn recreate_deployment_should_delete_old_pods_and_create_new_ones() {
    let world = World::whole().await;
    world.create("deployments", deployment(3, json!({"strategy": {"type": "Recreate"}}))).await;
    let before = text(&rolled_out(&world).await, "/metadata/resourceVersion").to_owned();
    world.set_image("new-image").await;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
    let deployments: Api<DynamicObject> = Api::default_namespaced_with(world.cluster.client(), &resource);
    let mut events = deployments.watch(&WatchParams::default(), &before).await.unwrap().boxed();
    loop {
        let Some(WatchEvent::Modified(object)) = events.try_next().await.unwrap() else { continue };
        let deployment =
            json!({"metadata": object.metadata, "spec": object.data["spec"], "status": object.data["status"]});
        let ([replicas, updated, ..], _) = figures(&deployment);
        // Until the change is seen, the pods of the old template count as updated.
        let observed = is_observed(&deployment);
        assert!(!observed || updated == 0 || replicas == updated, "{replicas} {updated}");
        if is_complete(&deployment) && image(&deployment) == "new-image" {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn iterative_rollouts_should_eventually_progress() {
    let world = World::whole().await;
    let random = Random::seeded(11);
    let spec = json!({"revisionHistoryLimit": 2, "progressDeadlineSeconds": 300});
    world.create("deployments", deployment(6, spec)).await;
    for step in 0..20 {
        match random.next_u64() % 5 {
            0 => drop(world.set_image(&format!("image-{step}")).await),
            1 => {
                let back = json!({"metadata": {"annotations": {"deprecated.deployment.rollback.to": "0"}}});
                world.merge("deployments", NAME, back).await;
            }
            2 => drop(world.change(json!({"replicas": 1 + random.next_u64() % 12})).await),
            3 => {
                let paused = world.deployment().await["spec"]["paused"] == true;
                world.change(json!({"paused": !paused})).await;
            }
            _ => {
                for pod in world.pods().await.iter().filter(|_| random.next_u64().is_multiple_of(3)) {
                    let _ = world
                        .send("DELETE", &format!("/api/v1/namespaces/default/pods/{}", name(pod)), "json", None)
                        .await;
                }
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(random.next_u64() % 3000)).await;
    }
    world.change(json!({"paused": false})).await;
    world.until_observed().await;
    let complete = rolled_out(&world).await;
    assert_eq!(reason(&complete, "Progressing"), "NewReplicaSetAvailable");
}

#[tokio::test(start_paused = true)]
async fn a_rollout_takes_no_node_out_of_service() {
    // Upstream's test of load balancers: pods keep away from each other, and from old to new every node keeps one.
    let world = World::whole().await;
    let apart = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
        "labelSelector": {"matchLabels": {"name": NAME}}, "topologyKey": "kubernetes.io/hostname",
    }]}});
    let spec = json!({
        "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        "template": {"spec": {"affinity": apart}},
    });
    world.create("deployments", deployment(3, spec)).await;
    let nodes = async || {
        let pods = world.pods().await;
        let nodes: std::collections::BTreeSet<String> =
            pods.iter().filter(|pod| is_ready(pod)).map(|pod| text(pod, "/spec/nodeName").to_owned()).collect();
        nodes
    };
    rolled_out(&world).await;
    let before = nodes().await;
    assert_eq!(before.len(), 3);
    for round in 0..3 {
        world.set_image(&format!("image-{round}")).await;
        world.until_observed().await;
        rolled_out(&world).await;
        assert_eq!(nodes().await, before);
    }
}
