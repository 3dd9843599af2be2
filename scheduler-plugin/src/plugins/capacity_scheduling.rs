//! CapacityScheduling: namespaces share a cluster by `ElasticQuota` of `scheduling.x-k8s.io/v1alpha1`. Off by default.
//!
//! A quota guarantees a namespace `min` and limits it to `max`. What others do not use of their `min` may be borrowed: what
//! all quotas use together stays within the sum of all `min`. Who needs what is guaranteed to him gets it back: pods of
//! namespaces that use more than their `min` have to go. It takes the place of DefaultPreemption in the profile. A resource
//! that `max` does not mention is not limited, and one that no `min` mentions is not shared; upstream takes 0 for both.
//! Source: `sigs.k8s.io/scheduler-plugins/pkg/capacityscheduling`; KEP 9-capacity-scheduling there.

mod preempt;
mod quotas;

use parking_lot::Mutex;
use serde::Deserialize;
use steersman_framework::api::Resource;

use crate::cluster_event::{ActionType, ClusterEvent, EventResource};
use crate::cycle_state::CycleState;
use crate::plugin::{
    Plugin, PodObserver, PostFilterContext, PostFilterPlugin, PostFilterResult, PreFilterPlugin, PreFilterResult,
    ReservePlugin,
};
use crate::pod::Pod;
use crate::registry::Handle;
use crate::snapshot::{NodeRef, Snapshot};
use crate::status::Status;
use crate::watched::Watched;
use crate::wire::Metadata;
use quotas::{Amounts, List, Quotas, Usage};

pub(super) const NAME: &str = "CapacityScheduling";
const ELASTIC_QUOTAS: Resource =
    Resource::namespaced("scheduling.x-k8s.io", "v1alpha1", "ElasticQuota", "elasticquotas");
const EVENTS: EventResource = EventResource::Custom("elasticquotas.scheduling.x-k8s.io");
const KEY: &str = "PreFilterCapacityScheduling";

/// What is read of an `ElasticQuota`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ElasticQuota {
    metadata: Metadata,
    spec: ElasticQuotaSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ElasticQuotaSpec {
    min: Option<List>,
    max: Option<List>,
}

/// What was found out about a pod.
struct Notes {
    /// The quotas and what is used of them; changes with questions of the kind "what if".
    quotas: Quotas,
    /// What the pod asks for.
    own: Amounts,
    /// The same, and what pods of the namespace ask for that are as important and for which nodes are held.
    with_nominated_here: Amounts,
    /// The same, and what pods of other namespaces ask for that have a right to it.
    with_nominated: Amounts,
}

/// The plugin.
pub struct CapacityScheduling {
    quotas: Watched<ElasticQuota>,
    usage: Mutex<Usage>,
}

impl CapacityScheduling {
    /// The plugin.
    pub fn new(handle: &Handle) -> Self {
        Self { quotas: handle.watches.watch(&ELASTIC_QUOTAS), usage: Mutex::default() }
    }

    fn notes(&self, pod: &Pod, snapshot: &Snapshot) -> Notes {
        let usage = self.usage.lock();
        let mut quotas = Quotas::default();
        for quota in self.quotas.all() {
            let (namespace, spec) = (&quota.metadata.namespace, &quota.spec);
            quotas.add(namespace, (spec.min.as_ref(), spec.max.as_ref()), usage.of(namespace));
        }
        let own = Amounts::of(pod);
        let mut notes = Notes { with_nominated_here: own.clone(), with_nominated: own.clone(), own, quotas };
        if !snapshot.has_nominated() {
            return notes;
        }
        let rows = snapshot.order().iter().flat_map(|&row| snapshot.nominated(row));
        for other in rows.filter(|other| other.uid != pod.uid) {
            let Some(quota) = notes.quotas.get(&other.spec.namespace) else { continue };
            let same = other.spec.namespace == pod.spec.namespace;
            if same && other.spec.priority >= pod.spec.priority {
                notes.with_nominated_here.add(&Amounts::of(other), 1);
                notes.with_nominated.add(&Amounts::of(other), 1);
            } else if !same && !quota.is_over_min(&Amounts::default()) {
                notes.with_nominated.add(&Amounts::of(other), 1);
            }
        }
        notes
    }
}

impl Plugin for CapacityScheduling {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::pod(ActionType::DELETE), ClusterEvent::of(EVENTS, ActionType::ALL)]
    }
    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }
    fn as_post_filter(&self) -> Option<&dyn PostFilterPlugin> {
        Some(self)
    }
    fn as_reserve(&self) -> Option<&dyn ReservePlugin> {
        Some(self)
    }
    fn as_pod_observer(&self) -> Option<&dyn PodObserver> {
        Some(self)
    }
}

impl PodObserver for CapacityScheduling {
    fn pod_set(&self, pod: &Pod) {
        if pod.node_name.is_some() {
            self.usage.lock().set(pod, true);
        }
    }

    fn pod_removed(&self, uid: &str) {
        self.usage.lock().remove(uid);
    }
}

impl PreFilterPlugin for CapacityScheduling {
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot) -> Result<PreFilterResult, Status> {
        let notes = self.notes(pod, snapshot);
        let mut refused = None;
        if let Some(quota) = notes.quotas.get(&pod.spec.namespace) {
            if quota.is_over_max(&notes.with_nominated_here) {
                let (pod, namespace) = (pod.key(), &pod.spec.namespace);
                let why =
                    format!("Pod {pod} is rejected in PreFilter because ElasticQuota {namespace} is more than Max");
                refused = Some(why);
            } else if notes.quotas.are_over_min(&notes.with_nominated) {
                let pod = pod.key();
                let why =
                    format!("Pod {pod} is rejected in PreFilter because total ElasticQuota used is more than min");
                refused = Some(why);
            }
        }
        // Kept in any case: preemption begins with it.
        state.write(KEY, notes);
        refused.map_or(Ok(PreFilterResult::ALL_NODES), |why| Err(Status::unschedulable(why)))
    }

    fn add_pod(&self, state: &mut CycleState, _: &Pod, added: &Pod, _: NodeRef<'_>) {
        if let Some(notes) = state.read_mut::<Notes>(KEY) {
            notes.quotas.count(added, 1);
        }
    }

    fn remove_pod(&self, state: &mut CycleState, _: &Pod, removed: &Pod, _: NodeRef<'_>) {
        if let Some(notes) = state.read_mut::<Notes>(KEY) {
            notes.quotas.count(removed, -1);
        }
    }
}

impl PostFilterPlugin for CapacityScheduling {
    fn post_filter(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        context: &mut PostFilterContext<'_>,
    ) -> (PostFilterResult, Status) {
        preempt::preempt(state, pod, context)
    }
}

impl ReservePlugin for CapacityScheduling {
    fn reserve(&self, _: &mut CycleState, pod: &Pod, _: &str) -> Status {
        self.usage.lock().set(pod, false);
        Status::success()
    }

    fn unreserve(&self, _: &mut CycleState, pod: &Pod, _: &str) {
        self.usage.lock().release(&pod.uid);
    }
}

#[cfg(test)]
mod tests;
