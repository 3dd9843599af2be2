//! The namespace controller empties a namespace that is being deleted, pods first, and then lets it go.
//! Source: `k8s.io/kubernetes/pkg/controller/namespace`.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use kube::Error;
use kube::api::{DeleteParams, ListParams};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use steersman_framework::api::{Api, has_code, is_not_found, message};
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::discovery::{Served, discover_groups};
use steersman_framework::informer::{Cached, Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey, Partial, null_default};
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;
use steersman_machinery::clock::SharedClock;
use steersman_machinery::meta;

use crate::error::SyncError;
use crate::namespace::plan::{GracefulPod, Progress};
use crate::objects::{Condition, NAMESPACES, PODS, Whole};
use crate::shared::Shared;

pub mod plan;

const COMPONENT: &str = "namespace-controller";
const FINALIZER: &str = "kubernetes";

/// What the controllers read of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// The metadata.
    pub metadata: Meta,
    /// What is wanted.
    #[serde(deserialize_with = "null_default")]
    pub spec: NamespaceSpec,
    /// What was observed.
    #[serde(deserialize_with = "null_default")]
    pub status: NamespaceStatus,
}

/// `spec` of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct NamespaceSpec {
    /// Who has to agree to its end.
    #[serde(deserialize_with = "null_default")]
    pub finalizers: Vec<String>,
}

/// `status` of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct NamespaceStatus {
    /// `Active` or `Terminating`.
    pub phase: String,
    /// The conditions.
    #[serde(deserialize_with = "null_default")]
    pub conditions: Vec<Condition>,
}

impl Cached for Namespace {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Namespace {
    /// Whether things may be made in it.
    pub fn is_active(&self) -> bool {
        !self.metadata.is_deleting() && self.status.phase != "Terminating"
    }
}

/// The running controller.
pub(crate) struct NamespaceController {
    api: Api,
    clock: SharedClock,
    namespaces: Informer<Namespace>,
    queue: WorkQueue<ObjectKey>,
}

impl NamespaceController {
    /// Registers with the informers; `delay` is how long a deletion rests before the content goes, so that all caches
    /// have seen it.
    pub(crate) fn new(shared: &Shared, delay: Duration) -> Self {
        let controller = Self {
            api: shared.api.clone(),
            clock: Arc::clone(&shared.clock),
            namespaces: shared.informers.informer(&NAMESPACES),
            queue: shared.queue("namespace"),
        };
        let queue = controller.queue.clone();
        controller.namespaces.on_change(move |delta: &Delta<Namespace>| {
            if let Some(namespace) = delta.new.as_ref().filter(|namespace| namespace.metadata.is_deleting()) {
                queue.add_after(namespace.metadata.key(), delay);
            }
        });
        controller
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let workers = Workers { name: COMPONENT, concurrency, max_retries: None };
        run_when(self.namespaces.synced(), workers, &self.queue, shutdown, |key| self.sync(key)).await;
    }

    async fn sync(&self, key: ObjectKey) -> Result<Outcome, SyncError> {
        let namespace: Namespace = match self.api.get(&NAMESPACES, &key).await {
            Ok(namespace) => namespace,
            Err(error) if is_not_found(&error) => return Ok(Outcome::Done),
            Err(error) => return Err(error.into()),
        };
        let Some(deleted_at) = namespace.metadata.deletion_timestamp else { return Ok(Outcome::Done) };
        if namespace.spec.finalizers.is_empty() {
            return Ok(Outcome::Done);
        }
        let (progress, pods_remain) = self.delete_content(&key.name, deleted_at).await;
        let stated = if pods_remain { progress.untold() } else { progress.clone() };
        if let Some(conditions) = plan::plan_conditions(&namespace.status.conditions, &stated, self.clock.now()) {
            let status = NamespaceStatus { phase: "Terminating".to_owned(), conditions };
            let whole = Whole::new(&NAMESPACES, &namespace.metadata, &namespace.spec, &status);
            let written = self.api.replace_subresource::<Partial>(&NAMESPACES, &key, "status", &whole).await;
            if let Err(error) = written {
                return if is_not_found(&error) { Ok(Outcome::Done) } else { Err(error.into()) };
            }
        }
        if progress.is_complete() {
            // Others may have finalizers there as well, and see to them later.
            let is_held = namespace.spec.finalizers.iter().any(|finalizer| finalizer == FINALIZER);
            return if is_held { self.finalize(&key).await } else { Ok(Outcome::Done) };
        }
        if progress.estimate > 0 && progress.failures.is_empty() && progress.discovery_failure.is_none() {
            return Ok(Outcome::After(progress.recheck()));
        }
        Err(SyncError::Refused(format!("the content of namespace {key} could not be deleted completely")))
    }

    /// Deletes what is in the namespace; tells what is left, and whether that is pods, which keep all else in place.
    async fn delete_content(&self, namespace: &str, deleted_at: Timestamp) -> (Progress, bool) {
        let mut progress = Progress::default();
        let served = match discover_groups(self.api.client()).await {
            Ok(discovery) => {
                // What answers is emptied all the same.
                progress.discovery_failure = discovery.failure().map(|error| {
                    format!("Discovery failed for some groups, {} failing: {error}", discovery.failed.len())
                });
                discovery.served
            }
            Err(error) => {
                progress.discovery_failure = Some(message(&error));
                return (progress, false);
            }
        };
        let deletable = served.into_iter().filter(|served| served.resource.namespaced && served.can(&["delete"]));
        let (pods, others): (Vec<Served>, Vec<Served>) = deletable.partition(|served| served.resource == PODS);
        for (resources, is_pods) in [(pods, true), (others, false)] {
            let deletions = resources.iter().map(|served| self.delete_resource(served, namespace, deleted_at));
            let results = join_all(deletions).await;
            for (served, result) in resources.iter().zip(results) {
                match result {
                    Ok((left, grace)) => progress.add_remaining(namespace, &served.resource, &left, grace),
                    Err(error) => progress.failures.push(message(&error)),
                }
            }
            if is_pods && !progress.remaining.is_empty() {
                return (progress, true);
            }
        }
        (progress, false)
    }

    /// Deletes all objects of one resource; gives those that are still there, and how many seconds they may take.
    async fn delete_resource(
        &self,
        served: &Served,
        namespace: &str,
        deleted_at: Timestamp,
    ) -> Result<(Vec<Meta>, i64), Error> {
        let resource = &served.resource;
        let (present, grace) = if *resource == PODS {
            let pods: Vec<GracefulPod> = self.api.list(resource, namespace, &ListParams::default()).await?.items;
            let grace = plan::grace(&pods, deleted_at, self.clock.now());
            (pods.into_iter().map(|pod| pod.metadata).collect(), grace)
        } else {
            (self.list(served, namespace).await?, 0)
        };
        if present.is_empty() && served.can(&["list"]) {
            return Ok((present, grace));
        }
        let params = DeleteParams::background();
        let as_collection = match served.can(&["deletecollection"]) {
            true => {
                self.api.delete_collection(resource, namespace, &params).await.map(|()| true).or_else(unsupported)?
            }
            false => false,
        };
        if !as_collection {
            let keys: Vec<ObjectKey> = present.iter().map(Meta::key).collect();
            for result in join_all(keys.iter().map(|key| self.api.delete(resource, key, &params))).await {
                result.map(|()| true).or_else(unsupported)?;
            }
        }
        Ok((self.list(served, namespace).await?, grace))
    }

    async fn list(&self, served: &Served, namespace: &str) -> Result<Vec<Meta>, Error> {
        if !served.can(&["list"]) {
            return Ok(Vec::new());
        }
        let params = ListParams::default();
        match self.api.list_metadata::<Partial>(&served.resource, namespace, &params).await {
            Ok(page) => Ok(page.items.into_iter().map(|object| object.metadata).collect()),
            // The resource has gone meanwhile, or cannot be listed: then there is nothing to delete.
            Err(error) => unsupported(error).map(|_| Vec::new()),
        }
    }

    async fn finalize(&self, key: &ObjectKey) -> Result<Outcome, SyncError> {
        let mut live: Value = match self.api.get(&NAMESPACES, key).await {
            Ok(live) => live,
            Err(error) if is_not_found(&error) => return Ok(Outcome::Done),
            Err(error) => return Err(error.into()),
        };
        let finalizers = meta::items(&live, &["spec", "finalizers"]).iter();
        let left: Vec<Value> = finalizers.filter(|finalizer| finalizer.as_str() != Some(FINALIZER)).cloned().collect();
        meta::set(&mut live, &["spec", "finalizers"], left);
        let finalized: Result<Value, Error> = self.api.replace_subresource(&NAMESPACES, key, "finalize", &live).await;
        match finalized {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(Outcome::Done),
        }
    }
}

/// False if the server knows no such thing, or not any more.
fn unsupported(error: Error) -> Result<bool, Error> {
    if has_code(&error, 404) || has_code(&error, 405) { Ok(false) } else { Err(error) }
}
