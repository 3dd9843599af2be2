//! GangScheduling: the gang policy of the Workload API, `PodGroup` of `scheduling.k8s.io/v1alpha2`. Off by default, as the
//! gates GenericWorkload and GangScheduling are.
//!
//! A pod says in `spec.schedulingGroup.podGroupName` which group it belongs to. If that has a gang policy, its pods are
//! not tried before there are `minCount` of them, and not bound before so many have a node. If so many can't have one, all give
//! theirs back. How it went is said in the group's condition `PodGroupScheduled`.
//! Source: `pkg/scheduler/framework/plugins/gangscheduling`; KEP-4671.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use steersman_framework::api::Resource;
use steersman_machinery::clock::{SharedClock, format_time};

use super::gang::{self, GroupKey, Members};
use crate::cluster_event::{ClusterEvent, EventResource};
use crate::cycle_state::CycleState;
use crate::plugin::{
    Dependence, PermitPlugin, Plugin, PodObserver, PostFilterContext, PostFilterPlugin, PostFilterResult,
    PreEnqueuePlugin, ReservePlugin,
};
use crate::pod::Pod;
use crate::registry::{Handle, Outbox};
use crate::status::{Code, Status};
use crate::watched::Watched;
use crate::wire::{Metadata, PodCondition};
use crate::writer::group_condition;

pub(crate) const NAME: &str = "GangScheduling";
const POD_GROUPS: Resource = Resource::namespaced("scheduling.k8s.io", "v1alpha2", "PodGroup", "podgroups");
const EVENTS: EventResource = EventResource::Custom("podgroups.scheduling.k8s.io");
/// How long pods wait for the others.
const WAIT: Duration = Duration::from_secs(5 * 60);
/// The condition of a group that says whether enough of its pods have a node.
const SCHEDULED: &str = "PodGroupScheduled";
/// What is said of a group of which too many have none.
const UNSCHEDULABLE: &str = "pod group is unschedulable";

/// What is read of a `PodGroup`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodGroup {
    metadata: Metadata,
    spec: PodGroupSpec,
    status: PodGroupStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodGroupStatus {
    conditions: Vec<PodCondition>,
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
    clock: SharedClock,
    outbox: Outbox,
    /// What was said of groups last, until the API shows it.
    told: Mutex<BTreeMap<GroupKey, Told>>,
}

/// Of which object, and of which generation of it, that it is scheduled or not.
type Told = (String, i64, bool);

impl GangScheduling {
    /// The plugin.
    pub fn new(handle: &Handle) -> Self {
        Self {
            groups: handle.watches.watch(&POD_GROUPS),
            members: Members::new(NAME, key, &handle.waiting_pods),
            clock: handle.clock.clone(),
            outbox: handle.outbox.clone(),
            told: Mutex::default(),
        }
    }

    fn group(&self, key: &GroupKey) -> Option<Arc<PodGroup>> {
        self.groups.get(&key.0, &key.1)
    }

    /// Says on a group whether enough of its pods have a node. Once they had it stays at that, as more pods may come.
    fn tell(&self, key: &GroupKey, group: &PodGroup, scheduled: bool) {
        let old = group.status.conditions.iter().find(|condition| condition.condition_type == SCHEDULED);
        let stays = |true_now: bool| true_now && !scheduled;
        let generation = group.metadata.generation;
        let mut told = self.told.lock();
        let last = told.get(key).filter(|(uid, _, _)| *uid == group.metadata.uid);
        let now_told = (group.metadata.uid.clone(), generation, scheduled);
        if old.is_some_and(|old| stays(old.status == "True"))
            || last.is_some_and(|last| stays(last.2) || *last == now_told)
        {
            return;
        }
        let (status, reason, message) =
            if scheduled { ("True", "Scheduled", "") } else { ("False", "Unschedulable", UNSCHEDULABLE) };
        let same = |old: &&PodCondition| old.status == status;
        if old.filter(same).is_some_and(|old| old.message == message && old.observed_generation == generation) {
            return;
        }
        told.retain(|key, _| self.groups.get(&key.0, &key.1).is_some());
        told.insert(key.clone(), now_told);
        let since = old.filter(same).and_then(|old| old.last_transition_time).unwrap_or_else(|| self.clock.now());
        let condition = json!({"type": SCHEDULED, "status": status, "reason": reason, "message": message,
            "observedGeneration": generation, "lastTransitionTime": format_time(since)});
        if let Some(write) = group_condition((&key.0, &key.1, &group.metadata.uid), &condition) {
            self.outbox.put(write);
        }
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
    fn as_post_filter(&self) -> Option<&dyn PostFilterPlugin> {
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

impl PostFilterPlugin for GangScheduling {
    /// If too few can still get a node, those that wait give theirs back: two gangs must not hold each other up.
    fn post_filter(&self, _: &mut CycleState, pod: &Pod, _: &mut PostFilterContext<'_>) -> (PostFilterResult, Status) {
        if let Some(key) = key(pod)
            && let Some(group) = self.group(&key)
        {
            self.members.fail(&pod.uid);
            let least = group.spec.scheduling_policy.gang.as_ref().map_or(1, |gang| gang.min_count);
            if self.members.hopeful(&key) < least {
                self.members.reject(&key, UNSCHEDULABLE);
                self.tell(&key, &group, false);
            }
        }
        (PostFilterResult::default(), Status::with_reasons(Code::Unschedulable, Vec::new()))
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
        let Some(key) = key(pod) else { return };
        let Some(group) = self.group(&key) else { return };
        let gang = group.spec.scheduling_policy.gang.as_ref();
        if gang.is_some_and(|gang| self.members.placed(&key) < gang.min_count) {
            self.members.reject(&key, "another pod from the gang lost its place");
            self.tell(&key, &group, false);
        }
    }
}

impl PermitPlugin for GangScheduling {
    fn permit(&self, state: &mut CycleState, pod: &Pod, _: &str) -> (Status, Duration) {
        let Some(key) = key(pod) else { return (Status::success(), Duration::ZERO) };
        let Some(group) = self.group(&key) else {
            return (Status::error(format!("failed to get podGroup {}/{}", key.0, key.1)), Duration::ZERO);
        };
        let Some(gang) = &group.spec.scheduling_policy.gang else {
            self.tell(&key, &group, true);
            return (Status::success(), Duration::ZERO);
        };
        if self.members.placed(&key) < gang.min_count {
            state.activate(self.members.unplaced(&key));
            return (Status::wait(), WAIT);
        }
        self.members.allow(&key);
        self.tell(&key, &group, true);
        (Status::success(), Duration::ZERO)
    }
}
