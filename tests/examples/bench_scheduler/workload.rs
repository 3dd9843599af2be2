//! What the table of workloads says, and the objects that it means.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The whole table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tables {
    nodes: BTreeMap<String, NodeTemplate>,
    pods: BTreeMap<String, PodTemplate>,
    objects: BTreeMap<String, ObjectTemplate>,
    pub(crate) workloads: Vec<Workload>,
}

/// One workload. Numbers are as upstream has them; [`Tables::read`] scales them.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) threshold: f64,
    pub(crate) nodes: Vec<(usize, String)>,
    /// Volumes of the CSI driver that a node can have.
    pub(crate) csi_limit: Option<u32>,
    /// Namespaces with the label `team: devops` over which the first pods are spread; else they are in `sched-0`.
    pub(crate) namespaces: Option<usize>,
    #[serde(default)]
    pub(crate) prepare: Vec<String>,
    /// Pods that stay gated.
    pub(crate) gated: Option<(usize, String)>,
    #[serde(default)]
    pub(crate) init: Vec<(usize, String)>,
    /// How many of the first pods are deleted in a second while others are measured.
    pub(crate) deletes_a_second: Option<u32>,
    pub(crate) churn: Option<Churn>,
    pub(crate) measured: (usize, String),
}

/// What goes on beside.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Churn {
    pub(crate) every_ms: u64,
    /// Whether what was created is deleted in the next turn.
    #[serde(default)]
    pub(crate) recreate: bool,
    pub(crate) create: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NodeTemplate {
    name: Option<String>,
    /// Values take turns.
    labels: BTreeMap<String, Vec<String>>,
    capacity: BTreeMap<String, String>,
    taints: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PodTemplate {
    labels: BTreeMap<String, String>,
    requests: Option<BTreeMap<String, String>>,
    spec: Map<String, Value>,
    /// Whether each pod has a volume of its own, bound beforehand.
    volume: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectTemplate {
    path: String,
    #[serde(default)]
    object: Value,
    pod: Option<String>,
}

/// Something to be created: `{i}` in the path and in the text is its number.
#[derive(Clone)]
pub(crate) struct Template {
    path: String,
    text: String,
}

/// The namespace of measured pods.
pub(crate) const MEASURED: &str = "sched-1";
const CSI_DRIVER: &str = "ebs.csi.aws.com";

impl Template {
    pub(crate) fn new(path: impl Into<String>, object: &Value) -> Self {
        Self { path: path.into(), text: object.to_string() }
    }

    /// The path of the collection and the object, with this number.
    pub(crate) fn number(&self, number: usize) -> (String, String) {
        let number = number.to_string();
        (self.path.replace("{i}", &number), self.text.replace("{i}", &number))
    }
}

impl Tables {
    /// Reads the table; all numbers are multiplied by `scale`.
    pub(crate) fn read(scale: f64) -> anyhow::Result<Self> {
        let mut tables: Self = serde_saphyr::from_str(include_str!("workloads.yaml"))?;
        let scaled = |count: &mut usize| *count = ((*count as f64 * scale) as usize).max(1);
        for workload in &mut tables.workloads {
            let parts = workload.nodes.iter_mut().chain(&mut workload.init);
            parts.chain(&mut workload.gated).for_each(|(count, _)| scaled(count));
            scaled(&mut workload.measured.0);
        }
        Ok(tables)
    }

    /// The nodes of a template.
    pub(crate) fn node(&self, name: &str, number: usize) -> Value {
        let template = &self.nodes[name];
        let name = template.name.as_deref().unwrap_or("node-{i}").replace("{i}", &number.to_string());
        let mut labels: BTreeMap<&str, &str> = BTreeMap::from([("kubernetes.io/hostname", name.as_str())]);
        for (key, values) in &template.labels {
            labels.insert(key, &values[number % values.len()]);
        }
        let mut capacity = BTreeMap::from([("cpu", "4"), ("memory", "32Gi"), ("pods", "110")]);
        capacity.extend(template.capacity.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": template.taints},
            "status": {
                "capacity": capacity,
                "allocatable": capacity,
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        })
    }

    /// What says how many volumes a node can have.
    pub(crate) fn csi_node(name: &str, limit: u32) -> Value {
        json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": {"name": name},
            "spec": {"drivers": [{"name": CSI_DRIVER, "nodeID": name, "allocatable": {"count": limit}, "topologyKeys": null}]},
        })
    }

    /// The pods of a template in a namespace, each with `prefix` and its number as a name.
    pub(crate) fn pod(&self, template: &str, (namespace, prefix): (&str, &str)) -> Template {
        let template = &self.pods[template];
        let default = || [("cpu".to_owned(), "100m".to_owned()), ("memory".to_owned(), "500Mi".to_owned())].into();
        let requests = template.requests.clone().unwrap_or_else(default);
        let mut spec = template.spec.clone();
        spec.insert(
            "containers".to_owned(),
            json!([{
                "name": "pause",
                "image": "registry.k8s.io/pause:3.10.1",
                "ports": [{"containerPort": 80}],
                "resources": {"limits": requests, "requests": requests},
            }]),
        );
        if template.volume {
            let claim = json!({"name": "vol", "persistentVolumeClaim": {"claimName": format!("{prefix}-{{i}}")}});
            spec.insert("volumes".to_owned(), json!([claim]));
        }
        let metadata = json!({"name": format!("{prefix}-{{i}}"), "namespace": namespace, "labels": template.labels});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
        Template::new(format!("/api/v1/namespaces/{namespace}/pods"), &pod)
    }

    /// The volumes and claims that the pods of a template need first.
    pub(crate) fn volumes(&self, template: &str, (namespace, prefix): (&str, &str)) -> Vec<Template> {
        if !self.pods[template].volume {
            return Vec::new();
        }
        let (name, size) = (format!("{prefix}-{{i}}"), json!({"storage": "1Gi"}));
        let bound = json!({"pv.kubernetes.io/bind-completed": "true"});
        let volume = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadOnlyMany"],
                "capacity": size,
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name},
                "csi": {"driver": CSI_DRIVER, "volumeHandle": name},
                "persistentVolumeReclaimPolicy": "Retain",
            },
            "status": {"phase": "Bound"},
        });
        let claim = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace, "annotations": bound},
            "spec": {"accessModes": ["ReadOnlyMany"], "resources": {"requests": size}, "volumeName": name},
            "status": {"phase": "Bound"},
        });
        let claims = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims");
        vec![Template::new("/api/v1/persistentvolumes", &volume), Template::new(claims, &claim)]
    }

    /// Another object, by its name in the table.
    pub(crate) fn object(&self, name: &str) -> Template {
        let template = &self.objects[name];
        match &template.pod {
            Some(pod) => self.pod(pod, ("churn", name)),
            None => Template::new(template.path.clone(), &template.object),
        }
    }
}
