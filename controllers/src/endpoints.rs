//! Keeps the Endpoints of services that have a selector, for those who do not read EndpointSlices yet.
//! Source: `k8s.io/kubernetes/pkg/controller/endpoint`.

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::{DeleteParams, Preconditions};
use serde_json::{Value, json};
use steersman_framework::api::{Api, Written, is_namespace_terminating, is_not_found, message};
use steersman_framework::consistency::Consistency;
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::events::{EventType, Involved, Recorder};
use steersman_framework::informer::{Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey, Partial};
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;

use crate::endpoints::objects::{Endpoints, LEADER, Subset};
use crate::endpoints::plan::{labels, plan_subsets};
use crate::error::SyncError;
use crate::objects::{ENDPOINTS, PODS, Pod, SERVICES};
use crate::services::{Service, TRIGGER_TIME, Triggers, subscribe};
use crate::shared::{Shared, forget_gone};

pub mod objects;
pub mod plan;

const COMPONENT: &str = "endpoints-controller";
/// The component of its events.
const RECORDER: &str = "endpoint-controller";
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
    recorder: Recorder,
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
            recorder: shared.recorder.of(RECORDER),
        };
        subscribe(&controller.services, &controller.pods, &controller.queue);
        forget_gone(&controller.services, &controller.consistency);
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
            // Services may have gone while nobody watched.
            for endpoints in self.endpoints.all() {
                if endpoints.metadata.annotations.get(LEADER).is_none() {
                    self.queue.add(endpoints.metadata.key());
                }
            }
        };
        let workers = Workers { name: COMPONENT, concurrency, max_retries: Some(MAX_RETRIES) };
        run_when(synced, workers, &self.queue, shutdown, |key| self.sync(key)).await;
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
        let is_new = present.is_none();
        let written = match &present {
            Some(_) => self.api.replace::<Written>(&ENDPOINTS, &key, &wanted).await,
            None => self.api.create::<Written>(&ENDPOINTS, &key.namespace, &wanted).await,
        };
        match written {
            Ok(written) => self.consistency.wrote(uid, "endpoints", &written.metadata.resource_version),
            Err(error) if is_new && is_namespace_terminating(&error) => {}
            Err(error) => {
                self.report(&key, present.as_deref(), &error);
                return Err(error.into());
            }
        }
        Ok(Outcome::Done)
    }

    fn report(&self, key: &ObjectKey, present: Option<&Endpoints>, error: &kube::Error) {
        let new = || Meta { name: key.name.clone(), namespace: key.namespace.clone(), ..Meta::default() };
        let meta = present.map_or_else(new, |present| present.metadata.clone());
        let (reason, text) = match present {
            Some(_) => ("FailedToUpdateEndpoint", format!("Failed to update endpoint {key}: {}", message(error))),
            None => {
                ("FailedToCreateEndpoint", format!("Failed to create endpoint for service {key}: {}", message(error)))
            }
        };
        self.recorder.record(&Involved::new(&ENDPOINTS, &meta), EventType::Warning, reason, text);
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

/// The Endpoints to write, in the place of those that are there; `None` if they are as they should be.
fn wanted(
    service: &Service,
    present: Option<&Endpoints>,
    subsets: Vec<Subset>,
    (trigger, truncated): (Option<Timestamp>, bool),
) -> Option<Value> {
    let (meta, labels) = (&service.metadata, labels(service));
    let before = present.map(|present| &present.metadata);
    let mut annotations = before.map(|meta| meta.annotations.clone()).unwrap_or_default();
    let marked = annotations.get(OVER_CAPACITY).is_some();
    if present
        .is_some_and(|present| present.subsets == subsets && present.metadata.labels == labels && marked == truncated)
    {
        return None;
    }
    for (key, value) in [
        (TRIGGER_TIME, trigger.map(|time| time.to_string())),
        (OVER_CAPACITY, truncated.then(|| "truncated".to_owned())),
    ] {
        match value {
            Some(value) => _ = annotations.insert(key, value),
            None => _ = annotations.remove(key),
        }
    }
    let new = || json!({"name": meta.name, "namespace": meta.namespace});
    let mut metadata = before.map_or_else(new, Meta::for_update);
    metadata["labels"] = json!(labels);
    metadata["annotations"] = json!(annotations);
    Some(json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}))
}
