//! Pods as the scheduler keeps them: a few words each, and one shared part for all pods of a template.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use crate::resources::{Requests, amount, is_extended, pod_requests};
use crate::snapshot::DEVICE_CLASS_PREFIX;
use crate::wire;

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// The name.
    pub name: Box<str>,
    /// The uid.
    pub uid: Arc<str>,
    /// The node it is bound to, or will be.
    pub node_name: Option<Arc<str>>,
    /// The node held for it while room is made there.
    pub nominated_node_name: Option<Arc<str>>,
    /// When its node accepted it.
    pub start_time: Option<Timestamp>,
    /// Whether the scheduler asked it to make room.
    pub preempted: bool,
    /// The claims that were made for it from templates.
    pub resource_claim_statuses: Box<[wire::PodResourceClaimStatus]>,
    /// What it shares with its siblings.
    pub spec: Arc<PodSpec>,
    /// The number of `spec` in the cache that it came from.
    pub spec_id: SpecId,
    /// What only undecided pods need.
    pub pending: Option<Box<PendingPod>>,
}

/// What is kept only of pods that have no node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingPod {
    /// The version of the object.
    pub resource_version: String,
    /// Its generation.
    pub generation: i64,
    /// Its `PodScheduled` condition.
    pub condition: Option<wire::PodCondition>,
    /// What it has in common with pods that are equal but for their volumes; `None` if it has no volumes.
    pub without_volumes: Option<Arc<PodSpec>>,
}

/// What equal pods have in common: everything about a pod that scheduling looks at, except identity and place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PodSpec {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The labels.
    pub labels: wire::Map,
    /// Whose pod it is: the controlling owner.
    pub controller: Option<wire::OwnerReference>,
    /// Which scheduler is to decide.
    pub scheduler_name: Arc<str>,
    /// The resolved priority.
    pub priority: i32,
    /// Whether it may not push others out (`preemptionPolicy: Never`).
    pub preempts_never: bool,
    /// Whether it was deleted and is on its way out.
    pub terminating: bool,
    /// What it asks for.
    pub requests: Requests,
    /// What it counts for on its node when scored: cpu and memory with defaults.
    pub non_zero: [i64; 2],
    /// As what it counts when NodeResourcesFit scores it.
    pub scoring: Requests,
    /// For each container the cpu that it requests and its limit, if it says so: what it may come to use.
    pub container_cpu: Box<[(Option<i64>, Option<i64>)]>,
    /// Labels the node must have.
    pub node_selector: wire::Map,
    /// Affinities.
    pub affinity: wire::Affinity,
    /// Tolerations.
    pub tolerations: Vec<wire::Toleration>,
    /// Gates.
    pub scheduling_gates: Vec<String>,
    /// The `PodGroup` of `scheduling.k8s.io` that it is scheduled with.
    pub scheduling_group: Option<String>,
    /// Spreading.
    pub topology_spread_constraints: Vec<wire::TopologySpreadConstraint>,
    /// Ports on the node.
    pub host_ports: Vec<HostPort>,
    /// Its claims on devices.
    pub resource_claims: Vec<wire::PodResourceClaim>,
    /// Containers that ask for extended resources, which may be devices.
    pub extended_containers: Box<[ExtendedContainer]>,
    /// What its node must be able to do.
    pub required_features: Box<[&'static str]>,
    /// Volumes that only some nodes can have or that cannot be shared.
    pub volumes: Vec<wire::Volume>,
    /// Images of all containers, with a tag.
    pub images: Vec<String>,
    /// Images that are volumes, with a tag.
    pub image_volumes: Vec<String>,
}

/// A container that asks for extended resources.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExtendedContainer {
    /// The name.
    pub name: Box<str>,
    /// Its place among init containers and containers.
    pub index: usize,
    /// Whether it is gone before the pod runs.
    pub is_short_lived: bool,
    /// The resources: name, amount, and the place of the name among all that it asks for.
    pub wants: Box<[(Arc<str>, i64, usize)]>,
}

/// A port that a pod takes on its node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Arc<str>,
    /// The port.
    pub port: i32,
    /// The address; `0.0.0.0` is every address.
    pub ip: Arc<str>,
}

impl HostPort {
    /// Whether both can't be had on one node.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        const ANY: &str = "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || &*self.ip == ANY || &*other.ip == ANY)
    }
}

impl Pod {
    /// `namespace/name`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.spec.namespace, self.name)
    }

    /// What it has in common with its siblings, which may have other volumes.
    pub(crate) fn kind(&self) -> &Arc<PodSpec> {
        self.pending.as_ref().and_then(|pending| pending.without_volumes.as_ref()).unwrap_or(&self.spec)
    }

    /// The names of its claims on devices, each with whether it is made from a template; `None` for one that is still to
    /// be made. A claim that was found not to be needed is left out.
    pub fn resource_claims(&self) -> impl Iterator<Item = (Option<&str>, bool)> {
        self.spec.resource_claims.iter().filter_map(|claim| match &claim.resource_claim_name {
            Some(name) => Some((Some(name.as_str()), false)),
            None => match self.resource_claim_statuses.iter().find(|status| status.name == claim.name) {
                Some(status) => status.resource_claim_name.as_deref().map(|name| (Some(name), true)),
                None => Some((None, true)),
            },
        })
    }

    /// The claims of its volumes: each volume, and the name of the claim. That of an ephemeral volume is made for the pod.
    pub fn claims(&self) -> impl Iterator<Item = (&wire::Volume, String)> {
        self.spec.volumes.iter().filter_map(|volume| {
            let own = || volume.ephemeral.map(|_| format!("{}-{}", self.name, volume.name));
            let named = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone());
            named.or_else(own).map(|claim| (volume, claim))
        })
    }
}

impl PodSpec {
    fn of(pod: &wire::Pod) -> Self {
        let spec = &pod.spec;
        let wanted = pod_requests(pod);
        let containers = spec.init_containers.iter().chain(&spec.containers);
        let image_volumes = spec.volumes.iter().filter_map(|volume| volume.image.as_ref());
        Self {
            namespace: Arc::from(pod.metadata.namespace.as_str()),
            labels: pod.metadata.labels.clone(),
            controller: pod.metadata.owner_references.iter().find(|owner| owner.controller).cloned(),
            scheduler_name: Arc::from(spec.scheduler_name.as_str()),
            priority: spec.priority,
            preempts_never: spec.preemption_policy == "Never",
            terminating: pod.metadata.deletion_timestamp.is_some(),
            requests: wanted.requests,
            non_zero: wanted.non_zero,
            scoring: wanted.scoring,
            container_cpu: spec.containers.iter().map(container_cpu).collect(),
            node_selector: spec.node_selector.clone(),
            affinity: spec.affinity.clone(),
            tolerations: spec.tolerations.clone(),
            scheduling_group: spec.scheduling_group.as_ref().and_then(|group| group.pod_group_name.clone()),
            scheduling_gates: spec.scheduling_gates.iter().map(|gate| gate.name.clone()).collect(),
            topology_spread_constraints: spec.topology_spread_constraints.clone(),
            host_ports: host_ports(spec),
            resource_claims: spec.resource_claims.clone(),
            extended_containers: extended_containers(spec),
            required_features: required_features(spec),
            volumes: spec.volumes.iter().filter(|volume| volume.matters()).cloned().collect(),
            images: containers.map(|container| normalized_image(&container.image)).collect(),
            image_volumes: image_volumes.map(|image| normalized_image(&image.reference)).collect(),
        }
    }

    /// Whether other pods' affinity or its own plays a role for this pod.
    pub fn has_pod_affinity(&self) -> bool {
        self.affinity.pod_affinity != wire::PodAffinity::default() || self.has_anti_affinity()
    }

    fn has_anti_affinity(&self) -> bool {
        self.affinity.pod_anti_affinity != wire::PodAffinity::default()
    }
}

fn extended_containers(spec: &wire::PodSpec) -> Box<[ExtendedContainer]> {
    let init = spec.init_containers.iter().map(|container| (container, container.restart_policy != "Always"));
    let all = init.chain(spec.containers.iter().map(|container| (container, false)));
    let wants = |container: &wire::Container| -> Box<[(Arc<str>, i64, usize)]> {
        let requests = container.resources.requests.iter().enumerate();
        let extended = requests.filter(|(_, (name, _))| is_extended(name) || name.starts_with(DEVICE_CLASS_PREFIX));
        let wanted = extended.map(|(place, (name, text))| (Arc::from(name.as_str()), amount(name, text), place));
        wanted.filter(|(_, amount, _)| *amount > 0).collect()
    };
    let extended = all.enumerate().filter_map(|(index, (container, is_short_lived))| {
        let (name, wants) = (container.name.as_str().into(), wants(container));
        (!wants.is_empty()).then_some(ExtendedContainer { name, index, is_short_lived, wants })
    });
    extended.collect()
}

/// What a node must declare. Source: `k8s.io/component-helpers/nodedeclaredfeatures`.
fn required_features(spec: &wire::PodSpec) -> Box<[&'static str]> {
    let mut rules = spec.containers.iter().chain(&spec.init_containers).flat_map(|it| &it.restart_policy_rules);
    let restarts = rules.any(|rule| rule.action == "RestartAllContainers");
    let isolated = spec.host_network && spec.host_users == Some(false);
    let required = [(restarts, "RestartAllContainersOnContainerExits"), (isolated, "UserNamespacesHostNetworkSupport")];
    required.into_iter().filter(|(is, _)| *is).map(|(_, feature)| feature).collect()
}

fn container_cpu(container: &wire::Container) -> (Option<i64>, Option<i64>) {
    let cpu = |list: &wire::Map| list.get("cpu").map(|cpu| amount("cpu", cpu));
    (cpu(&container.resources.requests), cpu(&container.resources.limits))
}

/// Host ports of containers and sidecars; other init containers are gone when the pod runs.
fn host_ports(spec: &wire::PodSpec) -> Vec<HostPort> {
    let or = |text: &str, default: &str| Arc::from(if text.is_empty() { default } else { text });
    let sidecars = spec.init_containers.iter().filter(|container| container.restart_policy == "Always");
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    let taken = ports.filter(|port| port.host_port > 0).map(|port| HostPort {
        protocol: or(&port.protocol, "TCP"),
        port: port.host_port,
        ip: or(&port.host_ip, "0.0.0.0"),
    });
    let mut taken: Vec<_> = taken.collect();
    taken.sort();
    taken.dedup();
    taken
}

/// The image's name with a tag: nodes report images with one.
fn normalized_image(name: &str) -> String {
    let tagged = match (name.rfind(':'), name.rfind('/')) {
        (Some(colon), Some(slash)) => colon > slash,
        (colon, _) => colon.is_some(),
    };
    if tagged { name.to_owned() } else { format!("{name}:latest") }
}

/// The number of a distinct [`PodSpec`] in one cache; none is used a second time.
pub type SpecId = u64;

/// All distinct specs that are in use, each kept once.
#[derive(Debug, Default)]
pub struct Specs {
    known: HashMap<Arc<PodSpec>, SpecId>,
    /// What was read last: the next pod is probably of the same template.
    recent: VecDeque<Recent>,
    next: SpecId,
    sweep_at: usize,
}

/// What a spec was made of.
#[derive(Debug)]
struct Recent {
    metadata: wire::Metadata,
    wish: wire::PodSpec,
    spec: (Arc<PodSpec>, SpecId),
}

impl Recent {
    fn is_of(&self, pod: &wire::Pod) -> bool {
        let (mine, theirs) = (&self.metadata, &pod.metadata);
        mine.namespace == theirs.namespace
            && mine.labels == theirs.labels
            && mine.owner_references == theirs.owner_references
            && mine.deletion_timestamp.is_some() == theirs.deletion_timestamp.is_some()
            && self.wish.wishes_the_same(&pod.spec)
    }
}

/// How many specs are remembered with what they were made of.
const MOST_RECENT: usize = 8;
/// Below this many distinct specs it is not worth looking for unused ones.
const MIN_SWEEP: usize = 1024;

impl Specs {
    /// The pod as the scheduler keeps it.
    pub fn pod(&mut self, pod: &wire::Pod) -> Pod {
        let (spec, spec_id) = self.spec(pod);
        let optional = |name: &str| (!name.is_empty()).then(|| Arc::from(name));
        let node_name = optional(&pod.spec.node_name);
        let has_volumes = node_name.is_none() && !spec.volumes.is_empty();
        let without_volumes =
            has_volumes.then(|| self.intern(PodSpec { volumes: Vec::new(), ..(*spec).clone() })).map(|(spec, _)| spec);
        let pending = node_name.is_none().then(|| {
            let scheduled = |condition: &&wire::PodCondition| condition.condition_type == "PodScheduled";
            Box::new(PendingPod {
                resource_version: pod.metadata.resource_version.clone(),
                generation: pod.metadata.generation,
                condition: pod.status.conditions.iter().find(scheduled).cloned(),
                without_volumes,
            })
        });
        Pod {
            name: pod.metadata.name.as_str().into(),
            uid: Arc::from(pod.metadata.uid.as_str()),
            node_name,
            nominated_node_name: optional(&pod.status.nominated_node_name),
            resource_claim_statuses: pod.status.resource_claim_statuses.clone().into(),
            start_time: pod.status.start_time,
            preempted: pod.status.conditions.iter().any(|condition| {
                condition.condition_type == "DisruptionTarget"
                    && condition.status == "True"
                    && condition.reason == "PreemptionByScheduler"
            }),
            spec,
            spec_id,
            pending,
        }
    }

    fn spec(&mut self, pod: &wire::Pod) -> (Arc<PodSpec>, SpecId) {
        let status = &pod.status;
        let mut statuses = status.container_statuses.iter().chain(&status.init_container_statuses);
        if status.resources.is_some() || statuses.any(|status| status.resources.is_some()) {
            // What it has counts besides what it wishes.
            return self.intern(PodSpec::of(pod));
        }
        if let Some(at) = self.recent.iter().position(|recent| recent.is_of(pod)) {
            self.recent.swap(0, at);
            return self.recent[0].spec.clone();
        }
        let spec = self.intern(PodSpec::of(pod));
        self.recent.truncate(MOST_RECENT - 1);
        self.recent.push_front(Recent { metadata: pod.metadata.clone(), wish: pod.spec.clone(), spec: spec.clone() });
        spec
    }

    fn intern(&mut self, spec: PodSpec) -> (Arc<PodSpec>, SpecId) {
        if let Some((known, id)) = self.known.get_key_value(&spec) {
            return (known.clone(), *id);
        }
        if self.known.len() >= self.sweep_at.max(MIN_SWEEP) {
            self.sweep();
        }
        self.next += 1;
        let spec = Arc::new(spec);
        self.known.insert(spec.clone(), self.next);
        (spec, self.next)
    }

    /// Drops specs that no pod uses any more; the next sweep comes when as many have been added again.
    fn sweep(&mut self) {
        self.recent.clear();
        self.known.retain(|spec, _| Arc::strong_count(spec) > 1);
        self.sweep_at = self.known.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(specs: &mut Specs, object: serde_json::Value) -> Pod {
        specs.pod(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn siblings_share_their_spec() {
        let mut specs = Specs::default();
        let mut make = |name: &str, cpu: &str| {
            let container = json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
            pod(&mut specs, json!({"metadata": {"name": name, "uid": name}, "spec": {"containers": [container]}}))
        };
        let (a, b, c) = (make("a", "1"), make("b", "1000m"), make("c", "2"));
        assert!(Arc::ptr_eq(&a.spec, &b.spec));
        assert_ne!(a.spec_id, c.spec_id);
    }

    #[test]
    fn only_containers_and_sidecars_take_host_ports() {
        let port = |port: i32| json!([{"hostPort": port, "containerPort": port}]);
        let mut specs = Specs::default();
        let pod = pod(
            &mut specs,
            json!({"spec": {
                "containers": [{"name": "a", "ports": port(80)}, {"name": "b", "ports": [{"containerPort": 81}]}],
                "initContainers": [{"name": "c", "ports": port(82)}, {"name": "d", "restartPolicy": "Always", "ports": port(83)}]
            }}),
        );
        let found: Vec<_> = pod.spec.host_ports.iter().map(|port| port.port).collect();
        assert_eq!(found, [80, 83]);
    }

    #[test]
    fn images_get_the_tag_that_nodes_report() {
        let check = |name: &str, expect: &str| assert_eq!(normalized_image(name), expect);
        check("app", "app:latest");
        check("app:1", "app:1");
        check("host:5000/app", "host:5000/app:latest");
        check("app@sha256:0123", "app@sha256:0123");
    }
}
