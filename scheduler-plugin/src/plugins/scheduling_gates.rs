//! SchedulingGates: a pod with gates is not scheduled before the last one is removed. Source: KEP-3521.

use crate::cluster_event::{ActionType, ClusterEvent};
use crate::plugin::{Plugin, PreEnqueuePlugin};
use crate::pod::Pod;
use crate::status::Status;

/// Holds pods with `spec.schedulingGates` back.
#[derive(Clone, Copy, Debug)]
pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::pod(ActionType::UPDATE_POD_SCHEDULING_GATES_ELIMINATED)]
    }

    fn as_pre_enqueue(&self) -> Option<&dyn PreEnqueuePlugin> {
        Some(self)
    }
}

impl PreEnqueuePlugin for SchedulingGates {
    fn pre_enqueue(&self, pod: &Pod) -> Status {
        if pod.spec.scheduling_gates.is_empty() {
            return Status::success();
        }
        let gates = pod.spec.scheduling_gates.join(" ");
        Status::unresolvable(format!("waiting for scheduling gates: [{gates}]"))
    }
}
