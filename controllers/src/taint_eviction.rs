//! Drives pods off nodes whose `NoExecute` taints they do not tolerate, or not any longer.
//! Source: `k8s.io/kubernetes/pkg/controller/tainteviction`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, Patch, Preconditions};
use parking_lot::Mutex;
use serde_json::json;
use steersman_framework::api::{Api, Written, is_conflict, is_not_found};
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::events::{EventType, Involved, Recorder};
use steersman_framework::informer::{Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey};
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;
use steersman_machinery::clock::{SharedClock, format_time};

use crate::error::SyncError;
use crate::node_lifecycle::objects::{Node, Taint};
use crate::node_lifecycle::taints::NO_EXECUTE;
use crate::objects::{NODES, PODS, Pod};
use crate::shared::Shared;
use crate::taint_eviction::plan::{Decision, Placed, Scheduled, decide};

pub mod plan;

const COMPONENT: &str = "taint-eviction-controller";
const REASON: &str = "TaintManagerEviction";

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// All pods of a node.
    Node(String),
    /// A pod whose time may have come.
    Pod(ObjectKey),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node {name}"),
            Self::Pod(key) => write!(f, "pod {key}"),
        }
    }
}

/// A pod that is to go, and the node on which it is.
struct Waiting {
    node: String,
    meta: Meta,
    scheduled: Scheduled,
}

/// The running controller.
pub(crate) struct TaintEvictionController {
    api: Api,
    clock: SharedClock,
    recorder: Recorder,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    queue: WorkQueue<Key>,
    waiting: Arc<Mutex<BTreeMap<ObjectKey, Waiting>>>,
}

fn no_execute(node: &Node) -> Vec<Taint> {
    node.spec.taints.iter().filter(|taint| taint.effect == NO_EXECUTE).cloned().collect()
}

impl TaintEvictionController {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared) -> Self {
        let controller = Self {
            api: shared.api.clone(),
            clock: shared.clock.clone(),
            recorder: shared.recorder.of(COMPONENT),
            nodes: shared.informers.informer(&NODES),
            pods: shared.informers.informer(&PODS),
            queue: shared.queue("noexec_taint_pod"),
            waiting: Arc::default(),
        };
        let queue = controller.queue.clone();
        controller.nodes.on_change(move |delta: &Delta<Node>| {
            let taints = |node: &Option<Arc<Node>>| node.as_ref().map(|node| no_execute(node)).unwrap_or_default();
            if taints(&delta.old) != taints(&delta.new)
                && let Some(node) = delta.new.as_ref().or(delta.old.as_ref())
            {
                queue.add(Key::Node(node.metadata.name.clone()));
            }
        });
        let (queue, nodes, waiting) =
            (controller.queue.clone(), controller.nodes.clone(), Arc::clone(&controller.waiting));
        controller.pods.on_change(move |delta: &Delta<Pod>| {
            let gone = delta.old.as_ref().filter(|_| delta.new.is_none()).map(|pod| pod.metadata.key());
            if let Some(key) = gone.filter(|key| waiting.lock().contains_key(key)) {
                queue.add(Key::Pod(key));
            }
            // Only pods on nodes that drive pods away matter, and there are few of those.
            let pod = delta.new.as_ref().filter(|pod| !pod.node_name.is_empty() && !pod.metadata.is_deleting());
            if let Some(pod) = pod
                && nodes.get(&ObjectKey::new("", &pod.node_name)).is_some_and(|node| !no_execute(&node).is_empty())
            {
                queue.add(Key::Node(pod.node_name.clone()));
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
            Key::Node(name) => self.sync_node(&name).await,
            Key::Pod(key) => self.sync_pod(&key).await,
        }
    }

    async fn sync_node(&self, name: &str) -> Result<Outcome, SyncError> {
        // What was planned on a node that is gone holds; its pods go with it in any case.
        let Some(node) = self.nodes.get(&ObjectKey::new("", name)) else { return Ok(Outcome::Done) };
        let taints = no_execute(&node);
        let pods: Vec<Placed> = match taints.is_empty() {
            true => Vec::new(),
            false => {
                let params = ListParams::default().fields(&format!("spec.nodeName={name}"));
                self.api.list(&PODS, "", &params).await?.items
            }
        };
        let now = self.clock.now();
        self.cancel(|key, waiting| waiting.node == name && !pods.iter().any(|pod| pod.metadata.key() == *key));
        for pod in pods.iter().filter(|pod| !pod.metadata.is_deleting()) {
            let key = pod.metadata.key();
            let before = self.waiting.lock().get(&key).map(|waiting| waiting.scheduled);
            match decide(&taints, &pod.spec.tolerations, before, now) {
                Decision::Stay => self.cancel(|it, _| *it == key),
                Decision::Keep => {}
                Decision::Go(scheduled) => {
                    // What was planned is taken back first, and told, as upstream does.
                    self.cancel(|it, _| *it == key);
                    self.schedule(name, &pod.metadata, scheduled, now);
                }
            }
        }
        Ok(Outcome::Done)
    }

    fn schedule(&self, node: &str, meta: &Meta, scheduled: Scheduled, now: Timestamp) {
        let key = meta.key();
        let waiting = Waiting { node: node.to_owned(), meta: meta.clone(), scheduled };
        self.waiting.lock().insert(key.clone(), waiting);
        self.queue.add_after(Key::Pod(key), Duration::try_from(scheduled.at.duration_since(now)).unwrap_or_default());
    }

    /// Pods that were to go stay after all, or are gone.
    fn cancel(&self, stays: impl Fn(&ObjectKey, &Waiting) -> bool) {
        let (mut cancelled, now) = (Vec::new(), self.clock.now());
        self.waiting.lock().retain(|key, waiting| {
            let stays = stays(key, waiting);
            // What is due is under way and cannot be taken back.
            if stays && waiting.scheduled.at > now {
                cancelled.push((key.clone(), waiting.meta.clone()));
            }
            !stays
        });
        for (key, meta) in cancelled {
            if self.pods.get(&key).is_some() {
                self.tell(&meta, format!("Cancelling deletion of Pod {key}"));
            }
        }
    }

    fn tell(&self, meta: &Meta, message: String) {
        self.recorder.record(&Involved::new(&PODS, meta), EventType::Normal, REASON, message);
    }

    async fn sync_pod(&self, key: &ObjectKey) -> Result<Outcome, SyncError> {
        let due = self.waiting.lock().get(key).map(|waiting| (waiting.scheduled.at, waiting.meta.clone()));
        let Some((at, meta)) = due else { return Ok(Outcome::Done) };
        let now = self.clock.now();
        if at > now {
            if self.pods.get(key).is_some() {
                return Ok(Outcome::After(Duration::try_from(at.duration_since(now)).unwrap_or_default()));
            }
            // It went before its time.
            self.waiting.lock().remove(key);
            self.tell(&meta, format!("Cancelling deletion of Pod {key}"));
            return Ok(Outcome::Done);
        }
        self.tell(&meta, format!("Marking for deletion Pod {key}"));
        self.delete(key, &meta, now).await?;
        self.waiting.lock().remove(key);
        Ok(Outcome::Done)
    }

    async fn delete(&self, key: &ObjectKey, meta: &Meta, now: Timestamp) -> Result<(), SyncError> {
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": format_time(now),
            "observedGeneration": self.pods.get(key).map_or(meta.generation, |pod| pod.metadata.generation),
        });
        let patch = json!({"metadata": {"uid": meta.uid}, "status": {"conditions": [condition]}});
        let same = Preconditions { uid: Some(meta.uid.clone()), resource_version: None };
        let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        let deleted = match self.api.patch_status::<Written>(&PODS, key, &Patch::Strategic(patch)).await {
            Ok(_) => self.api.delete(&PODS, key, &params).await,
            Err(error) => Err(error),
        };
        match deleted {
            // There may be another pod of its name.
            Err(error) if !is_not_found(&error) && !is_conflict(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use steersman_framework::reflector::{Change, Sink};

    use super::*;
    use crate::testing::{Fake, NOW};

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_goes_before_its_time_is_not_marked_any_more() {
        let fake = Fake::new(|_| (200, json!({})));
        let controller = TaintEvictionController::new(&fake.shared);
        let pod = |name: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"namespace": "ns", "name": name, "uid": name}})).unwrap()
        };
        for name in ["goes", "stays", "unknown"] {
            controller.pods.take(Change::Applied(pod(name)), "1");
        }
        let at = NOW + SignedDuration::from_secs(300);
        for name in ["goes", "stays"] {
            controller.schedule("node", &pod(name).metadata, Scheduled { since: NOW, at }, NOW);
        }
        controller.pods.take(Change::Deleted(pod("unknown")), "2");
        assert!(controller.queue.is_empty(), "nobody waits for it");
        controller.pods.take(Change::Deleted(pod("goes")), "3");
        let key = controller.queue.next().await;
        assert_eq!(controller.sync(key).await.ok(), Some(Outcome::Done));
        let left: Vec<String> = controller.waiting.lock().keys().map(|key| key.name.clone()).collect();
        assert_eq!((left, fake.log()), (vec!["stays".to_owned()], Vec::new()));
    }
}
