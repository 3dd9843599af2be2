//! NodeVolumeLimits: a node can attach only so many volumes of a driver.

mod driver;

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster_event::{ActionType, ClusterEvent, EventResource, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::plugin::{Dependence, FilterPlugin, Plugin, PreFilterPlugin, PreFilterResult};
use crate::plugins::volumes;
use crate::pod::Pod;
use crate::snapshot::{NodeRef, Snapshot, Storage};
use crate::status::Status;
use crate::wire::CsiNode;
use driver::{Attachable, of_claim, of_inline, of_persistent};

/// Counts volumes against the limits that CSI drivers give for their nodes.
#[derive(Clone, Copy, Debug)]
pub struct NodeVolumeLimits;

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }

    fn dependence(&self, pod: &Pod) -> Dependence {
        if pod.spec.volumes.is_empty() { Dependence::Node } else { Dependence::Anything }
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
        volumes::hint(pod, happening)
    }

    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }

    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }
}

impl PreFilterPlugin for NodeVolumeLimits {
    fn pre_filter(&self, _: &mut CycleState, pod: &Pod, _: &Snapshot) -> Result<PreFilterResult, Status> {
        let counts = pod.spec.volumes.iter().any(|volume| of_inline(volume).is_some()) || pod.claims().next().is_some();
        if counts { Ok(PreFilterResult::ALL_NODES) } else { Err(Status::skip()) }
    }
}

impl FilterPlugin for NodeVolumeLimits {
    fn filter(&self, _: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Status {
        let storage = node.snapshot().storage();
        let csi_node = storage.csi_nodes.get("", node.name()).map(AsRef::as_ref);
        let wanted = match wanted(pod, storage, csi_node) {
            Ok(wanted) => wanted,
            Err(status) => return status,
        };
        let limits = limits(csi_node);
        if wanted.is_empty() || limits.is_empty() {
            return Status::success();
        }
        let attached = attached(node, storage, csi_node);
        let count = |driver: &str, volumes: &BTreeSet<Attachable>| {
            volumes.iter().filter(|volume| volume.driver == driver).count()
        };
        let new: BTreeSet<Attachable> = wanted.difference(&attached).cloned().collect();
        let exceeded = |(driver, limit): (&&str, &usize)| {
            let more = count(driver, &new);
            more > 0 && count(driver, &attached) + more > *limit
        };
        if limits.iter().any(exceeded) {
            return Status::unschedulable("node(s) exceed max volume count");
        }
        Status::success()
    }
}

/// How many volumes of each driver the node can attach; drivers without a limit are left out.
fn limits(csi_node: Option<&CsiNode>) -> BTreeMap<&str, usize> {
    let drivers = csi_node.map_or(&[][..], |csi_node| &csi_node.spec.drivers);
    let limited = drivers.iter().filter_map(|driver| Some((driver.name.as_str(), driver.allocatable.count? as usize)));
    limited.collect()
}

/// The volumes of a pod that wants to come.
fn wanted(pod: &Pod, storage: &Storage, node: Option<&CsiNode>) -> Result<BTreeSet<Attachable>, Status> {
    let mut found: BTreeSet<Attachable> =
        pod.spec.volumes.iter().filter_map(of_inline).filter(|inline| inline.counts_on(node)).collect();
    for (volume, name) in pod.claims() {
        let Some(claim) = volumes::claim(storage, pod, &name) else {
            let why = volumes::not_found("persistentvolumeclaim", &name);
            return Err(Status::unresolvable(format!("looking up PVC {}/{name}: {why}", pod.spec.namespace)));
        };
        if volume.ephemeral.is_some() {
            volumes::was_made_for(claim, pod).map_err(Status::error)?;
        }
        found.extend(of_claim(claim, storage, node));
    }
    Ok(found)
}

/// What is attached to the node, or will be for the pods that are there.
fn attached(node: NodeRef<'_>, storage: &Storage, csi_node: Option<&CsiNode>) -> BTreeSet<Attachable> {
    let mut found = BTreeSet::new();
    for pod in node.pods().iter().filter(|pod| !pod.spec.volumes.is_empty()) {
        found.extend(pod.spec.volumes.iter().filter_map(of_inline).filter(|inline| inline.counts_on(csi_node)));
        for (volume, name) in pod.claims() {
            // A claim that is not there does not count: nobody knows whether it belongs to a pod that runs.
            let claim = volumes::claim(storage, pod, &name);
            let own =
                |claim: &&std::sync::Arc<_>| volume.ephemeral.is_none() || volumes::was_made_for(claim, pod).is_ok();
            found.extend(claim.filter(own).and_then(|claim| of_claim(claim, storage, csi_node)));
        }
    }
    let here = storage.attachments.iter().filter(|attachment| attachment.spec.node_name == **node.name());
    let volumes = here.filter_map(|attachment| storage.volumes.get("", &attachment.spec.source.persistent_volume_name));
    found.extend(volumes.filter_map(|volume| of_persistent(volume, csi_node)));
    found
}
