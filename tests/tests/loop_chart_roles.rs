//! The roles of the Helm chart are what its components need, and nothing beyond: each runs as the account that the chart gives
//! it, through everything that makes it use a right. A rule without which nothing breaks is found as excess; one that is
//! missing is found by what was refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_framework::leader_election::{Election, lead};
use steersman_framework::runtime::{Context, Shutdown, ShutdownTrigger};
use steersman_machinery::random::Random;
use steersman_tests::chart::{self, NAMESPACE};
use steersman_tests::objects;
use steersman_tests::wait::{until, until_within};
use tokio::time::sleep;

/// What gives rights.
const ROLES: [&str; 4] = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];

/// A cluster without the chart's components, and the chart's roles in it.
struct Town {
    cluster: Cluster,
    rendered: String,
    /// The components run as long as these are there.
    _running: Vec<ShutdownTrigger>,
}

impl Town {
    async fn start(values: &str) -> Self {
        let definitions = steersman_crds::definitions().into_iter();
        let definitions = definitions.map(|definition| serde_json::from_value(definition.object).unwrap());
        let cluster = Cluster::builder()
            .virtual_time()
            .nodes(2)
            .controllers("*,-deployment,-replicaset".parse().unwrap())
            .without_scheduler()
            .crds(definitions.collect::<Vec<CustomResourceDefinition>>())
            // Some clusters have it: whoever makes an object block its owner's deletion has to be allowed to.
            .enable_admission(["OwnerReferencesPermissionEnforcement"])
            .record_requests()
            .start()
            .await
            .unwrap();
        let town = Self { cluster, rendered: chart::rendered(values), _running: Vec::new() };
        let namespace = json!({"metadata": {"name": NAMESPACE}});
        town.create("v1", "Namespace", None, namespace).await;
        chart::create(&town.cluster.client(), &chart::objects(&town.rendered, &ROLES)).await;
        town
    }

    /// Starts a component as its account, once it holds the chart's lease.
    fn run<F>(&mut self, account: &'static str, work: impl FnOnce(Context) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (trigger, shutdown) = Shutdown::new();
        let client = self.cluster.as_service_account(NAMESPACE, account);
        let context = Context::new(client, self.cluster.clock(), Random::seeded(1), shutdown);
        let election = Election::new(NAMESPACE, account, "one");
        tokio::spawn(async move { lead(context, election, work).await.unwrap() });
        self._running.push(trigger);
    }

    fn controllers(&mut self, groups: &str) {
        let options = steersman_controllers::Options {
            controllers: "deployment,replicaset".parse().unwrap(),
            api_groups: groups.parse().unwrap(),
            ..steersman_controllers::Options::default()
        };
        self.run("steersman-controllers", |context| async {
            steersman_controllers::run(context, options).await.unwrap()
        });
    }

    fn scheduler(&mut self) {
        let options = steersman_scheduler_plugin::Options::default();
        self.run("steersman-scheduler", |context| async {
            steersman_scheduler_plugin::run(context, options).await.unwrap()
        });
    }

    fn api(&self, version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        objects::api(&self.cluster.client(), (version, kind), namespace)
    }

    async fn create(&self, version: &str, kind: &str, namespace: Option<&str>, object: Value) {
        objects::create(&self.cluster.client(), (version, kind), namespace, object).await;
    }

    async fn pod(&self, name: &str, labels: Value, spec: Value) {
        let mut pod = json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [{"name": "main", "image": "app:1"}]},
        });
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().cloned().unwrap());
        self.create("v1", "Pod", Some("default"), pod).await;
    }

    async fn until_bound(&self, name: &str) {
        let pods: Api<Pod> = Api::default_namespaced(self.cluster.client());
        let bound =
            |pod: Option<&Pod>| pod.and_then(|pod| pod.spec.as_ref()).is_some_and(|spec| spec.node_name.is_some());
        self.wait("steersman-scheduler", until(&pods, name, "bound", bound)).await;
    }

    /// Waits for something that the component of that account brings about; if it does not come, says what was refused.
    async fn wait<T>(&self, account: &str, happens: impl Future<Output = T>) -> T {
        let happened = tokio::time::timeout(Duration::from_secs(50), happens).await;
        happened.unwrap_or_else(|_| {
            self.cluster.assert_role_sufficient(NAMESPACE, account, &self.roles(&[]));
            panic!("{account} is allowed everything that it asks for and does not do it");
        })
    }

    /// What the rendered chart gives, but for rules that only other servers ask for.
    fn roles(&self, beyond: &[(&str, &str)]) -> String {
        let objects = chart::objects(&self.rendered, &ROLES).into_iter();
        let texts = objects.map(|mut object| {
            for rule in object.data.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
                let of = rule["resources"].clone();
                let verbs = rule["verbs"].as_array_mut().unwrap();
                verbs.retain(|verb| !beyond.iter().any(|(resource, beyond)| of == json!([resource]) && verb == beyond));
            }
            serde_json::to_string(&object).unwrap()
        });
        texts.collect::<Vec<_>>().join("\n---\n")
    }

    /// The verbs of the rules for a resource alone.
    fn verbs(&self, group: &str, resource: &str) -> Vec<String> {
        let objects = chart::objects(&self.rendered, &ROLES);
        let rules = objects.iter().flat_map(|object| object.data["rules"].as_array().into_iter().flatten());
        let of = rules.filter(|rule| rule["apiGroups"] == json!([group]) && rule["resources"] == json!([resource]));
        let verbs = of.flat_map(|rule| rule["verbs"].as_array().unwrap());
        verbs.map(|verb| verb.as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    fn assert_exact(&self, account: &str, beyond: &[(&str, &str)]) {
        self.cluster.assert_role_sufficient(NAMESPACE, account, &self.roles(&[]));
        // What cannot be shown to be needed here has to be there all the same.
        for (resource, verb) in beyond {
            let verbs = self.verbs("resource.k8s.io", resource);
            assert!(verbs.iter().any(|found| found == verb), "{account} may not {verb} {resource}");
        }
        self.cluster.assert_no_excess(NAMESPACE, account, &self.roles(beyond));
    }
}

fn workload(name: &str, replicas: i32, labels: &Value) -> Value {
    json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "app:1"}]},
            },
        },
    })
}

fn is_complete(object: Option<&DynamicObject>) -> bool {
    object.is_some_and(|object| {
        let status = &object.data["status"];
        let wanted = &object.data["spec"]["replicas"];
        let generation = object.metadata.generation;
        status["observedGeneration"].as_i64() == generation
            && [&status["replicas"], &status["availableReplicas"]].into_iter().all(|count| count == wanted)
            && (status["updatedReplicas"] == *wanted || status.get("fullyLabeledReplicas").is_some())
    })
}

/// Everything that makes the controllers of Deployments and ReplicaSets use a right.
async fn live(town: &Town, version: &str) {
    let deployments = town.api(version, "Deployment", Some("default"));
    let sets = town.api(version, "ReplicaSet", Some("default"));
    let complete = async |name: &str| {
        town.wait("steersman-controllers", until(&deployments, name, "complete", is_complete)).await;
    };
    let change = async |change: Value| {
        deployments.patch("web", &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
        complete("web").await;
    };
    let mut web = workload("web", 3, &json!({"app": "web"}));
    web["spec"]["revisionHistoryLimit"] = json!(1);
    town.create(version, "Deployment", Some("default"), web).await;
    complete("web").await;
    for image in ["app:2", "app:3", "app:4"] {
        let containers = json!([{"name": "main", "image": image}]);
        change(json!({"spec": {"template": {"spec": {"containers": containers}}}})).await;
    }
    change(json!({"spec": {"replicas": 5}})).await;
    change(json!({"spec": {"replicas": 2}})).await;
    // What `kubectl rollout undo` asked for in former times: the controller itself writes the spec.
    change(json!({"metadata": {"annotations": {"deprecated.deployment.rollback.to": "0"}}})).await;

    // What nobody owns is taken over, and what does not fit any more is let go.
    let orphan = json!({"app": "orphan"});
    town.pod("orphan", orphan.clone(), json!({})).await;
    town.create(version, "ReplicaSet", Some("default"), workload("orphan", 1, &orphan)).await;
    until(&sets, "orphan", "complete", is_complete).await;
    town.create(version, "Deployment", Some("default"), workload("orphan", 1, &orphan)).await;
    complete("orphan").await;
    let released = json!({"metadata": {"labels": {"app": "released"}}});
    let pods: Api<Pod> = Api::default_namespaced(town.cluster.client());
    pods.patch("orphan", &PatchParams::default(), &Patch::Merge(released)).await.unwrap();
    complete("orphan").await;

    // The same trouble again and again is one event with a count.
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    town.create("v1", "ResourceQuota", Some("default"), quota).await;
    sleep(Duration::from_secs(10)).await;
    town.create(version, "Deployment", Some("default"), workload("refused", 1, &json!({"app": "refused"}))).await;
    sleep(Duration::from_secs(120)).await;
}

#[tokio::test(start_paused = true)]
async fn the_controllers_need_every_rule_of_the_chart_and_no_other() {
    for (values, groups) in [("apps", "apps"), ("default", "apps.steersman.dev")] {
        let mut town = Town::start(values).await;
        town.controllers(groups);
        // Pods have to run for a Deployment to be complete; by whom they are bound is not what this is about.
        let scheduler = steersman_scheduler_plugin::Options::default();
        let (_running, shutdown) = Shutdown::new();
        let context = Context::new(town.cluster.client(), town.cluster.clock(), Random::seeded(2), shutdown);
        tokio::spawn(steersman_scheduler_plugin::run(context, scheduler));
        live(&town, &format!("{groups}/v1")).await;
        town.assert_exact("steersman-controllers", &[]);
    }
}

/// Two nodes with a disk and a device each.
async fn furnish(town: &Town) {
    for (name, value) in [("low", 1), ("high", 1000)] {
        town.create("scheduling.k8s.io/v1", "PriorityClass", None, json!({"metadata": {"name": name}, "value": value}))
            .await;
    }
    let class = |name: &str, provisioner: &str| json!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"});
    town.create("storage.k8s.io/v1", "StorageClass", None, class("local", "kubernetes.io/no-provisioner")).await;
    town.create("storage.k8s.io/v1", "StorageClass", None, class("made", "disks.example.com")).await;
    let disk = json!({
        "metadata": {"name": "disk"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
            "hostPath": {"path": "/disk"},
        },
    });
    town.create("v1", "PersistentVolume", None, disk).await;
    let available = Patch::Merge(json!({"status": {"phase": "Available"}}));
    town.api("v1", "PersistentVolume", None).patch_status("disk", &PatchParams::default(), &available).await.unwrap();
    for name in ["local", "made"] {
        let claim = json!({
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": name,
                "resources": {"requests": {"storage": "1Gi"}},
            },
        });
        town.create("v1", "PersistentVolumeClaim", Some("default"), claim).await;
    }
    let class = json!({"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}});
    town.create("resource.k8s.io/v1", "DeviceClass", None, class).await;
    let slice = json!({
        "metadata": {"name": "slice"},
        "spec": {
            "driver": "gpu.example.com", "nodeName": "node-0", "devices": [{"name": "gpu-0"}, {"name": "gpu-1"}],
            "pool": {"name": "node-0", "generation": 1, "resourceSliceCount": 1},
        },
    });
    town.create("resource.k8s.io/v1", "ResourceSlice", None, slice).await;
    let claim = json!({
        "metadata": {"name": "gpu"},
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}},
    });
    town.create("resource.k8s.io/v1", "ResourceClaim", Some("default"), claim).await;
}

/// Does what the controller of volumes and a provisioner would do.
async fn provision(town: &Town, claim: &str, volume: &str) {
    let claims = town.api("v1", "PersistentVolumeClaim", Some("default"));
    let bound = json!({
        "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": volume},
    });
    let claim_object = claims.patch(claim, &PatchParams::default(), &Patch::Merge(bound)).await.unwrap();
    let volumes = town.api("v1", "PersistentVolume", None);
    let reference = json!({"kind": "PersistentVolumeClaim", "namespace": "default", "name": claim, "uid": claim_object.metadata.uid});
    let reference = json!({"spec": {"claimRef": reference}});
    volumes.patch(volume, &PatchParams::default(), &Patch::Merge(reference)).await.unwrap();
    let status = json!({"status": {"phase": "Bound"}});
    claims.patch_status(claim, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    volumes.patch_status(volume, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_scheduler_needs_every_rule_of_the_chart_and_no_other() {
    let mut town = Town::start("apps").await;
    furnish(&town).await;
    town.scheduler();
    let claim = |name: &str| json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]});
    town.pod("plain", json!({}), json!({})).await;
    town.until_bound("plain").await;

    // A volume that is there, one that has to be made, and a device.
    let claims = town.api("v1", "PersistentVolumeClaim", Some("default"));
    town.pod("on-a-disk", json!({}), claim("local")).await;
    let volumes = town.api("v1", "PersistentVolume", None);
    let is_claimed =
        |volume: Option<&DynamicObject>| volume.is_some_and(|volume| !volume.data["spec"]["claimRef"].is_null());
    town.wait("steersman-scheduler", until(&volumes, "disk", "claimed", is_claimed)).await;
    provision(&town, "local", "disk").await;
    town.until_bound("on-a-disk").await;
    town.pod("on-another", json!({}), claim("made")).await;
    let is_wanted = |claim: Option<&DynamicObject>| {
        let annotations = claim.and_then(|claim| claim.metadata.annotations.as_ref());
        annotations.is_some_and(|all| all.contains_key("volume.kubernetes.io/selected-node"))
    };
    town.wait("steersman-scheduler", until(&claims, "made", "wanted", is_wanted)).await;
    let made = json!({
        "metadata": {"name": "made"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "made",
            "hostPath": {"path": "/made"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "Exists"},
            ]}]}},
        },
    });
    town.create("v1", "PersistentVolume", None, made).await;
    provision(&town, "made", "made").await;
    town.until_bound("on-another").await;
    let device = json!({
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}],
        "containers": [{"name": "main", "image": "app:1", "resources": {"claims": [{"name": "gpu"}]}}],
    });
    town.pod("with-a-device", json!({}), device).await;
    town.until_bound("with-a-device").await;
    let limits = json!({"limits": {"example.com/gpu": "1"}});
    let extended = json!({"containers": [{"name": "main", "image": "app:1", "resources": limits}]});
    town.pod("with-another", json!({}), extended).await;
    town.until_bound("with-another").await;

    // No room, twice told; then room is made.
    let large = |class: &str| {
        let requests = json!({"requests": {"cpu": "5"}});
        json!({"priorityClassName": class, "containers": [{"name": "main", "image": "app:1", "resources": requests}]})
    };
    for name in ["low-0", "low-1"] {
        town.pod(name, json!({}), large("low")).await;
        town.until_bound(name).await;
    }
    town.pod("too-many", json!({}), large("low")).await;
    let pods: Api<Pod> = Api::default_namespaced(town.cluster.client());
    // Who does not fit is looked at again every five minutes; the third time is told as a series.
    sleep(Duration::from_secs(900)).await;
    town.pod("high", json!({}), large("high")).await;
    let bound = |pod: Option<&Pod>| pod.and_then(|pod| pod.spec.as_ref()).is_some_and(|spec| spec.node_name.is_some());
    until_within(Duration::from_secs(300), &pods, "high", "bound", bound).await;
    pods.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    // Kubernetes 1.36 asks for the first besides when a claim is given a device; this server does not. The others are for claims
    // that somebody else changes, or a binding that fails, at the wrong moment.
    let beyond = [("resourceclaims/binding", "patch"), ("resourceclaims", "get"), ("resourceclaims", "delete")];
    town.assert_exact("steersman-scheduler", &beyond);
}

/// With every plugin beyond kube-scheduler's.
#[tokio::test(start_paused = true)]
async fn plugins_need_the_rules_that_the_chart_gives_for_them() {
    let mut town = Town::start("plugins").await;
    for definition in steersman_crds::scheduling_definitions() {
        town.create("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, definition.object).await;
    }
    let configuration = &chart::objects(&town.rendered, &["ConfigMap"])[0].data["data"]["scheduler.yaml"];
    let configuration = steersman_scheduler_plugin::Configuration::from_yaml(configuration.as_str().unwrap()).unwrap();
    let options = steersman_scheduler_plugin::Options { configuration, ..Default::default() };
    town.run("steersman-scheduler", |context| async {
        steersman_scheduler_plugin::run(context, options).await.unwrap()
    });
    let group = json!({"metadata": {"name": "gang"}, "spec": {"minMember": 2}});
    town.create("scheduling.x-k8s.io/v1alpha1", "PodGroup", Some("default"), group).await;
    let ours = json!({"schedulerName": "steersman"});
    for name in ["gang-0", "gang-1"] {
        town.pod(name, json!({"scheduling.x-k8s.io/pod-group": "gang"}), ours.clone()).await;
    }
    town.until_bound("gang-0").await;
    town.until_bound("gang-1").await;
    let roles = town.roles(&[]);
    town.cluster.assert_role_sufficient(NAMESPACE, "steersman-scheduler", &roles);
    // Of the plugins' rules each is used; but this server has no groups of scheduling.k8s.io, so that nothing is watched there.
    let objects = chart::objects(&town.rendered, &["ClusterRole"]);
    let rules = objects[0].data["rules"].as_array().unwrap().iter();
    let of_plugins = rules.filter(|rule| {
        let group = rule["apiGroups"][0].as_str().unwrap();
        ["scheduling.x-k8s.io", "metrics.k8s.io"].contains(&group)
    });
    let rules: Vec<&Value> = of_plugins.collect();
    assert_eq!(rules.len(), 3);
    assert_eq!(town.verbs("scheduling.k8s.io", "podgroups"), ["list", "watch"], "for servers that have them");
    let role = json!({"kind": "ClusterRole", "metadata": {"name": "plugins"}, "rules": rules}).to_string();
    town.cluster.assert_no_excess(NAMESPACE, "steersman-scheduler", &role);
}
