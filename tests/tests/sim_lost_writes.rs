//! Every single write of the controllers is lost once: its request, its answer, or the controllers with it. Whatever
//! was lost, the Deployment ends as if nothing had been.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests fail like tests")]

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::{Client, ResourceExt};
use serde_json::json;
use steersman::Cluster;
use steersman_framework::runtime::{Context, Shutdown};
use steersman_machinery::random::Random;
use steersman_tests::manifests::{deployment, image_patch};
use steersman_tests::wait::{until, until_rolled_out};
use tokio::sync::Notify;
use tower::BoxError;

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    /// The request: nothing was written.
    Request,
    /// The answer: it was written, but nobody knows.
    Answer,
    /// The controllers, right after the write; they are started anew.
    Process,
}

/// Loses the write with the number `at`.
struct Faults {
    at: usize,
    loss: Loss,
    seen: AtomicUsize,
    killed: Notify,
}

impl Faults {
    /// Whether this request is the one. Events are of no account.
    fn strike(&self, request: &Request<Body>) -> bool {
        let counts = request.method() != Method::GET && !request.uri().path().contains("/events");
        counts && self.seen.fetch_add(1, Ordering::Relaxed) == self.at
    }
}

/// A client that loses one write.
fn lossy(client: Client, faults: Arc<Faults>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, faults) = (client.clone(), Arc::clone(&faults));
        async move {
            if !faults.strike(&request) {
                return Ok(client.send(request).await?);
            }
            if faults.loss != Loss::Request {
                client.send(request).await?;
            }
            if faults.loss == Loss::Process {
                faults.killed.notify_one();
                pending::<Infallible>().await;
            }
            Err(BoxError::from("connection reset"))
        }
    });
    Client::new(service, "default")
}

/// Runs the controllers, and runs them again when they are killed.
async fn run_controllers(cluster: &Cluster, faults: &Arc<Faults>) -> Infallible {
    let options = steersman_controllers::Options {
        controllers: "deployment,replicaset,garbage-collector".parse().unwrap(),
        ..steersman_controllers::Options::default()
    };
    loop {
        let (_trigger, shutdown) = Shutdown::new();
        let client = lossy(cluster.client(), Arc::clone(faults));
        let context = Context { client, clock: cluster.clock(), random: Random::seeded(1), shutdown };
        tokio::select! {
            biased;
            ended = steersman_controllers::run(context, options.clone()) => panic!("the controllers ended: {ended:?}"),
            () = faults.killed.notified() => {}
        }
    }
}

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
    let faults = Arc::new(Faults { at, loss, seen: AtomicUsize::new(0), killed: Notify::new() });
    let builder = Cluster::builder().nodes(2).virtual_time().without_controllers();
    let cluster = builder.disable_admission(["ServiceAccount"]).start().await.unwrap();
    tokio::select! {
        biased;
        _ = run_controllers(&cluster, &faults) => {}
        () = scenario(cluster.client()) => {}
    }
    faults.seen.load(Ordering::Relaxed)
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

#[test]
fn the_controllers_may_be_killed_after_every_write() {
    every_write_may_be_lost(Loss::Process);
}
