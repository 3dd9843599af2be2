//! NodeUnschedulable: cordoned nodes get no new pods, except those that tolerate it.

use crate::cluster_event::{ActionType, ClusterEvent, EventObject, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::plugin::{Candidates, Dependence, FilterPlugin, LooksAt, Plugin};
use crate::plugins::taint_toleration::tolerates;
use crate::pod::Pod;
use crate::snapshot::NodeRef;
use crate::status::Status;
use crate::wire::Taint;

/// Heeds `spec.unschedulable`.
#[derive(Clone, Copy, Debug)]
pub struct NodeUnschedulable;

impl NodeUnschedulable {
    fn tolerated(pod: &Pod) -> bool {
        let taint = Taint {
            key: "node.kubernetes.io/unschedulable".to_owned(),
            value: String::new(),
            effect: "NoSchedule".to_owned(),
        };
        pod.spec.tolerations.iter().any(|toleration| tolerates(toleration, &taint))
    }
}

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn dependence(&self, _: &Pod) -> Dependence {
        Dependence::Node
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::node(ActionType::ADD.or(ActionType::UPDATE_NODE_TAINT)),
            ClusterEvent::pod(ActionType::UPDATE_POD_TOLERATION),
        ]
    }

    fn queueing_hint(&self, _: &Pod, happening: &Happening) -> QueueingHint {
        match &happening.object {
            EventObject::Node { new, .. } if new.spec.unschedulable => QueueingHint::Skip,
            EventObject::Pod(own) if !Self::tolerated(own) => QueueingHint::Skip,
            EventObject::AssignedPod { .. } => QueueingHint::Skip,
            _ => QueueingHint::Queue,
        }
    }

    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }
}

impl FilterPlugin for NodeUnschedulable {
    fn looks_at(&self) -> LooksAt {
        LooksAt::Node
    }

    fn filter(&self, _: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Status {
        if node.is_unschedulable() && !Self::tolerated(pod) {
            Status::unresolvable("node(s) were unschedulable")
        } else {
            Status::success()
        }
    }

    fn filter_nodes(&self, _: &CycleState, pod: &Pod, candidates: &mut Candidates<'_>) {
        let cordoned = candidates.snapshot().unschedulable_column();
        let concerned = candidates.rows().iter().any(|&row| cordoned[row as usize]);
        if concerned && !Self::tolerated(pod) {
            candidates.retain(|row| !cordoned[row as usize]);
        }
    }
}
