//! Keeps the EndpointSlices of services that have a selector.
//! Source: `k8s.io/kubernetes/pkg/controller/endpointslice`, `k8s.io/endpointslice`.
//!
//! Slices have owners, so they go with their service by way of the garbage collector. Hints follow
//! `spec.trafficDistribution`; those of the annotation `service.kubernetes.io/topology-mode` are not given.

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::DeleteParams;
use serde_json::{Map, Value, json};
use steersman_framework::api::{Api, Written, is_namespace_terminating, is_not_found};
use steersman_framework::consistency::Consistency;
use steersman_framework::controller::{self, Outcome, Workers};
use steersman_framework::informer::{Delta, Informer};
use steersman_framework::meta::ObjectKey;
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;

use crate::endpointslice::objects::{MANAGED_BY, MANAGER, SERVICE_NAME, Slice, slices_of};
use crate::endpointslice::plan::{Content, Located, labels, plan_slices};
use crate::error::SyncError;
use crate::node_lifecycle::objects::Node;
use crate::objects::{ENDPOINT_SLICES, NODES, PODS, Pod, SERVICES};
use crate::services::{Service, TRIGGER_TIME, Triggers, is_reachable, subscribe};
use crate::shared::{Shared, wait};

pub mod objects;
pub mod plan;

const COMPONENT: &str = "endpointslice-controller";
/// After how many failures in a row a service has to wait for its next change.
const MAX_RETRIES: u32 = 15;
/// The label of a node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// The running controller.
pub(crate) struct EndpointSliceController {
    api: Api,
    services: Informer<Service>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    slices: Informer<Slice>,
    queue: WorkQueue<ObjectKey>,
    triggers: Triggers,
    consistency: Arc<Consistency>,
}

impl EndpointSliceController {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared) -> Self {
        let controller = Self {
            api: shared.api.clone(),
            services: shared.informers.informer(&SERVICES),
            pods: shared.informers.informer(&PODS),
            nodes: shared.informers.informer(&NODES),
            slices: shared.informers.informer(&ENDPOINT_SLICES),
            queue: shared.queue("endpoint_slice"),
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
            self.pods.synced().await;
            self.nodes.synced().await;
            self.slices.synced().await;
        };
        if !wait(&shutdown, synced).await {
            return;
        }
        let workers = Workers { name: COMPONENT, concurrency, max_retries: Some(MAX_RETRIES) };
        controller::run(workers, self.queue.clone(), shutdown, |key| self.sync(key)).await;
    }

    async fn sync(&self, key: ObjectKey) -> Result<Outcome, SyncError> {
        let Some(service) = self.services.get(&key) else {
            self.triggers.forget(&key);
            return Ok(Outcome::Done);
        };
        if !service.is_selecting() {
            return Ok(Outcome::Done);
        }
        if !self.consistency.is_current(&service.metadata.uid, |_| self.slices.resource_version()) {
            return Ok(Outcome::Soon);
        }
        let pods = service.pods(&self.pods);
        let trigger = self.triggers.last_change(&service, &pods);
        let mut homeless = None;
        let located = pods.into_iter().filter_map(|pod| {
            let node = self.nodes.get(&ObjectKey::new("", &pod.node_name));
            if node.is_none() && !service.spec.publish_not_ready_addresses {
                homeless = Some(pod).filter(|pod| is_reachable(pod, true)).or(homeless.take());
                return None;
            }
            let zone = node.and_then(|node| node.metadata.labels.get(ZONE).map(str::to_owned));
            Some(Located { pod, zone: zone.filter(|zone| !zone.is_empty()) })
        });
        let located: Vec<Located> = located.collect();
        self.act(&service, &located, trigger).await?;
        // The node may be on its way.
        let missing = |pod: Arc<Pod>| {
            let (name, node) = (&pod.metadata.name, &pod.node_name);
            SyncError::Refused(format!("skipping Pod {name} for Service {key}: Node {node} Not Found"))
        };
        homeless.map_or(Ok(Outcome::Done), |pod| Err(missing(pod)))
    }

    async fn act(&self, service: &Service, pods: &[Located], trigger: Option<Timestamp>) -> Result<(), SyncError> {
        let meta = &service.metadata;
        let mut existing = self.slices.indexed(&slices_of(&meta.namespace, &meta.name));
        existing.retain(|slice| !slice.metadata.is_deleting());
        let changes = plan_slices(service, pods, &existing);
        let create = changes.create.iter().filter(|_| !meta.is_deleting());
        for content in create {
            match self
                .api
                .create::<Written>(&ENDPOINT_SLICES, &meta.namespace, &new_slice(service, content, trigger))
                .await
            {
                Ok(written) => self.consistency.wrote(&meta.uid, "endpointslices", &written.metadata.resource_version),
                Err(error) if is_namespace_terminating(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        for (slice, content) in &changes.update {
            let body = changed_slice(service, slice, content, trigger);
            let written: Written = self.api.replace(&ENDPOINT_SLICES, &slice.metadata.key(), &body).await?;
            self.consistency.wrote(&meta.uid, "endpointslices", &written.metadata.resource_version);
        }
        for slice in &changes.delete {
            match self.api.delete(&ENDPOINT_SLICES, &slice.metadata.key(), &DeleteParams::default()).await {
                Err(error) if !is_not_found(&error) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

fn new_slice(service: &Service, content: &Content, trigger: Option<Timestamp>) -> Value {
    let meta = &service.metadata;
    let owner = json!({
        "apiVersion": "v1", "kind": "Service", "name": meta.name, "uid": meta.uid,
        "controller": true, "blockOwnerDeletion": true,
    });
    let annotations: Map<String, Value> =
        trigger.iter().map(|time| (TRIGGER_TIME.to_owned(), time.to_string().into())).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{}-", meta.name),
            "namespace": meta.namespace,
            "labels": labels(service),
            "annotations": annotations,
            "ownerReferences": [owner],
        },
        "addressType": content.address_type,
        "ports": content.ports,
        "endpoints": content.endpoints,
    })
}

/// A slice as it is to be. The server refuses it if it was changed meanwhile.
fn changed_slice(service: &Service, slice: &Slice, content: &Content, trigger: Option<Timestamp>) -> Value {
    let meta = &slice.metadata;
    let mut annotations = meta.annotations.clone();
    match trigger {
        Some(time) => _ = annotations.insert(TRIGGER_TIME, time.to_string()),
        None => _ = annotations.remove(TRIGGER_TIME),
    }
    let prefix = format!("{}-", service.metadata.name);
    let generate_name = Some(prefix).filter(|prefix| meta.name.starts_with(prefix));
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": meta.name,
            "generateName": generate_name,
            "namespace": meta.namespace,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
            "labels": labels(service),
            "annotations": annotations,
            "ownerReferences": meta.owner_references,
            "finalizers": meta.finalizers,
        },
        "addressType": content.address_type,
        "ports": content.ports,
        "endpoints": content.endpoints,
    })
}
