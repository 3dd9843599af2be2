//! Clears away pods that nobody else will: those of nodes that are gone or out of service, those that are deleted before
//! they came to a node, and the first of too many that have ended. Source: `k8s.io/kubernetes/pkg/controller/podgc`.
//!
//! Upstream looks at all pods every 20 seconds; here each change leads to those that it concerns.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{DeleteParams, ListParams, Patch, Preconditions};
use parking_lot::Mutex;
use serde_json::json;
use steersman_framework::api::{Api, Written, is_conflict, is_not_found};
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::informer::{Delta, Informer};
use steersman_framework::meta::ObjectKey;
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;
use steersman_machinery::clock::{SharedClock, format_time};

use crate::error::SyncError;
use crate::node_lifecycle::objects::Node;
use crate::objects::{DISRUPTION_TARGET, NODES, PODS, Pod};
use crate::pod_gc::plan::{Ended, Why, is_out_of_service, is_unscheduled_terminating, of_node};
use crate::shared::Shared;

pub mod plan;

const COMPONENT: &str = "pod-garbage-collector-controller";
/// How many pods that have ended are kept (upstream's `--terminated-pod-gc-threshold`).
const THRESHOLD: usize = 12_500;
/// How long pods that have ended collect before the first of too many go.
const PERIOD: Duration = Duration::from_secs(20);
/// How long a node has to be gone before its pods go.
const QUARANTINE: Duration = Duration::from_secs(40);

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// The pods of a node.
    Node(String),
    /// A pod that is being deleted and is on no node.
    Unscheduled(ObjectKey),
    /// Whether too many pods have ended.
    Ended,
    /// A pod that has ended and is one too many.
    Excess(ObjectKey),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node {name}"),
            Self::Unscheduled(key) | Self::Excess(key) => write!(f, "pod {key}"),
            Self::Ended => f.write_str("pods that have ended"),
        }
    }
}

/// The running controller.
pub(crate) struct PodGarbageCollector {
    api: Api,
    clock: SharedClock,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    queue: WorkQueue<Key>,
    ended: Arc<Mutex<Ended>>,
}

impl PodGarbageCollector {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared) -> Self {
        let controller = Self {
            api: shared.api.clone(),
            clock: shared.clock.clone(),
            nodes: shared.informers.informer(&NODES),
            pods: shared.informers.informer(&PODS),
            queue: shared.queue("orphaned_pods_nodes"),
            ended: Arc::default(),
        };
        let queue = controller.queue.clone();
        controller.nodes.on_change(move |delta: &Delta<Node>| match (&delta.old, &delta.new) {
            (Some(old), None) => queue.add_after(Key::Node(old.metadata.name.clone()), QUARANTINE),
            (old, Some(new)) if is_out_of_service(new) && !old.as_ref().is_some_and(|old| is_out_of_service(old)) => {
                queue.add(Key::Node(new.metadata.name.clone()));
            }
            _ => {}
        });
        let (queue, nodes, ended) = (controller.queue.clone(), controller.nodes.clone(), Arc::clone(&controller.ended));
        controller.pods.on_change(move |delta: &Delta<Pod>| {
            let Some(key) = delta.new.as_ref().or(delta.old.as_ref()).map(|pod| pod.metadata.key()) else { return };
            let is_over = {
                let mut ended = ended.lock();
                ended.note(&key, delta.new.as_deref());
                ended.is_over(THRESHOLD)
            };
            if is_over {
                queue.add_after(Key::Ended, PERIOD);
            }
            let Some(pod) = &delta.new else { return };
            if is_unscheduled_terminating(pod) {
                if !delta.old.as_ref().is_some_and(|old| is_unscheduled_terminating(old)) {
                    queue.add(Key::Unscheduled(key));
                }
            } else if !pod.node_name.is_empty() {
                match nodes.get(&ObjectKey::new("", &pod.node_name)) {
                    None => queue.add_after(Key::Node(pod.node_name.clone()), QUARANTINE),
                    Some(node) if of_node(pod, Some(&node)).is_some() => queue.add(Key::Node(pod.node_name.clone())),
                    Some(_) => {}
                }
            }
        });
        controller
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let synced = async {
            self.nodes.synced().await;
            self.pods.synced().await;
        };
        let workers = Workers { name: COMPONENT, concurrency, max_retries: None };
        run_when(synced, workers, &self.queue, shutdown, |key| self.sync(key)).await;
    }

    async fn sync(&self, key: Key) -> Result<Outcome, SyncError> {
        match key {
            Key::Node(name) => self.sync_node(&name).await?,
            Key::Unscheduled(key) => {
                if let Some(pod) = self.pods.get(&key).filter(|pod| is_unscheduled_terminating(pod)) {
                    self.remove(&pod, Why::Abandoned).await?;
                }
            }
            Key::Ended => {
                let excess = self.ended.lock().excess(THRESHOLD);
                excess.into_iter().for_each(|key| self.queue.add(Key::Excess(key)));
            }
            Key::Excess(key) => {
                if let Some(pod) = self.pods.get(&key).filter(|pod| pod.phase.is_terminal()) {
                    self.remove(&pod, Why::Abandoned).await?;
                }
            }
        }
        Ok(Outcome::Done)
    }

    async fn sync_node(&self, name: &str) -> Result<(), SyncError> {
        let key = ObjectKey::new("", name);
        let node = match self.nodes.get(&key) {
            Some(node) => Some(Node::clone(&node)),
            // The cache may be late.
            None => match self.api.get::<Node>(&NODES, &key).await {
                Ok(node) => Some(node),
                Err(error) if is_not_found(&error) => None,
                Err(error) => return Err(error.into()),
            },
        };
        if node.as_ref().is_some_and(|node| !is_out_of_service(node)) {
            return Ok(());
        }
        let params = ListParams::default().fields(&format!("spec.nodeName={name}"));
        for pod in self.api.list::<Pod>(&PODS, "", &params).await?.items {
            if let Some(why) = of_node(&pod, node.as_ref()) {
                self.remove(&pod, why).await?;
            }
        }
        Ok(())
    }

    /// Lets a pod end, and deletes it at once.
    async fn remove(&self, pod: &Pod, why: Why) -> Result<(), SyncError> {
        let (key, uid) = (pod.metadata.key(), &pod.metadata.uid);
        if !pod.phase.is_terminal() {
            let mut status = json!({"phase": "Failed"});
            if why == Why::Orphaned {
                status["conditions"] = json!([{
                    "type": DISRUPTION_TARGET, "status": "True", "reason": "DeletionByPodGC",
                    "message": "PodGC: node no longer exists", "lastTransitionTime": format_time(self.clock.now()),
                    "observedGeneration": pod.metadata.generation,
                }]);
            }
            let patch = Patch::Strategic(json!({"metadata": {"uid": uid}, "status": status}));
            match self.api.patch_status::<Written>(&PODS, &key, &patch).await {
                Err(error) if is_gone(&error) => return Ok(()),
                written => written?,
            };
        }
        let preconditions = Some(Preconditions { uid: Some(uid.clone()), resource_version: None });
        let now = DeleteParams { grace_period_seconds: Some(0), preconditions, ..DeleteParams::default() };
        match self.api.delete(&PODS, &key, &now).await {
            Err(error) if !is_gone(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Whether that pod is not there; there may be another of its name.
fn is_gone(error: &kube::Error) -> bool {
    is_not_found(error) || is_conflict(error)
}
