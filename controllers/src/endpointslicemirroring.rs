//! Mirrors the Endpoints of services without a selector, which people write by hand, into EndpointSlices.
//! Source: `k8s.io/kubernetes/pkg/controller/endpointslicemirroring`.

use std::sync::Arc;

use serde_json::{Value, json};
use steersman_framework::api::Api;
use steersman_framework::consistency::Consistency;
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::events::{EventType, Involved, Recorder};
use steersman_framework::informer::{Delta, Informer};
use steersman_framework::meta::ObjectKey;
use steersman_framework::ownership::controller_reference;
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;

use crate::endpoints::objects::Endpoints;
use crate::endpointslice::objects::{Slice, mirrors_of};
use crate::endpointslice::writing::{SliceWriter, delete, follow_slices};
use crate::endpointslicemirroring::plan::{MAX_ENDPOINTS, Mirrors, annotations, labels, plan_mirrors};
use crate::error::SyncError;
use crate::objects::{ENDPOINT_SLICES, ENDPOINTS, SERVICES};
use crate::services::Service;
use crate::shared::{Shared, forget_gone};

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
        let queue = controller.queue.clone();
        controller.endpoints.on_change(move |delta: &Delta<Endpoints>| {
            if let Some(endpoints) = delta.new.as_ref().or(delta.old.as_ref()) {
                queue.add(endpoints.metadata.key());
            }
        });
        forget_gone(&controller.endpoints, &controller.consistency);
        follow_slices(&controller.slices, MANAGER, &controller.queue);
        controller
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let synced = async {
            self.services.synced().await;
            self.endpoints.synced().await;
            self.slices.synced().await;
        };
        let workers = Workers { name: NAME, concurrency, max_retries: Some(MAX_RETRIES) };
        run_when(synced, workers, &self.queue, shutdown, |key| self.sync(key)).await;
    }

    async fn sync(&self, key: ObjectKey) -> Result<Outcome, SyncError> {
        let mut mirrors = self.slices.indexed(&mirrors_of(&key.namespace, &key.name));
        mirrors.retain(|slice| !slice.metadata.is_deleting());
        // A service with a selector has slices of its own.
        let is_manual = self.services.get(&key).is_some_and(|service| service.spec.selector.is_empty());
        let endpoints = self.endpoints.get(&key).filter(|endpoints| is_manual && endpoints.is_mirrored());
        let Some(endpoints) = endpoints else {
            delete(&self.api, &mirrors).await?;
            return Ok(Outcome::Done);
        };
        if !self.consistency.is_current(&endpoints.metadata.uid, |_| self.slices.resource_version()) {
            return Ok(Outcome::Soon);
        }
        let plan = plan_mirrors(&endpoints, &mirrors);
        self.report(&endpoints, &plan);
        let owner = &endpoints.metadata;
        let writer = SliceWriter { api: &self.api, consistency: &self.consistency, owner };
        writer.write(&plan.changes, |slice| metadata(&endpoints, slice)).await?;
        Ok(Outcome::Done)
    }

    fn report(&self, endpoints: &Endpoints, plan: &Mirrors) {
        let involved = Involved::new(&ENDPOINTS, &endpoints.metadata);
        let Mirrors { invalid, skipped, .. } = plan;
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
}

/// The metadata of a mirror, in the place of one that is there.
fn metadata(endpoints: &Endpoints, slice: Option<&Slice>) -> Value {
    let meta = &endpoints.metadata;
    let new = || json!({"generateName": format!("{}-", meta.name), "namespace": meta.namespace});
    let mut metadata = slice.map_or_else(new, |slice| slice.metadata.for_update());
    metadata["labels"] = json!(labels(endpoints));
    metadata["annotations"] = json!(annotations(endpoints));
    metadata["ownerReferences"] = json!([controller_reference(&ENDPOINTS, meta)]);
    metadata
}
