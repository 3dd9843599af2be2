//! Each controller gets by with the rights that Kubernetes gives its counterpart: `system:controller:…`, and a look at
//! everything, as the informers of kube-controller-manager have it.

#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::time::Duration;

use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_framework::runtime::{Context, Shutdown, ShutdownTrigger};
use steersman_machinery::random::Random;
use steersman_tests::objects;
use tokio::time::sleep;

/// The accounts of kube-controller-manager, and which of our controllers run as them.
const ACCOUNTS: [(&str, &str); 15] = [
    ("clusterrole-aggregation-controller", "clusterrole-aggregation"),
    ("deployment-controller", "deployment"),
    ("disruption-controller", "disruption"),
    ("endpoint-controller", "endpoints"),
    ("endpointslice-controller", "endpointslice"),
    ("endpointslicemirroring-controller", "endpointslice-mirroring"),
    ("generic-garbage-collector", "garbage-collector"),
    ("namespace-controller", "namespace"),
    ("node-controller", "node-lifecycle,taint-eviction"),
    ("pod-garbage-collector", "pod-garbage-collector"),
    ("pvc-protection-controller", "persistentvolumeclaim-protection"),
    ("replicaset-controller", "replicaset"),
    ("resourcequota-controller", "resourcequota"),
    ("service-account-controller", "serviceaccount"),
    ("ttl-after-finished-controller", "ttl-after-finished"),
];

struct World {
    cluster: Cluster,
    _running: Vec<ShutdownTrigger>,
}

impl World {
    async fn start() -> Self {
        let cluster =
            Cluster::builder().virtual_time().nodes(2).without_controllers().record_requests().start().await.unwrap();
        let mut world = Self { cluster, _running: Vec::new() };
        world.create(RBAC, "ClusterRole", None, informers()).await;
        let group = json!({"apiGroup": GROUP, "kind": "Group", "name": "system:serviceaccounts:kube-system"});
        world.bind("informers", "informers", group).await;
        // Upstream's is two controllers.
        let account =
            json!({"kind": "ServiceAccount", "namespace": "kube-system", "name": "service-account-controller"});
        world.bind("bundles", "system:controller:root-ca-cert-publisher", account).await;
        for (account, controllers) in ACCOUNTS {
            let options = steersman_controllers::Options {
                controllers: controllers.parse().unwrap(),
                root_ca: Some("a bundle".to_owned()),
                ..steersman_controllers::Options::default()
            };
            let (trigger, shutdown) = Shutdown::new();
            let client = world.cluster.as_service_account("kube-system", account);
            let context = Context::new(client, world.cluster.clock(), Random::seeded(1), shutdown);
            tokio::spawn(steersman_controllers::run(context, options));
            world._running.push(trigger);
        }
        world
    }

    fn api(&self, version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        objects::api(&self.cluster.client(), (version, kind), namespace)
    }

    async fn create(&self, version: &str, kind: &str, namespace: Option<&str>, object: Value) {
        objects::create(&self.cluster.client(), (version, kind), namespace, object).await;
    }

    async fn patch(&self, (version, kind): (&str, &str), namespace: Option<&str>, name: &str, patch: Value) {
        let api = self.api(version, kind, namespace);
        let patch = Patch::Merge(patch);
        match patch_is_status(&patch) {
            true => api.patch_status(name, &PatchParams::default(), &patch).await.unwrap(),
            false => api.patch(name, &PatchParams::default(), &patch).await.unwrap(),
        };
    }

    async fn delete(&self, (version, kind): (&str, &str), namespace: Option<&str>, name: &str, how: DeleteParams) {
        self.api(version, kind, namespace).delete(name, &how).await.unwrap();
    }

    async fn bind(&self, name: &str, role: &str, subject: Value) {
        let reference = json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": role});
        let binding = json!({"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]});
        self.create(RBAC, "ClusterRoleBinding", None, binding).await;
    }

    /// What upstream gives that account.
    async fn roles(&self, account: &str) -> String {
        let more = (account == "service-account-controller").then_some("root-ca-cert-publisher");
        let mut texts = vec![role(informers()).to_string()];
        for name in [account].into_iter().chain(more) {
            let name = format!("system:controller:{name}");
            let found = self.api(RBAC, "ClusterRole", None).get(&name).await.unwrap();
            texts.push(role(json!({"metadata": {"name": name}, "rules": found.data["rules"]})).to_string());
        }
        texts.join("\n---\n")
    }
}

const GROUP: &str = "rbac.authorization.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io/v1";
const APPS: &str = "apps/v1";
const HERE: Option<&str> = Some("default");

fn patch_is_status(patch: &Patch<Value>) -> bool {
    matches!(patch, Patch::Merge(patch) if patch.get("status").is_some())
}

fn informers() -> Value {
    let rule = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["list", "watch"]});
    json!({"metadata": {"name": "informers"}, "rules": [rule]})
}

fn role(mut role: Value) -> Value {
    role["apiVersion"] = json!(RBAC);
    role["kind"] = json!("ClusterRole");
    role
}

fn template(labels: &Value) -> Value {
    json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "app:1"}]}})
}

fn workload(name: &str, replicas: i32) -> Value {
    let labels = json!({"app": name});
    let spec = json!({"replicas": replicas, "selector": {"matchLabels": labels}, "template": template(&labels)});
    json!({"metadata": {"name": name, "labels": labels}, "spec": spec})
}

/// Deployments that roll out, back, up and down, adopt, let go, and run against a quota.
async fn work(world: &World) {
    let deployment = (APPS, "Deployment");
    let mut web = workload("web", 3);
    web["spec"]["revisionHistoryLimit"] = json!(1);
    world.create(APPS, "Deployment", HERE, web).await;
    sleep(Duration::from_secs(30)).await;
    for image in ["app:2", "app:3", "app:4"] {
        let containers = json!([{"name": "main", "image": image}]);
        let change = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        world.patch(deployment, HERE, "web", change).await;
        sleep(Duration::from_secs(60)).await;
    }
    let back = json!({"metadata": {"annotations": {"deprecated.deployment.rollback.to": "0"}}});
    for change in [json!({"spec": {"replicas": 5}}), json!({"spec": {"replicas": 2}}), back] {
        world.patch(deployment, HERE, "web", change).await;
        sleep(Duration::from_secs(60)).await;
    }
    let orphan = json!({"app": "orphan"});
    let mut pod = template(&orphan);
    pod["metadata"]["name"] = json!("orphan");
    world.create("v1", "Pod", HERE, pod).await;
    world.create(APPS, "ReplicaSet", HERE, workload("orphan", 1)).await;
    world.create(APPS, "Deployment", HERE, workload("orphan", 1)).await;
    sleep(Duration::from_secs(30)).await;
    let released = json!({"metadata": {"labels": {"app": "released"}}});
    world.patch(("v1", "Pod"), HERE, "orphan", released).await;
    sleep(Duration::from_secs(30)).await;
}

/// Services with pods and without, budgets, quotas, and what all of them do when pods go.
async fn surround(world: &World) {
    let ports = json!([{"port": 80}]);
    let spec = json!({"selector": {"app": "web"}, "ports": ports});
    world.create("v1", "Service", HERE, json!({"metadata": {"name": "web"}, "spec": spec})).await;
    world.create("v1", "Service", HERE, json!({"metadata": {"name": "manual"}, "spec": {"ports": ports}})).await;
    let subsets = json!([{"addresses": [{"ip": "192.0.2.1"}], "ports": ports}]);
    world.create("v1", "Endpoints", HERE, json!({"metadata": {"name": "manual"}, "subsets": subsets})).await;
    let budget = |name: &str, selector: Value, least: Value| json!({"metadata": {"name": name}, "spec": {"minAvailable": least, "selector": selector}});
    let web = json!({"matchLabels": {"app": "web"}});
    world.create("policy/v1", "PodDisruptionBudget", HERE, budget("web", web, json!("50%"))).await;
    // Pods whose owners have to be asked for their scale; one has none.
    for (app, version, kind) in [("db", APPS, "StatefulSet"), ("log", APPS, "DaemonSet")] {
        let mut owner = workload(app, 1);
        if kind == "DaemonSet" {
            owner["spec"].as_object_mut().unwrap().remove("replicas");
        }
        world.create(version, kind, HERE, owner).await;
        let uid = world.api(version, kind, HERE).get(app).await.unwrap().metadata.uid;
        let mut pod = template(&json!({"app": app}));
        let owners = json!([{"apiVersion": version, "kind": kind, "name": app, "uid": uid, "controller": true}]);
        pod["metadata"]["name"] = json!(app);
        pod["metadata"]["ownerReferences"] = owners;
        world.create("v1", "Pod", HERE, pod).await;
        let selector = json!({"matchLabels": {"app": app}});
        world.create("policy/v1", "PodDisruptionBudget", HERE, budget(app, selector, json!("50%"))).await;
    }
    let hard = json!({"pods": "20", "count/configmaps": "9"});
    world.create("v1", "ResourceQuota", HERE, json!({"metadata": {"name": "few"}, "spec": {"hard": hard}})).await;
    sleep(Duration::from_secs(60)).await;
    world.patch((APPS, "Deployment"), HERE, "web", json!({"spec": {"replicas": 30}})).await;
    let bundle = json!({"data": {"ca.crt": "forged"}});
    world.patch(("v1", "ConfigMap"), HERE, "kube-root-ca.crt", bundle).await;
    sleep(Duration::from_secs(120)).await;
    world.patch((APPS, "Deployment"), HERE, "web", json!({"spec": {"replicas": 2}})).await;
    let moved = json!({"subsets": [{"addresses": [{"ip": "192.0.2.2"}], "ports": ports}]});
    world.patch(("v1", "Endpoints"), HERE, "manual", moved).await;
    sleep(Duration::from_secs(30)).await;
    for name in ["web", "manual"] {
        world.delete(("v1", "Service"), HERE, name, DeleteParams::default()).await;
    }
    sleep(Duration::from_secs(30)).await;
}

/// What is deleted in each way, what has ended, and what loses its node.
async fn end(world: &World) {
    let now = world.cluster.clock().now();
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    world.create("v1", "PersistentVolumeClaim", HERE, json!({"metadata": {"name": "data"}, "spec": spec})).await;
    world.delete(("v1", "PersistentVolumeClaim"), HERE, "data", DeleteParams::default()).await;
    let mut job = json!({"metadata": {"name": "job"}, "spec": {"ttlSecondsAfterFinished": 5}});
    job["spec"]["template"] = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}});
    world.create("batch/v1", "Job", HERE, job).await;
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now.to_string()});
    let conditions = [condition("FailureTarget"), condition("Failed")];
    let ended = json!({"status": {"startTime": now.to_string(), "conditions": conditions}});
    world.patch(("batch/v1", "Job"), HERE, "job", ended).await;
    let selectors = json!([{"matchLabels": {"part": "yes"}}]);
    let whole = json!({"metadata": {"name": "whole"}, "aggregationRule": {"clusterRoleSelectors": selectors}});
    world.create(RBAC, "ClusterRole", None, whole).await;
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    let part = json!({"metadata": {"name": "part", "labels": {"part": "yes"}}, "rules": rules});
    world.create(RBAC, "ClusterRole", None, part).await;

    world.create("v1", "Namespace", None, json!({"metadata": {"name": "team"}})).await;
    world.create(APPS, "Deployment", Some("team"), workload("web", 2)).await;
    world.create("v1", "Node", None, json!({"metadata": {"name": "lost"}})).await;
    let ready = json!({"type": "Ready", "status": "True", "lastHeartbeatTime": now.to_string()});
    world.patch(("v1", "Node"), None, "lost", json!({"status": {"conditions": [ready]}})).await;
    for name in ["evicted", "stranded"] {
        let mut pod = template(&json!({"app": name}));
        pod["metadata"]["name"] = json!(name);
        pod["spec"]["nodeName"] = json!("lost");
        world.create("v1", "Pod", HERE, pod).await;
    }
    let patch = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    world.patch(("v1", "Pod"), HERE, "evicted", patch).await;
    sleep(Duration::from_secs(400)).await;
    world.delete(("v1", "Node"), None, "lost", DeleteParams::default()).await;
    world.delete(("v1", "Namespace"), None, "team", DeleteParams::default()).await;
    world.delete((APPS, "Deployment"), HERE, "web", DeleteParams::foreground()).await;
    let orphan = DeleteParams::orphan();
    world.delete((APPS, "Deployment"), HERE, "orphan", orphan).await;
    sleep(Duration::from_secs(120)).await;
}

#[tokio::test(start_paused = true)]
async fn each_controller_gets_by_with_the_rights_of_its_counterpart() {
    let world = World::start().await;
    work(&world).await;
    surround(&world).await;
    end(&world).await;
    for (account, _) in ACCOUNTS {
        assert!(
            world.cluster.accesses(&format!("system:serviceaccount:kube-system:{account}")).len() > 3,
            "{account} did something"
        );
        world.cluster.assert_role_sufficient("kube-system", account, &world.roles(account).await);
    }
    let team = world.api("v1", "Namespace", None).get_opt("team").await.unwrap();
    assert!(team.is_none(), "all of that was also allowed, and done: {team:?}");
    for (version, kind, name) in [("v1", "Pod", "stranded"), ("batch/v1", "Job", "job"), (APPS, "Deployment", "web")] {
        let left = world.api(version, kind, HERE).get_opt(name).await.unwrap();
        assert!(left.is_none(), "{left:?}");
    }
}
