//! Pods, nodes and namespaces as the API sends them, cut down to what scheduling reads.
//!
//! A full `k8s_openapi` pod takes several kilobytes; of a bound pod the scheduler needs a few hundred bytes, most of
//! them shared with its siblings. So decoding already leaves everything else out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// Reads `null` as the default, as Kubernetes does.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// Names to texts; ordered, so that equal maps hash equally.
pub type Map = BTreeMap<String, String>;

/// The metadata that scheduling reads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// The name.
    pub name: String,
    /// The namespace; empty for objects that have none.
    #[serde(deserialize_with = "nullable")]
    pub namespace: String,
    /// The uid.
    #[serde(deserialize_with = "nullable")]
    pub uid: String,
    /// The labels.
    #[serde(deserialize_with = "nullable")]
    pub labels: Map,
    /// The resource version.
    #[serde(deserialize_with = "nullable")]
    pub resource_version: String,
    /// The generation.
    #[serde(deserialize_with = "nullable")]
    pub generation: i64,
    /// When the object was created.
    pub creation_timestamp: Option<Timestamp>,
    /// When the object is to be gone, if it was deleted.
    pub deletion_timestamp: Option<Timestamp>,
    /// Who owns the object.
    #[serde(deserialize_with = "nullable")]
    pub owner_references: Vec<OwnerReference>,
}

/// An owner.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// The owner's group and version.
    pub api_version: String,
    /// The owner's kind.
    pub kind: String,
    /// The owner's name.
    pub name: String,
    /// Whether this owner is the controller.
    #[serde(deserialize_with = "nullable")]
    pub controller: bool,
}

/// `v1.Pod`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// The metadata.
    pub metadata: Metadata,
    /// The wish.
    pub spec: PodSpec,
    /// The state.
    #[serde(deserialize_with = "nullable")]
    pub status: PodStatus,
}

/// `v1.PodSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The node the pod was bound to.
    #[serde(deserialize_with = "nullable")]
    pub node_name: String,
    /// Which scheduler is to decide.
    #[serde(deserialize_with = "nullable")]
    pub scheduler_name: String,
    /// The resolved priority.
    #[serde(deserialize_with = "nullable")]
    pub priority: i32,
    /// `Never` or `PreemptLowerPriority`.
    #[serde(deserialize_with = "nullable")]
    pub preemption_policy: String,
    /// Containers.
    #[serde(deserialize_with = "nullable")]
    pub containers: Vec<Container>,
    /// Init containers.
    #[serde(deserialize_with = "nullable")]
    pub init_containers: Vec<Container>,
    /// Pod-level resources.
    #[serde(deserialize_with = "nullable")]
    pub resources: Resources,
    /// What the runtime itself takes.
    #[serde(deserialize_with = "nullable")]
    pub overhead: Map,
    /// Labels the node must have.
    #[serde(deserialize_with = "nullable")]
    pub node_selector: Map,
    /// Affinity.
    #[serde(deserialize_with = "nullable")]
    pub affinity: Affinity,
    /// Tolerations.
    #[serde(deserialize_with = "nullable")]
    pub tolerations: Vec<Toleration>,
    /// Gates that hold the pod back.
    #[serde(deserialize_with = "nullable")]
    pub scheduling_gates: Vec<SchedulingGate>,
    /// Spreading.
    #[serde(deserialize_with = "nullable")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
}

/// `v1.PodSchedulingGate`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SchedulingGate {
    /// The name of the gate.
    pub name: String,
}

/// `v1.Container`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// The name.
    pub name: String,
    /// The image.
    #[serde(deserialize_with = "nullable")]
    pub image: String,
    /// `Always` on an init container makes a sidecar of it.
    #[serde(deserialize_with = "nullable")]
    pub restart_policy: String,
    /// Requests and limits.
    #[serde(deserialize_with = "nullable")]
    pub resources: Resources,
    /// Ports.
    #[serde(deserialize_with = "nullable")]
    pub ports: Vec<ContainerPort>,
}

/// `v1.ResourceRequirements`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// What is set aside.
    #[serde(deserialize_with = "nullable")]
    pub requests: Map,
}

/// `v1.ContainerPort`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// The port on the node; 0 if none.
    #[serde(deserialize_with = "nullable")]
    pub host_port: i32,
    /// The address on the node.
    #[serde(deserialize_with = "nullable", rename = "hostIP")]
    pub host_ip: String,
    /// `TCP`, `UDP` or `SCTP`.
    #[serde(deserialize_with = "nullable")]
    pub protocol: String,
}

/// `v1.PodStatus`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// The phase.
    #[serde(deserialize_with = "nullable")]
    pub phase: String,
    /// The node held for the pod while room is made on it.
    #[serde(deserialize_with = "nullable")]
    pub nominated_node_name: String,
    /// When the node accepted the pod.
    pub start_time: Option<Timestamp>,
    /// Conditions.
    #[serde(deserialize_with = "nullable")]
    pub conditions: Vec<PodCondition>,
    /// What containers were given.
    #[serde(deserialize_with = "nullable")]
    pub container_statuses: Vec<ContainerStatus>,
    /// What init containers were given.
    #[serde(deserialize_with = "nullable")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// `Infeasible` if the wished resize can't be done.
    #[serde(deserialize_with = "nullable")]
    pub resize: String,
}

/// `v1.PodCondition`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodCondition {
    /// The type.
    #[serde(rename = "type")]
    pub condition_type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, for programs.
    #[serde(deserialize_with = "nullable")]
    pub reason: String,
    /// Why, for people.
    #[serde(deserialize_with = "nullable")]
    pub message: String,
    /// When the status last changed.
    pub last_transition_time: Option<Timestamp>,
    /// Of which generation this was said.
    #[serde(deserialize_with = "nullable")]
    pub observed_generation: i64,
}

/// `v1.ContainerStatus`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// The container.
    pub name: String,
    /// What the node set aside.
    #[serde(deserialize_with = "nullable")]
    pub allocated_resources: Map,
    /// What is in force.
    pub resources: Option<Resources>,
}

/// `v1.Toleration`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct Toleration {
    /// The taint's key; empty for every key.
    #[serde(deserialize_with = "nullable")]
    pub key: String,
    /// `Exists`, or `Equal` (also if empty).
    #[serde(deserialize_with = "nullable")]
    pub operator: String,
    /// The taint's value.
    #[serde(deserialize_with = "nullable")]
    pub value: String,
    /// The taint's effect; empty for every effect.
    #[serde(deserialize_with = "nullable")]
    pub effect: String,
}

/// `v1.Taint`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// The key.
    pub key: String,
    /// The value.
    #[serde(deserialize_with = "nullable")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// `v1.Affinity`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    /// To nodes.
    pub node_affinity: Option<NodeAffinity>,
    /// To other pods.
    #[serde(deserialize_with = "nullable")]
    pub pod_affinity: PodAffinity,
    /// Away from other pods.
    #[serde(deserialize_with = "nullable")]
    pub pod_anti_affinity: PodAffinity,
}

/// `v1.NodeAffinity`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeAffinity {
    /// What must hold.
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: Option<NodeSelector>,
    /// What should hold.
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution", deserialize_with = "nullable")]
    pub preferred: Vec<PreferredSchedulingTerm>,
}

/// `v1.NodeSelector`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeSelector {
    /// Terms, of which one must hold.
    #[serde(deserialize_with = "nullable")]
    pub node_selector_terms: Vec<NodeSelectorTerm>,
}

/// `v1.NodeSelectorTerm`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeSelectorTerm {
    /// On labels.
    #[serde(deserialize_with = "nullable")]
    pub match_expressions: Vec<Requirement>,
    /// On fields: only `metadata.name`.
    #[serde(deserialize_with = "nullable")]
    pub match_fields: Vec<Requirement>,
}

/// `v1.PreferredSchedulingTerm`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PreferredSchedulingTerm {
    /// From 1 to 100.
    pub weight: i64,
    /// The term.
    pub preference: NodeSelectorTerm,
}

/// A requirement on a label: of node selectors and of label selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`.
    pub operator: String,
    /// The values.
    #[serde(deserialize_with = "nullable")]
    pub values: Vec<String>,
}

/// `metav1.LabelSelector`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels that must have these values.
    #[serde(deserialize_with = "nullable")]
    pub match_labels: Map,
    /// Requirements.
    #[serde(deserialize_with = "nullable")]
    pub match_expressions: Vec<Requirement>,
}

/// `v1.PodAffinity` and `v1.PodAntiAffinity`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct PodAffinity {
    /// What must hold.
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution", deserialize_with = "nullable")]
    pub required: Vec<PodAffinityTerm>,
    /// What should hold.
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution", deserialize_with = "nullable")]
    pub preferred: Vec<WeightedPodAffinityTerm>,
}

/// `v1.PodAffinityTerm`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodAffinityTerm {
    /// Which pods; `None` is none.
    pub label_selector: Option<LabelSelector>,
    /// In which namespaces.
    #[serde(deserialize_with = "nullable")]
    pub namespaces: Vec<String>,
    /// In which namespaces, by their labels.
    pub namespace_selector: Option<LabelSelector>,
    /// The label that makes two nodes one place.
    pub topology_key: String,
}

/// `v1.WeightedPodAffinityTerm`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightedPodAffinityTerm {
    /// From 1 to 100.
    pub weight: i64,
    /// The term.
    pub pod_affinity_term: PodAffinityTerm,
}

/// `v1.TopologySpreadConstraint`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologySpreadConstraint {
    /// By how much places may differ.
    pub max_skew: i64,
    /// The label that makes two nodes one place.
    pub topology_key: String,
    /// `DoNotSchedule` or `ScheduleAnyway`.
    pub when_unsatisfiable: String,
    /// Which pods count; `None` is none.
    pub label_selector: Option<LabelSelector>,
    /// How many places there should be.
    pub min_domains: Option<i64>,
    /// `Honor` (default) or `Ignore`.
    #[serde(deserialize_with = "nullable")]
    pub node_affinity_policy: String,
    /// `Honor` or `Ignore` (default).
    #[serde(deserialize_with = "nullable")]
    pub node_taints_policy: String,
    /// Labels whose value of the pod itself is added to the selector.
    #[serde(deserialize_with = "nullable")]
    pub match_label_keys: Vec<String>,
}

/// `v1.Node`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// The metadata.
    pub metadata: Metadata,
    /// The wish.
    #[serde(deserialize_with = "nullable")]
    pub spec: NodeSpec,
    /// The state.
    #[serde(deserialize_with = "nullable")]
    pub status: NodeStatus,
}

/// `v1.NodeSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// Whether the node was cordoned.
    #[serde(deserialize_with = "nullable")]
    pub unschedulable: bool,
    /// Taints.
    #[serde(deserialize_with = "nullable")]
    pub taints: Vec<Taint>,
}

/// `v1.NodeStatus`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// What pods can have.
    #[serde(deserialize_with = "nullable")]
    pub allocatable: Map,
    /// Images on the node.
    #[serde(deserialize_with = "nullable")]
    pub images: Vec<ContainerImage>,
}

/// `v1.ContainerImage`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerImage {
    /// Names of the image.
    #[serde(deserialize_with = "nullable")]
    pub names: Vec<String>,
    /// Its size.
    #[serde(deserialize_with = "nullable")]
    pub size_bytes: i64,
}

/// An object of which only the metadata is read (namespaces).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// The metadata.
    pub metadata: Metadata,
}

/// A Service, ReplicationController, ReplicaSet or StatefulSet: an object that selects pods.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Selecting {
    /// The metadata.
    pub metadata: Metadata,
    /// Its selector, in the form of its kind.
    #[serde(deserialize_with = "nullable")]
    pub spec: SelectingSpec,
}

/// The selector of a [`Selecting`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SelectingSpec {
    /// A map (Service, ReplicationController) or a label selector (ReplicaSet, StatefulSet).
    pub selector: Option<serde_json::Value>,
}
