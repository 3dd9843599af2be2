//! What is shown on every cluster, whoever runs the components.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::discovery::ApiResource;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use steersman_tests::chart::NAMESPACE;
use steersman_tests::wait::until_within;

/// Longer than a rollout of a few pods takes on a real cluster that has to fetch an image.
const PATIENCE: Duration = Duration::from_secs(180);
/// Everywhere to be had, and it goes on.
const IMAGES: [&str; 2] = ["nginx:stable", "nginx:mainline"];

/// A namespace for the scenarios, and what is to be shown there.
pub(crate) struct Town {
    client: Client,
    namespace: String,
    /// The API group of the workloads.
    group: String,
    /// What pods name; `None` if our scheduler is the default.
    scheduler: Option<String>,
}

impl Town {
    /// Makes the namespace.
    pub(crate) async fn settle(client: Client, group: &str, scheduler: Option<&str>) -> Self {
        let namespace = json!({"metadata": {"generateName": "steersman-e2e-"}});
        let namespaces = Api::<Namespace>::all(client.clone());
        let made =
            namespaces.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await.unwrap();
        Self { client, namespace: made.name_any(), group: group.to_owned(), scheduler: scheduler.map(str::to_owned) }
    }

    /// Goes on with another client of the same cluster.
    pub(crate) fn with(self, client: Client) -> Self {
        Self { client, ..self }
    }

    fn workloads(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(&self.group, "v1", kind));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates a Deployment.
    pub(crate) async fn create(&self, name: &str, replicas: i32) {
        let labels = json!({"app": name});
        let mut object = json!({
            "apiVersion": format!("{}/v1", self.group),
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "terminationGracePeriodSeconds": 0,
                        "containers": [{"name": "main", "image": IMAGES[0]}],
                    },
                },
            },
        });
        if let Some(scheduler) = &self.scheduler {
            object["spec"]["template"]["spec"]["schedulerName"] = json!(scheduler);
        }
        let object = serde_json::from_value(object).unwrap();
        self.workloads("Deployment").create(&PostParams::default(), &object).await.unwrap();
    }

    /// Changes a Deployment.
    pub(crate) async fn change(&self, name: &str, change: &Value) {
        let deployments = self.workloads("Deployment");
        deployments.patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    }

    /// Gives a Deployment's pods an image, the first or the second.
    pub(crate) async fn roll(&self, name: &str, image: usize) {
        let containers = json!([{"name": "main", "image": IMAGES[image % IMAGES.len()]}]);
        self.change(name, &json!({"spec": {"template": {"spec": {"containers": containers}}}})).await;
    }

    /// Waits until what a Deployment wants is there, and nothing else of it.
    pub(crate) async fn complete(&self, name: &str) -> DynamicObject {
        let deployments = self.workloads("Deployment");
        let found = until_within(PATIENCE, &deployments, name, "complete", is_complete).await;
        found.expect("it was there a moment ago")
    }

    /// The names of the pods of an app.
    async fn pods_of(&self, app: &str) -> Vec<Pod> {
        self.pods().list(&ListParams::default().labels(&format!("app={app}"))).await.unwrap().items
    }
}

fn is_complete(object: Option<&DynamicObject>) -> bool {
    object.is_some_and(|object| {
        let (status, wanted) = (&object.data["status"], &object.data["spec"]["replicas"]);
        let counts = ["replicas", "updatedReplicas", "availableReplicas"];
        status["observedGeneration"].as_i64() == object.metadata.generation
            && counts.iter().all(|count| &status[*count] == wanted)
    })
}

/// Who wrote an object.
fn managers(meta: &kube::core::ObjectMeta) -> Vec<String> {
    meta.managed_fields.iter().flatten().filter_map(|entry| entry.manager.clone()).collect()
}

/// It is our controllers that keep Deployments and ReplicaSets, and nobody else's.
pub(crate) async fn our_controllers_are_in_charge(town: &Town) {
    town.create("charge", 1).await;
    let deployment = town.complete("charge").await;
    let sets = town.workloads("ReplicaSet").list(&ListParams::default()).await.unwrap().items;
    let pods = town.pods_of("charge").await;
    assert_eq!((sets.len(), pods.len()), (1, 1));
    for meta in [&deployment.metadata, &sets[0].metadata, &pods[0].metadata] {
        let managers = managers(meta);
        assert!(managers.iter().any(|manager| manager == "steersman-controllers"), "{managers:?}");
        assert!(!managers.iter().any(|manager| manager == "kube-controller-manager"), "{managers:?}");
    }
}

/// It is our scheduler that binds the pods that are its own.
pub(crate) async fn our_scheduler_is_in_charge(town: &Town) {
    town.create("bound", 2).await;
    town.complete("bound").await;
    let events: Api<Event> = Api::namespaced(town.client.clone(), &town.namespace);
    let scheduled = |event: &&Event| {
        event.reason.as_deref() == Some("Scheduled")
            && event.reporting_instance.as_deref().is_some_and(|instance| instance.ends_with("-steersman"))
    };
    // Events are written beside: let them come.
    for _ in 0..20 {
        let told = events.list(&ListParams::default()).await.unwrap().items;
        if told.iter().filter(scheduled).count() >= 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("our scheduler tells of no pod that it has bound");
}

/// Rollout, rollback, scale, and the collection of what is left.
pub(crate) async fn a_deployment_lives_its_life(town: &Town) {
    town.create("web", 3).await;
    town.complete("web").await;
    let sets = town.workloads("ReplicaSet");
    let first: Vec<String> =
        sets.list(&ListParams::default()).await.unwrap().items.iter().map(ResourceExt::name_any).collect();

    town.roll("web", 1).await;
    town.complete("web").await;
    // Rolling back is rolling to the old template: the old set is used again.
    town.roll("web", 0).await;
    let back = town.complete("web").await;
    assert_eq!(back.annotations()["deployment.kubernetes.io/revision"], "3");
    let all = sets.list(&ListParams::default().labels("app=web")).await.unwrap().items;
    let active: Vec<_> = all.iter().filter(|set| set.data["status"]["replicas"].as_i64() > Some(0)).collect();
    assert!(all.len() == 2 && active.len() == 1 && first.contains(&active[0].name_any()), "{all:?}");

    for replicas in [5, 1] {
        town.change("web", &json!({"spec": {"replicas": replicas}})).await;
        town.complete("web").await;
    }
    town.workloads("Deployment").delete("web", &DeleteParams::background()).await.unwrap();
    for set in &all {
        until_within(PATIENCE, &sets, &set.name_any(), "collected", |set| set.is_none()).await;
    }
    for _ in 0..PATIENCE.as_secs() {
        if town.pods_of("web").await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("the pods of a deleted Deployment stay");
}

/// The pods of a group are bound all or none.
pub(crate) async fn a_gang_is_bound_as_a_whole(town: &Town) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("scheduling.x-k8s.io", "v1alpha1", "PodGroup"));
    let groups: Api<DynamicObject> = Api::namespaced_with(town.client.clone(), &town.namespace, &resource);
    let group = json!({"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup", "metadata": {"name": "gang"},
        "spec": {"minMember": 3, "scheduleTimeoutSeconds": 10}});
    let made = groups.create(&PostParams::default(), &serde_json::from_value(group).unwrap()).await;
    made.expect("the chart was installed with --set 'scheduler.plugins={Coscheduling}'");
    let member = async |name: &str| {
        let labels = json!({"app": "gang", "scheduling.x-k8s.io/pod-group": "gang"});
        let containers = json!([{"name": "main", "image": IMAGES[0]}]);
        let mut pod = json!({"metadata": {"name": name, "labels": labels},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": containers}});
        if let Some(scheduler) = &town.scheduler {
            pod["spec"]["schedulerName"] = json!(scheduler);
        }
        town.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    };
    let is_bound =
        |pod: Option<&Pod>| pod.and_then(|pod| pod.spec.as_ref()).is_some_and(|spec| spec.node_name.is_some());
    for name in ["gang-0", "gang-1"] {
        member(name).await;
    }
    // Another pod is bound meanwhile: it is not that nobody works.
    town.create("alone", 1).await;
    town.complete("alone").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let early = town.pods_of("gang").await;
    assert!(early.len() == 2 && !early.iter().any(|pod| is_bound(Some(pod))), "two of three were bound: {early:?}");
    member("gang-2").await;
    for name in ["gang-0", "gang-1", "gang-2"] {
        until_within(PATIENCE, &town.pods(), name, "bound", is_bound).await;
    }
}

/// Who holds a lease of the chart; waits until somebody else than `but` does.
pub(crate) async fn leader(client: &Client, component: &str, but: &str) -> String {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let holder = |lease: Option<&Lease>| {
        lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.clone()).filter(|holder| !holder.is_empty())
    };
    let name = format!("steersman-{component}");
    let is_other = |lease: Option<&Lease>| holder(lease).is_some_and(|holder| holder != but);
    let lease = until_within(PATIENCE, &leases, &name, "held by another", is_other).await;
    holder(lease.as_ref()).unwrap()
}

/// The namespace goes, and everything in it.
pub(crate) async fn leave(town: Town) {
    let namespaces: Api<Namespace> = Api::all(town.client.clone());
    namespaces.delete(&town.namespace, &DeleteParams::default()).await.unwrap();
    until_within(PATIENCE, &namespaces, &town.namespace, "gone", |namespace| namespace.is_none()).await;
}
