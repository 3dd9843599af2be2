//! NodePorts: a port of a node can be had once.

use crate::cluster_event::{ActionType, ClusterEvent, EventObject, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::plugin::{Dependence, FilterPlugin, Plugin, PreFilterPlugin, PreFilterResult};
use crate::pod::Pod;
use crate::snapshot::{NodeRef, Snapshot};
use crate::status::Status;

/// Compares host ports with those that are taken.
#[derive(Clone, Copy, Debug)]
pub struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn dependence(&self, _: &Pod) -> Dependence {
        Dependence::Node
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::pod(ActionType::DELETE), ClusterEvent::node(ActionType::ADD)]
    }

    fn queueing_hint(&self, pod: &Pod, happening: &Happening) -> QueueingHint {
        let EventObject::AssignedPod { old: Some(old), .. } = &happening.object else {
            return QueueingHint::Queue;
        };
        let wanted = |port| pod.spec.host_ports.iter().any(|wanted| wanted.conflicts_with(port));
        if old.spec.host_ports.iter().any(wanted) { QueueingHint::Queue } else { QueueingHint::Skip }
    }

    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }

    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }
}

impl PreFilterPlugin for NodePorts {
    fn pre_filter(&self, _: &mut CycleState, pod: &Pod, _: &Snapshot) -> Result<PreFilterResult, Status> {
        if pod.spec.host_ports.is_empty() { Err(Status::skip()) } else { Ok(PreFilterResult::ALL_NODES) }
    }
}

impl FilterPlugin for NodePorts {
    fn filter(&self, _: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Status {
        let taken = |wanted| node.used_ports().iter().any(|used| used.conflicts_with(wanted));
        if pod.spec.host_ports.iter().any(taken) {
            Status::unschedulable("node(s) didn't have free ports for the requested pod ports")
        } else {
            Status::success()
        }
    }
}
