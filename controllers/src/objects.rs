//! The objects that the controllers read, reduced to the fields that they read: an informer keeps one of these for
//! every object in the cluster.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use steersman_framework::api::Resource;
use steersman_framework::informer::Cached;
use steersman_framework::meta::{Meta, null_default, time};
use steersman_framework::ownership::{orphans_of, owned_by};
use steersman_framework::selector::LabelSelector;

use crate::deployment::template::{self, HASH_LABEL};
use crate::services::{Network, PodPort};

/// `pods`.
pub static PODS: Resource = Resource::namespaced("", "v1", "Pod", "pods");
/// `nodes`.
pub static NODES: Resource = Resource::cluster("", "v1", "Node", "nodes");
/// `leases.coordination.k8s.io`.
pub static LEASES: Resource = Resource::namespaced("coordination.k8s.io", "v1", "Lease", "leases");
/// `resourcequotas`.
pub static RESOURCE_QUOTAS: Resource = Resource::namespaced("", "v1", "ResourceQuota", "resourcequotas");
/// `podgroups.scheduling.k8s.io`, which are served behind a feature gate only.
pub static POD_GROUPS: Resource = Resource::namespaced("scheduling.k8s.io", "v1alpha2", "PodGroup", "podgroups");
/// `persistentvolumeclaims`.
pub static CLAIMS: Resource = Resource::namespaced("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
/// `persistentvolumes`.
pub static VOLUMES: Resource = Resource::cluster("", "v1", "PersistentVolume", "persistentvolumes");
/// `volumeattributesclasses.storage.k8s.io`.
pub static VOLUME_ATTRIBUTES_CLASSES: Resource =
    Resource::cluster("storage.k8s.io", "v1", "VolumeAttributesClass", "volumeattributesclasses");
/// `services`.
pub static SERVICES: Resource = Resource::namespaced("", "v1", "Service", "services");
/// `endpoints`.
pub static ENDPOINTS: Resource = Resource::namespaced("", "v1", "Endpoints", "endpoints");
/// `endpointslices.discovery.k8s.io`.
pub static ENDPOINT_SLICES: Resource =
    Resource::namespaced("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");
/// `namespaces`.
pub static NAMESPACES: Resource = Resource::cluster("", "v1", "Namespace", "namespaces");
/// `serviceaccounts`.
pub static SERVICE_ACCOUNTS: Resource = Resource::namespaced("", "v1", "ServiceAccount", "serviceaccounts");
/// `clusterroles.rbac.authorization.k8s.io`.
pub static CLUSTER_ROLES: Resource =
    Resource::cluster("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles");
/// `configmaps`.
pub static CONFIG_MAPS: Resource = Resource::namespaced("", "v1", "ConfigMap", "configmaps");
/// `replicasets.apps`.
pub static REPLICA_SETS: Resource = Resource::namespaced("apps", "v1", "ReplicaSet", "replicasets");
/// `poddisruptionbudgets.policy`.
pub static DISRUPTION_BUDGETS: Resource =
    Resource::namespaced("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets");
/// `jobs.batch`.
pub static JOBS: Resource = Resource::namespaced("batch", "v1", "Job", "jobs");
/// `deployments.apps`.
pub static DEPLOYMENTS: Resource = Resource::namespaced("apps", "v1", "Deployment", "deployments");

/// The annotation with which a pod says how bad its deletion would be.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The condition of a pod that is about to be disrupted.
pub(crate) const DISRUPTION_TARGET: &str = "DisruptionTarget";

/// Where a pod is in its life. Unknown texts count as pending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not all containers have started.
    #[default]
    Pending,
    /// Its node does not answer.
    Unknown,
    /// It runs.
    Running,
    /// All containers ended well.
    Succeeded,
    /// A container ended badly.
    Failed,
}

impl Phase {
    /// Whether no container will ever run again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// What the controllers read of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "RawPod")]
pub struct Pod {
    /// The metadata, without annotations and `generateName`.
    pub metadata: Meta,
    /// `spec.nodeName`; empty if it is not scheduled.
    pub node_name: String,
    /// `status.phase`.
    pub phase: Phase,
    /// Whether the condition `Ready` is true.
    pub ready: bool,
    /// When that condition changed last.
    pub ready_since: Option<Timestamp>,
    /// The deletion cost that it claims; 0 if it claims none or not a number.
    pub deletion_cost: i32,
    /// The most restarts of one of its containers.
    pub restarts: i32,
    /// The most restarts of one of its sidecars (init containers that are restarted always).
    pub sidecar_restarts: i32,
    /// Since when somebody other than its kubelet means to disrupt it (condition `DisruptionTarget`).
    pub disrupted_since: Option<Timestamp>,
    /// Whether its kubelet evicted it.
    pub evicted: bool,
    /// How it is reached.
    pub network: Network,
}

impl Pod {
    /// Whether it counts as a replica: not finished and not being deleted.
    pub fn is_active(&self) -> bool {
        !self.phase.is_terminal() && !self.metadata.is_deleting()
    }
}

impl Cached for Pod {
    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn index(&self) -> Vec<String> {
        let meta = &self.metadata;
        let owner = match meta.controller() {
            Some(controller) => owned_by(&controller.uid),
            None => orphans_of(&meta.namespace),
        };
        let hash = meta.labels.get(HASH_LABEL).map(|hash| of_template(&meta.namespace, hash));
        [owner].into_iter().chain(hash).collect()
    }
}

/// The key under which pods of a template are found, whoever controls them: those in this namespace whose
/// `pod-template-hash` is this.
pub(crate) fn of_template(namespace: &str, hash: &str) -> String {
    format!("/{namespace}/{hash}")
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPod {
    metadata: Meta,
    #[serde(deserialize_with = "null_default")]
    spec: RawPodSpec,
    #[serde(deserialize_with = "null_default")]
    status: RawPodStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawPodSpec {
    node_name: String,
    hostname: String,
    subdomain: String,
    #[serde(deserialize_with = "null_default")]
    containers: Vec<RawContainer>,
    #[serde(deserialize_with = "null_default")]
    init_containers: Vec<RawContainer>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawContainer {
    name: String,
    restart_policy: Option<String>,
    #[serde(deserialize_with = "null_default")]
    ports: Vec<PodPort>,
}

impl RawContainer {
    /// Whether it is an init container that goes on running.
    fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAddress {
    ip: String,
}

/// What is read of a pod's network: its addresses, and those ports that a service can name.
fn network(spec: &mut RawPodSpec, addresses: Vec<RawAddress>) -> Network {
    let sidecars = spec.init_containers.iter_mut().filter(|container| container.is_sidecar());
    let ports = spec.containers.iter_mut().chain(sidecars).flat_map(|container| std::mem::take(&mut container.ports));
    Network {
        ips: addresses.into_iter().map(|address| address.ip).collect(),
        hostname: std::mem::take(&mut spec.hostname),
        subdomain: std::mem::take(&mut spec.subdomain),
        ports: ports.filter(|port| !port.name.is_empty()).collect(),
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawPodStatus {
    phase: Option<String>,
    reason: Option<String>,
    #[serde(rename = "podIPs", deserialize_with = "null_default")]
    pod_ips: Vec<RawAddress>,
    #[serde(deserialize_with = "null_default")]
    conditions: Vec<Condition>,
    #[serde(deserialize_with = "null_default")]
    container_statuses: Vec<RawContainerStatus>,
    #[serde(deserialize_with = "null_default")]
    init_container_statuses: Vec<RawContainerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawContainerStatus {
    name: String,
    restart_count: i32,
}

impl From<RawPod> for Pod {
    fn from(mut raw: RawPod) -> Self {
        let network = network(&mut raw.spec, std::mem::take(&mut raw.status.pod_ips));
        let is_sidecar = |status: &&RawContainerStatus| {
            let mut containers = raw.spec.init_containers.iter();
            containers.any(|container| container.name == status.name && container.is_sidecar())
        };
        let sidecars = raw.status.init_container_statuses.iter().filter(is_sidecar);
        let ready = raw.status.conditions.iter().find(|condition| condition.kind == "Ready");
        let deletion_cost = raw.metadata.annotations.get(DELETION_COST).map_or(0, deletion_cost);
        let sidecar_restarts = sidecars.map(|status| status.restart_count).max().unwrap_or_default();
        let restarts = raw.status.container_statuses.iter().map(|status| status.restart_count);
        let mut conditions = raw.status.conditions.iter();
        let disruption = conditions.find(|it| it.kind == DISRUPTION_TARGET && it.status == "True");
        let disruption = disruption.filter(|it| it.reason != "TerminationByKubelet");
        Self {
            disrupted_since: disruption.map(|it| it.last_transition_time.unwrap_or(Timestamp::UNIX_EPOCH)),
            evicted: raw.status.phase.as_deref() == Some("Failed") && raw.status.reason.as_deref() == Some("Evicted"),
            phase: match raw.status.phase.as_deref() {
                Some("Unknown") => Phase::Unknown,
                Some("Running") => Phase::Running,
                Some("Succeeded") => Phase::Succeeded,
                Some("Failed") => Phase::Failed,
                _ => Phase::Pending,
            },
            ready: ready.is_some_and(|condition| condition.status == "True"),
            ready_since: ready.and_then(|condition| condition.last_transition_time),
            restarts: restarts.max().unwrap_or_default(),
            sidecar_restarts,
            deletion_cost,
            network,
            node_name: raw.spec.node_name,
            metadata: Meta { annotations: Default::default(), generate_name: Default::default(), ..raw.metadata },
        }
    }
}

/// Reads a deletion cost: an `int32` without `+` and without leading zeros; anything else counts as 0.
fn deletion_cost(text: &str) -> i32 {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits == "0" || digits.starts_with(|c: char| ('1'..='9').contains(&c));
    if plain { text.parse().unwrap_or_default() } else { 0 }
}

/// A condition of a pod or a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// What is stated.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// When the status changed last.
    #[serde(deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
    /// Why, for programs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A pod template, shared between copies, with a fingerprint that makes comparing cheap.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The template as it was stored.
    pub value: Arc<Value>,
    /// Equal for templates that mean the same; the hash label does not count.
    pub fingerprint: u64,
}

impl Template {
    /// Takes a template in.
    pub fn new(value: Value) -> Self {
        Self { fingerprint: template::fingerprint(&value), value: Arc::new(value) }
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl Default for Template {
    fn default() -> Self {
        Self::new(Value::Null)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(Value::deserialize(deserializer)?))
    }
}

/// What the controllers read of a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ReplicaSet {
    /// The metadata.
    pub metadata: Meta,
    /// What is wanted.
    pub spec: ReplicaSetSpec,
    /// What was observed.
    #[serde(deserialize_with = "null_default")]
    pub status: ReplicaSetStatus,
}

impl Cached for ReplicaSet {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// `spec` of a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetSpec {
    /// How many pods are wanted.
    #[serde(deserialize_with = "replicas")]
    pub replicas: i32,
    /// How long a pod has to be ready before it is available.
    pub min_ready_seconds: i32,
    /// Which pods belong to it.
    pub selector: LabelSelector,
    /// What its pods look like.
    pub template: Template,
}

/// `status` of a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetStatus {
    /// Active pods.
    pub replicas: i32,
    /// Of those, how many carry all labels of the template.
    #[serde(skip_serializing_if = "is_zero")]
    pub fully_labeled_replicas: i32,
    /// Of those, how many are ready.
    #[serde(skip_serializing_if = "is_zero")]
    pub ready_replicas: i32,
    /// Of those, how many have been ready long enough.
    #[serde(skip_serializing_if = "is_zero")]
    pub available_replicas: i32,
    /// Pods that are being deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminating_replicas: Option<i32>,
    /// The generation that these figures are about.
    #[serde(skip_serializing_if = "is_zero")]
    pub observed_generation: i64,
    /// The conditions.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What the controllers read of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Deployment {
    /// The metadata.
    pub metadata: Meta,
    /// What is wanted.
    pub spec: DeploymentSpec,
    /// What was observed.
    #[serde(deserialize_with = "null_default")]
    pub status: DeploymentStatus,
}

impl Cached for Deployment {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// `spec` of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentSpec {
    /// How many pods are wanted.
    #[serde(deserialize_with = "replicas")]
    pub replicas: i32,
    /// Which ReplicaSets and pods belong to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// What its pods look like.
    pub template: Template,
    /// How pods of an old template are replaced.
    #[serde(deserialize_with = "null_default")]
    pub strategy: Strategy,
    /// How long a pod has to be ready before it is available.
    pub min_ready_seconds: i32,
    /// How many old ReplicaSets are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_history_limit: Option<i32>,
    /// After how many seconds without progress a rollout counts as failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_deadline_seconds: Option<i32>,
    /// Whether rollouts are held.
    pub paused: bool,
}

/// `spec.strategy` of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Strategy {
    /// `RollingUpdate` or `Recreate`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The limits of a rolling update.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "RollingUpdate::is_empty")]
    pub rolling_update: RollingUpdate,
}

impl Strategy {
    /// Fills in what the API server fills in for `apps`, and no schema can say: that depends on the type.
    pub(crate) fn fill_in(&mut self) {
        if self.kind.is_empty() {
            self.kind = "RollingUpdate".to_owned();
        }
        if self.kind == "RollingUpdate" {
            let limits = &mut self.rolling_update;
            limits.max_unavailable.get_or_insert_with(|| "25%".into());
            limits.max_surge.get_or_insert_with(|| "25%".into());
        }
    }
}

/// The limits of a rolling update: numbers or percentages.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdate {
    /// How many pods may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<Value>,
    /// How many pods there may be too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<Value>,
}

impl RollingUpdate {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `status` of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStatus {
    /// The generation that these figures are about.
    #[serde(skip_serializing_if = "is_zero")]
    pub observed_generation: i64,
    /// Active pods of all its ReplicaSets.
    #[serde(skip_serializing_if = "is_zero")]
    pub replicas: i32,
    /// Active pods of the present template.
    #[serde(skip_serializing_if = "is_zero")]
    pub updated_replicas: i32,
    /// Ready pods.
    #[serde(skip_serializing_if = "is_zero")]
    pub ready_replicas: i32,
    /// Pods that have been ready long enough.
    #[serde(skip_serializing_if = "is_zero")]
    pub available_replicas: i32,
    /// Pods that are still missing.
    #[serde(skip_serializing_if = "is_zero")]
    pub unavailable_replicas: i32,
    /// Pods that are being deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminating_replicas: Option<i32>,
    /// How many hashes were taken already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    /// The conditions.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<DeploymentCondition>,
}

/// A condition of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentCondition {
    /// What is stated.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// When anything of it changed last.
    #[serde(deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Timestamp>,
    /// When the status changed last.
    #[serde(deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
    /// Why, for programs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// An object as an update of its status sends it: whole, though the server keeps all but the status.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Whole<'a, Spec, Status> {
    api_version: String,
    kind: &'a str,
    /// [`Meta::for_update`].
    pub(crate) metadata: Value,
    spec: &'a Spec,
    status: &'a Status,
}

impl<'a, Spec, Status> Whole<'a, Spec, Status> {
    /// An object of that resource with that status.
    pub(crate) fn new(resource: &'a Resource, meta: &Meta, spec: &'a Spec, status: &'a Status) -> Self {
        Self { api_version: resource.api_version(), kind: &resource.kind, metadata: meta.for_update(), spec, status }
    }
}

/// `spec.replicas`: one if it is absent.
fn replicas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    Ok(Option::<i32>::deserialize(deserializer)?.unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_reduced_to_what_is_read() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "a", "annotations": {DELETION_COST: "-7", "other": "x"}},
            "spec": {"nodeName": "n1", "hostname": "h", "subdomain": "web", "initContainers": [
                {"name": "side", "restartPolicy": "Always", "ports": [{"name": "s", "containerPort": 2}]},
                {"name": "init", "ports": [{"name": "never", "containerPort": 3}]},
            ], "containers": [{"ports": [{"name": "c", "containerPort": 1, "protocol": "TCP"}, {"containerPort": 9}]}]},
            "status": {
                "phase": "Running",
                "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-05-01T10:00:00Z"}],
                "containerStatuses": [{"name": "c", "restartCount": 1}, {"name": "d", "restartCount": 4}],
                "initContainerStatuses": [{"name": "side", "restartCount": 2}, {"name": "init", "restartCount": 9}],
            },
        }))
        .unwrap();
        assert_eq!((pod.phase, pod.ready, pod.node_name.as_str()), (Phase::Running, true, "n1"));
        assert_eq!((pod.deletion_cost, pod.restarts, pod.sidecar_restarts), (-7, 4, 2));
        assert!(pod.metadata.annotations.is_empty());
        let network = &pod.network;
        assert_eq!((network.hostname.as_str(), network.subdomain.as_str()), ("h", "web"));
        assert_eq!(network.ips, ["10.0.0.1", "fd00::1"]);
        let ports: Vec<_> = network.ports.iter().map(|port| (port.name.as_str(), port.container_port)).collect();
        assert_eq!(ports, [("c", 1), ("s", 2)], "those without a name and those of mere init containers are not kept");
    }

    #[test]
    fn a_deletion_cost_is_read_strictly() {
        for (text, expect) in [("0", 0), ("10", 10), ("-10", -10), ("008", 0), ("+10", 0), ("", 0), ("3000000000", 0)] {
            assert_eq!(deletion_cost(text), expect, "{text:?}");
        }
    }
}
