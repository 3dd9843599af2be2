//! DynamicResources, for pods that claim no devices: upstream's answers about them. Claims themselves are not allocated
//! yet; a pod that has some is refused with a reason that says so.

use crate::cluster_event::ClusterEvent;
use crate::cycle_state::CycleState;
use crate::plugin::{
    Plugin, PostFilterContext, PostFilterPlugin, PostFilterResult, PreFilterPlugin, PreFilterResult, ScorePlugin,
};
use crate::pod::Pod;
use crate::snapshot::{NodeRef, Snapshot};
use crate::status::Status;

const PRE_FILTER: &str = "PreFilterDynamicResources";

/// Speaks for pods without claims.
#[derive(Clone, Copy, Debug)]
pub struct DynamicResources;

/// That this plugin has looked at the pod.
struct Seen;

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        Vec::new()
    }

    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }

    fn as_post_filter(&self) -> Option<&dyn PostFilterPlugin> {
        Some(self)
    }

    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
}

impl PreFilterPlugin for DynamicResources {
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, _: &Snapshot) -> Result<PreFilterResult, Status> {
        state.write(PRE_FILTER, Seen);
        if pod.spec.claims_devices {
            return Err(Status::unresolvable("this scheduler does not allocate resource claims"));
        }
        Err(Status::skip())
    }
}

impl PostFilterPlugin for DynamicResources {
    fn post_filter(
        &self,
        state: &mut CycleState,
        _: &Pod,
        _: &mut PostFilterContext<'_>,
    ) -> (PostFilterResult, Status) {
        let status = match state.read::<Seen>(PRE_FILTER) {
            Some(Seen) => Status::unschedulable("no new claims to deallocate"),
            // Another plugin's PreFilter rejected the pod before this one saw it. The text is upstream's.
            None => Status::error("not found"),
        };
        (PostFilterResult::default(), status)
    }
}

impl ScorePlugin for DynamicResources {
    fn score(&self, _: &CycleState, _: &Pod, _: NodeRef<'_>) -> Result<i64, Status> {
        // Without claims no node has better devices than another.
        Ok(0)
    }
}
