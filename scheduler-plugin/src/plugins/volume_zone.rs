//! VolumeZone: a pod runs where its volumes' zones are.

use std::collections::BTreeSet;

use crate::cluster_event::{ActionType, ClusterEvent, EventResource, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::plugin::{Dependence, FilterPlugin, Plugin, PreFilterPlugin, PreFilterResult};
use crate::plugins::volumes;
use crate::pod::Pod;
use crate::snapshot::{NodeRef, Snapshot};
use crate::status::Status;
use crate::wire::{Claim, PersistentVolume, StorageClass};

const PRE_FILTER: &str = "PreFilterVolumeZone";
/// Labels that say where something is, and the names that they had before.
const TOPOLOGY_LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];
/// Between the zones of a volume that is in several.
const SEPARATOR: &str = "__";

/// Compares labels of volumes and nodes.
#[derive(Clone, Copy, Debug)]
pub struct VolumeZone;

/// A label that a node must have, under either of its names, with one of the values.
#[derive(PartialEq, Eq)]
struct Topology {
    key: &'static str,
    newer: &'static str,
    values: BTreeSet<String>,
}

/// A label that cannot be read is passed over.
fn topologies(volume: &PersistentVolume) -> impl Iterator<Item = Topology> {
    let labels = &volume.metadata.common.labels;
    TOPOLOGY_LABELS.into_iter().filter_map(|(key, newer)| {
        let values: BTreeSet<String> = labels.get(key)?.split(SEPARATOR).map(|value| value.trim().to_owned()).collect();
        (!values.contains("")).then_some(Topology { key, newer, values })
    })
}

/// `None` for a claim whose volume is still to be chosen.
fn volume_of<'a>(claim: &Claim, snapshot: &'a Snapshot) -> Result<Option<&'a PersistentVolume>, String> {
    let storage = snapshot.storage();
    let name = claim.spec.volume_name.as_str();
    if !name.is_empty() {
        let volume = storage.volumes.get("", name);
        return volume.map(|it| Some(it.as_ref())).ok_or_else(|| volumes::not_found("persistentvolume", name));
    }
    if claim.class().is_empty() {
        return Err("PersistentVolumeClaim had no pv name and storageClass name".to_owned());
    }
    let class = storage.classes.get("", claim.class());
    let class = class.ok_or_else(|| volumes::not_found("storageclass.storage.k8s.io", claim.class()))?;
    match class.volume_binding_mode.as_deref() {
        None => Err(format!("VolumeBindingMode not set for StorageClass {:?}", claim.class())),
        Some("WaitForFirstConsumer") => Ok(None),
        Some(_) => Err("PersistentVolume had no name".to_owned()),
    }
}

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }

    fn dependence(&self, pod: &Pod) -> Dependence {
        if pod.spec.volumes.is_empty() { Dependence::Node } else { Dependence::Anew }
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        let changed = ActionType::ADD.or(ActionType::UPDATE);
        vec![
            ClusterEvent::of(EventResource::StorageClass, ActionType::ADD),
            ClusterEvent::node(ActionType::ADD.or(ActionType::UPDATE_NODE_LABEL)),
            ClusterEvent::of(EventResource::Claim, changed),
            ClusterEvent::of(EventResource::PersistentVolume, changed),
        ]
    }

    fn queueing_hint(&self, pod: &Pod, happening: &Happening) -> QueueingHint {
        let object = &happening.object;
        let helps = if let Some((_, new)) = object.change_of::<Claim>() {
            let named = |claim: &Claim| pod.claims().any(|(it, name)| it.ephemeral.is_none() && *name == *claim.name());
            new.is_some_and(|claim| volumes::uses(pod, claim) && named(claim))
        } else if let Some((_, new)) = object.change_of::<StorageClass>() {
            let mode = new.and_then(|class| class.volume_binding_mode.as_deref());
            mode == Some("WaitForFirstConsumer")
        } else if let Some((Some(old), Some(new))) = object.change_of::<PersistentVolume>() {
            !topologies(old).eq(topologies(new))
        } else {
            true
        };
        volumes::hint(helps)
    }

    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }

    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }
}

impl PreFilterPlugin for VolumeZone {
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot) -> Result<PreFilterResult, Status> {
        let mut wanted: Vec<Topology> = Vec::new();
        for (_, name) in pod.claims().filter(|(volume, _)| volume.ephemeral.is_none()) {
            let claim = volumes::claim(snapshot.storage(), pod, &name);
            let claim =
                claim.ok_or_else(|| Status::unresolvable(volumes::not_found("persistentvolumeclaim", &name)))?;
            let volume = volume_of(claim, snapshot).map_err(Status::unresolvable)?;
            wanted.extend(volume.into_iter().flat_map(topologies));
        }
        if wanted.is_empty() {
            return Err(Status::skip());
        }
        state.write(PRE_FILTER, wanted);
        Ok(PreFilterResult::ALL_NODES)
    }
}

impl FilterPlugin for VolumeZone {
    fn filter(&self, state: &CycleState, _: &Pod, node: NodeRef<'_>) -> Status {
        let Some(wanted) = state.read::<Vec<Topology>>(PRE_FILTER) else { return Status::success() };
        if TOPOLOGY_LABELS.iter().all(|(key, _)| node.label(key).is_none()) {
            // Nobody said where the node is: a cluster without zones.
            return Status::success();
        }
        let is_there = |topology: &Topology| {
            let value = node.label(topology.key).or_else(|| node.label(topology.newer));
            value.is_some_and(|value| topology.values.contains(value))
        };
        if wanted.iter().all(is_there) {
            Status::success()
        } else {
            Status::unresolvable("node(s) had no available volume zone")
        }
    }
}
