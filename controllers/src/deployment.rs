//! The Deployment controller rolls templates out over ReplicaSets.
//! Source: `k8s.io/kubernetes/pkg/controller/deployment`.

use std::sync::Arc;

use steersman_framework::api::{Api, is_namespace_terminating};
use steersman_framework::consistency::Consistency;
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::events::{EventType, Recorder};
use steersman_framework::informer::{Cached, Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey};
use steersman_framework::metrics::{Counter, Family};
use steersman_framework::ownership::owned_by;
use steersman_framework::queue::{Priority, WorkQueue};
use steersman_framework::runtime::Shutdown;
use steersman_machinery::clock::SharedClock;

use crate::claim::{Claimant, candidates};
use crate::deployment::rollout::Rollout;
use crate::deployment::sets::Sets;
use crate::error::SyncError;
use crate::features::Terminating;
use crate::objects::{Deployment, PODS, Pod, ReplicaSet};
use crate::shard::Shard;
use crate::shared::{Shared, forget_gone};
use crate::workloads::Workloads;

mod create;
pub mod history;
#[cfg(test)]
mod properties;
pub mod revision;
mod rollback;
pub mod rolling;
mod rollout;
pub mod scale;
pub mod sets;
pub mod status;
pub mod template;
mod write;

/// The name under which its events are recorded.
const COMPONENT: &str = "deployment-controller";

/// After so many failures in a row a Deployment is left alone until its next event.
const MAX_RETRIES: u32 = 15;

/// As other controllers count it upstream, where the one of Deployments has no such guard.
static STALE: Family = Family::counter(
    "deployment_controller_stale_sync_skips_total",
    "Syncs that were put off since the caches had not seen the last writes yet.",
);

/// The running controller.
pub(crate) struct DeploymentController {
    workloads: &'static Workloads,
    terminating: Terminating,
    shard: Shard,
    api: Api,
    clock: SharedClock,
    recorder: Recorder,
    deployments: Informer<Deployment>,
    sets: Informer<ReplicaSet>,
    pods: Informer<Pod>,
    queue: WorkQueue<ObjectKey>,
    consistency: Arc<Consistency>,
    stale: Counter,
}

impl DeploymentController {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared, workloads: &'static Workloads) -> Self {
        let controller = Self {
            workloads,
            terminating: Terminating::new(shared.features),
            shard: shared.shard,
            api: shared.api.clone(),
            clock: Arc::clone(&shared.clock),
            recorder: shared.recorder.of(COMPONENT),
            deployments: shared.informers.informer(workloads.deployments),
            sets: shared.informers.informer(workloads.replica_sets),
            pods: shared.informers.informer(&PODS),
            queue: shared.queue(workloads.either("deployment", "steersman_deployment")),
            stale: shared.metrics.counter(&STALE, &workloads.deployments.labels()),
            consistency: Arc::default(),
        };
        controller.subscribe();
        controller
    }

    fn subscribe(&self) {
        let shard = self.shard;
        forget_gone(&self.deployments, &self.consistency);
        let queue = self.queue.clone();
        self.deployments.on_change(move |delta: &Delta<Deployment>| {
            let deployment = delta.new.as_ref().or(delta.old.as_ref());
            if let Some(deployment) = deployment.filter(|deployment| shard.owns(&deployment.metadata.namespace)) {
                let priority = if delta.listed { Priority::Low } else { Priority::High };
                queue.add_with(deployment.metadata.key(), priority);
            }
        });
        let (queue, deployments) = (self.queue.clone(), self.deployments.clone());
        self.sets.on_change(move |delta: &Delta<ReplicaSet>| {
            let set = delta.new.as_ref().or(delta.old.as_ref());
            if set.is_some_and(|set| shard.owns(&set.metadata.namespace)) {
                route_set(delta, &deployments, &queue);
            }
        });
        let (queue, deployments, sets, pods) =
            (self.queue.clone(), self.deployments.clone(), self.sets.clone(), self.pods.downgrade());
        self.pods.on_change(move |delta| {
            if let (Some(pod), None, Some(pods)) = (&delta.old, &delta.new, pods.upgrade())
                && shard.owns(&pod.metadata.namespace)
            {
                route_deleted_pod(pod, &deployments, &sets, &pods).into_iter().for_each(|key| queue.add(key));
            }
        });
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let synced = async {
            self.deployments.synced().await;
            self.sets.synced().await;
            self.pods.synced().await;
        };
        let name = self.workloads.either(COMPONENT, "steersman-deployment-controller");
        let workers = Workers { name, concurrency, max_retries: Some(MAX_RETRIES) };
        run_when(synced, workers, &self.queue, shutdown, |key| self.sync(key)).await;
    }

    async fn sync(&self, key: ObjectKey) -> Result<Outcome, SyncError> {
        let Some(deployment) = self.deployments.get(&key) else {
            return Ok(Outcome::Done);
        };
        let seen = |resource| match resource {
            "deployments" => self.deployments.resource_version(),
            _ => self.sets.resource_version(),
        };
        if !self.consistency.is_current(&deployment.metadata.uid, seen) {
            self.stale.increment();
            return Ok(Outcome::Soon);
        }
        match self.sync_deployment(Deployment::clone(&deployment)).await {
            // The Deployment will go as well; nothing can be made here any more.
            Err(SyncError::Api(error)) if is_namespace_terminating(&error) => Ok(Outcome::Done),
            result => result,
        }
    }

    async fn sync_deployment(&self, mut deployment: Deployment) -> Result<Outcome, SyncError> {
        let Some(selector) = deployment.spec.selector.clone().filter(|selector| !selector.is_empty()) else {
            return self.refuse_empty_selector(deployment).await;
        };
        if let Some(objection) = self.workloads.objection(&selector, &deployment.spec.template.value) {
            self.event(&deployment, EventType::Warning, "InvalidSelector", objection.to_owned());
            return Ok(Outcome::Done);
        }
        if self.workloads.is_custom() {
            deployment.spec.strategy.fill_in();
        }
        let candidates = candidates(&self.sets, self.workloads.deployments, &deployment.metadata);
        let claimant = Claimant {
            api: &self.api,
            consistency: &self.consistency,
            resource: self.workloads.deployments,
            owner: &deployment.metadata,
            selector: &selector,
        };
        let claimed = claimant.claim(self.workloads.replica_sets, candidates).await?;
        let claimed = claimed.iter().map(|set| ReplicaSet::clone(set)).collect();
        let sets = Sets::of(&deployment, claimed);
        Rollout::new(self, deployment, sets).sync().await
    }
}

/// The owner of an object, if it is of `kind` and in the cache of that kind.
fn owner_of<T: Cached>(owned: &Meta, owners: &Informer<T>) -> Option<Arc<T>> {
    let reference = owned.controller().filter(|owner| owner.kind == owners.resource().kind)?;
    let owner = owners.get(&ObjectKey::new(&owned.namespace, &reference.name))?;
    (owner.meta().uid == reference.uid).then_some(owner)
}

/// Queues the Deployments that a change of a ReplicaSet concerns.
fn route_set(delta: &Delta<ReplicaSet>, deployments: &Informer<Deployment>, queue: &WorkQueue<ObjectKey>) {
    let (old, new) = (delta.old.as_deref(), delta.new.as_deref());
    for set in [old, new].into_iter().flatten() {
        if let Some(owner) = owner_of(&set.metadata, deployments) {
            queue.add(owner.metadata.key());
        }
    }
    let changed = |new: &ReplicaSet| {
        old.is_none_or(|old| {
            old.metadata.labels != new.metadata.labels || old.metadata.controller() != new.metadata.controller()
        })
    };
    let orphan = new.filter(|set| {
        set.metadata.controller().is_none() && !set.metadata.is_deleting() && !set.metadata.labels.is_empty()
    });
    if let Some(orphan) = orphan.filter(|orphan| changed(orphan)) {
        let matches = |deployment: &Arc<Deployment>| {
            let selector = deployment.spec.selector.as_ref().filter(|selector| !selector.is_empty());
            selector.is_some_and(|selector| selector.matches(&orphan.metadata.labels))
        };
        let matching = deployments.in_namespace(&orphan.metadata.namespace).into_iter().filter(matches);
        matching.for_each(|deployment| queue.add(deployment.metadata.key()));
    }
}

/// The Deployment that waits for the last of its pods to go, if this was the last one.
fn route_deleted_pod(
    pod: &Pod,
    deployments: &Informer<Deployment>,
    sets: &Informer<ReplicaSet>,
    pods: &Informer<Pod>,
) -> Option<ObjectKey> {
    debug_assert_eq!(pods.resource(), &PODS);
    let set = owner_of(&pod.metadata, sets)?;
    let deployment = owner_of(&set.metadata, deployments)?;
    let owned = sets.indexed(&owned_by(&deployment.metadata.uid));
    let left = owned.iter().any(|set| pods.count_indexed(&owned_by(&set.metadata.uid)) > 0);
    (deployment.spec.strategy.kind == "Recreate" && !left).then(|| deployment.metadata.key())
}

#[cfg(test)]
mod tests;
