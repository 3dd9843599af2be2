//! What the two controllers of EndpointSlices share: when to look at a service again, and how slices are written.

use std::sync::Arc;

use kube::api::DeleteParams;
use serde_json::{Value, json};
use steersman_framework::api::{Api, Written, is_namespace_terminating, is_not_found, message};
use steersman_framework::consistency::Consistency;
use steersman_framework::informer::{Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey};
use steersman_framework::queue::WorkQueue;

use crate::endpointslice::objects::{Endpoint, MANAGED_BY, Port, SERVICE_NAME, Slice};
use crate::error::SyncError;
use crate::objects::ENDPOINT_SLICES;

/// What a slice is to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// `IPv4` or `IPv6`.
    pub address_type: &'static str,
    /// The ports.
    pub ports: Vec<Port>,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Slices to make.
    pub create: Vec<Content>,
    /// Slices to write, and what they are to hold.
    pub update: Vec<(Arc<Slice>, Content)>,
    /// Slices to delete.
    pub delete: Vec<Arc<Slice>>,
}

/// Ports in an order in which they can be compared.
pub(crate) fn sorted(ports: &[Port]) -> Vec<Port> {
    let mut ports = ports.to_vec();
    ports.sort();
    ports
}

/// Queues the service of each slice that changes and is looked after by `manager`.
pub(crate) fn follow_slices(slices: &Informer<Slice>, manager: &'static str, queue: &WorkQueue<ObjectKey>) {
    let queue = queue.clone();
    slices.on_change(move |delta: &Delta<Slice>| {
        for slice in [&delta.old, &delta.new].into_iter().flatten() {
            let labels = &slice.metadata.labels;
            if let Some(service) = labels.get(SERVICE_NAME).filter(|_| labels.get(MANAGED_BY) == Some(manager)) {
                queue.add(ObjectKey::new(&slice.metadata.namespace, service));
            }
        }
    });
}

/// Writes the slices of one owner.
pub(crate) struct SliceWriter<'a> {
    pub(crate) api: &'a Api,
    /// Learns of the writes.
    pub(crate) consistency: &'a Consistency,
    /// A service or Endpoints.
    pub(crate) owner: &'a Meta,
}

impl SliceWriter<'_> {
    /// Does what is to be done; `metadata` is what a slice is to have, in the place of the one that is there.
    pub(crate) async fn write(
        &self,
        changes: &Changes,
        metadata: impl Fn(Option<&Slice>) -> Value,
    ) -> Result<(), SyncError> {
        // Slices of an owner that goes would only meet the garbage collector.
        for content in changes.create.iter().filter(|_| !self.owner.is_deleting()) {
            let body = body(content, metadata(None));
            match self.api.create::<Written>(&ENDPOINT_SLICES, &self.owner.namespace, &body).await {
                Ok(written) => self.wrote(&written),
                Err(error) if is_namespace_terminating(&error) => return Ok(()),
                Err(error) => return Err(self.failed("create", "", &error)),
            }
        }
        for (slice, content) in &changes.update {
            let (meta, body) = (&slice.metadata, body(content, metadata(Some(slice))));
            match self.api.replace(&ENDPOINT_SLICES, &meta.key(), &body).await {
                Ok(written) => self.wrote(&written),
                Err(error) => return Err(self.failed("update", &format!("{} ", meta.name), &error)),
            }
        }
        delete(self.api, &changes.delete).await
    }

    fn failed(&self, what: &str, slice: &str, error: &kube::Error) -> SyncError {
        let (owner, why) = (self.owner.key(), message(error));
        SyncError::Refused(format!("failed to {what} {slice}EndpointSlice for Service {owner}: {why}"))
    }

    fn wrote(&self, written: &Written) {
        self.consistency.wrote(&self.owner.uid, "endpointslices", &written.metadata.resource_version);
    }
}

/// Deletes slices; those that are gone already are fine.
pub(crate) async fn delete(api: &Api, slices: &[Arc<Slice>]) -> Result<(), SyncError> {
    for slice in slices {
        match api.delete(&ENDPOINT_SLICES, &slice.metadata.key(), &DeleteParams::default()).await {
            Err(error) if !is_not_found(&error) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

fn body(content: &Content, metadata: Value) -> Value {
    json!({
        "apiVersion": ENDPOINT_SLICES.api_version(),
        "kind": ENDPOINT_SLICES.kind,
        "metadata": metadata,
        "addressType": content.address_type,
        "ports": content.ports,
        "endpoints": content.endpoints,
    })
}
