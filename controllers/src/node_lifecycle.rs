//! Watches over nodes: what their conditions say becomes taints, and nodes that are silent for too long are taken for
//! unreachable. Source: `k8s.io/kubernetes/pkg/controller/nodelifecycle`.
//!
//! Two things go on side by side: a queue brings the `NoSchedule` taints in line with the conditions as soon as those
//! change; and every few seconds [`monitor::Monitor`] looks at the health of all nodes and decides about `NoExecute`.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::Patch;
use serde_json::{Value, json};
use steersman_framework::api::{Api, Written, is_conflict, is_not_found, message};
use steersman_framework::controller::{self, Outcome, Workers};
use steersman_framework::events::{EventType, Involved, Recorder};
use steersman_framework::informer::{Delta, Informer};
use steersman_framework::meta::ObjectKey;
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;
use steersman_machinery::clock::{SharedClock, format_time};

use crate::error::SyncError;
use crate::node_lifecycle::monitor::{Action, Monitor};
use crate::node_lifecycle::objects::{Lease, Node, Taint};
use crate::objects::{LEASES, NODES, PODS, Pod};
use crate::shared::Shared;

pub mod monitor;
pub mod objects;
pub mod taints;
pub mod zones;

const COMPONENT: &str = "node-controller";
/// How often the health of nodes is looked at.
const MONITOR_PERIOD: Duration = Duration::from_secs(5);
/// How often those are looked at that wait for the taint that evicts their pods.
const EVICTION_PERIOD: Duration = Duration::from_millis(100);
/// The leases of nodes are in a namespace of their own.
const NODE_LEASES: &str = "metadata.namespace=kube-node-lease";

/// The running controller.
pub(crate) struct NodeLifecycleController {
    api: Api,
    clock: SharedClock,
    recorder: Recorder,
    nodes: Informer<Node>,
    leases: Informer<Lease>,
    pods: Informer<Pod>,
    /// Names of nodes.
    queue: WorkQueue<String>,
}

impl NodeLifecycleController {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared) -> Self {
        let controller = Self {
            api: shared.api.clone(),
            clock: shared.clock.clone(),
            recorder: shared.recorder.of(COMPONENT),
            nodes: shared.informers.informer(&NODES),
            leases: shared.informers.selected(&LEASES, NODE_LEASES),
            pods: shared.informers.informer(&PODS),
            queue: shared.queue("node_lifecycle_controller"),
        };
        let queue = controller.queue.clone();
        controller.nodes.on_change(move |delta: &Delta<Node>| {
            if let Some(node) = &delta.new {
                queue.add(node.metadata.name.clone());
            }
        });
        controller
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        if !shutdown.wait_for(self.nodes.synced()).await {
            return;
        }
        let workers = Workers { name: COMPONENT, concurrency, max_retries: None };
        let conditions = controller::run(workers, self.queue.clone(), shutdown.clone(), |name| self.sync(name));
        futures::join!(conditions, self.watch_over(&shutdown));
    }

    /// Brings the `NoSchedule` taints of a node in line with its conditions.
    async fn sync(&self, name: String) -> Result<Outcome, SyncError> {
        let Some(node) = self.nodes.get(&ObjectKey::new("", &name)) else { return Ok(Outcome::Done) };
        if let Some(taints) = taints::plan_no_schedule(&node, self.clock.now()) {
            self.set_taints(&node, &taints).await?;
        }
        Ok(Outcome::Done)
    }

    async fn set_taints(&self, node: &Node, taints: &[Taint]) -> Result<(), SyncError> {
        // What the node was when this was decided is what it has to be still.
        let metadata = json!({"resourceVersion": node.metadata.resource_version});
        let patch = Patch::Merge(json!({"metadata": metadata, "spec": {"taints": taints}}));
        match self.api.patch::<Written>(&NODES, &node.metadata.key(), &patch).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn watch_over(&self, shutdown: &Shutdown) {
        let synced = async {
            self.leases.synced().await;
            self.pods.synced().await;
        };
        if !shutdown.wait_for(synced).await {
            return;
        }
        let mut monitor = Monitor::default();
        let mut next_look = tokio::time::Instant::now();
        loop {
            let now = tokio::time::Instant::now();
            let mut actions = Vec::new();
            if now >= next_look {
                next_look = now + MONITOR_PERIOD;
                actions = self.look(&mut monitor);
            }
            actions.extend(monitor.evict(self.clock.now()));
            for action in actions {
                if let Err(error) = self.act(&action).await {
                    tracing::debug!(controller = COMPONENT, %error, "shall try again at the next look");
                }
            }
            let due = if monitor.is_evicting() { (now + EVICTION_PERIOD).min(next_look) } else { next_look };
            if !shutdown.wait_for(tokio::time::sleep_until(due)).await {
                return;
            }
        }
    }

    fn look(&self, monitor: &mut Monitor) -> Vec<Action> {
        let leases: BTreeMap<String, String> = self
            .leases
            .all()
            .iter()
            .map(|lease| (lease.metadata.name.clone(), lease.spec.renew_time.clone()))
            .collect();
        monitor.look(&self.nodes.all(), &leases, self.clock.now())
    }

    async fn act(&self, action: &Action) -> Result<(), SyncError> {
        match action {
            Action::Tell { node, reason, message } => {
                let involved = Involved::new(&NODES, &node.metadata);
                self.recorder.record(&involved, EventType::Normal, reason, message.clone());
                Ok(())
            }
            Action::SetConditions { node, conditions } => {
                let patch = Patch::Strategic(json!({"status": {"conditions": conditions}}));
                match self.api.patch_status::<Written>(&NODES, &node.metadata.key(), &patch).await {
                    Err(error) if !is_not_found(&error) => Err(error.into()),
                    _ => Ok(()),
                }
            }
            Action::SetTaints { node, taints } => self.set_taints(node, taints).await,
            Action::MarkPodsNotReady { node } => self.mark_pods_not_ready(node).await,
        }
    }

    /// The pods of a node that is silent do not serve anybody.
    async fn mark_pods_not_ready(&self, node: &str) -> Result<(), SyncError> {
        let now = format_time(self.clock.now());
        for pod in self.pods.all().iter().filter(|pod| pod.node_name == node && pod.ready) {
            let meta = &pod.metadata;
            let condition: Value = json!({
                "type": "Ready", "status": "False", "lastTransitionTime": now, "observedGeneration": meta.generation,
            });
            let patch = json!({"metadata": {"uid": meta.uid}, "status": {"conditions": [condition]}});
            match self.api.patch_status::<Written>(&PODS, &meta.key(), &Patch::Strategic(patch)).await {
                // It is gone, or another one by now.
                Err(error) if is_not_found(&error) || is_conflict(&error) => continue,
                Err(error) => tracing::warn!(pod = %meta.key(), error = message(&error), "could not be marked"),
                Ok(_) => {}
            }
            let involved = Involved::new(&PODS, meta);
            self.recorder.record(&involved, EventType::Warning, "NodeNotReady", "Node is not ready");
        }
        Ok(())
    }
}
