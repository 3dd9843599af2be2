//! NodeDeclaredFeatures: a pod that needs a feature of the kubelet runs where a node declares it. Source: KEP-5328.

use crate::cluster_event::{ActionType, ClusterEvent, EventObject, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::plugin::{Dependence, FilterPlugin, LooksAt, Plugin, PreFilterPlugin, PreFilterResult};
use crate::pod::Pod;
use crate::snapshot::{NodeRef, Snapshot};
use crate::status::Status;

/// Compares what pods need with what nodes say of themselves.
#[derive(Clone, Copy, Debug)]
pub struct NodeDeclaredFeatures;

impl Plugin for NodeDeclaredFeatures {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatures"
    }

    fn dependence(&self, _: &Pod) -> Dependence {
        Dependence::Node
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::node(ActionType::ADD.or(ActionType::UPDATE_NODE_DECLARED_FEATURE)),
            // What a pod needs is none of the ways in which pods are known to change.
            ClusterEvent::pod(ActionType::UPDATE_OTHER),
        ]
    }

    fn queueing_hint(&self, _: &Pod, happening: &Happening) -> QueueingHint {
        let helps = match &happening.object {
            EventObject::Node { old: Some(old), new } => old.status.declared_features != new.status.declared_features,
            EventObject::Node { .. } | EventObject::Pod(_) => true,
            _ => false,
        };
        if helps { QueueingHint::Queue } else { QueueingHint::Skip }
    }

    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }

    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }
}

impl PreFilterPlugin for NodeDeclaredFeatures {
    fn pre_filter(&self, _: &mut CycleState, pod: &Pod, _: &Snapshot) -> Result<PreFilterResult, Status> {
        if pod.spec.required_features.is_empty() { Err(Status::skip()) } else { Ok(PreFilterResult::ALL_NODES) }
    }
}

impl FilterPlugin for NodeDeclaredFeatures {
    fn looks_at(&self) -> LooksAt {
        LooksAt::Node
    }

    fn filter(&self, _: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Status {
        let declared = node.declared_features();
        if pod.spec.required_features.iter().all(|feature| declared.iter().any(|it| it == feature)) {
            Status::success()
        } else {
            Status::unresolvable("node(s) didn't match Pod's required features")
        }
    }
}
