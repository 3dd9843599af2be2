//! The loop that the project is about: a Deployment goes in, pods run on nodes, the status says so; and it follows every
//! change of mind.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy, WatchEvent, WatchParams,
};
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_tests::manifests::{deployment, deployment_with, image_patch};
use steersman_tests::wait::{self, condition, status_of, until, until_rolled_out};

/// A cluster, and the three kinds that the loop is about.
struct Loop {
    _cluster: Cluster,
    deployments: Api<Deployment>,
    sets: Api<ReplicaSet>,
    pods: Api<Pod>,
}

impl Loop {
    async fn start() -> Self {
        let cluster = Cluster::builder().nodes(3).virtual_time().start().await.unwrap();
        let client: Client = cluster.client();
        Self {
            _cluster: cluster,
            deployments: Api::default_namespaced(client.clone()),
            sets: Api::default_namespaced(client.clone()),
            pods: Api::default_namespaced(client),
        }
    }

    async fn create(&self, deployment: &Deployment) -> Deployment {
        let created = self.deployments.create(&PostParams::default(), deployment).await.unwrap();
        until_rolled_out(&self.deployments, created.metadata.name.as_deref().unwrap()).await
    }

    async fn patch(&self, name: &str, patch: Value) -> Deployment {
        let patch = Patch::Strategic(patch);
        self.deployments.patch(name, &PatchParams::default(), &patch).await.unwrap()
    }

    /// Image → size of every ReplicaSet.
    async fn sizes(&self) -> BTreeMap<String, i32> {
        let sets = self.sets.list(&ListParams::default()).await.unwrap();
        sets.into_iter().map(|set| (image_of(&set), set.spec.unwrap().replicas.unwrap())).collect()
    }

    async fn revision_of(&self, image: &str) -> String {
        let sets = self.sets.list(&ListParams::default()).await.unwrap();
        let set = sets.into_iter().find(|set| image_of(set) == image).expect("there is such a ReplicaSet");
        revision(&set.metadata.annotations)
    }
}

fn image_of(set: &ReplicaSet) -> String {
    let template = set.spec.as_ref().unwrap().template.as_ref().unwrap();
    template.spec.as_ref().unwrap().containers[0].image.clone().unwrap()
}

fn revision(annotations: &Option<BTreeMap<String, String>>) -> String {
    annotations.as_ref().unwrap()["deployment.kubernetes.io/revision"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_deployment_converges_to_kubernetes_status() {
    let cluster = Loop::start().await;
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../samples/nginx.yaml")).unwrap();
    let nginx = cluster.create(&steersman_tests::manifests::from_yaml(&manifest)).await;

    let status = status_of(&nginx);
    assert_eq!(status.replicas, Some(1));
    assert_eq!(status.ready_replicas, Some(1));
    assert_eq!(status.updated_replicas, Some(1));
    assert_eq!(status.available_replicas, Some(1));
    assert_eq!(status.unavailable_replicas, None);
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(revision(&nginx.metadata.annotations), "1");

    let set = cluster.sets.list(&ListParams::default()).await.unwrap().items.remove(0);
    let set_name = set.metadata.name.as_deref().unwrap();
    let hash = &set.metadata.labels.as_ref().unwrap()["pod-template-hash"];
    assert_eq!(set_name, format!("nginx-{hash}"));
    let said = |kind| {
        let condition = condition(&nginx, kind).unwrap();
        (condition.status, condition.reason.unwrap(), condition.message.unwrap())
    };
    let expect = |status: &str, reason: &str, message: &str| (status.to_owned(), reason.to_owned(), message.to_owned());
    assert_eq!(said("Available"), expect("True", "MinimumReplicasAvailable", "Deployment has minimum availability."));
    let progressed = format!("ReplicaSet \"{set_name}\" has successfully progressed.");
    assert_eq!(said("Progressing"), expect("True", "NewReplicaSetAvailable", &progressed));

    let pod = cluster.pods.list(&ListParams::default()).await.unwrap().items.remove(0);
    assert!(pod.metadata.name.unwrap().starts_with(&format!("nginx-{hash}-")));
    assert!(pod.spec.unwrap().node_name.unwrap().starts_with("node-"));
    assert_eq!(pod.status.unwrap().phase.as_deref(), Some("Running"));
}

#[tokio::test(start_paused = true)]
async fn a_new_image_replaces_the_pods_within_the_bounds_of_the_strategy() {
    let cluster = Loop::start().await;
    let spec = json!({"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}});
    cluster.create(&deployment_with("web", 4, spec)).await;
    cluster.patch("web", image_patch("app:2")).await;
    let bounds = until(&cluster.deployments, "web", "rolled out", |web| {
        let web = web.unwrap();
        let status = status_of(web);
        assert!(status.replicas.unwrap() <= 5, "more than maxSurge: {status:?}");
        assert!(status.available_replicas.unwrap() >= 4, "fewer than maxUnavailable: {status:?}");
        wait::is_rolled_out(web)
    });
    assert_eq!(revision(&bounds.await.unwrap().metadata.annotations), "2");
    assert_eq!(cluster.sizes().await, BTreeMap::from([("app:1".to_owned(), 0), ("app:2".to_owned(), 4)]));
}

#[tokio::test(start_paused = true)]
async fn recreate_stops_the_old_pods_before_it_starts_new_ones() {
    let cluster = Loop::start().await;
    cluster.create(&deployment_with("web", 3, json!({"strategy": {"type": "Recreate"}}))).await;
    let before = cluster.pods.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    cluster.patch("web", image_patch("app:2")).await;
    until_rolled_out(&cluster.deployments, "web").await;

    // Replay what happened to the pods: a new one may only appear when no old one is left.
    let (mut old, mut new) = (3, 0);
    let mut events = cluster.pods.watch(&WatchParams::default(), &before).await.unwrap().boxed();
    while new < 3 {
        match events.try_next().await.unwrap().expect("the watch goes on") {
            WatchEvent::Deleted(_) => old -= 1,
            WatchEvent::Added(pod) => {
                assert_eq!(pod.spec.unwrap().containers[0].image.as_deref(), Some("app:2"));
                assert_eq!(old, 0, "a new pod was made while old ones were there");
                new += 1;
            }
            _ => {}
        }
    }
    assert_eq!(old, 0);
}

#[tokio::test(start_paused = true)]
async fn scaling_changes_the_size_and_not_the_revision() {
    let cluster = Loop::start().await;
    cluster.create(&deployment("web", 2)).await;
    for replicas in [5, 1, 0, 3] {
        let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        cluster.deployments.patch_scale("web", &PatchParams::default(), &scale).await.unwrap();
        let web = until_rolled_out(&cluster.deployments, "web").await;
        assert_eq!(revision(&web.metadata.annotations), "1");
        assert_eq!(cluster.sizes().await, BTreeMap::from([("app:1".to_owned(), replicas)]));
    }
}

#[tokio::test(start_paused = true)]
async fn going_back_to_an_earlier_template_reuses_its_replica_set() {
    let cluster = Loop::start().await;
    cluster.create(&deployment("web", 2)).await;
    cluster.patch("web", image_patch("app:2")).await;
    until_rolled_out(&cluster.deployments, "web").await;
    cluster.patch("web", image_patch("app:1")).await;
    let web = until_rolled_out(&cluster.deployments, "web").await;
    assert_eq!(revision(&web.metadata.annotations), "3");
    assert_eq!(cluster.sizes().await, BTreeMap::from([("app:1".to_owned(), 2), ("app:2".to_owned(), 0)]));
    assert_eq!(cluster.revision_of("app:1").await, "3");
    assert_eq!(cluster.revision_of("app:2").await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_scales_but_does_not_roll_out() {
    let cluster = Loop::start().await;
    cluster.create(&deployment("web", 2)).await;
    cluster.patch("web", json!({"spec": {"paused": true}})).await;
    let mut patch = image_patch("app:2");
    patch["spec"]["replicas"] = json!(3);
    cluster.patch("web", patch).await;
    until(&cluster.deployments, "web", "scaled while paused", |web| {
        let web = web.unwrap();
        let status = status_of(web);
        status.observed_generation == web.metadata.generation && status.available_replicas == Some(3)
    })
    .await;
    assert_eq!(cluster.sizes().await, BTreeMap::from([("app:1".to_owned(), 3)]));
    cluster.patch("web", json!({"spec": {"paused": false}})).await;
    until_rolled_out(&cluster.deployments, "web").await;
    assert_eq!(cluster.sizes().await, BTreeMap::from([("app:1".to_owned(), 0), ("app:2".to_owned(), 3)]));
}

#[tokio::test(start_paused = true)]
async fn what_a_deployment_owns_is_deleted_with_it() {
    for policy in [PropagationPolicy::Background, PropagationPolicy::Foreground] {
        let cluster = Loop::start().await;
        let web = cluster.create(&deployment("web", 2)).await;
        let set = cluster.sets.list(&ListParams::default()).await.unwrap().items.remove(0);
        let pods = cluster.pods.list(&ListParams::default()).await.unwrap();
        let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        cluster.deployments.delete("web", &params).await.unwrap();
        assert!(until(&cluster.deployments, &name(&web), "gone", |web| web.is_none()).await.is_none());
        until(&cluster.sets, &name(&set), "gone", |set| set.is_none()).await;
        for pod in pods {
            until(&cluster.pods, &name(&pod), "gone", |pod| pod.is_none()).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn orphaned_dependents_stay() {
    let cluster = Loop::start().await;
    cluster.create(&deployment("web", 2)).await;
    let policy = Some(PropagationPolicy::Orphan);
    let params = DeleteParams { propagation_policy: policy, ..DeleteParams::default() };
    cluster.deployments.delete("web", &params).await.unwrap();
    until(&cluster.deployments, "web", "gone", |web| web.is_none()).await;
    let set = cluster.sets.list(&ListParams::default()).await.unwrap().items.remove(0);
    assert_eq!(set.metadata.owner_references, None);
    assert_eq!(cluster.pods.list(&ListParams::default()).await.unwrap().items.len(), 2);
}

fn name<K: kube::Resource>(object: &K) -> String {
    object.meta().name.clone().expect("stored objects have names")
}
