//! The controllers and the scheduler against API servers of 1.33 to 1.37: what a server does not have counts as empty, what it
//! drops is not written again and again, and what it adds does not matter.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Endpoints, Namespace, Pod};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_framework::health::{Health, Probe};
use steersman_framework::runtime::{Context, Shutdown, ShutdownTrigger};
use steersman_machinery::random::Random;
use steersman_tests::manifests::{deployment_with, image_patch};
use steersman_tests::objects;
use steersman_tests::skew::{RELEASES, Skew};
use steersman_tests::wait::{until, until_rolled_out};
use tokio::time::sleep;

/// A cluster whose controllers and scheduler believe that its server is of another release.
struct Town {
    cluster: Cluster,
    skew: Skew,
    health: [Health; 2],
    _running: [ShutdownTrigger; 2],
}

impl Town {
    async fn start(minor: u32) -> Self {
        let builder = Cluster::builder().virtual_time().nodes(2).without_controllers().without_scheduler();
        let cluster = builder.start().await.unwrap();
        let skew = Skew::new(minor);
        let context = |seed| {
            let (trigger, shutdown) = Shutdown::new();
            (trigger, Context::new(skew.client(&cluster.client()), cluster.clock(), Random::seeded(seed), shutdown))
        };
        let ((controllers, one), (scheduler, two)) = (context(1), context(2));
        let health = [one.health.clone(), two.health.clone()];
        tokio::spawn(steersman_controllers::run(one, steersman_controllers::Options::default()));
        tokio::spawn(steersman_scheduler_plugin::run(two, steersman_scheduler_plugin::Options::default()));
        Self { cluster, skew, health, _running: [controllers, scheduler] }
    }

    fn client(&self) -> Client {
        self.cluster.client()
    }

    async fn create(&self, version: &str, kind: &str, object: Value) {
        let namespace = (!matches!(kind, "DeviceClass" | "ResourceSlice")).then_some("default");
        objects::create(&self.client(), (version, kind), namespace, object).await;
    }
}

fn is_bound(pod: Option<&Pod>) -> bool {
    pod.and_then(|pod| pod.spec.as_ref()).is_some_and(|spec| spec.node_name.is_some())
}

/// Rolls out, over and back, with endpoints beside, and ends.
async fn live(town: &Town) {
    let deployments: Api<Deployment> = Api::default_namespaced(town.client());
    let ports = json!({"selector": {"app": "web"}, "ports": [{"port": 80}]});
    town.create("v1", "Service", json!({"metadata": {"name": "web"}, "spec": ports})).await;
    deployments.create(&PostParams::default(), &deployment_with("web", 4, json!({}))).await.unwrap();
    until_rolled_out(&deployments, "web").await;
    deployments.patch("web", &PatchParams::default(), &Patch::Strategic(image_patch("app:2"))).await.unwrap();
    until_rolled_out(&deployments, "web").await;
    let endpoints: Api<Endpoints> = Api::default_namespaced(town.client());
    let addresses = |endpoints: Option<&Endpoints>| {
        let subsets = endpoints.and_then(|endpoints| endpoints.subsets.as_ref()).into_iter().flatten();
        subsets.flat_map(|subset| subset.addresses.iter().flatten()).count()
    };
    until(&endpoints, "web", "complete", |endpoints| addresses(endpoints) == 4).await;
}

/// What was deleted is collected, with what it owns, and a namespace with what is in it.
async fn leave(town: &Town) {
    let deployments: Api<Deployment> = Api::default_namespaced(town.client());
    deployments.delete("web", &DeleteParams::background()).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(town.client());
    namespaces
        .create(&PostParams::default(), &serde_json::from_value(json!({"metadata": {"name": "short"}})).unwrap())
        .await
        .unwrap();
    namespaces.delete("short", &DeleteParams::default()).await.unwrap();
    until(&namespaces, "short", "gone", |namespace| namespace.is_none()).await;
    sleep(Duration::from_secs(60)).await;
    let sets: Api<ReplicaSet> = Api::default_namespaced(town.client());
    assert!(sets.list(&ListParams::default()).await.unwrap().items.is_empty());
}

async fn claim_a_device(town: &Town) {
    town.create("resource.k8s.io/v1", "DeviceClass", json!({"metadata": {"name": "gpu"}, "spec": {}})).await;
    let slice = json!({
        "metadata": {"name": "slice"},
        "spec": {
            "driver": "gpu.example.com", "nodeName": "node-0", "devices": [{"name": "gpu-0"}],
            "pool": {"name": "node-0", "generation": 1, "resourceSliceCount": 1},
        },
    });
    town.create("resource.k8s.io/v1", "ResourceSlice", slice).await;
    let devices = json!({"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}});
    town.create("resource.k8s.io/v1", "ResourceClaim", json!({"metadata": {"name": "gpu"}, "spec": devices})).await;
    let spec = json!({
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}],
        "containers": [{"name": "main", "image": "app:1", "resources": {"claims": [{"name": "gpu"}]}}],
    });
    town.create("v1", "Pod", json!({"metadata": {"name": "with-a-device"}, "spec": spec})).await;
}

async fn check(minor: u32) {
    let town = Town::start(minor).await;
    live(&town).await;
    let deployments: Api<Deployment> = Api::default_namespaced(town.client());
    let told = deployments.get("web").await.unwrap().status.unwrap().terminating_replicas;
    assert_eq!(told.is_some(), minor >= 35, "1.{minor} tells of {told:?} terminating replicas");

    // Where there are devices, a pod gets one; else it waits, and nobody else has to.
    claim_a_device(&town).await;
    let pods: Api<Pod> = Api::default_namespaced(town.client());
    if minor >= 34 {
        until(&pods, "with-a-device", "bound", is_bound).await;
    } else {
        sleep(Duration::from_secs(60)).await;
        assert!(!is_bound(Some(&pods.get("with-a-device").await.unwrap())), "nobody gave it a device");
    }
    for health in &town.health {
        let report = health.report(Probe::Ready, &[]);
        assert!(report.is_ok(), "1.{minor}: {}", report.verbose());
    }

    // Nothing is left to be done, and nothing is done: what is not there is looked for, now and then.
    sleep(Duration::from_secs(60)).await;
    let (writes, before) = (town.skew.writes(), town.skew.refused().len());
    sleep(Duration::from_secs(600)).await;
    assert_eq!(town.skew.writes(), writes, "1.{minor}: it is written although nothing is to be done");
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    town.skew.refused().drain(before..).for_each(|path| *asked.entry(path).or_default() += 1);
    for (path, times) in &asked {
        assert!((1..=21).contains(times), "1.{minor}: {path} was asked for {times} times in ten minutes");
        assert!(!path.contains("sendInitialEvents"), "{path}");
    }
    assert_eq!(asked.is_empty(), minor >= 34, "1.{minor}: {asked:?}");
    leave(&town).await;
}

#[tokio::test(start_paused = true)]
async fn every_release_from_1_33_to_1_37_is_steered() {
    for minor in RELEASES {
        check(minor).await;
    }
}
