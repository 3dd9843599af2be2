//! Keeps the Endpoints of services that have a selector, for those who do not read EndpointSlices yet.
//! Source: `k8s.io/kubernetes/pkg/controller/endpoint`.

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, Preconditions};
use serde_json::{Map, Value, json};
use steersman_framework::api::{Api, Written, is_namespace_terminating, is_not_found};
use steersman_framework::consistency::Consistency;
use steersman_framework::controller::{self, Outcome, Workers};
use steersman_framework::informer::{Delta, Informer};
use steersman_framework::meta::{ObjectKey, Partial};
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;

use crate::endpoints::plan::{Subset, labels, plan_subsets};
use crate::endpointslicemirroring::objects::{Endpoints, LEADER};
use crate::error::SyncError;
use crate::objects::{ENDPOINTS, PODS, Pod, SERVICES};
use crate::services::{Service, TRIGGER_TIME, Triggers, subscribe};
use crate::shared::{Shared, wait};

pub mod plan;

const COMPONENT: &str = "endpoints-controller";
/// After how many failures in a row a service has to wait for its next change.
const MAX_RETRIES: u32 = 15;
/// The annotation of Endpoints that do not hold all addresses.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// The running controller.
pub(crate) struct EndpointsController {
    api: Api,
    services: Informer<Service>,
    pods: Informer<Pod>,
    endpoints: Informer<Endpoints>,
    queue: WorkQueue<ObjectKey>,
    triggers: Triggers,
    consistency: Arc<Consistency>,
}

impl EndpointsController {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared) -> Self {
        let controller = Self {
            api: shared.api.clone(),
            services: shared.informers.informer(&SERVICES),
            pods: shared.informers.informer(&PODS),
            endpoints: shared.informers.informer(&ENDPOINTS),
            queue: shared.queue("endpoint"),
            triggers: Triggers::default(),
            consistency: Arc::default(),
        };
        subscribe(&controller.services, &controller.pods, &controller.queue);
        let consistency = Arc::clone(&controller.consistency);
        controller.services.on_change(move |delta: &Delta<Service>| {
            if let Some(gone) = delta.old.as_ref().filter(|_| delta.new.is_none()) {
                consistency.forget(&gone.metadata.uid);
            }
        });
        let queue = controller.queue.clone();
        controller.endpoints.on_change(move |delta: &Delta<Endpoints>| {
            // A lost one is made anew; what somebody writes into one stays until the service changes.
            if let Some(gone) = delta.old.as_ref().filter(|_| delta.new.is_none()) {
                queue.add(gone.metadata.key());
            }
        });
        controller
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let synced = async {
            self.services.synced().await;
            self.pods.synced().await;
            self.endpoints.synced().await;
        };
        if !wait(&shutdown, synced).await {
            return;
        }
        // Services may have gone while nobody watched.
        for endpoints in self.endpoints.all() {
            if endpoints.metadata.annotations.get(LEADER).is_none() {
                self.queue.add(endpoints.metadata.key());
            }
        }
        let workers = Workers { name: COMPONENT, concurrency, max_retries: Some(MAX_RETRIES) };
        controller::run(workers, self.queue.clone(), shutdown, |key| self.sync(key)).await;
    }

    async fn sync(&self, key: ObjectKey) -> Result<Outcome, SyncError> {
        let Some(service) = self.services.get(&key) else {
            self.triggers.forget(&key);
            return self.remove(&key).await;
        };
        if !service.is_selecting() {
            return Ok(Outcome::Done);
        }
        let uid = &service.metadata.uid;
        if !self.consistency.is_current(uid, |_| self.endpoints.resource_version()) {
            return Ok(Outcome::Soon);
        }
        let pods = service.pods(&self.pods);
        let trigger = self.triggers.last_change(&service, &pods);
        let (subsets, truncated) = plan_subsets(&service, &pods);
        let present = self.endpoints.get(&key);
        let wanted = wanted(&service, present.as_deref(), subsets, (trigger, truncated));
        let Some(wanted) = wanted else { return Ok(Outcome::Done) };
        let written = match present {
            Some(_) => self.api.patch::<Written>(&ENDPOINTS, &key, &Patch::Merge(wanted)).await,
            None => self.api.create::<Written>(&ENDPOINTS, &key.namespace, &wanted).await,
        };
        match written {
            Ok(written) => self.consistency.wrote(uid, "endpoints", &written.metadata.resource_version),
            Err(error) if is_namespace_terminating(&error) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Outcome::Done)
    }

    /// Deletes the Endpoints of a service that is gone; the server says whether it is.
    async fn remove(&self, key: &ObjectKey) -> Result<Outcome, SyncError> {
        let Some(endpoints) = self.endpoints.get(key) else { return Ok(Outcome::Done) };
        match self.api.get_metadata::<Partial>(&SERVICES, key).await {
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(Outcome::Done),
        }
        let preconditions = Preconditions { uid: Some(endpoints.metadata.uid.clone()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.api.delete(&ENDPOINTS, key, &params).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(Outcome::Done),
        }
    }
}

/// The Endpoints to create, or the merge patch of those that are there; `None` if they are as they should be.
fn wanted(
    service: &Service,
    present: Option<&Endpoints>,
    subsets: Vec<Subset>,
    (trigger, truncated): (Option<Timestamp>, bool),
) -> Option<Value> {
    let meta = &service.metadata;
    let labels = labels(service);
    let mut annotations = Map::new();
    let mut annotate = |key: &str, value: Option<String>| {
        // A null takes away what is there, and is not written where nothing is.
        if present.is_some() || value.is_some() {
            annotations.insert(key.to_owned(), value.into());
        }
    };
    annotate(TRIGGER_TIME, trigger.map(|time| time.to_string()));
    annotate(OVER_CAPACITY, truncated.then(|| "truncated".to_owned()));
    let mut written: Map<String, Value> = labels.iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let mut metadata = json!({"name": meta.name, "namespace": meta.namespace, "annotations": annotations});
    if let Some(present) = present {
        let marked = present.metadata.annotations.get(OVER_CAPACITY).is_some();
        if present.subsets == subsets && present.metadata.labels == labels && marked == truncated {
            return None;
        }
        let superfluous = present.metadata.labels.iter().filter(|(key, _)| labels.get(key).is_none());
        written.extend(superfluous.map(|(key, _)| (key.to_owned(), Value::Null)));
        metadata["resourceVersion"] = present.metadata.resource_version.as_str().into();
    }
    metadata["labels"] = written.into();
    Some(json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}))
}
