//! Mirrors the Endpoints of services without a selector, which people write by hand, into EndpointSlices.
//! Source: `k8s.io/kubernetes/pkg/controller/endpointslicemirroring`.

use std::sync::Arc;

use kube::api::DeleteParams;
use serde_json::{Value, json};
use steersman_framework::api::{Api, Written, is_namespace_terminating, is_not_found};
use steersman_framework::consistency::Consistency;
use steersman_framework::controller::{self, Outcome, Workers};
use steersman_framework::events::{EventType, Involved, Recorder};
use steersman_framework::informer::{Delta, Informer};
use steersman_framework::meta::ObjectKey;
use steersman_framework::ownership::controller_reference;
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;

use crate::endpointslice::objects::{MANAGED_BY, SERVICE_NAME, Slice, mirrors_of};
use crate::endpointslicemirroring::objects::Endpoints;
use crate::endpointslicemirroring::plan::{Changes, Content, MAX_ENDPOINTS, annotations, labels, plan_mirrors};
use crate::error::SyncError;
use crate::objects::{ENDPOINT_SLICES, ENDPOINTS, SERVICES};
use crate::services::Service;
use crate::shared::{Shared, wait};

pub mod objects;
pub mod plan;

const NAME: &str = "endpointslice-mirroring-controller";
/// The component of its events.
const COMPONENT: &str = "endpoint-slice-mirroring-controller";
/// What the label [`MANAGED_BY`] says of the mirrors.
pub const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// After how many failures in a row Endpoints have to wait for their next change.
const MAX_RETRIES: u32 = 15;

/// The running controller.
pub(crate) struct EndpointSliceMirroringController {
    api: Api,
    recorder: Recorder,
    services: Informer<Service>,
    endpoints: Informer<Endpoints>,
    slices: Informer<Slice>,
    queue: WorkQueue<ObjectKey>,
    consistency: Arc<Consistency>,
}

impl EndpointSliceMirroringController {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared) -> Self {
        let controller = Self {
            api: shared.api.clone(),
            recorder: shared.recorder.of(COMPONENT),
            services: shared.informers.informer(&SERVICES),
            endpoints: shared.informers.informer(&ENDPOINTS),
            slices: shared.informers.informer(&ENDPOINT_SLICES),
            queue: shared.queue("endpoint_slice_mirroring"),
            consistency: Arc::default(),
        };
        let queue = controller.queue.clone();
        controller.services.on_change(move |delta: &Delta<Service>| {
            if let Some(service) = delta.new.as_ref().or(delta.old.as_ref()) {
                queue.add(service.metadata.key());
            }
        });
        let (queue, consistency) = (controller.queue.clone(), Arc::clone(&controller.consistency));
        controller.endpoints.on_change(move |delta: &Delta<Endpoints>| {
            if let (Some(gone), None) = (&delta.old, &delta.new) {
                consistency.forget(&gone.metadata.uid);
            }
            if let Some(endpoints) = delta.new.as_ref().or(delta.old.as_ref()) {
                queue.add(endpoints.metadata.key());
            }
        });
        let queue = controller.queue.clone();
        controller.slices.on_change(move |delta: &Delta<Slice>| {
            for slice in [&delta.old, &delta.new].into_iter().flatten() {
                let labels = &slice.metadata.labels;
                if let Some(service) = labels.get(SERVICE_NAME).filter(|_| labels.get(MANAGED_BY) == Some(MANAGER)) {
                    queue.add(ObjectKey::new(&slice.metadata.namespace, service));
                }
            }
        });
        controller
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let synced = async {
            self.services.synced().await;
            self.endpoints.synced().await;
            self.slices.synced().await;
        };
        if !wait(&shutdown, synced).await {
            return;
        }
        let workers = Workers { name: NAME, concurrency, max_retries: Some(MAX_RETRIES) };
        controller::run(workers, self.queue.clone(), shutdown, |key| self.sync(key)).await;
    }

    async fn sync(&self, key: ObjectKey) -> Result<Outcome, SyncError> {
        let mut mirrors = self.slices.indexed(&mirrors_of(&key.namespace, &key.name));
        mirrors.retain(|slice| !slice.metadata.is_deleting());
        // A service with a selector has slices of its own.
        let is_manual = self.services.get(&key).is_some_and(|service| service.spec.selector.is_empty());
        let endpoints = self.endpoints.get(&key).filter(|endpoints| is_manual && endpoints.is_mirrored());
        let Some(endpoints) = endpoints else {
            self.delete(&mirrors).await?;
            return Ok(Outcome::Done);
        };
        if !self.consistency.is_current(&endpoints.metadata.uid, |_| self.slices.resource_version()) {
            return Ok(Outcome::Soon);
        }
        let changes = plan_mirrors(&endpoints, &mirrors);
        self.report(&endpoints, &changes);
        self.act(&endpoints, &changes).await?;
        Ok(Outcome::Done)
    }

    fn report(&self, endpoints: &Endpoints, changes: &Changes) {
        let involved = Involved::new(&ENDPOINTS, &endpoints.metadata);
        let Changes { invalid, skipped, .. } = changes;
        if *invalid > 0 {
            let text = format!("Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices");
            self.recorder.record(&involved, EventType::Warning, "InvalidIPAddress", text);
        }
        if skipped > invalid {
            let text = format!(
                "A max of {MAX_ENDPOINTS} addresses can be mirrored to EndpointSlices per Endpoints subset. \
                 {skipped} addresses were skipped"
            );
            self.recorder.record(&involved, EventType::Warning, "TooManyAddressesToMirror", text);
        }
    }

    async fn act(&self, endpoints: &Endpoints, changes: &Changes) -> Result<(), SyncError> {
        let meta = &endpoints.metadata;
        let wrote = |written: Written| {
            self.consistency.wrote(&meta.uid, "endpointslices", &written.metadata.resource_version);
        };
        for content in changes.create.iter().filter(|_| !meta.is_deleting()) {
            let body = body(endpoints, content, None);
            match self.api.create::<Written>(&ENDPOINT_SLICES, &meta.namespace, &body).await {
                Ok(written) => wrote(written),
                Err(error) if is_namespace_terminating(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        for (slice, content) in &changes.update {
            let body = body(endpoints, content, Some(slice));
            wrote(self.api.replace(&ENDPOINT_SLICES, &slice.metadata.key(), &body).await?);
        }
        self.delete(&changes.delete).await
    }

    async fn delete(&self, slices: &[Arc<Slice>]) -> Result<(), SyncError> {
        for slice in slices {
            match self.api.delete(&ENDPOINT_SLICES, &slice.metadata.key(), &DeleteParams::default()).await {
                Err(error) if !is_not_found(&error) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A mirror, in the place of `slice` if there is one.
fn body(endpoints: &Endpoints, content: &Content, slice: Option<&Slice>) -> Value {
    let meta = &endpoints.metadata;
    let mut metadata = json!({
        "namespace": meta.namespace,
        "labels": labels(endpoints),
        "annotations": annotations(endpoints),
        "ownerReferences": [controller_reference(&ENDPOINTS, meta)],
    });
    match slice {
        Some(slice) => {
            metadata["name"] = slice.metadata.name.as_str().into();
            metadata["resourceVersion"] = slice.metadata.resource_version.as_str().into();
        }
        None => metadata["generateName"] = format!("{}-", meta.name).into(),
    }
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": content.address_type,
        "ports": content.ports,
        "endpoints": content.endpoints,
    })
}
