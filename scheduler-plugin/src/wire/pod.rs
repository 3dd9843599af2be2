//! Pods.

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Affinity, LabelSelector, Map, Metadata, PodResourceClaim, PodResourceClaimStatus, Toleration, Volume, nullable,
    time,
};

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
    pub resources: PodLevelResources,
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
    /// Whether it uses the node's network.
    #[serde(deserialize_with = "nullable")]
    pub host_network: bool,
    /// Whether its users are those of the node.
    pub host_users: Option<bool>,
    /// Gates that hold the pod back.
    #[serde(deserialize_with = "nullable")]
    pub scheduling_gates: Vec<SchedulingGate>,
    /// The group that it is scheduled with.
    pub scheduling_group: Option<Box<SchedulingGroup>>,
    /// Claimed devices.
    #[serde(deserialize_with = "nullable")]
    pub resource_claims: Vec<PodResourceClaim>,
    /// Volumes.
    #[serde(deserialize_with = "nullable")]
    pub volumes: Vec<Volume>,
    /// Spreading.
    #[serde(deserialize_with = "nullable")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
}

impl PodSpec {
    /// Whether the other asks for the same, wherever it is.
    pub(crate) fn wishes_the_same(&self, other: &Self) -> bool {
        // Each pod has one with a token whose name is made up.
        let decides = |volume: &&Volume| volume.matters() || volume.image.is_some();
        let Self {
            node_name: _,
            scheduler_name,
            priority,
            preemption_policy,
            containers,
            init_containers,
            resources,
            overhead,
            node_selector,
            affinity,
            tolerations,
            host_network,
            host_users,
            scheduling_gates,
            scheduling_group,
            resource_claims,
            volumes,
            topology_spread_constraints,
        } = self;
        *containers == other.containers
            && *init_containers == other.init_containers
            && *scheduler_name == other.scheduler_name
            && *priority == other.priority
            && *preemption_policy == other.preemption_policy
            && *resources == other.resources
            && *overhead == other.overhead
            && *node_selector == other.node_selector
            && *affinity == other.affinity
            && *tolerations == other.tolerations
            && *host_network == other.host_network
            && *host_users == other.host_users
            && *scheduling_gates == other.scheduling_gates
            && *scheduling_group == other.scheduling_group
            && *resource_claims == other.resource_claims
            && volumes.iter().filter(decides).eq(other.volumes.iter().filter(decides))
            && *topology_spread_constraints == other.topology_spread_constraints
    }
}

/// `v1.PodSchedulingGate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SchedulingGate {
    /// The name of the gate.
    pub name: String,
}

/// `v1.PodSchedulingGroup`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SchedulingGroup {
    /// The name of its `PodGroup` of `scheduling.k8s.io`.
    pub pod_group_name: Option<String>,
}

/// `v1.Container`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
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
    /// What happens when the container ends.
    #[serde(deserialize_with = "nullable")]
    pub restart_policy_rules: Vec<RestartPolicyRule>,
}

/// `v1.ContainerRestartRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RestartPolicyRule {
    /// `Restart` or `RestartAllContainers`.
    pub action: String,
}

/// `v1.ResourceRequirements` of a pod as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodLevelResources {
    /// What is set aside.
    #[serde(deserialize_with = "nullable")]
    pub requests: Map,
}

/// `v1.ResourceRequirements`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// What is set aside.
    #[serde(deserialize_with = "nullable")]
    pub requests: Map,
    /// The most.
    #[serde(deserialize_with = "nullable")]
    pub limits: Map,
}

/// `v1.ContainerPort`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
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
    /// The claims that were made for the pod.
    #[serde(deserialize_with = "nullable")]
    pub resource_claim_statuses: Vec<PodResourceClaimStatus>,
    /// When the node accepted the pod.
    #[serde(deserialize_with = "time")]
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
    /// What the node set aside for the pod as a whole.
    pub allocated_resources: Option<Box<Map>>,
    /// What is in force for the pod as a whole.
    pub resources: Option<Box<Resources>>,
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
    #[serde(deserialize_with = "time")]
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
