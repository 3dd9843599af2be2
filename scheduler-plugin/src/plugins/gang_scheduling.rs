//! GangScheduling: the gang policy of the Workload API, `PodGroup` of `scheduling.k8s.io/v1alpha2`. Off by default, as the
//! gates GenericWorkload and GangScheduling are.
//!
//! A pod says in `spec.schedulingGroup.podGroupName` which group it belongs to. If that has a gang policy, its pods are
//! not tried before there are `minCount` of them, and not bound before so many have a node.
//! Source: `pkg/scheduler/framework/plugins/gangscheduling`; KEP-4671.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use steersman_framework::api::Resource;

use super::gang::{self, GroupKey, Members};
use crate::cluster_event::{ClusterEvent, EventResource};
use crate::cycle_state::CycleState;
use crate::plugin::{Dependence, PermitPlugin, Plugin, PodObserver, PreEnqueuePlugin, ReservePlugin};
use crate::pod::Pod;
use crate::registry::Handle;
use crate::status::Status;
use crate::watched::Watched;

pub(crate) const NAME: &str = "GangScheduling";
const POD_GROUPS: Resource = Resource::namespaced("scheduling.k8s.io", "v1alpha2", "PodGroup", "podgroups");
const EVENTS: EventResource = EventResource::Custom("podgroups.scheduling.k8s.io");
/// How long pods wait for the others.
const WAIT: Duration = Duration::from_secs(5 * 60);

/// What is read of a `PodGroup`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodGroup {
    spec: PodGroupSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodGroupSpec {
    scheduling_policy: Policy,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Policy {
    gang: Option<Gang>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Gang {
    min_count: usize,
}

/// The plugin.
pub struct GangScheduling {
    groups: Watched<PodGroup>,
    members: Members,
}

impl GangScheduling {
    /// The plugin.
    pub fn new(handle: &Handle) -> Self {
        Self { groups: handle.watches.watch(&POD_GROUPS), members: Members::new(NAME, key, &handle.waiting_pods) }
    }

    fn group(&self, key: &GroupKey) -> Option<Arc<PodGroup>> {
        self.groups.get(&key.0, &key.1)
    }
}

fn key(pod: &Pod) -> Option<GroupKey> {
    let name = pod.spec.scheduling_group.as_ref()?;
    Some((pod.spec.namespace.clone(), name.clone()))
}

impl Plugin for GangScheduling {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events_to_register(&self) -> Vec<ClusterEvent> {
        gang::events(EVENTS)
    }
    fn dependence(&self, pod: &Pod) -> Dependence {
        self.members.dependence(pod)
    }
    fn keeps_backoff(&self, pod: &Pod) -> bool {
        key(pod).is_some()
    }
    fn as_pre_enqueue(&self) -> Option<&dyn PreEnqueuePlugin> {
        Some(self)
    }
    fn as_reserve(&self) -> Option<&dyn ReservePlugin> {
        Some(self)
    }
    fn as_permit(&self) -> Option<&dyn PermitPlugin> {
        Some(self)
    }
    fn as_pod_observer(&self) -> Option<&dyn PodObserver> {
        Some(&self.members)
    }
}

impl PreEnqueuePlugin for GangScheduling {
    fn pre_enqueue(&self, pod: &Pod) -> Status {
        let Some(key) = key(pod) else { return Status::success() };
        let Some(group) = self.group(&key) else {
            let why = format!("waiting for pods's pod group {:?} to appear in scheduling queue", key.1);
            return Status::unresolvable(why);
        };
        match &group.spec.scheduling_policy.gang {
            Some(gang) if self.members.count(&key) < gang.min_count => {
                Status::unresolvable("waiting for minCount pods from a gang to appear in scheduling queue")
            }
            _ => Status::success(),
        }
    }
}

impl ReservePlugin for GangScheduling {
    fn reserve(&self, _: &mut CycleState, pod: &Pod, _: &str) -> Status {
        self.members.reserve(&pod.uid, true);
        Status::success()
    }

    /// A gang that has lost one is no longer complete: those that wait give their places back.
    fn unreserve(&self, _: &mut CycleState, pod: &Pod, _: &str) {
        self.members.reserve(&pod.uid, false);
        if let Some(key) = key(pod) {
            self.members.reject(&key, "another pod from the gang lost its place");
        }
    }
}

impl PermitPlugin for GangScheduling {
    fn permit(&self, state: &mut CycleState, pod: &Pod, _: &str) -> (Status, Duration) {
        let Some(key) = key(pod) else { return (Status::success(), Duration::ZERO) };
        let Some(group) = self.group(&key) else {
            return (Status::error(format!("failed to get podGroup {}/{}", key.0, key.1)), Duration::ZERO);
        };
        let Some(gang) = &group.spec.scheduling_policy.gang else { return (Status::success(), Duration::ZERO) };
        if self.members.placed(&key) < gang.min_count {
            state.activate(self.members.unplaced(&key));
            return (Status::wait(), WAIT);
        }
        self.members.allow(&key);
        (Status::success(), Duration::ZERO)
    }
}
