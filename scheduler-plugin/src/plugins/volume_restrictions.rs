//! VolumeRestrictions: what cannot be mounted twice is not.

use std::collections::BTreeSet;

use crate::cluster_event::{ActionType, ClusterEvent, EventObject, EventResource, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::plugin::{Dependence, FilterPlugin, Plugin, PreFilterPlugin, PreFilterResult};
use crate::plugins::volumes;
use crate::pod::Pod;
use crate::snapshot::{NodeRef, Snapshot};
use crate::status::Status;
use crate::wire::Volume;

const PRE_FILTER: &str = "PreFilterVolumeRestrictions";
/// The access mode of a claim that one pod alone may use.
const READ_WRITE_ONCE_POD: &str = "ReadWriteOncePod";

/// Compares disks on a node, and claims that one pod may use.
#[derive(Clone, Copy, Debug)]
pub struct VolumeRestrictions;

/// The pod's claims that it must have to itself, and how often others use them.
struct Exclusive {
    claims: BTreeSet<String>,
    conflicts: i64,
}

impl Exclusive {
    fn used_by(&self, pod: &Pod, other: &Pod) -> i64 {
        if pod.spec.namespace != other.spec.namespace {
            return 0;
        }
        let uses = other.claims().filter(|(volume, claim)| volume.ephemeral.is_none() && self.claims.contains(claim));
        i64::try_from(uses.count()).unwrap_or(i64::MAX)
    }
}

/// Whether two pods on one node cannot both have these volumes.
fn conflict(wanted: &Volume, existing: &Volume) -> bool {
    if let (Some(a), Some(b)) = (&wanted.gce_persistent_disk, &existing.gce_persistent_disk)
        && a.pd_name == b.pd_name
        && !(a.read_only && b.read_only)
    {
        return true;
    }
    if let (Some(a), Some(b)) = (&wanted.aws_elastic_block_store, &existing.aws_elastic_block_store)
        && a.volume_id == b.volume_id
    {
        return true;
    }
    if let (Some(a), Some(b)) = (&wanted.iscsi, &existing.iscsi)
        && a.iqn == b.iqn
        && !(a.read_only && b.read_only)
    {
        return true;
    }
    if let (Some(a), Some(b)) = (&wanted.rbd, &existing.rbd) {
        let same = a.pool == b.pool && a.image == b.image && a.monitors.iter().any(|it| b.monitors.contains(it));
        return same && !(a.read_only && b.read_only);
    }
    false
}

fn can_conflict(volume: &Volume) -> bool {
    volume.gce_persistent_disk.is_some()
        || volume.aws_elastic_block_store.is_some()
        || volume.iscsi.is_some()
        || volume.rbd.is_some()
}

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }

    fn dependence(&self, pod: &Pod) -> Dependence {
        if pod.spec.volumes.is_empty() { Dependence::Node } else { Dependence::Anew }
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::pod(ActionType::DELETE),
            ClusterEvent::node(ActionType::ADD),
            ClusterEvent::of(EventResource::Claim, ActionType::ADD),
        ]
    }

    fn queueing_hint(&self, pod: &Pod, happening: &Happening) -> QueueingHint {
        let helps = match &happening.object {
            EventObject::AssignedPod { old: Some(old), new: None } => {
                let same_disk = |volume: &Volume| old.spec.volumes.iter().any(|other| conflict(volume, other));
                let shared = |claim: &str| old.claims().any(|(_, name)| name == claim);
                old.spec.namespace == pod.spec.namespace
                    && (pod.spec.volumes.iter().any(same_disk) || pod.claims().any(|(_, name)| shared(&name)))
            }
            _ => volumes::claim_helps(pod, happening).unwrap_or(true),
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

impl PreFilterPlugin for VolumeRestrictions {
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot) -> Result<PreFilterResult, Status> {
        let storage = snapshot.storage();
        let mut claims = BTreeSet::new();
        for (_, name) in pod.claims().filter(|(volume, _)| volume.ephemeral.is_none()) {
            let Some(claim) = volumes::claim(storage, pod, &name) else {
                return Err(Status::unresolvable(volumes::not_found("persistentvolumeclaim", &name)));
            };
            if claim.spec.access_modes.iter().any(|mode| mode == READ_WRITE_ONCE_POD) {
                claims.insert(name);
            }
        }
        let conflicts = claims.iter().filter(|claim| storage.is_in_use(&pod.spec.namespace, claim)).count();
        if conflicts == 0 && !pod.spec.volumes.iter().any(can_conflict) {
            return Err(Status::skip());
        }
        let conflicts = i64::try_from(conflicts).unwrap_or(i64::MAX);
        state.write(PRE_FILTER, Exclusive { claims, conflicts });
        Ok(PreFilterResult::ALL_NODES)
    }

    fn add_pod(&self, state: &mut CycleState, pod: &Pod, added: &Pod, _: NodeRef<'_>) {
        if let Some(exclusive) = state.read_mut::<Exclusive>(PRE_FILTER) {
            exclusive.conflicts += exclusive.used_by(pod, added);
        }
    }

    fn remove_pod(&self, state: &mut CycleState, pod: &Pod, removed: &Pod, _: NodeRef<'_>) {
        if let Some(exclusive) = state.read_mut::<Exclusive>(PRE_FILTER) {
            exclusive.conflicts -= exclusive.used_by(pod, removed);
        }
    }
}

impl FilterPlugin for VolumeRestrictions {
    fn filter(&self, state: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Status {
        let taken = |wanted: &Volume| {
            node.pods().iter().flat_map(|other| &other.spec.volumes).any(|existing| conflict(wanted, existing))
        };
        if pod.spec.volumes.iter().filter(|volume| can_conflict(volume)).any(taken) {
            return Status::unschedulable("node(s) had no available disk");
        }
        if state.read::<Exclusive>(PRE_FILTER).is_some_and(|exclusive| exclusive.conflicts > 0) {
            return Status::unschedulable(
                "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
            );
        }
        Status::success()
    }
}
