//! The ReplicaSet controller keeps as many pods as are wanted. Source: `k8s.io/kubernetes/pkg/controller/replicaset`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use steersman_framework::api::{Api, message};
use steersman_framework::consistency::Consistency;
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::events::{EventType, Involved, Recorder};
use steersman_framework::expectations::Expectations;
use steersman_framework::informer::{Delta, Informer};
use steersman_framework::meta::ObjectKey;
use steersman_framework::ownership::owned_by;
use steersman_framework::queue::{Priority, WorkQueue};
use steersman_framework::runtime::Shutdown;
use steersman_machinery::clock::SharedClock;

use crate::claim::{Claimant, candidates};
use crate::deployment::template::HASH_LABEL;
use crate::error::SyncError;
use crate::features::{Features, Terminating};
use crate::objects::{PODS, Pod, ReplicaSet, ReplicaSetStatus, Whole, of_template};
use crate::replicaset::instruments::Instruments;
use crate::replicaset::plan::Scale;
use crate::replicaset::ranking::Rules;
use crate::shard::Shard;
use crate::shared::Shared;
use crate::workloads::Workloads;

mod act;
mod instruments;
pub mod plan;
#[cfg(test)]
mod properties;
pub mod ranking;

/// The name under which its events are recorded.
const COMPONENT: &str = "replicaset-controller";

/// What looking at one pod may cost a sync; several times what it does cost, so that other work gets its turn.
const BATCH_PER_POD: Duration = Duration::from_micros(20);
/// Changes are not gathered for less than this: a set of fewer than 50 pods is synced at once.
const BATCH_LEAST: Duration = Duration::from_millis(1);

/// The running controller.
pub(crate) struct ReplicaSetController {
    workloads: &'static Workloads,
    features: Features,
    terminating: Terminating,
    shard: Shard,
    api: Api,
    clock: SharedClock,
    recorder: Recorder,
    sets: Informer<ReplicaSet>,
    pods: Informer<Pod>,
    queue: WorkQueue<ObjectKey>,
    consistency: Arc<Consistency>,
    expectations: Arc<Expectations>,
    instruments: Instruments,
}

impl ReplicaSetController {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared, workloads: &'static Workloads) -> Self {
        let controller = Self {
            workloads,
            features: shared.features,
            terminating: Terminating::new(shared.features),
            shard: shared.shard,
            api: shared.api.clone(),
            clock: Arc::clone(&shared.clock),
            recorder: shared.recorder.of(COMPONENT),
            sets: shared.informers.informer(workloads.replica_sets),
            pods: shared.informers.informer(&PODS),
            queue: shared.queue(workloads.either("replicaset", "steersman_replicaset")),
            instruments: Instruments::new(&shared.metrics, workloads.replica_sets),
            consistency: Arc::default(),
            expectations: Arc::default(),
        };
        controller.subscribe();
        controller
    }

    fn subscribe(&self) {
        let (queue, consistency, expectations) =
            (self.queue.clone(), Arc::clone(&self.consistency), Arc::clone(&self.expectations));
        let shard = self.shard;
        self.sets.on_change(move |delta: &Delta<ReplicaSet>| {
            let uid = |set: &Option<Arc<ReplicaSet>>| set.as_ref().map(|set| set.metadata.uid.clone());
            if let Some(gone) = uid(&delta.old).filter(|old| Some(old) != uid(&delta.new).as_ref()) {
                consistency.forget(&gone);
                expectations.forget(&gone);
            }
            let set = delta.new.as_ref().or(delta.old.as_ref());
            if let Some(set) = set.filter(|set| shard.owns(&set.metadata.namespace)) {
                let priority = if delta.listed { Priority::Low } else { Priority::High };
                queue.add_with(set.metadata.key(), priority);
            }
        });
        let (queue, sets, pods) = (self.queue.clone(), self.sets.clone(), self.pods.downgrade());
        self.pods.on_change(move |delta| {
            let pod = delta.new.as_ref().or(delta.old.as_ref());
            if pod.is_none_or(|pod| !shard.owns(&pod.metadata.namespace)) {
                return;
            }
            let pods = pods.upgrade();
            for (set, available_after) in route_pod(delta, &sets) {
                let count = pods.as_ref().map_or(0, |pods| pods.count_indexed(&owned_by(&set.metadata.uid)));
                let key = set.metadata.key();
                available_after.into_iter().for_each(|delay| queue.add_after(key.clone(), delay));
                queue.add_after(key, batch_period(count));
            }
        });
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let synced = async {
            self.sets.synced().await;
            self.pods.synced().await;
        };
        let name = self.workloads.either(COMPONENT, "steersman-replicaset-controller");
        let workers = Workers { name, concurrency, max_retries: None };
        run_when(synced, workers, &self.queue, shutdown, |key| self.sync(key)).await;
    }

    async fn sync(&self, key: ObjectKey) -> Result<Outcome, SyncError> {
        let Some(set) = self.sets.get(&key) else {
            return Ok(Outcome::Done);
        };
        let uid = &set.metadata.uid;
        let seen = |resource| match resource {
            "pods" => self.pods.resource_version(),
            _ => self.sets.resource_version(),
        };
        if !self.consistency.is_current(uid, seen) {
            self.instruments.stale.increment();
            return Ok(Outcome::Soon);
        }
        if !set.spec.selector.is_valid() {
            tracing::error!(object = %key, "the selector cannot be understood");
            return Ok(Outcome::Done);
        }
        if let Some(objection) = self.workloads.objection(&set.spec.selector, &set.spec.template.value) {
            let involved = Involved::new(self.workloads.replica_sets, &set.metadata);
            self.recorder.record(&involved, EventType::Warning, "InvalidSelector", objection.to_owned());
            return Ok(Outcome::Done);
        }
        let now = self.clock.now();
        let may_scale = self.expectations.are_met(uid, now, &self.pods) && !set.metadata.is_deleting();
        let pods = self.claim(&set).await?;
        let failure = if may_scale { self.scale(&set, &pods.active, now).await.err() } else { None };
        self.finish(&set, &pods, failure).await
    }

    async fn finish(&self, set: &ReplicaSet, pods: &Pods, failure: Option<SyncError>) -> Result<Outcome, SyncError> {
        let wanted = usize::try_from(set.spec.replicas).unwrap_or_default();
        let reason = if pods.active.len() < wanted { "FailedCreate" } else { "FailedDelete" };
        let observed = self.clock.now();
        let failed = failure.as_ref().map(|error| (reason, error.to_string()));
        let terminating = self.terminating.is_told().then_some(pods.terminating);
        let status = plan::plan_status(set, &pods.active, terminating, failed, observed);
        if plan::is_status_news(set, &status) {
            self.write_status(set, &status).await?;
        }
        if let Some(error) = failure {
            return Err(error);
        }
        if set.spec.min_ready_seconds == 0 || status.ready_replicas == status.available_replicas {
            return Ok(Outcome::Done);
        }
        let seconds = set.spec.min_ready_seconds;
        let fallback = Duration::from_secs(seconds.unsigned_abs().into());
        let next = plan::next_check(&pods.active, seconds, observed, self.clock.now());
        // A timer may fire a hair before the clock shows the moment it was set for.
        Ok(Outcome::After(next.unwrap_or(fallback).max(Duration::from_millis(1))))
    }

    async fn claim(&self, set: &ReplicaSet) -> Result<Pods, SyncError> {
        let meta = &set.metadata;
        let resource = self.workloads.replica_sets;
        let mut candidates = candidates(&self.pods, resource, meta);
        let terminating = candidates.iter().filter(|pod| {
            let goes = pod.metadata.is_deleting() && !pod.phase.is_terminal();
            goes && pod.metadata.controller().is_some() && set.spec.selector.matches(&pod.metadata.labels)
        });
        let terminating = terminating.count();
        candidates.retain(|pod| pod.is_active());
        let claimant = Claimant {
            api: &self.api,
            consistency: &self.consistency,
            resource,
            owner: meta,
            selector: &set.spec.selector,
        };
        let active = claimant.claim(&PODS, candidates).await?;
        Ok(Pods { active, terminating })
    }

    async fn scale(&self, set: &ReplicaSet, active: &[Arc<Pod>], now: Timestamp) -> Result<(), SyncError> {
        let related = if plan::needs_choice(set, active.len()) { self.related(set) } else { Vec::new() };
        let rules = Rules { now, deletion_cost: self.features.pod_deletion_cost };
        match plan::plan_scale(set, active, &related, rules) {
            Scale::Keep => Ok(()),
            Scale::Create(count) => self.create_pods(set, count).await,
            Scale::Delete(pods) => {
                let ratios = ranking::age_ratios(active, &pods, now);
                ratios.into_iter().for_each(|ratio| self.instruments.age_ratio.observe(ratio));
                self.delete_pods(set, pods).await
            }
        }
    }

    /// The pods that count for the spread over nodes: those of all sets of the same owner, by label.
    fn related(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let Some(controller) = set.metadata.controller() else {
            return Vec::new();
        };
        let siblings = self.sets.indexed(&owned_by(&controller.uid));
        let namespace = &set.metadata.namespace;
        let mut pods = BTreeMap::new();
        for sibling in siblings.iter().filter(|sibling| sibling.metadata.namespace == *namespace) {
            let selector = &sibling.spec.selector;
            // Selectors of Deployments' sets name a template, whose pods are few; others may mean any pod.
            let candidates = match selector.match_labels.get(HASH_LABEL) {
                Some(hash) => self.pods.indexed(&of_template(namespace, hash)),
                None => self.pods.in_namespace(namespace),
            };
            let matching = candidates.into_iter().filter(|pod| selector.matches(&pod.metadata.labels));
            pods.extend(matching.map(|pod| (pod.metadata.key(), pod)));
        }
        pods.into_values().collect()
    }

    async fn write_status(&self, set: &ReplicaSet, status: &ReplicaSetStatus) -> Result<(), SyncError> {
        let (resource, key) = (self.workloads.replica_sets, set.metadata.key());
        let written: ReplicaSet = match self.put_status(set, status).await {
            Ok(written) => written,
            Err(error) => {
                tracing::debug!(object = %key, error = message(&error), "status refused, trying with the live object");
                let live: ReplicaSet = self.api.get(resource, &key).await?;
                self.put_status(&live, status).await?
            }
        };
        self.terminating.wrote(status.terminating_replicas, written.status.terminating_replicas);
        let version = &written.metadata.resource_version;
        self.consistency.wrote(&set.metadata.uid, "replicasets", version);
        Ok(())
    }

    async fn put_status(&self, set: &ReplicaSet, status: &ReplicaSetStatus) -> Result<ReplicaSet, kube::Error> {
        let resource = self.workloads.replica_sets;
        let whole = Whole::new(resource, &set.metadata, &set.spec, status);
        self.api.replace_subresource(resource, &set.metadata.key(), "status", &whole).await
    }
}

/// The pods of a set.
struct Pods {
    active: Vec<Arc<Pod>>,
    terminating: usize,
}

/// The set that controls `pod`, if it is there.
fn owner_of(pod: &Pod, sets: &Informer<ReplicaSet>) -> Option<Arc<ReplicaSet>> {
    let owner = pod.metadata.controller().filter(|owner| owner.kind == sets.resource().kind)?;
    let set = sets.get(&ObjectKey::new(&pod.metadata.namespace, &owner.name))?;
    (set.metadata.uid == owner.uid).then_some(set)
}

/// How long changes of a set's pods are gathered before it is synced. A sync looks at every pod of the set, so without
/// this a rollout would cost the square of its pods; with it the cost stays proportional to them.
fn batch_period(pods: usize) -> Duration {
    let period = BATCH_PER_POD.saturating_mul(u32::try_from(pods).unwrap_or(u32::MAX));
    if period < BATCH_LEAST { Duration::ZERO } else { period }
}

/// The sets that a change of a pod concerns, and after which time the pod will be available to each.
fn route_pod(delta: &Delta<Pod>, sets: &Informer<ReplicaSet>) -> Vec<(Arc<ReplicaSet>, Option<Duration>)> {
    let (old, new) = (delta.old.as_deref(), delta.new.as_deref());
    let mut owners: BTreeMap<ObjectKey, (Arc<ReplicaSet>, Option<Duration>)> = BTreeMap::new();
    for pod in [old, new].into_iter().flatten() {
        if let Some(set) = owner_of(pod, sets) {
            let delay = availability_delay(&set, old, new);
            owners.insert(set.metadata.key(), (set, delay));
        }
    }
    let changed = |new: &Pod| {
        old.is_none_or(|old| {
            old.metadata.labels != new.metadata.labels || old.metadata.controller() != new.metadata.controller()
        })
    };
    if let Some(orphan) = new.filter(|new| new.metadata.controller().is_none() && !new.metadata.is_deleting())
        && changed(orphan)
    {
        let matching = sets
            .in_namespace(&orphan.metadata.namespace)
            .into_iter()
            .filter(|set| !set.spec.selector.is_empty() && set.spec.selector.matches(&orphan.metadata.labels));
        owners.extend(matching.map(|set| (set.metadata.key(), (set, None))));
    }
    owners.into_values().collect()
}

/// When a pod that has just become ready will be available.
fn availability_delay(set: &ReplicaSet, old: Option<&Pod>, new: Option<&Pod>) -> Option<Duration> {
    let became_ready = old.is_some_and(|old| !old.ready) && new.is_some_and(|new| new.ready);
    let seconds = u64::try_from(set.spec.min_ready_seconds).ok().filter(|seconds| *seconds > 0)?;
    became_ready.then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
