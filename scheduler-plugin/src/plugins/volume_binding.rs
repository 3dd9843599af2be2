//! VolumeBinding: a pod runs where its claims' volumes can be had; claims that wait for their first pod are bound, or
//! given to a provisioner, before the pod is.
//! Source: `pkg/scheduler/framework/plugins/volumebinding`.

mod assumed;
mod bind;
mod find;
mod prepare;

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::Deserialize;
use steersman_framework::metrics::{Family, Metrics};

use crate::cluster_event::{ActionType, ClusterEvent, EventResource, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::plugin::{
    Binding, Candidates, Dependence, FilterPlugin, Plugin, PreBindPlugin, PreFilterPlugin, PreFilterResult,
    ReservePlugin,
};
use crate::plugins::volumes;
use crate::pod::Pod;
use crate::registry::Handle;
use crate::snapshot::{NodeRef, Snapshot};
use crate::status::Status;
use crate::wire::{CsiDriver, CsiNode, CsiStorageCapacity, StorageClass, Volume};
use assumed::Assumed;
use find::find;
use prepare::Prepared;

/// The name of the plugin.
pub const NAME: &str = "VolumeBinding";
const PRE_FILTER: &str = "PreFilterVolumeBinding";
/// The annotation of a `CSINode` that says which volumes of old are handled by CSI drivers.
const MIGRATED_PLUGINS: &str = "storage.alpha.kubernetes.io/migrated-plugins";
/// How long a pod waits for its volumes by default.
const BIND_TIMEOUT_SECONDS: i64 = 600;

/// `VolumeBindingArgs`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Args {
    /// How long a pod waits for its volumes once they were asked for.
    pub bind_timeout_seconds: Option<i64>,
    /// How to score the use of storage; only read to be accepted, since upstream does not score by default.
    pub shape: Option<serde_json::Value>,
}

/// Finds volumes for claims.
pub struct VolumeBinding {
    timeout: Duration,
    assumed: Mutex<Assumed>,
    metrics: Metrics,
}

static FAILURES: Family = Family::counter(
    "scheduler_volume_scheduling_stage_error_total",
    "Times that volumes could not be bound before their pod, by operation.",
);

impl VolumeBinding {
    /// Makes the plugin.
    ///
    /// # Errors
    /// If the time is negative.
    pub fn new(args: Args, handle: &Handle) -> Result<Self, String> {
        let seconds = args.bind_timeout_seconds.unwrap_or(BIND_TIMEOUT_SECONDS);
        let seconds = u64::try_from(seconds).map_err(|_| {
            let why = "invalid BindTimeoutSeconds, should not be a negative value";
            format!("bindTimeoutSeconds: Invalid value: {seconds}: {why}")
        })?;
        let metrics = handle.metrics.clone();
        Ok(Self { timeout: Duration::from_secs(seconds), assumed: Mutex::default(), metrics })
    }
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        NAME
    }

    fn dependence(&self, pod: &Pod) -> Dependence {
        if pod.spec.volumes.is_empty() { Dependence::Node } else { Dependence::Anew }
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        let changed = ActionType::ADD.or(ActionType::UPDATE);
        vec![
            ClusterEvent::of(EventResource::StorageClass, changed),
            ClusterEvent::of(EventResource::Claim, changed),
            ClusterEvent::of(EventResource::PersistentVolume, changed),
            ClusterEvent::node(ActionType::ADD.or(ActionType::UPDATE_NODE_LABEL)),
            ClusterEvent::of(EventResource::CsiNode, changed),
            ClusterEvent::of(EventResource::CsiDriver, ActionType::UPDATE),
            ClusterEvent::of(EventResource::CsiStorageCapacity, changed),
        ]
    }

    fn queueing_hint(&self, pod: &Pod, happening: &Happening) -> QueueingHint {
        let object = &happening.object;
        let helps = if let Some(helps) = volumes::claim_helps(pod, happening) {
            helps
        } else if let Some((Some(old), Some(new))) = object.change_of::<StorageClass>() {
            old.allowed_topologies != new.allowed_topologies
        } else if let Some((Some(old), Some(new))) = object.change_of::<CsiNode>() {
            let migrated = |node: &CsiNode| node.metadata.annotations.get(MIGRATED_PLUGINS).cloned();
            migrated(old) != migrated(new)
        } else if let Some((Some(old), Some(new))) = object.change_of::<CsiDriver>() {
            // As upstream, only pods that name the driver themselves: those with claims wait for something else.
            let named = |volume: &Volume| volume.csi.as_ref().is_some_and(|csi| csi.driver == new.metadata.name);
            old.spec.storage_capacity && !new.spec.storage_capacity && pod.spec.volumes.iter().any(named)
        } else if let Some((Some(old), Some(new))) = object.change_of::<CsiStorageCapacity>() {
            prepare::limit(new) > prepare::limit(old)
        } else {
            true
        };
        volumes::hint(helps)
    }

    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }

    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }

    fn as_reserve(&self) -> Option<&dyn ReservePlugin> {
        Some(self)
    }

    fn as_pre_bind(&self) -> Option<&dyn PreBindPlugin> {
        Some(self)
    }
}

impl PreFilterPlugin for VolumeBinding {
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot) -> Result<PreFilterResult, Status> {
        if pod.claims().next().is_none() {
            return Err(Status::skip());
        }
        let mut assumed = self.assumed.lock();
        assumed.forget_confirmed(snapshot.storage());
        state.write(PRE_FILTER, Prepared::new(pod, snapshot, &assumed)?);
        Ok(PreFilterResult::ALL_NODES)
    }
}

impl FilterPlugin for VolumeBinding {
    fn filter(&self, state: &CycleState, _: &Pod, node: NodeRef<'_>) -> Status {
        let Some(prepared) = state.read::<Prepared>(PRE_FILTER) else { return Status::success() };
        match find(prepared, node) {
            Ok(choice) => {
                prepared.choose(node.name(), choice);
                Status::success()
            }
            Err(status) => status,
        }
    }

    fn filter_nodes(&self, state: &CycleState, pod: &Pod, candidates: &mut Candidates<'_>) {
        let snapshot = candidates.snapshot();
        // Most volumes that are bound can be had everywhere.
        if state.read::<Prepared>(PRE_FILTER).is_some_and(|prepared| !prepared.is_everywhere()) {
            candidates.retain_success(|row| self.filter(state, pod, snapshot.node(row)));
        }
    }
}

impl ReservePlugin for VolumeBinding {
    fn reserve(&self, state: &mut CycleState, pod: &Pod, node_name: &str) -> Status {
        let choice = state.read::<Prepared>(PRE_FILTER).and_then(|prepared| prepared.chosen(node_name));
        if let Some(choice) = choice.filter(|choice| !choice.is_empty()) {
            self.assumed.lock().assume(&pod.uid, choice, node_name);
        }
        Status::success()
    }

    fn unreserve(&self, _: &mut CycleState, pod: &Pod, _: &str) {
        self.assumed.lock().forget(&pod.uid);
    }
}

impl PreBindPlugin for VolumeBinding {
    fn will_act(&self, binding: &Binding) -> bool {
        self.assumed.lock().choice(&binding.pod.uid).is_some()
    }

    fn pre_bind<'a>(&'a self, binding: &'a Binding) -> BoxFuture<'a, Status> {
        let Some(choice) = self.assumed.lock().choice(&binding.pod.uid) else {
            return futures::future::ready(Status::success()).boxed();
        };
        async move {
            match bind::bind(binding, &choice, self.timeout).await {
                Ok(()) => {
                    self.assumed.lock().settle(&binding.pod.uid);
                    Status::success()
                }
                Err(why) => {
                    self.metrics.counter(&FAILURES, &[("operation", "bind")]).increment();
                    Status::error(why)
                }
            }
        }
        .boxed()
    }
}
