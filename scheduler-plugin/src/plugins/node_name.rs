//! NodeName: a pod that names its node runs nowhere else.

use crate::cluster_event::{ActionType, ClusterEvent};
use crate::cycle_state::CycleState;
use crate::plugin::{Candidates, Dependence, FilterPlugin, LooksAt, Plugin};
use crate::pod::Pod;
use crate::snapshot::NodeRef;
use crate::status::Status;

/// Compares `spec.nodeName`.
#[derive(Clone, Copy, Debug)]
pub struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn dependence(&self, _: &Pod) -> Dependence {
        Dependence::Node
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::node(ActionType::ADD)]
    }

    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }
}

impl FilterPlugin for NodeName {
    fn looks_at(&self) -> LooksAt {
        LooksAt::Node
    }

    fn filter(&self, _: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Status {
        match &pod.node_name {
            Some(name) if name != node.name() => Status::unresolvable("node(s) didn't match the requested node name"),
            _ => Status::success(),
        }
    }

    fn filter_nodes(&self, _: &CycleState, pod: &Pod, candidates: &mut Candidates<'_>) {
        if let Some(name) = &pod.node_name {
            let row = candidates.snapshot().node_by_name(name).map(|node| node.row());
            candidates.retain(|other| Some(other) == row);
        }
    }
}
