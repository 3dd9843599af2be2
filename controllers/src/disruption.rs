//! Says how many pods each PodDisruptionBudget allows to evict, and takes back the mark `DisruptionTarget` from pods that
//! were not disrupted after all. Source: `k8s.io/kubernetes/pkg/controller/disruption`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::Patch;
use serde_json::json;
use steersman_framework::api::{Api, Written, is_conflict, is_not_found};
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::events::{EventType, Involved, Recorder};
use steersman_framework::informer::{Cached, Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey};
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;
use steersman_machinery::clock::{SharedClock, format_time};

use crate::disruption::objects::{Budget, BudgetStatus};
use crate::disruption::plan::{fail_safe, needs_scale, plan, selector_text, stale_after, wanted};
use crate::error::SyncError;
use crate::objects::{
    DEPLOYMENTS, DISRUPTION_BUDGETS, DISRUPTION_TARGET, Deployment, PODS, Pod, REPLICA_SETS, ReplicaSet, Whole,
};
use crate::shared::Shared;

pub mod objects;
pub mod plan;
mod scale;
#[cfg(test)]
mod tests;

const NAME: &str = "disruption-controller";
/// The component of its events.
const COMPONENT: &str = "controllermanager";

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// A budget.
    Budget(ObjectKey),
    /// A pod that is marked as to be disrupted.
    Pod(ObjectKey),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget(key) => write!(f, "poddisruptionbudget {key}"),
            Self::Pod(key) => write!(f, "pod {key}"),
        }
    }
}

/// The running controller.
pub(crate) struct DisruptionController {
    api: Api,
    clock: SharedClock,
    recorder: Recorder,
    budgets: Informer<Budget>,
    pods: Informer<Pod>,
    sets: Informer<ReplicaSet>,
    deployments: Informer<Deployment>,
    queue: WorkQueue<Key>,
}

/// Whether a change of a pod is one for the budgets.
fn matters(old: &Pod, new: &Pod) -> bool {
    old.ready != new.ready
        || old.metadata.is_deleting() != new.metadata.is_deleting()
        || old.metadata.uid != new.metadata.uid
        || old.metadata.labels != new.metadata.labels
        || old.metadata.owner_references != new.metadata.owner_references
}

impl DisruptionController {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared) -> Self {
        let controller = Self {
            api: shared.api.clone(),
            clock: shared.clock.clone(),
            recorder: shared.recorder.of(COMPONENT),
            budgets: shared.informers.informer(&DISRUPTION_BUDGETS),
            pods: shared.informers.informer(&PODS),
            sets: shared.informers.informer(&REPLICA_SETS),
            deployments: shared.informers.informer(&DEPLOYMENTS),
            queue: shared.queue("disruption"),
        };
        let queue = controller.queue.clone();
        controller.budgets.on_change(move |delta: &Delta<Budget>| {
            if let Some(budget) = &delta.new {
                queue.add(Key::Budget(budget.metadata.key()));
            }
        });
        controller.follow_pods();
        controller.follow_scale(&controller.sets, |set| set.spec.replicas);
        controller.follow_scale(&controller.deployments, |deployment| deployment.spec.replicas);
        controller
    }

    fn follow_pods(&self) {
        let (queue, budgets) = (self.queue.clone(), self.budgets.clone());
        let (recorder, clock) = (self.recorder.clone(), self.clock.clone());
        self.pods.on_change(move |delta: &Delta<Pod>| {
            if let Some(pod) = &delta.new
                && let Some(left) = stale_after(pod, clock.now())
            {
                queue.add_after(Key::Pod(pod.metadata.key()), left.try_into().unwrap_or_default());
            }
            if let (Some(old), Some(new)) = (&delta.old, &delta.new)
                && !matters(old, new)
            {
                return;
            }
            let Some(namespace) = delta.new.as_ref().or(delta.old.as_ref()).map(|pod| &pod.metadata.namespace) else {
                return;
            };
            let (budgets, mut covering) = (budgets.in_namespace(namespace), Vec::new());
            for budget in budgets {
                let covers = |pod: &Option<Arc<Pod>>| pod.as_ref().is_some_and(|pod| budget.covers(&pod.metadata));
                if covers(&delta.new) || covers(&delta.old) {
                    queue.add(Key::Budget(budget.metadata.key()));
                }
                if covers(&delta.new) {
                    covering.push(budget.metadata.name.clone());
                }
            }
            if let (Some(pod), [chosen, _, ..]) = (&delta.new, covering.as_slice()) {
                let meta = &pod.metadata;
                let message = format!(
                    "Pod {:?}/{:?} matches multiple PodDisruptionBudgets.  Chose {chosen:?} arbitrarily.",
                    meta.namespace, meta.name
                );
                let involved = Involved::new(&PODS, meta);
                recorder.record(&involved, EventType::Warning, "MultiplePodDisruptionBudgets", message);
            }
        });
    }

    /// Looks again at the budgets that count by the scale of owners, when an owner in their namespace wants more or less.
    fn follow_scale<T: Cached>(&self, owners: &Informer<T>, replicas: impl Fn(&T) -> i32 + Send + Sync + 'static) {
        let (queue, budgets) = (self.queue.clone(), self.budgets.clone());
        owners.on_change(move |delta: &Delta<T>| {
            if let (Some(old), Some(new)) = (&delta.old, &delta.new)
                && replicas(old) != replicas(new)
            {
                let budgets = budgets.in_namespace(&new.meta().namespace);
                let scaled = budgets.iter().filter(|budget| needs_scale(&budget.spec));
                scaled.for_each(|budget| queue.add(Key::Budget(budget.metadata.key())));
            }
        });
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let synced = async {
            self.budgets.synced().await;
            self.pods.synced().await;
            self.sets.synced().await;
            self.deployments.synced().await;
        };
        let workers = Workers { name: NAME, concurrency, max_retries: None };
        run_when(synced, workers, &self.queue, shutdown, |key| self.sync(key)).await;
    }

    async fn sync(&self, key: Key) -> Result<Outcome, SyncError> {
        match key {
            Key::Budget(key) => match self.budgets.get(&key) {
                Some(budget) => self.sync_budget(&budget).await,
                None => Ok(Outcome::Done),
            },
            Key::Pod(key) => self.sync_pod(&key).await,
        }
    }

    async fn sync_budget(&self, budget: &Budget) -> Result<Outcome, SyncError> {
        let error = match self.try_sync(budget).await {
            Err(SyncError::Api(error)) if is_conflict(&error) => return Err(error.into()),
            Err(error) => error,
            Ok(outcome) => return Ok(outcome),
        };
        if let Some(status) = fail_safe(budget, &error.to_string(), self.clock.now()) {
            self.write(budget, &status).await?;
        }
        match error {
            // The next change of a pod or a budget may put it right; time alone does not.
            SyncError::Refused(_) => Ok(Outcome::Done),
            error => Err(error),
        }
    }

    async fn try_sync(&self, budget: &Budget) -> Result<Outcome, SyncError> {
        let mut pods = self.pods.in_namespace(&budget.metadata.namespace);
        pods.retain(|pod| budget.covers(&pod.metadata));
        if pods.is_empty() {
            self.event(budget, EventType::Normal, "NoPods", "No matching pods found".to_owned());
        }
        let wanted = match self.wanted(budget, &pods).await {
            Ok(wanted) => wanted,
            Err(error) => {
                let message = format!("Failed to calculate the number of expected pods: {error}");
                self.event(budget, EventType::Warning, "CalculateExpectedPodCountFailed", message);
                return Err(error);
            }
        };
        let now = self.clock.now();
        let plan = plan(budget, &pods, wanted, now);
        for pod in &plan.not_deleted {
            // Upstream names the namespace in the place of the name.
            let namespace = &budget.metadata.namespace;
            let message = format!("Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't");
            self.recorder.record(&Involved::new(&PODS, &pod.metadata), EventType::Warning, "NotDeleted", message);
        }
        if let Some(status) = &plan.status {
            self.write(budget, status).await?;
        }
        Ok(plan.recheck.map_or(Outcome::Done, |at| Outcome::After(until(at, now))))
    }

    async fn wanted(&self, budget: &Budget, pods: &[Arc<Pod>]) -> Result<plan::Wanted, SyncError> {
        let scale = match needs_scale(&budget.spec) {
            false => 0,
            true => {
                let (scale, unmanaged) = self.scale(pods).await?;
                if unmanaged {
                    let selector = budget.spec.selector.as_ref().map(selector_text).unwrap_or_default();
                    let message = format!(
                        "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. \
                         As a result, the status of the PDB cannot be calculated correctly, which may result in \
                         undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the \
                         PDB to an integer value."
                    );
                    self.event(budget, EventType::Warning, "UnmanagedPods", message);
                }
                scale
            }
        };
        let count = i64::try_from(pods.len()).unwrap_or(i64::MAX);
        wanted(&budget.spec, count, scale).map_err(|error| SyncError::Refused(error.to_string()))
    }

    fn event(&self, budget: &Budget, kind: EventType, reason: &'static str, message: String) {
        self.recorder.record(&Involved::new(&DISRUPTION_BUDGETS, &budget.metadata), kind, reason, message);
    }

    async fn write(&self, budget: &Budget, status: &BudgetStatus) -> Result<(), SyncError> {
        let (resource, key) = (&DISRUPTION_BUDGETS, budget.metadata.key());
        let whole = Whole::new(resource, &budget.metadata, &budget.spec, status);
        unless_gone(self.api.replace_subresource::<Written>(resource, &key, "status", &whole).await)
    }

    async fn sync_pod(&self, key: &ObjectKey) -> Result<Outcome, SyncError> {
        let Some(pod) = self.pods.get(key) else { return Ok(Outcome::Done) };
        let now = self.clock.now();
        match stale_after(&pod, now) {
            None => return Ok(Outcome::Done),
            Some(left) if left.is_positive() => return Ok(Outcome::After(left.try_into().unwrap_or_default())),
            Some(_) => {}
        }
        self.unmark(&pod.metadata, now).await?;
        Ok(Outcome::Done)
    }

    async fn unmark(&self, meta: &Meta, now: Timestamp) -> Result<(), SyncError> {
        let condition = json!({
            "type": DISRUPTION_TARGET, "status": "False", "reason": null, "message": null,
            "lastTransitionTime": format_time(now), "observedGeneration": meta.generation,
        });
        let patch = json!({
            "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
            "status": {"conditions": [condition]},
        });
        unless_gone(self.api.patch_status::<Written>(&PODS, &meta.key(), &Patch::Strategic(patch)).await)
    }
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

/// What is gone needs nothing.
fn unless_gone(written: Result<Written, kube::Error>) -> Result<(), SyncError> {
    match written {
        Err(error) if !is_not_found(&error) => Err(error.into()),
        _ => Ok(()),
    }
}
