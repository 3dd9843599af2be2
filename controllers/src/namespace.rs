//! The namespace controller empties a namespace that is being deleted, pods first, and then lets it go.
//! Source: `k8s.io/kubernetes/pkg/controller/namespace`.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use kube::Error;
use kube::api::{DeleteParams, ListParams};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use steersman_framework::api::{Api, is_not_found, message};
use steersman_framework::controller::{Outcome, Workers};
use steersman_framework::discovery::{Served, discover_groups};
use steersman_framework::informer::{Cached, Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey, Partial, null_default};
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;
use steersman_machinery::clock::SharedClock;
use steersman_machinery::meta;

use crate::error::SyncError;
use crate::namespace::plan::Progress;
use crate::objects::{Condition, NAMESPACES, Whole};
use crate::shared::{Shared, work};

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
        work(workers, &self.queue, shutdown, self.namespaces.synced(), |key| self.sync(key)).await;
    }

    async fn sync(&self, key: ObjectKey) -> Result<Outcome, SyncError> {
        let namespace: Namespace = match self.api.get(&NAMESPACES, &key).await {
            Ok(namespace) => namespace,
            Err(error) if is_not_found(&error) => return Ok(Outcome::Done),
            Err(error) => return Err(error.into()),
        };
        let spec_finalizers = &namespace.spec.finalizers;
        if !namespace.metadata.is_deleting() || !spec_finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(Outcome::Done);
        }
        let (progress, pods_remain) = self.delete_content(&key.name).await;
        // While pods remain nothing else was tried, so there is nothing to say about the rest.
        let discovery_failure = progress.discovery_failure.clone();
        let stated = match pods_remain && progress.failures.is_empty() {
            true => Progress { discovery_failure, ..Progress::default() },
            false => progress.clone(),
        };
        if let Some(conditions) = plan::plan_conditions(&namespace.status.conditions, &stated, self.clock.now()) {
            let status = NamespaceStatus { phase: "Terminating".to_owned(), conditions };
            let whole = Whole::new(&NAMESPACES, &namespace.metadata, &namespace.spec, &status);
            let written = self.api.replace_subresource::<Partial>(&NAMESPACES, &key, "status", &whole).await;
            if let Err(error) = written {
                return if is_not_found(&error) { Ok(Outcome::Done) } else { Err(error.into()) };
            }
        }
        if progress.is_complete() {
            return self.finalize(&key).await;
        }
        if progress.estimate > 0 && progress.failures.is_empty() && progress.discovery_failure.is_none() {
            return Ok(Outcome::After(progress.recheck()));
        }
        Err(SyncError::Refused(format!("the content of namespace {key} could not be deleted completely")))
    }

    /// Deletes what is in the namespace; tells what is left, and whether that is pods, which keep all else in place.
    async fn delete_content(&self, namespace: &str) -> (Progress, bool) {
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
        let deletable =
            served.into_iter().filter(|served| served.resource.namespaced && served.can(&["list", "delete"]));
        let is_pods = |served: &Served| served.resource.group.is_empty() && served.resource.plural == "pods";
        let (pods, others): (Vec<Served>, Vec<Served>) = deletable.partition(is_pods);
        for (resources, is_pods) in [(pods, true), (others, false)] {
            let results = join_all(resources.iter().map(|served| self.delete_resource(served, namespace))).await;
            for (served, result) in resources.iter().zip(results) {
                let name = format!("{}.{}", served.resource.plural, served.resource.group);
                match result {
                    Ok(left) => progress.add_remaining(name, &left, is_pods, self.clock.now()),
                    Err(error) => progress.failures.push(message(&error)),
                }
            }
            if is_pods && progress.holds_up() {
                return (progress, true);
            }
        }
        (progress, false)
    }

    /// Deletes all objects of one resource; gives those that are still there.
    async fn delete_resource(&self, served: &Served, namespace: &str) -> Result<Vec<Meta>, Error> {
        let resource = &served.resource;
        let present = self.list(served, namespace).await?;
        if present.is_empty() {
            return Ok(present);
        }
        let params = DeleteParams::background();
        if served.can(&["deletecollection"]) {
            self.api.delete_collection(resource, namespace, &params).await?;
        } else {
            let keys: Vec<ObjectKey> = present.iter().map(Meta::key).collect();
            for result in join_all(keys.iter().map(|key| self.api.delete(resource, key, &params))).await {
                result.or_else(|error| if is_not_found(&error) { Ok(()) } else { Err(error) })?;
            }
        }
        self.list(served, namespace).await
    }

    async fn list(&self, served: &Served, namespace: &str) -> Result<Vec<Meta>, Error> {
        let params = ListParams::default();
        match self.api.list_metadata::<Partial>(&served.resource, namespace, &params).await {
            Ok(page) => Ok(page.items.into_iter().map(|object| object.metadata).collect()),
            // The resource has gone meanwhile, or cannot be listed: then there is nothing to delete.
            Err(Error::Api(status)) if matches!(status.code, 404 | 405) => Ok(Vec::new()),
            Err(error) => Err(error),
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
