//! The roles that the chart gives to the controllers that it can run besides those of Deployments and ReplicaSets: each
//! controller runs alone as an account with exactly its rules, all of them in one cluster, through what makes them use each.
//! That takes some seconds: a node is lost for many minutes, while sixteen controllers watch, two of them every kind there is.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PropagationPolicy};
use kube::core::DynamicObject;
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_controllers::{NAMES, OPT_IN, Options};
use steersman_framework::runtime::{Context, Shutdown, ShutdownTrigger};
use steersman_machinery::random::Random;
use steersman_tests::chart::{self, NAMESPACE};
use steersman_tests::objects;
use steersman_tests::wait::until_within;
use tokio::time::sleep;

/// Longer than a lost node is tolerated.
const LONG: Duration = Duration::from_secs(900);
/// Those of the workloads are proved elsewhere.
const OTHERS: [&str; 2] = ["deployment-controller", "replicaset-controller"];
/// What nobody asks for here: resources without a way to delete all objects at once are on other servers; and whether somebody
/// may escalate the server asks itself, when it sees rights that he does not have (the scenario has such).
const BEYOND: [(&str, &str); 2] =
    [("namespace-controller", "delete"), ("clusterrole-aggregation-controller", "escalate")];

/// Those that tell people what they do. Whether something is worth telling is up to chance: these have to be allowed to.
const TELLING: [&str; 4] = [
    "disruption-controller",
    "endpointslice-mirroring-controller",
    "node-lifecycle-controller",
    "taint-eviction-controller",
];

type Rules = BTreeMap<String, Vec<Value>>;

fn rules() -> Rules {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/steersman/files/rules.yaml");
    let rules: Rules = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let is_neighbour = |name: &str| NAMES.iter().chain(&OPT_IN).any(|it| *it == name) && !OTHERS.contains(&name);
    rules.into_iter().filter(|(name, _)| is_neighbour(name)).collect()
}

/// A cluster whose neighbours of the workload controllers have the chart's rights.
struct Town {
    cluster: Cluster,
    rules: Rules,
    _running: Vec<ShutdownTrigger>,
}

impl Town {
    async fn start() -> Self {
        let cluster = Cluster::builder()
            .virtual_time()
            .nodes(2)
            .controllers("deployment,replicaset".parse().unwrap())
            .enable_admission(["OwnerReferencesPermissionEnforcement"])
            .api_features("GenericWorkload=true".parse().unwrap())
            .runtime_config("scheduling.k8s.io/v1alpha2=true".parse().unwrap())
            .record_requests()
            .start()
            .await
            .unwrap();
        let mut town = Self { cluster, rules: rules(), _running: Vec::new() };
        town.create("v1", "Namespace", None, json!({"metadata": {"name": NAMESPACE}})).await;
        for definition in steersman_crds::scheduling_definitions() {
            town.create("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, definition.object).await;
        }
        for (seed, (name, rules)) in town.rules.clone().into_iter().enumerate() {
            chart::create(&town.cluster.client(), &roles(&name, &rules)).await;
            let (trigger, shutdown) = Shutdown::new();
            let client = town.cluster.as_service_account(NAMESPACE, &name);
            let context = Context::new(client, town.cluster.clock(), Random::seeded(seed as u64), shutdown);
            let options = Options { controllers: name.parse().unwrap(), ..Options::default() };
            tokio::spawn(steersman_controllers::run(context, options));
            town._running.push(trigger);
        }
        town
    }

    fn api(&self, version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        objects::api(&self.cluster.client(), (version, kind), namespace)
    }

    async fn create(&self, version: &str, kind: &str, namespace: Option<&str>, object: Value) -> DynamicObject {
        objects::create(&self.cluster.client(), (version, kind), namespace, object).await
    }

    async fn delete(&self, version: &str, kind: &str, namespace: Option<&str>, name: &str) {
        self.api(version, kind, namespace).delete(name, &DeleteParams::default()).await.unwrap();
    }

    async fn patch(&self, version: &str, kind: &str, name: &str, patch: Value) {
        let api = self.api(version, kind, Some("default"));
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn status(&self, (version, kind): (&str, &str), namespace: Option<&str>, name: &str, status: Value) {
        let api = self.api(version, kind, namespace);
        let status = Patch::Merge(json!({"status": status}));
        api.patch_status(name, &PatchParams::default(), &status).await.unwrap();
    }

    async fn gone(&self, version: &str, kind: &str, namespace: Option<&str>, name: &str) {
        let api = self.api(version, kind, namespace);
        until_within(LONG, &api, name, "gone", |object| object.is_none()).await;
    }

    /// The rules of each are what it needs and nothing beyond; of those that are for everything, each verb was used.
    fn assert_exact(&self) {
        for (name, rules) in &self.rules {
            let text = |rules: &[Value]| {
                json!({"kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}).to_string()
            };
            self.cluster.assert_role_sufficient(NAMESPACE, name, &text(rules));
            let is_wide = |rule: &&Value| rule["apiGroups"] == json!(["*"]);
            let is_event = |rule: &Value| rule["resources"] == json!(["events"]);
            let told: Vec<&Value> = rules.iter().filter(|rule| is_event(rule)).map(|rule| &rule["verbs"]).collect();
            let verbs = json!(["create", "patch"]);
            assert_eq!(told, Vec::from_iter(TELLING.contains(&name.as_str()).then_some(&verbs)), "events of {name}");
            let narrow = rules.iter().filter(|rule| !is_wide(rule) && !is_event(rule)).cloned();
            let narrow: Vec<Value> = narrow.map(|rule| asked_for(name, rule)).collect();
            self.cluster.assert_no_excess(NAMESPACE, name, &text(&narrow));
            let used = self.cluster.accesses(&format!("system:serviceaccount:{NAMESPACE}:{name}"));
            for verb in rules.iter().filter(is_wide).flat_map(|rule| rule["verbs"].as_array().unwrap()) {
                let verb = verb.as_str().unwrap();
                let is_used = used.iter().any(|access| access.verb == verb);
                assert!(is_used || BEYOND.contains(&(name, verb)), "{name} does not use {verb}");
            }
        }
        for (name, verb) in BEYOND {
            let given = self.rules[name].iter().flat_map(|rule| rule["verbs"].as_array().unwrap());
            assert!(given.into_iter().any(|given| given == verb), "{name} may not {verb}");
        }
    }
}

/// The rule without what nobody asks for.
fn asked_for(name: &str, mut rule: Value) -> Value {
    let verbs = rule["verbs"].as_array_mut().unwrap();
    verbs.retain(|verb| !BEYOND.contains(&(name, verb.as_str().unwrap())));
    rule
}

fn roles(name: &str, rules: &[Value]) -> Vec<DynamicObject> {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}],
    });
    [role, binding].map(|object| serde_json::from_value(object).unwrap()).into()
}

fn pod(name: &str, labels: Value, port: u16) -> Value {
    let ports = json!([{"name": "http", "containerPort": port}]);
    json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "a", "image": "a", "ports": ports}]},
    })
}

async fn settle() {
    sleep(Duration::from_secs(30)).await;
}

/// Namespaces, accounts, quotas and roles.
async fn govern(town: &Town) {
    settle().await;
    town.create("v1", "Namespace", None, json!({"metadata": {"name": "short"}})).await;
    let hard = json!({"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "5"}}});
    town.create("v1", "ResourceQuota", Some("short"), hard).await;
    settle().await;
    for name in ["a", "b"] {
        town.create("v1", "ConfigMap", Some("short"), json!({"metadata": {"name": name}})).await;
    }
    town.delete("v1", "ServiceAccount", Some("short"), "default").await;
    let rule = json!({"apiGroups": ["example.com"], "resources": ["ships"], "verbs": ["sail"]});
    let role = json!({"metadata": {"name": "ships", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}, "rules": [rule]});
    town.create("rbac.authorization.k8s.io/v1", "ClusterRole", None, role).await;
    settle().await;
    let view = town.api("rbac.authorization.k8s.io/v1", "ClusterRole", None).get("view").await.unwrap();
    assert!(view.data["rules"].to_string().contains("ships"), "what is aggregated: {}", view.data["rules"]);
    town.delete("v1", "Namespace", None, "short").await;
    town.gone("v1", "Namespace", None, "short").await;
}

/// Services, of pods of two kinds and of somebody's own addresses.
async fn serve(town: &Town) {
    let default = Some("default");
    let web = json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}});
    town.create("v1", "Service", default, web).await;
    town.create("v1", "Pod", default, pod("one", json!({"app": "web"}), 80)).await;
    town.create("v1", "Pod", default, pod("two", json!({"app": "web"}), 81)).await;
    let own = json!({"metadata": {"name": "own"}, "spec": {"ports": [{"port": 80}]}});
    town.create("v1", "Service", default, own).await;
    let subsets = |ip: &str| json!([{"addresses": [{"ip": ip}], "ports": [{"port": 80}]}]);
    let endpoints = json!({"metadata": {"name": "own"}, "subsets": subsets("192.0.2.1")});
    town.create("v1", "Endpoints", default, endpoints).await;
    settle().await;
    town.patch("v1", "Endpoints", "own", json!({"subsets": subsets("192.0.2.2")})).await;
    town.create("v1", "Pod", default, pod("three", json!({"app": "web"}), 80)).await;
    settle().await;
    // The only one with that port: its slice goes.
    town.delete("v1", "Pod", default, "two").await;
    town.delete("v1", "Endpoints", default, "own").await;
    let group = json!({"metadata": {"name": "gang"}, "spec": {"minMember": 1}});
    town.create("scheduling.x-k8s.io/v1alpha1", "PodGroup", default, group).await;
    let quota = json!({"metadata": {"name": "share"}, "spec": {"min": {"cpu": "1"}, "max": {"cpu": "9"}}});
    town.create("scheduling.x-k8s.io/v1alpha1", "ElasticQuota", default, quota).await;
    let member = json!({"scheduling.x-k8s.io/pod-group": "gang"});
    town.create("v1", "Pod", default, pod("member", member, 80)).await;
    settle().await;
    town.delete("v1", "Service", default, "web").await;
    settle().await;
}

/// Owners and what they own, and those of whom not too many may be missing.
async fn own(town: &Town) {
    let default = Some("default");
    let labels = json!({"app": "kept"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a"}]}});
    let spec = json!({"replicas": 2, "selector": {"matchLabels": labels}, "template": template});
    for name in ["background", "foreground", "orphan"] {
        let made = json!({"metadata": {"name": name}, "spec": spec});
        town.create("apps/v1", "Deployment", default, made).await;
    }
    let set = json!({"metadata": {"name": "set"}, "spec": {"replicas": 1, "serviceName": "x", "selector": {"matchLabels": {"app": "set"}},
        "template": {"metadata": {"labels": {"app": "set"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}}});
    let set = town.create("apps/v1", "StatefulSet", default, set).await;
    let mut member = pod("set-0", json!({"app": "set"}), 80);
    member["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "set", "uid": set.metadata.uid, "controller": true}]);
    town.create("v1", "Pod", default, member).await;
    for app in ["kept", "set"] {
        let budget = json!({"metadata": {"name": app}, "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": app}}}});
        town.create("policy/v1", "PodDisruptionBudget", default, budget).await;
    }
    settle().await;
    // Somebody wanted to evict it and never did.
    let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let pods: Api<Pod> = Api::default_namespaced(town.cluster.client());
    let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
    pods.patch_status("set-0", &PatchParams::default(), &patch).await.unwrap();
    sleep(Duration::from_secs(180)).await;
    for (name, policy) in [
        ("background", PropagationPolicy::Background),
        ("foreground", PropagationPolicy::Foreground),
        ("orphan", PropagationPolicy::Orphan),
    ] {
        let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        town.api("apps/v1", "Deployment", default).delete(name, &params).await.unwrap();
        town.gone("apps/v1", "Deployment", default, name).await;
    }
    settle().await;
}

/// Storage that goes when nobody uses it any more.
async fn store(town: &Town) {
    let default = Some("default");
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none",
        "resources": {"requests": {"storage": "1Gi"}}}});
    town.create("v1", "PersistentVolumeClaim", default, claim).await;
    let volume = json!({"metadata": {"name": "disk"}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/disk"}}});
    town.create("v1", "PersistentVolume", None, volume).await;
    let class = json!({"metadata": {"name": "fast"}, "driverName": "disks.example.com", "parameters": {"iops": "9"}});
    town.create("storage.k8s.io/v1", "VolumeAttributesClass", None, class).await;
    let group = json!({"metadata": {"name": "gang"}, "spec": {"schedulingPolicy": {"gang": {"minCount": 3}}}});
    town.create("scheduling.k8s.io/v1alpha2", "PodGroup", default, group).await;
    settle().await;
    for (version, kind, namespace, name) in [
        ("v1", "PersistentVolumeClaim", default, "data"),
        ("v1", "PersistentVolume", None, "disk"),
        ("storage.k8s.io/v1", "VolumeAttributesClass", None, "fast"),
        ("scheduling.k8s.io/v1alpha2", "PodGroup", default, "gang"),
    ] {
        town.delete(version, kind, namespace, name).await;
        town.gone(version, kind, namespace, name).await;
    }
}

/// A node that falls silent, one that goes, and a job that has been done.
async fn clear(town: &Town) {
    let default = Some("default");
    for name in ["lost", "away"] {
        town.create("v1", "Node", None, json!({"metadata": {"name": name}})).await;
        let mut on_it = pod(&format!("on-{name}"), json!({}), 80);
        on_it["spec"]["nodeName"] = json!(name);
        town.create("v1", "Pod", default, on_it).await;
    }
    let ready = json!({"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"});
    town.status(("v1", "Node"), None, "lost", json!({"conditions": [ready]})).await;
    let ready = json!({"type": "Ready", "status": "True"});
    town.status(("v1", "Pod"), default, "on-lost", json!({"phase": "Running", "conditions": [ready]})).await;
    town.delete("v1", "Node", None, "away").await;
    town.gone("v1", "Pod", default, "on-away").await;
    let nodes: Api<Node> = Api::all(town.cluster.client());
    let taint = |node: Option<&Node>| {
        let taints = node.and_then(|node| node.spec.as_ref()?.taints.as_ref()).into_iter().flatten();
        taints.filter(|taint| taint.effect == "NoExecute").count() > 0
    };
    until_within(LONG, &nodes, "lost", "silent", taint).await;
    let pods: Api<Pod> = Api::default_namespaced(town.cluster.client());
    let goes = |pod: Option<&Pod>| pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some());
    until_within(LONG, &pods, "on-lost", "evicted", goes).await;

    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}});
    let job = json!({"metadata": {"name": "done"}, "spec": {"ttlSecondsAfterFinished": 9, "template": template}});
    let since = town.create("batch/v1", "Job", default, job).await.metadata.creation_timestamp;
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": since});
    let conditions = [condition("FailureTarget"), condition("Failed")];
    town.status(("batch/v1", "Job"), default, "done", json!({"startTime": since, "conditions": conditions})).await;
    town.gone("batch/v1", "Job", default, "done").await;
}

#[tokio::test(start_paused = true)]
async fn the_neighbours_need_every_rule_of_the_chart_and_no_other() {
    let town = Town::start().await;
    assert_eq!(town.rules.len() + OTHERS.len(), NAMES.len() + OPT_IN.len(), "each controller has rules in the chart");
    govern(&town).await;
    serve(&town).await;
    own(&town).await;
    store(&town).await;
    clear(&town).await;
    town.assert_exact();
}
