//! What the scheduler knows of the cluster: what the API told it, and what it has decided but not yet been told.
//! Source: `pkg/scheduler/backend/cache`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::pod::{Pod, Specs};
use crate::snapshot::{SelectingKind, Snapshot};
use crate::wire;

/// Nodes and pods, with assumptions.
#[derive(Debug, Default)]
pub struct Cache {
    snapshot: Snapshot,
    specs: Specs,
    nodes: BTreeMap<String, Arc<wire::Node>>,
    pods: BTreeMap<Arc<str>, Arc<Pod>>,
    /// Pods that were placed by decision and that the API has not shown on their node yet.
    assumed: BTreeSet<Arc<str>>,
}

impl Cache {
    /// The pod as the scheduler keeps it.
    pub fn intern(&mut self, pod: &wire::Pod) -> Arc<Pod> {
        Arc::new(self.specs.pod(pod))
    }

    /// The present state, for a decision.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The present state, for questions of the kind "what if".
    pub fn snapshot_mut(&mut self) -> &mut Snapshot {
        &mut self.snapshot
    }

    /// Adds or replaces a namespace.
    pub fn set_namespace(&mut self, namespace: &wire::Meta) {
        let metadata = &namespace.metadata;
        self.snapshot.set_namespace(&metadata.name, Some(metadata.labels.clone()));
    }

    /// Adds or replaces a disruption budget.
    pub fn set_budget(&mut self, budget: wire::Budget) {
        self.snapshot.set_budget(&budget.metadata.clone(), Some(budget));
    }

    /// Adds or replaces a service or an owner that selects pods.
    pub fn set_selecting(&mut self, kind: SelectingKind, object: &wire::Selecting) {
        self.snapshot.selecting_mut().set(kind, object);
    }

    /// Adds or replaces a node; returns what it replaced.
    pub fn set_node(&mut self, node: Arc<wire::Node>) -> Option<Arc<wire::Node>> {
        self.snapshot.set_node(&node);
        self.nodes.insert(node.metadata.name.clone(), node)
    }

    /// Removes a node.
    pub fn remove_node(&mut self, name: &str) -> Option<Arc<wire::Node>> {
        self.snapshot.remove_node(name);
        self.nodes.remove(name)
    }

    /// The names of all nodes.
    pub fn node_names(&self) -> impl Iterator<Item = &String> {
        self.nodes.keys()
    }

    /// Adds or replaces a pod that is on a node. It confirms an assumption; if the API says another node than was
    /// assumed, the API is right. Returns what it replaced, unless that was an assumption.
    pub fn set_pod(&mut self, pod: Arc<Pod>) -> Option<Arc<Pod>> {
        let was_assumed = self.assumed.remove(&pod.uid);
        let old = self.pods.insert(pod.uid.clone(), pod.clone());
        if let Some(old) = &old {
            let same = old.spec_id == pod.spec_id && old.node_name == pod.node_name;
            if same && old.start_time == pod.start_time && old.preempted == pod.preempted {
                return (!was_assumed).then(|| old.clone());
            }
            self.snapshot.remove_pod(old);
        }
        self.snapshot.add_pod(pod);
        old.filter(|_| !was_assumed)
    }

    /// Removes a pod; returns it if it was known.
    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<Pod>> {
        self.assumed.remove(uid);
        let pod = self.pods.remove(uid)?;
        self.snapshot.remove_pod(&pod);
        Some(pod)
    }

    /// The pod on a node with that uid, assumed ones included.
    pub fn pod(&self, uid: &str) -> Option<&Arc<Pod>> {
        self.pods.get(uid)
    }

    /// The uids of all pods on nodes, assumed ones included.
    pub fn uids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.pods.keys()
    }

    /// Counts a pod on the node it names before the API shows it there.
    pub fn assume(&mut self, pod: Arc<Pod>) {
        self.assumed.insert(pod.uid.clone());
        self.pods.insert(pod.uid.clone(), pod.clone());
        self.snapshot.add_pod(pod);
    }

    /// Takes an assumption back; `None` if the API has confirmed it meanwhile.
    pub fn forget(&mut self, uid: &str) -> Option<Arc<Pod>> {
        if self.assumed.contains(uid) { self.remove_pod(uid) } else { None }
    }

    /// Whether a pod is assumed and not confirmed.
    pub fn is_assumed(&self, uid: &str) -> bool {
        self.assumed.contains(uid)
    }
}
