//! NodeVolumeLimits: a node can attach only so many volumes of a driver.

mod driver;

use std::collections::BTreeSet;

use crate::cluster_event::{ActionType, ClusterEvent, EventObject, EventResource, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::plugin::{Candidates, Dependence, FilterPlugin, Plugin, PreFilterPlugin, PreFilterResult};
use crate::plugins::volumes;
use crate::pod::Pod;
use crate::snapshot::{NodeRef, Snapshot, Storage};
use crate::status::Status;
use crate::wire::{CsiNode, VolumeAttachment};
use driver::{Attachable, of_claim, of_inline, of_persistent};

const PRE_FILTER: &str = "PreFilterNodeVolumeLimits";

/// Counts volumes against the limits that CSI drivers give for their nodes.
#[derive(Clone, Copy, Debug)]
pub struct NodeVolumeLimits;

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }

    fn dependence(&self, pod: &Pod) -> Dependence {
        if pod.spec.volumes.is_empty() { Dependence::Node } else { Dependence::Anew }
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::of(EventResource::CsiNode, ActionType::ADD.or(ActionType::UPDATE)),
            ClusterEvent::pod(ActionType::DELETE),
            ClusterEvent::of(EventResource::Claim, ActionType::ADD),
            ClusterEvent::of(EventResource::VolumeAttachment, ActionType::DELETE),
        ]
    }

    fn queueing_hint(&self, pod: &Pod, happening: &Happening) -> QueueingHint {
        let object = &happening.object;
        let helps = if let Some(helps) = volumes::claim_helps(pod, happening) {
            helps
        } else if let Some((Some(old), Some(new))) = object.change_of::<CsiNode>() {
            let before = |driver: &str| limits(Some(old)).find(|(name, _)| *name == driver).map(|(_, limit)| limit);
            let was_there = |driver: &str| old.spec.drivers.iter().any(|it| it.name == driver);
            // A driver without a limit that has got one can attach less than before.
            limits(Some(new)).any(|(driver, limit)| before(driver).map_or(!was_there(driver), |before| limit > before))
        } else if let Some((Some(attachment), _)) = object.change_of::<VolumeAttachment>() {
            let of_driver = |volume: Attachable| volume.driver == attachment.spec.attacher;
            pod.claims().next().is_some() || pod.spec.volumes.iter().filter_map(of_inline).any(of_driver)
        } else if let EventObject::AssignedPod { old: Some(old), new: None } = object {
            old.claims().next().is_some() || old.spec.volumes.iter().any(|volume| of_inline(volume).is_some())
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

/// What is the same for all nodes.
struct Prepared {
    /// The volumes of the pod, if all claims are as they must be.
    wanted: Result<BTreeSet<Attachable>, Status>,
}

impl Prepared {
    fn new(pod: &Pod, storage: &Storage) -> Self {
        Self { wanted: wanted(pod, storage) }
    }

    fn filter(&self, node: NodeRef<'_>) -> Status {
        let wanted = match &self.wanted {
            Ok(wanted) => wanted,
            Err(status) => return status.clone(),
        };
        // No more than are counted can be attached, whatever they are: mostly that is few enough.
        if node.snapshot().can_surely_attach(node.row(), wanted.len()) {
            return Status::success();
        }
        let storage = node.snapshot().storage();
        let csi_node = storage.csi_nodes.get("", node.name()).map(AsRef::as_ref);
        let wanted: BTreeSet<&Attachable> = wanted.iter().filter(|volume| volume.counts_on(csi_node)).collect();
        let attached = attached(node, storage, csi_node);
        let new = || wanted.iter().filter(|volume| !attached.contains(**volume));
        let exceeded = |(driver, limit): (&str, usize)| {
            let more = new().filter(|volume| volume.driver == driver).count();
            more > 0 && attached.iter().filter(|volume| volume.driver == driver).count() + more > limit
        };
        if limits(csi_node).any(exceeded) {
            return Status::unschedulable("node(s) exceed max volume count");
        }
        Status::success()
    }
}

impl PreFilterPlugin for NodeVolumeLimits {
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot) -> Result<PreFilterResult, Status> {
        let counts = pod.spec.volumes.iter().any(|volume| of_inline(volume).is_some()) || pod.claims().next().is_some();
        if !counts {
            return Err(Status::skip());
        }
        state.write(PRE_FILTER, Prepared::new(pod, snapshot.storage()));
        Ok(PreFilterResult::ALL_NODES)
    }
}

impl FilterPlugin for NodeVolumeLimits {
    fn filter(&self, state: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Status {
        match state.read::<Prepared>(PRE_FILTER) {
            Some(prepared) => prepared.filter(node),
            None => Prepared::new(pod, node.snapshot().storage()).filter(node),
        }
    }

    fn filter_nodes(&self, state: &CycleState, pod: &Pod, candidates: &mut Candidates<'_>) {
        let snapshot = candidates.snapshot();
        let made;
        let prepared = match state.read::<Prepared>(PRE_FILTER) {
            Some(prepared) => prepared,
            None => {
                made = Prepared::new(pod, snapshot.storage());
                &made
            }
        };
        candidates.retain_success(|row| prepared.filter(snapshot.node(row)));
    }
}

/// How many volumes of each driver the node can attach; drivers without a limit are left out.
fn limits(csi_node: Option<&CsiNode>) -> impl Iterator<Item = (&str, usize)> {
    let drivers = csi_node.map_or(&[][..], |csi_node| &csi_node.spec.drivers);
    drivers.iter().filter_map(|driver| Some((driver.name.as_str(), driver.allocatable.count? as usize)))
}

/// The volumes of a pod that wants to come, whether or not they count on a node.
fn wanted(pod: &Pod, storage: &Storage) -> Result<BTreeSet<Attachable>, Status> {
    let mut found: BTreeSet<Attachable> = pod.spec.volumes.iter().filter_map(of_inline).collect();
    for (volume, name) in pod.claims() {
        let Some(claim) = volumes::claim(storage, pod, &name) else {
            let why = volumes::not_found("persistentvolumeclaim", &name);
            return Err(Status::unresolvable(format!("looking up PVC {}/{name}: {why}", pod.spec.namespace)));
        };
        if volume.ephemeral.is_some() {
            volumes::was_made_for(claim, pod).map_err(Status::error)?;
        }
        found.extend(of_claim(claim, storage));
    }
    Ok(found)
}

/// What is attached to the node, or will be for the pods that are there.
fn attached(node: NodeRef<'_>, storage: &Storage, csi_node: Option<&CsiNode>) -> BTreeSet<Attachable> {
    let mut found = BTreeSet::new();
    for pod in node.pods().iter().filter(|pod| !pod.spec.volumes.is_empty()) {
        found.extend(pod.spec.volumes.iter().filter_map(of_inline));
        for (volume, name) in pod.claims() {
            // A claim that is not there does not count: nobody knows whether it belongs to a pod that runs.
            let claim = volumes::claim(storage, pod, &name);
            let own =
                |claim: &&std::sync::Arc<_>| volume.ephemeral.is_none() || volumes::was_made_for(claim, pod).is_ok();
            found.extend(claim.filter(own).and_then(|claim| of_claim(claim, storage)));
        }
    }
    let here = storage.attachments.iter().filter(|attachment| attachment.spec.node_name == **node.name());
    let volumes = here.filter_map(|attachment| storage.volumes.get("", &attachment.spec.source.persistent_volume_name));
    found.extend(volumes.filter_map(|volume| of_persistent(volume)));
    found.retain(|volume| volume.counts_on(csi_node));
    found
}
