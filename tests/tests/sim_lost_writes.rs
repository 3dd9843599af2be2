//! Every single write of the controllers is lost once: its request or its answer. Whatever was lost, the Deployment ends
//! as if nothing had been. That the controllers themselves may be lost at any write is in `sim_crash`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests fail like tests")]

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use steersman::Cluster;
use steersman_tests::faults::{Faults, Loss};
use steersman_tests::manifests::{deployment, image_patch};
use steersman_tests::wait::{until, until_rolled_out};

/// A rollout, a new image, a new size, and the end.
async fn scenario(client: Client) {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let sets: Api<ReplicaSet> = Api::default_namespaced(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client);
    deployments.create(&PostParams::default(), &deployment("web", 2)).await.unwrap();
    until_rolled_out(&deployments, "web").await;
    for patch in [image_patch("app:2"), json!({"spec": {"replicas": 3}})] {
        deployments.patch("web", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
        until_rolled_out(&deployments, "web").await;
    }

    let web = deployments.get("web").await.unwrap();
    assert_eq!(web.annotations()["deployment.kubernetes.io/revision"], "2");
    assert_eq!(web.status.unwrap().collision_count, None);
    let sets_now = sets.list(&ListParams::default()).await.unwrap().items;
    let mut sizes: Vec<i32> = sets_now.iter().map(|set| set.spec.as_ref().unwrap().replicas.unwrap()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [0, 3]);
    let pods_now = pods.list(&ListParams::default()).await.unwrap().items;
    let images = pods_now.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let images: Vec<_> = images.map(|pod| pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap()).collect();
    assert_eq!(images, ["app:2"; 3]);

    deployments.delete("web", &DeleteParams::default()).await.unwrap();
    for set in sets_now {
        until(&sets, &set.name_any(), "gone", |set| set.is_none()).await;
    }
    for pod in pods_now {
        until(&pods, &pod.name_any(), "gone", |pod| pod.is_none()).await;
    }
}

/// Runs the scenario with one loss; how many writes there were.
async fn with_loss(loss: Loss, at: usize) -> usize {
    let faults = Faults::new(loss, Some(at));
    let builder = Cluster::builder().nodes(2).virtual_time().without_controllers();
    let cluster = builder.disable_admission(["ServiceAccount"]).start().await.unwrap();
    tokio::select! {
        biased;
        _ = faults.run_controllers(&cluster, "deployment,replicaset,garbage-collector") => {}
        () = scenario(cluster.client()) => {}
    }
    faults.seen()
}

fn every_write_may_be_lost(loss: Loss) {
    let mut at = 0;
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        println!("losing {loss:?} number {at}");
        if runtime.block_on(with_loss(loss, at)) <= at {
            break;
        }
        at += 1;
    }
    assert!(at >= 15, "only {at} writes");
}

#[test]
fn every_request_may_be_lost() {
    every_write_may_be_lost(Loss::Request);
}

#[test]
fn every_answer_may_be_lost() {
    every_write_may_be_lost(Loss::Answer);
}
