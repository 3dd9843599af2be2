//! DynamicResources: a pod runs where the devices that it claims can be had; they are allocated before it is bound.
//! Source: `pkg/scheduler/framework/plugins/dynamicresources`, `k8s.io/dynamic-resource-allocation/structured`; KEP-4381.
//!
//! Not there yet: capacity that several requests share (a device that allows multiple allocations is given to one),
//! binding conditions, extended resources that are backed by devices, and taking an allocation back in PostFilter.

mod allocate;
mod bind;
mod pools;
mod prepare;
mod selectors;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::cluster_event::{ActionType, ClusterEvent, EventObject, EventResource, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::plugin::{
    Binding, Dependence, FilterPlugin, Normalization, Plugin, PostFilterContext, PostFilterPlugin, PostFilterResult,
    PreBindPlugin, PreEnqueuePlugin, PreFilterPlugin, PreFilterResult, ReservePlugin, ScorePlugin, Scored,
};
use crate::plugins::normalize;
use crate::pod::Pod;
use crate::registry::{Handle, KnownClaims};
use crate::snapshot::{NodeRef, Snapshot};
use crate::status::Status;
use allocate::Allocation;
use prepare::{InFlight, Prepared};
use selectors::Selectors;

/// The name of the plugin.
pub const NAME: &str = "DynamicResources";
const PRE_FILTER: &str = "PreFilterDynamicResources";

/// Allocates devices to claims.
pub struct DynamicResources {
    known: KnownClaims,
    selectors: Selectors,
    in_flight: Mutex<InFlight>,
}

/// What PreFilter found out; nothing for a pod without claims.
struct State(Option<Prepared>);

impl DynamicResources {
    /// Makes the plugin.
    pub fn new(handle: &Handle) -> Self {
        Self { known: handle.known_claims.clone(), selectors: Selectors::default(), in_flight: Mutex::default() }
    }
}

fn prepared(state: &CycleState) -> Option<&Prepared> {
    state.read::<State>(PRE_FILTER)?.0.as_ref()
}

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        NAME
    }

    fn dependence(&self, pod: &Pod) -> Dependence {
        if pod.spec.resource_claims.is_empty() { Dependence::Node } else { Dependence::Anything }
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        let changed = ActionType::ADD.or(ActionType::UPDATE);
        let node = ActionType::ADD.or(ActionType::UPDATE_NODE_LABEL).or(ActionType::UPDATE_NODE_ALLOCATABLE);
        vec![
            ClusterEvent::node(node),
            ClusterEvent::of(EventResource::ResourceClaim, changed.or(ActionType::DELETE)),
            ClusterEvent::pod(ActionType::UPDATE_OTHER),
            ClusterEvent::of(EventResource::DeviceClass, changed),
            ClusterEvent::of(EventResource::ResourceSlice, changed),
        ]
    }

    fn queueing_hint(&self, _: &Pod, happening: &Happening) -> QueueingHint {
        match &happening.object {
            // A pod on a node that changes gives no device back; its claim does when it is freed.
            EventObject::AssignedPod { .. } => QueueingHint::Skip,
            _ => QueueingHint::Queue,
        }
    }

    fn as_pre_enqueue(&self) -> Option<&dyn PreEnqueuePlugin> {
        Some(self)
    }

    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }

    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }

    fn as_post_filter(&self) -> Option<&dyn PostFilterPlugin> {
        Some(self)
    }

    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }

    fn as_reserve(&self) -> Option<&dyn ReservePlugin> {
        Some(self)
    }

    fn as_pre_bind(&self) -> Option<&dyn PreBindPlugin> {
        Some(self)
    }
}

impl PreEnqueuePlugin for DynamicResources {
    fn pre_enqueue(&self, pod: &Pod) -> Status {
        for claim in pod.resource_claims() {
            match claim {
                None => return Status::unresolvable("waiting for a resource claim to be made from its template"),
                Some(name) if !self.known.contains(&pod.spec.namespace, name) => {
                    return Status::unresolvable(format!("waiting for resource claim {name:?} to be created"));
                }
                Some(_) => {}
            }
        }
        Status::success()
    }
}

impl PreFilterPlugin for DynamicResources {
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot) -> Result<PreFilterResult, Status> {
        state.write(PRE_FILTER, State(None));
        if pod.spec.resource_claims.is_empty() {
            return Err(Status::skip());
        }
        let mut in_flight = self.in_flight.lock();
        in_flight.forget_confirmed(&snapshot.devices().claims);
        let prepared = Prepared::new(pod, snapshot, &in_flight)?;
        state.write(PRE_FILTER, State(Some(prepared)));
        Ok(PreFilterResult::ALL_NODES)
    }
}

impl FilterPlugin for DynamicResources {
    fn filter(&self, state: &CycleState, _: &Pod, node: NodeRef<'_>) -> Status {
        let Some(prepared) = prepared(state) else { return Status::success() };
        if !prepared.allocated_reach(node) {
            return Status::unresolvable("resourceclaim not available on the node");
        }
        match prepared.allocate(node, &self.selectors) {
            Ok(true) => Status::success(),
            Ok(false) => Status::unresolvable("cannot allocate all claims"),
            Err(why) => Status::error(why),
        }
    }
}

impl PostFilterPlugin for DynamicResources {
    fn post_filter(
        &self,
        state: &mut CycleState,
        _: &Pod,
        _: &mut PostFilterContext<'_>,
    ) -> (PostFilterResult, Status) {
        let status = match state.read::<State>(PRE_FILTER) {
            Some(State(Some(_))) => Status::unschedulable("still not schedulable"),
            Some(State(None)) => Status::unschedulable("no new claims to deallocate"),
            // Another plugin's PreFilter rejected the pod before this one saw it. The text is upstream's.
            None => Status::error("not found"),
        };
        (PostFilterResult::default(), status)
    }
}

impl ScorePlugin for DynamicResources {
    fn normalization(&self) -> Normalization {
        Normalization::ByMaximum { reverse: false }
    }

    fn score(&self, state: &CycleState, _: &Pod, node: NodeRef<'_>) -> Result<i64, Status> {
        let chosen = prepared(state).and_then(|prepared| prepared.chosen(node.name()));
        Ok(chosen.map_or(0, |allocations| allocations.iter().map(|allocation| allocation.score).sum()))
    }

    fn normalize_score(&self, _: &CycleState, _: &Pod, _: Scored<'_>, scores: &mut [i64]) -> Result<(), Status> {
        normalize(scores, false);
        Ok(())
    }
}

impl ReservePlugin for DynamicResources {
    fn reserve(&self, state: &mut CycleState, pod: &Pod, node_name: &str) -> Status {
        let Some(prepared) = prepared(state) else { return Status::success() };
        let allocations = prepared.chosen(node_name).unwrap_or_default();
        self.in_flight.lock().begin(&pod.uid, prepared.claims(), allocations);
        Status::success()
    }

    fn unreserve(&self, _: &mut CycleState, pod: &Pod, _: &str) {
        self.in_flight.lock().give_up(&pod.uid);
    }
}

impl PreBindPlugin for DynamicResources {
    fn pre_bind<'a>(&'a self, binding: &'a Binding) -> BoxFuture<'a, Status> {
        let work = self.in_flight.lock().work(&binding.pod.uid);
        async move {
            let Some(work) = work else { return Status::success() };
            match bind::bind(binding, &work).await {
                Ok(()) => {
                    self.in_flight.lock().settle(&binding.pod.uid);
                    Status::success()
                }
                Err(why) => Status::error(why),
            }
        }
        .boxed()
    }
}

/// What was chosen for claims, by claim.
type Allocations = Vec<Arc<Allocation>>;
/// What was chosen on each node.
type Choices = Mutex<BTreeMap<Arc<str>, Allocations>>;
