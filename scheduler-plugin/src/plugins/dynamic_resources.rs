//! DynamicResources: a pod runs where the devices that it claims can be had; they are allocated before it is bound.
//! Source: `pkg/scheduler/framework/plugins/dynamicresources`, `k8s.io/dynamic-resource-allocation/structured`; KEP-4381.

mod allocate;
mod bind;
mod capacity;
mod conditions;
mod counted;
mod extended;
mod in_flight;
mod pools;
mod prepare;
mod result;
mod selectors;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde::Deserialize;
use steersman_framework::metrics::Metrics;
use steersman_machinery::clock::SharedClock;
use steersman_machinery::random::Random;

use crate::cluster_event::{ActionType, ClusterEvent, EventObject, EventResource, Happening, QueueingHint};
use crate::configuration::duration;
use crate::cycle_state::CycleState;
use crate::plugin::{
    Binding, Dependence, FilterPlugin, Normalization, Plugin, PostFilterContext, PostFilterPlugin, PostFilterResult,
    PreBindPlugin, PreEnqueuePlugin, PreFilterPlugin, PreFilterResult, ReservePlugin, ScorePlugin, Scored,
};
use crate::plugins::normalize;
use crate::pod::Pod;
use crate::registry::{DeviceResources, Handle, KnownClaims, Outbox};
use crate::snapshot::{NodeRef, Snapshot};
use crate::status::Status;
use crate::wire::ResourceClaim;
use allocate::Failure;
use bind::Site;
pub(crate) use extended::is_left_to_devices;
use in_flight::InFlight;
use prepare::{Prepared, Tools};
use selectors::Selectors;

/// The name of the plugin.
pub const NAME: &str = "DynamicResources";
const PRE_FILTER: &str = "PreFilterDynamicResources";
/// How long a search for devices on one node may take by default.
const FILTER_TIMEOUT: SignedDuration = SignedDuration::from_secs(10);
/// How long devices may take to get ready by default.
const BINDING_TIMEOUT: SignedDuration = SignedDuration::from_secs(600);

/// `DynamicResourcesArgs`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Args {
    /// How long a search for devices on one node may take; `0s` for ever.
    pub filter_timeout: Option<String>,
    /// How long devices may take to get ready.
    pub binding_timeout: Option<String>,
}

/// Allocates devices to claims.
pub struct DynamicResources {
    known: KnownClaims,
    resources: DeviceResources,
    outbox: Outbox,
    clock: SharedClock,
    random: Random,
    metrics: Metrics,
    filter_timeout: SignedDuration,
    binding_timeout: SignedDuration,
    selectors: Selectors,
    in_flight: Mutex<InFlight>,
}

/// What PreFilter found out; nothing for a pod without claims.
struct State(Option<Prepared>);

impl DynamicResources {
    /// Makes the plugin.
    ///
    /// # Errors
    /// If an argument makes no sense.
    pub fn new(args: &Args, handle: &Handle) -> Result<Self, String> {
        let filter_timeout = timeout("filterTimeout", args.filter_timeout.as_deref(), FILTER_TIMEOUT)?;
        let binding_timeout = timeout("bindingTimeout", args.binding_timeout.as_deref(), BINDING_TIMEOUT)?;
        if binding_timeout < SignedDuration::from_secs(1) {
            let given = args.binding_timeout.as_deref().unwrap_or_default();
            return Err(format!("bindingTimeout: Invalid value: {given:?}: must be at least 1 second"));
        }
        Ok(Self {
            known: handle.known_claims.clone(),
            resources: handle.device_resources.clone(),
            outbox: handle.outbox.clone(),
            clock: handle.clock.clone(),
            random: handle.random.clone(),
            metrics: handle.metrics.clone(),
            filter_timeout,
            binding_timeout,
            selectors: Selectors::default(),
            in_flight: Mutex::default(),
        })
    }

    /// Whether all claims of a pod are there to be used.
    fn knows_claims(&self, pod: &Pod) -> Result<(), String> {
        for (name, generated) in pod.resource_claims() {
            let Some(name) = name else {
                return Err("waiting for a resource claim to be made from its template".to_owned());
            };
            if !self.known.is_usable((&pod.spec.namespace, name), generated.then_some(&*pod.uid)) {
                return Err(format!("waiting for resource claim {name:?} to be created"));
            }
        }
        Ok(())
    }

    /// Whether a change of a claim can help a pod.
    fn helps(&self, pod: &Pod, (old, new): (Option<&ResourceClaim>, Option<&ResourceClaim>)) -> bool {
        let is_allocated = |claim: &ResourceClaim| claim.status.allocation.is_some();
        let was_allocated = old.is_some_and(is_allocated);
        // A claim that goes gives its devices back.
        let Some(new) = new else { return was_allocated };
        if self.knows_claims(pod).is_err() {
            return false;
        }
        if was_allocated && !is_allocated(new) {
            return true;
        }
        let metadata = &new.metadata.common;
        let uses = *metadata.namespace == *pod.spec.namespace
            && pod.resource_claims().any(|(name, _)| name == Some(metadata.name.as_str()));
        uses && old.is_none_or(|old| old.status != new.status)
    }

    fn is_late(&self, since: Timestamp) -> bool {
        self.clock.now().duration_since(since) > self.binding_timeout
    }
}

fn timeout(name: &str, text: Option<&str>, default: SignedDuration) -> Result<SignedDuration, String> {
    let Some(text) = text else { return Ok(default) };
    let parsed = duration(text).and_then(|parsed| SignedDuration::try_from(parsed).ok());
    parsed.ok_or_else(|| format!("{name}: time: invalid duration {text:?}"))
}

fn prepared(state: &CycleState) -> Option<&Prepared> {
    state.read::<State>(PRE_FILTER)?.0.as_ref()
}

/// What was found for the claims on a node, as it would be written.
#[cfg(test)]
pub(crate) fn results(state: &CycleState, node: &str) -> Vec<serde_json::Value> {
    let chosen = prepared(state).and_then(|prepared| prepared.chosen(node)).unwrap_or_default();
    chosen.allocations.iter().map(|allocation| allocation.result.clone()).collect()
}

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        NAME
    }

    fn dependence(&self, pod: &Pod) -> Dependence {
        let wants = pod.spec.extended_containers.iter().flat_map(|container| &container.wants);
        let devices = !pod.spec.resource_claims.is_empty() || self.resources.any(wants.map(|(name, _, _)| name));
        if devices { Dependence::Anything } else { Dependence::Node }
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        let changed = ActionType::ADD.or(ActionType::UPDATE);
        let node = ActionType::ADD.or(ActionType::UPDATE_NODE_LABEL).or(ActionType::UPDATE_NODE_ALLOCATABLE);
        vec![
            ClusterEvent::node(node),
            ClusterEvent::of(EventResource::ResourceClaim, changed.or(ActionType::DELETE)),
            ClusterEvent::pod(ActionType::UPDATE_POD_GENERATED_RESOURCE_CLAIM),
            ClusterEvent::of(EventResource::DeviceClass, changed),
            ClusterEvent::of(EventResource::ResourceSlice, changed),
        ]
    }

    fn queueing_hint(&self, pod: &Pod, happening: &Happening) -> QueueingHint {
        let helps = match &happening.object {
            EventObject::AssignedPod { .. } => false,
            EventObject::Pod(own) => self.knows_claims(own).is_ok(),
            object => object.change_of().is_none_or(|change| self.helps(pod, change)),
        };
        if helps { QueueingHint::Queue } else { QueueingHint::Skip }
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
        self.knows_claims(pod).map_or_else(Status::unresolvable, |()| Status::success())
    }
}

impl PreFilterPlugin for DynamicResources {
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot) -> Result<PreFilterResult, Status> {
        state.write(PRE_FILTER, State(None));
        if pod.spec.resource_claims.is_empty() && pod.spec.extended_containers.is_empty() {
            return Err(Status::skip());
        }
        let mut in_flight = self.in_flight.lock();
        in_flight.forget_confirmed(&snapshot.devices().claims);
        let prepared = Prepared::new(pod, snapshot, &in_flight)?;
        let skips = prepared.is_none();
        state.write(PRE_FILTER, State(prepared));
        if skips { Err(Status::skip()) } else { Ok(PreFilterResult::ALL_NODES) }
    }
}

impl FilterPlugin for DynamicResources {
    fn filter(&self, state: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Status {
        let Some(prepared) = prepared(state) else { return Status::success() };
        match &prepared.extended {
            Some(extended) if extended.stale.is_some() => {
                return Status::unresolvable("cannot schedule extended resource claim");
            }
            Some(extended) if extended.is_beyond(pod, node) => return Status::unresolvable("cannot fit resource"),
            _ => {}
        }
        let out_of_reach = prepared.out_of_reach(node, |since| self.is_late(since));
        let now = self.clock.now();
        let until = (!self.filter_timeout.is_zero()).then(|| now.saturating_add(self.filter_timeout).ok()).flatten();
        let (selectors, random) = (&self.selectors, &self.random);
        let tools = Tools { selectors, random, clock: self.clock.as_ref(), until };
        match prepared.allocate(node, &tools) {
            Err(Failure::Claim(why)) => Status::error(why),
            Err(Failure::Node(why)) => Status::unresolvable(why),
            Ok(false) => Status::unresolvable("cannot allocate all claims"),
            Ok(true) if out_of_reach.is_empty() => Status::success(),
            Ok(true) => {
                prepared.unavailable.lock().extend(out_of_reach);
                Status::unresolvable("resourceclaim not available on the node")
            }
        }
    }
}

impl PostFilterPlugin for DynamicResources {
    fn post_filter(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        _: &mut PostFilterContext<'_>,
    ) -> (PostFilterResult, Status) {
        let status = match state.read::<State>(PRE_FILTER) {
            Some(State(Some(prepared))) => Status::unschedulable(self.give_up(prepared, pod)),
            Some(State(None)) => Status::unschedulable("no new claims to deallocate"),
            // Another plugin's PreFilter rejected the pod before this one saw it. The text is upstream's.
            None => Status::error("not found"),
        };
        (PostFilterResult::default(), status)
    }
}

impl DynamicResources {
    /// Takes devices away from a claim that only this pod can use, and cannot; says what was done.
    fn give_up(&self, prepared: &Prepared, pod: &Pod) -> &'static str {
        let own = |claim: &&ResourceClaim| match claim.status.reserved_for.as_slice() {
            [] => true,
            [only] => only.uid == *pod.uid,
            _ => false,
        };
        let unavailable = prepared.unavailable.lock();
        let mut claims: Vec<&ResourceClaim> =
            unavailable.iter().map(|place| &*prepared.claims()[*place]).filter(own).collect();
        if !claims.is_empty() {
            // Whichever: upstream knows no better way either.
            let claim = claims.swap_remove(self.random.below(claims.len() as u64) as usize);
            bind::deallocation(claim).into_iter().for_each(|write| self.outbox.put(write));
            return "deallocation of ResourceClaim completed";
        }
        let Some(stale) = prepared.extended.as_ref().and_then(|extended| extended.stale.as_ref()) else {
            return "still not schedulable";
        };
        bind::removal(&in_flight::key(stale)).into_iter().for_each(|write| self.outbox.put(write));
        "deletion of ResourceClaim completed"
    }
}

impl ScorePlugin for DynamicResources {
    fn normalization(&self) -> Normalization {
        Normalization::ByMaximum { reverse: false }
    }

    fn score(&self, state: &CycleState, _: &Pod, node: NodeRef<'_>) -> Result<i64, Status> {
        let chosen = prepared(state).and_then(|prepared| prepared.chosen(node.name()));
        Ok(chosen.map_or(0, |chosen| chosen.allocations.iter().map(|allocation| allocation.score).sum()))
    }

    fn normalize_score(&self, _: &CycleState, _: &Pod, _: Scored<'_>, scores: &mut [i64]) -> Result<(), Status> {
        normalize(scores, false);
        Ok(())
    }
}

impl ReservePlugin for DynamicResources {
    fn reserve(&self, state: &mut CycleState, pod: &Pod, node_name: &str) -> Status {
        let Some(prepared) = prepared(state) else { return Status::success() };
        let choice = prepared.chosen(node_name).unwrap_or_default();
        self.in_flight.lock().begin(&pod.uid, prepared, choice);
        Status::success()
    }

    fn unreserve(&self, state: &mut CycleState, pod: &Pod, _: &str) {
        self.in_flight.lock().give_up(&pod.uid);
        let Some(prepared) = prepared(state) else { return };
        let made = prepared.progress.made.lock().take();
        for claim in std::mem::take(&mut *prepared.progress.reserved.lock()) {
            let is_made = made.as_ref().is_some_and(|(namespace, name)| (namespace, name) == (&claim.0, &claim.1));
            let write = (!is_made).then(|| bind::release(&claim, &pod.uid)).flatten();
            write.into_iter().for_each(|write| self.outbox.put(write));
        }
        made.iter().flat_map(bind::removal).for_each(|write| self.outbox.put(write));
    }
}

impl PreBindPlugin for DynamicResources {
    fn will_act(&self, binding: &Binding) -> bool {
        self.in_flight.lock().work(&binding.pod.uid).is_some()
    }

    fn pre_bind<'a>(&'a self, binding: &'a Binding) -> BoxFuture<'a, Status> {
        let Some(work) = self.in_flight.lock().work(&binding.pod.uid) else {
            return futures::future::ready(Status::success()).boxed();
        };
        async move {
            let (clock, metrics) = (self.clock.as_ref(), &self.metrics);
            let site = Site { binding, clock, metrics, patience: self.binding_timeout };
            match bind::bind(&site, &work).await {
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
