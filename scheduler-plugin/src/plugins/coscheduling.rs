//! Coscheduling: the pods of a `PodGroup` of `scheduling.x-k8s.io/v1alpha1` are bound all or none. Off by default.
//!
//! A pod says with the label `scheduling.x-k8s.io/pod-group` which group it belongs to. Those that get a node wait at
//! Permit until `minMember` have one; if one can't get one, or the time is up, all give theirs back. The plugin sorts the
//! queue as well, so that the pods of a group come one after the other.
//! Source: `sigs.k8s.io/scheduler-plugins/pkg/coscheduling`; KEP 42-podgroup-coscheduling there.

mod resources;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;
use steersman_framework::api::Resource;
use steersman_machinery::clock::SharedClock;
use tokio::time::Instant;

use super::gang::{self, GroupKey, Members, full_name};
use crate::cluster_event::{ClusterEvent, EventResource};
use crate::cycle_state::CycleState;
use crate::plugin::{
    Dependence, PermitPlugin, Plugin, PodObserver, PostFilterContext, PostFilterPlugin, PostFilterResult,
    PreFilterPlugin, PreFilterResult, QueueSortPlugin, ReservePlugin,
};
use crate::pod::Pod;
use crate::queue::QueuedPod;
use crate::registry::Handle;
use crate::snapshot::Snapshot;
use crate::status::Status;
use crate::watched::Watched;
use crate::wire::{Map, Metadata};

pub(super) const NAME: &str = "Coscheduling";
/// The label by which a pod says which group it belongs to.
pub const POD_GROUP_LABEL: &str = "scheduling.x-k8s.io/pod-group";
const POD_GROUPS: Resource = Resource::namespaced("scheduling.x-k8s.io", "v1alpha1", "PodGroup", "podgroups");
/// The full name of the resource, as events have it.
const EVENTS: EventResource = EventResource::Custom("podgroups.scheduling.x-k8s.io");
/// If at most this share of the pods has no place, the others keep theirs for a while.
const SMALL_GAP: f64 = 0.1;

/// `CoschedulingArgs`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CoschedulingArgs {
    /// How long pods wait for the others of their group, if the group does not say it.
    pub permit_waiting_time_seconds: i64,
    /// For how long a group that failed is not tried again.
    pub pod_group_backoff_seconds: i64,
}

impl Default for CoschedulingArgs {
    fn default() -> Self {
        Self { permit_waiting_time_seconds: 60, pod_group_backoff_seconds: 0 }
    }
}

/// What is read of a `PodGroup`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodGroup {
    metadata: Metadata,
    spec: PodGroupSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodGroupSpec {
    min_member: i64,
    min_resources: Option<BTreeMap<String, serde_json::Value>>,
    schedule_timeout_seconds: Option<i64>,
}

/// The plugin.
pub struct Coscheduling {
    wait: Duration,
    backoff: Duration,
    groups: Watched<PodGroup>,
    members: Members,
    clock: SharedClock,
    /// One moment on both clocks, to compare when pods and groups came.
    anchor: (Instant, Timestamp),
    /// Groups whose resources were found to be there lately, and groups that failed lately; until when that counts.
    permitted: Mutex<BTreeMap<GroupKey, Timestamp>>,
    backed_off: Mutex<BTreeMap<GroupKey, Timestamp>>,
}

impl Coscheduling {
    /// The plugin with these arguments.
    ///
    /// # Errors
    /// If a time is negative.
    pub fn new(args: CoschedulingArgs, handle: &Handle) -> Result<Self, String> {
        let seconds = |field: &str, value: i64| {
            let seconds = u64::try_from(value).map(Duration::from_secs);
            seconds.map_err(|_| format!("{field}: Invalid value: {value}: must be greater than or equal to 0"))
        };
        Ok(Self {
            wait: seconds("permitWaitingTimeSeconds", args.permit_waiting_time_seconds)?,
            backoff: seconds("podGroupBackoffSeconds", args.pod_group_backoff_seconds)?,
            groups: handle.watches.watch(&POD_GROUPS),
            members: Members::new(NAME, key, &handle.waiting_pods),
            clock: handle.clock.clone(),
            anchor: (Instant::now(), handle.clock.now()),
            permitted: Mutex::default(),
            backed_off: Mutex::default(),
        })
    }

    fn group(&self, key: &GroupKey) -> Option<std::sync::Arc<PodGroup>> {
        self.groups.get(&key.0, &key.1)
    }

    /// When a pod is to be thought of as having come: with its group.
    fn came(&self, queued: &QueuedPod) -> Timestamp {
        let group = key(&queued.pod).and_then(|key| self.group(&key));
        group.and_then(|group| group.metadata.creation_timestamp).unwrap_or_else(|| {
            let (instant, time) = self.anchor;
            let came = queued.initial_timestamp;
            // Either may be first: a pod may have come before the plugin was made.
            time + came.saturating_duration_since(instant) - instant.saturating_duration_since(came)
        })
    }

    fn is_noted(&self, notes: &Mutex<BTreeMap<GroupKey, Timestamp>>, key: &GroupKey) -> bool {
        let now = self.clock.now();
        let mut notes = notes.lock();
        notes.retain(|_, until| *until > now);
        notes.contains_key(key)
    }

    fn note(&self, notes: &Mutex<BTreeMap<GroupKey, Timestamp>>, key: &GroupKey, time: Duration) {
        notes.lock().insert(key.clone(), self.clock.now() + time);
    }

    fn check(&self, pod: &Pod, key: &GroupKey, snapshot: &Snapshot) -> Result<(), String> {
        let Some(group) = self.group(key) else { return Ok(()) };
        if self.is_noted(&self.backed_off, key) {
            return Err(format!("podGroup {} failed recently", full_name(key)));
        }
        let (count, least) = (self.members.count(key), least(&group));
        if count < least {
            return Err(format!(
                "pre-filter pod {} cannot find enough sibling pods, current pods number: {count}, minMember of group: \
                 {least}",
                pod.name
            ));
        }
        let Some(needed) = &group.spec.min_resources else { return Ok(()) };
        if self.is_noted(&self.permitted, key) {
            return Ok(());
        }
        let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut needed: Map = needed.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        needed.insert("pods".to_owned(), least.to_string());
        resources::check(snapshot, &needed, |other| self::key(other).as_ref() == Some(key))?;
        self.note(&self.permitted, key, self.wait);
        Ok(())
    }
}

/// The group that a pod says it belongs to.
fn key(pod: &Pod) -> Option<GroupKey> {
    let name = pod.spec.labels.get(POD_GROUP_LABEL).filter(|name| !name.is_empty())?;
    Some((pod.spec.namespace.clone(), name.clone()))
}

fn least(group: &PodGroup) -> usize {
    usize::try_from(group.spec.min_member).unwrap_or(0)
}

impl Plugin for Coscheduling {
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
    fn as_queue_sort(&self) -> Option<&dyn QueueSortPlugin> {
        Some(self)
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
    fn as_permit(&self) -> Option<&dyn PermitPlugin> {
        Some(self)
    }
    fn as_pod_observer(&self) -> Option<&dyn PodObserver> {
        Some(&self.members)
    }
}

impl QueueSortPlugin for Coscheduling {
    /// By priority; then by when the group, or the pod that has none, came; then by name, groups together.
    fn less(&self, a: &QueuedPod, b: &QueuedPod) -> bool {
        let order = |queued: &QueuedPod| {
            let pod = &queued.pod;
            let group = key(pod).map_or_else(|| pod.key(), |key| full_name(&key));
            (std::cmp::Reverse(pod.spec.priority), self.came(queued), group, pod.key())
        };
        order(a) < order(b)
    }
}

impl PreFilterPlugin for Coscheduling {
    fn pre_filter(&self, _: &mut CycleState, pod: &Pod, snapshot: &Snapshot) -> Result<PreFilterResult, Status> {
        let Some(key) = key(pod) else { return Ok(PreFilterResult::ALL_NODES) };
        // Preemption does not bring siblings.
        self.check(pod, &key, snapshot).map(|()| PreFilterResult::ALL_NODES).map_err(Status::unresolvable)
    }
}

impl PostFilterPlugin for Coscheduling {
    /// If one has no place the others most likely don't either: they give theirs back.
    fn post_filter(&self, _: &mut CycleState, pod: &Pod, _: &mut PostFilterContext<'_>) -> (PostFilterResult, Status) {
        let nothing = PostFilterResult::default();
        let Some((key, group)) = key(pod).and_then(|key| self.group(&key).map(|group| (key, group))) else {
            return (nothing, Status::unschedulable("can not find pod group"));
        };
        let (placed, least) = (self.members.placed(&key), least(&group));
        #[expect(clippy::cast_precision_loss, reason = "groups are small")]
        let small = || (least - placed) as f64 / least as f64 <= SMALL_GAP;
        if placed >= least || small() {
            return (nothing, Status::with_reasons(crate::status::Code::Unschedulable, Vec::new()));
        }
        self.members.reject(&key, "optimistic rejection in PostFilter");
        if !self.backoff.is_zero() && self.members.count(&key) >= least {
            self.note(&self.backed_off, &key, self.backoff);
        }
        self.permitted.lock().remove(&key);
        let why = format!(
            "PodGroup {} gets rejected due to Pod {} is unschedulable even after PostFilter",
            full_name(&key),
            pod.name
        );
        (nothing, Status::unschedulable(why))
    }
}

impl ReservePlugin for Coscheduling {
    fn reserve(&self, _: &mut CycleState, pod: &Pod, _: &str) -> Status {
        self.members.reserve(&pod.uid, true);
        Status::success()
    }

    /// One could not stay, by its time being up for example: the others go as well.
    fn unreserve(&self, _: &mut CycleState, pod: &Pod, _: &str) {
        self.members.reserve(&pod.uid, false);
        let Some(key) = key(pod) else { return };
        if self.group(&key).is_some() {
            self.members.reject(&key, "rejection in Unreserve");
            self.permitted.lock().remove(&key);
        }
    }
}

impl PermitPlugin for Coscheduling {
    fn permit(&self, state: &mut CycleState, pod: &Pod, _: &str) -> (Status, Duration) {
        let Some(key) = key(pod) else { return (Status::success(), Duration::ZERO) };
        let Some(group) = self.group(&key) else {
            return (Status::unschedulable("PodGroup not found"), Duration::ZERO);
        };
        // This one is among them: it was reserved for.
        let placed = self.members.placed(&key);
        if placed >= least(&group) {
            self.members.allow(&key);
            return (Status::success(), Duration::ZERO);
        }
        if placed <= 1 {
            state.activate(self.members.unplaced(&key));
        }
        let own = group.spec.schedule_timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        (Status::wait(), own.map_or(self.wait, Duration::from_secs))
    }
}

#[cfg(test)]
mod tests;
