//! Keeps the EndpointSlices of services that have a selector.
//! Source: `k8s.io/kubernetes/pkg/controller/endpointslice`, `k8s.io/endpointslice`.
//!
//! Slices have owners, so they go with their service by way of the garbage collector. Hints follow
//! `spec.trafficDistribution`, or the annotation `service.kubernetes.io/topology-mode`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman_framework::api::Api;
use steersman_framework::consistency::Consistency;
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::events::{EventType, Involved, Recorder};
use steersman_framework::informer::{Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey};
use steersman_framework::ownership::controller_reference;
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;

use crate::endpointslice::objects::{MANAGER, Slice, slices_of};
use crate::endpointslice::plan::{Located, labels, plan_hinted_slices, plan_slices};
use crate::endpointslice::topology::{Distribution, ZONE};
use crate::endpointslice::writing::{SliceWriter, follow_slices};
use crate::error::SyncError;
use crate::node_lifecycle::objects::Node;
use crate::objects::{ENDPOINT_SLICES, NODES, PODS, Pod, SERVICES};
use crate::services::{Service, TRIGGER_TIME, Triggers, is_reachable, subscribe};
use crate::shared::{Shared, forget_gone};

pub mod objects;
pub mod plan;
pub mod topology;
pub mod writing;

const COMPONENT: &str = "endpointslice-controller";
/// After how many failures in a row a service has to wait for its next change.
const MAX_RETRIES: u32 = 15;
/// The component of its events.
const RECORDER: &str = "endpoint-slice-controller";

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
    recorder: Recorder,
    hinted: Arc<Mutex<Hinted>>,
}

/// How the endpoints of services with hints by topology are distributed, by the families of their addresses.
type Hinted = BTreeMap<ObjectKey, BTreeMap<&'static str, Distribution>>;

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
            recorder: shared.recorder.of(RECORDER),
            hinted: Arc::default(),
        };
        controller.follow_nodes();
        subscribe(&controller.services, &controller.pods, &controller.queue);
        forget_gone(&controller.services, &controller.consistency);
        follow_slices(&controller.slices, MANAGER, &controller.queue);
        controller
    }

    /// Looks again at services whose hints do not fit the nodes any more.
    fn follow_nodes(&self) {
        let (queue, hinted, nodes) = (self.queue.clone(), Arc::clone(&self.hinted), self.nodes.downgrade());
        self.nodes.on_change(move |delta: &Delta<Node>| {
            let matters = |node: &Arc<Node>| {
                let ready = node.condition("Ready").map(|condition| condition.status.clone());
                (ready, node.metadata.labels.get(ZONE).map(str::to_owned))
            };
            let is_news = delta.old.as_ref().map(matters) != delta.new.as_ref().map(matters);
            let hinted = hinted.lock();
            let Some(nodes) = nodes.upgrade().filter(|_| is_news && !hinted.is_empty()) else { return };
            let ratios = topology::ratios(&nodes.all());
            let is_wrong = |it: &BTreeMap<_, _>| it.values().any(|it| topology::is_overloaded(it, ratios.as_ref()));
            hinted.iter().filter(|(_, all)| is_wrong(all)).for_each(|(service, _)| queue.add(service.clone()));
        });
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let synced = async {
            self.services.synced().await;
            self.pods.synced().await;
            self.nodes.synced().await;
            self.slices.synced().await;
        };
        let workers = Workers { name: COMPONENT, concurrency, max_retries: Some(MAX_RETRIES) };
        run_when(synced, workers, &self.queue, shutdown, |key| self.sync(key)).await;
    }

    async fn sync(&self, key: ObjectKey) -> Result<Outcome, SyncError> {
        let Some(service) = self.services.get(&key) else {
            self.triggers.forget(&key);
            self.hinted.lock().remove(&key);
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
        if let Err(error) = self.act(&service, &located, trigger).await {
            let text = format!("Error updating Endpoint Slices for Service {key}: {error}");
            let involved = Involved::new(&SERVICES, &service.metadata);
            self.recorder.record(&involved, EventType::Warning, "FailedToUpdateEndpointSlices", text);
            return Err(error);
        }
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
        let changes = match topology::is_wanted(&meta.annotations) {
            true => {
                let ratios = topology::ratios(&self.nodes.all());
                let (changes, given) = plan_hinted_slices(service, pods, &existing, ratios.as_ref());
                given.into_iter().for_each(|(address_type, given)| self.note_hints(meta, address_type, given));
                changes
            }
            false => {
                if let Some((address_type, _)) = self.hinted.lock().remove(&meta.key()).into_iter().flatten().next() {
                    self.tell_hints(meta, address_type, Err("Topology Aware Hints has been disabled".to_owned()));
                }
                plan_slices(service, pods, &existing)
            }
        };
        let writer = SliceWriter { api: &self.api, consistency: &self.consistency, owner: meta };
        writer.write(&changes, |slice| metadata(service, slice, trigger)).await
    }
}

impl EndpointSliceController {
    /// Remembers how the endpoints of one family are distributed, and tells of it if that is new.
    fn note_hints(&self, service: &Meta, address_type: &'static str, given: Result<Distribution, String>) {
        let mut hinted = self.hinted.lock();
        let key = service.key();
        match given {
            Ok(distribution) => {
                let is_first = !hinted.contains_key(&key);
                hinted.entry(key).or_default().insert(address_type, distribution);
                if is_first {
                    self.tell_hints(service, address_type, Ok("Topology Aware Hints has been enabled"));
                }
            }
            Err(why) => {
                let left = hinted.get_mut(&key).map(|families| {
                    families.remove(address_type);
                    families.len()
                });
                if left == Some(0) {
                    hinted.remove(&key);
                }
                self.tell_hints(service, address_type, Err(why));
            }
        }
    }

    fn tell_hints(&self, service: &Meta, address_type: &str, what: Result<&str, String>) {
        let (kind, reason, what) = match what {
            Ok(what) => (EventType::Normal, "TopologyAwareHintsEnabled", what.to_owned()),
            Err(why) => (EventType::Warning, "TopologyAwareHintsDisabled", why),
        };
        let message = format!("{what}, addressType: {address_type}");
        self.recorder.record(&Involved::new(&SERVICES, service), kind, reason, message);
    }
}

/// The metadata of a slice, in the place of one that is there.
fn metadata(service: &Service, slice: Option<&Slice>, trigger: Option<Timestamp>) -> Value {
    let meta = &service.metadata;
    let mut annotations = slice.map(|slice| slice.metadata.annotations.clone()).unwrap_or_default();
    match trigger {
        Some(time) => _ = annotations.insert(TRIGGER_TIME, time.to_string()),
        None => _ = annotations.remove(TRIGGER_TIME),
    }
    let new = || {
        json!({
            "generateName": format!("{}-", meta.name),
            "namespace": meta.namespace,
            "ownerReferences": [controller_reference(&SERVICES, meta)],
        })
    };
    let mut metadata = slice.map_or_else(new, |slice| slice.metadata.for_update());
    metadata["labels"] = json!(labels(service));
    metadata["annotations"] = json!(annotations);
    metadata
}
