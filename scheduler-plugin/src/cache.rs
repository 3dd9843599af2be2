//! What the scheduler knows of the cluster: what the API told it, and what it has decided but not yet been told.
//! Source: `pkg/scheduler/backend/cache`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use steersman_framework::reflector::Change;

use crate::decode::decode;
use crate::pod::{Pod, Specs};
use crate::snapshot::{SelectingKind, Snapshot, Stored, Table};
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

    /// Holds a node for a pod, or none any more.
    pub fn nominate(&mut self, pod: &Pod, node: Option<&str>) {
        self.snapshot.nominate(pod, node.map(Arc::from).as_ref());
    }

    /// Adds or replaces a service or an owner that selects pods.
    pub fn set_selecting(&mut self, kind: SelectingKind, object: &wire::Selecting) {
        self.snapshot.set_selecting(kind, object);
    }

    /// Adds or replaces an object that is kept as the API sends it: of volumes, of devices. False if it is of no such kind.
    ///
    /// # Errors
    /// If it cannot be read; says where.
    pub fn set_stored(&mut self, kind: &str, object: &Value) -> Result<bool, String> {
        fn applied<T: DeserializeOwned + Stored>(object: &Value, table: &mut Table<T>) -> Result<bool, String> {
            table.apply(Change::Applied(decode(object)?));
            Ok(true)
        }
        let snapshot = &mut self.snapshot;
        match kind {
            "PersistentVolumeClaim" => applied(object, &mut snapshot.storage_mut().claims),
            "PersistentVolume" => applied(object, &mut snapshot.storage_mut().volumes),
            "StorageClass" => applied(object, &mut snapshot.storage_mut().classes),
            "CSINode" => {
                snapshot.apply_csi_nodes(Change::Applied(decode(object)?));
                Ok(true)
            }
            "CSIDriver" => applied(object, &mut snapshot.storage_mut().csi_drivers),
            "CSIStorageCapacity" => applied(object, &mut snapshot.storage_mut().capacities),
            "VolumeAttachment" => {
                snapshot.apply_attachments(Change::Applied(decode(object)?));
                Ok(true)
            }
            "ResourceClaim" => applied(object, &mut snapshot.devices_mut().claims),
            "DeviceClass" => applied(object, snapshot.device_classes_mut()),
            "ResourceSlice" => applied(object, &mut snapshot.devices_mut().slices),
            _ => Ok(false),
        }
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

    /// How many nodes, pods on nodes, and assumed ones among those there are.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        (self.snapshot.len(), self.pods.len(), self.assumed.len())
    }

    /// Whether a pod is assumed and not confirmed.
    pub fn is_assumed(&self, uid: &str) -> bool {
        self.assumed.contains(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, requests};
    use serde_json::json;

    /// Requested cpu and number of pods of each node.
    fn used(cluster: &Cluster) -> Vec<(i64, i64)> {
        let of = |node: crate::snapshot::NodeRef<'_>| (node.requested("cpu"), node.requested("pods"));
        cluster.cache.snapshot().nodes().map(of).collect()
    }

    fn on(cluster: &mut Cluster, node: &str, cpu: &str) -> Arc<Pod> {
        let mut spec = requests(&json!({"cpu": cpu}));
        spec["nodeName"] = json!(node);
        cluster.pod("", &spec)
    }

    #[test]
    fn an_assumption_counts_until_it_is_confirmed_or_taken_back() {
        let mut cluster = Cluster::new(&["n1", "n2"]);
        let (first, second) = (on(&mut cluster, "n1", "1"), on(&mut cluster, "n1", "2"));
        cluster.cache.assume(first.clone());
        cluster.cache.assume(second.clone());
        assert_eq!(used(&cluster), [(3000, 2), (0, 0)]);
        assert!(cluster.cache.forget(&second.uid).is_some());
        assert_eq!(used(&cluster), [(1000, 1), (0, 0)]);
        assert_eq!(cluster.cache.set_pod(first.clone()), None, "confirmed, so for others it is new");
        assert_eq!(cluster.cache.forget(&first.uid), None);
        assert_eq!(used(&cluster), [(1000, 1), (0, 0)]);
    }

    #[test]
    fn the_api_is_right_about_the_node() {
        let mut cluster = Cluster::new(&["n1", "n2"]);
        let pod = on(&mut cluster, "n1", "1");
        cluster.cache.assume(pod.clone());
        cluster.cache.set_pod(Arc::new(Pod { node_name: Some("n2".into()), ..(*pod).clone() }));
        assert_eq!(used(&cluster), [(0, 0), (1000, 1)]);
    }

    #[test]
    fn pods_are_counted_on_a_node_that_comes_after_them() {
        let mut cluster = Cluster::new(&["n1"]);
        cluster.run("n2", "app=web", &requests(&json!({"cpu": "1"})));
        assert_eq!(used(&cluster), [(0, 0)]);
        cluster.node("n2", &json!({}));
        assert_eq!(used(&cluster), [(0, 0), (1000, 1)]);
        cluster.cache.remove_node("n2");
        assert_eq!(used(&cluster), [(0, 0)]);
        cluster.node("n2", &json!({}));
        assert_eq!(used(&cluster), [(0, 0), (1000, 1)]);
    }

    #[test]
    fn a_row_without_node_and_pods_is_used_again_and_is_clean() {
        let mut cluster = Cluster::new(&["n1 zone=a"]);
        cluster.run("n1", "", &requests(&json!({"cpu": "1", "example.com/gpu": "1"})));
        cluster.cache.remove_node("n1");
        cluster.cache.remove_pod("p1");
        cluster.node("n2", &json!({}));
        let node =
            cluster.cache.snapshot().node_by_name("n2").map(|node| {
                (node.row(), node.requested("example.com/gpu"), node.label("zone"), node.allocatable("cpu"))
            });
        assert_eq!(node, Some((0, 0, None, 4000)));
        assert!(cluster.cache.snapshot().node_by_name("n1").is_none());
    }

    #[test]
    fn a_pod_that_shrinks_gives_room_back() {
        let mut cluster = Cluster::new(&["n1"]);
        let big = on(&mut cluster, "n1", "3");
        let small = on(&mut cluster, "n1", "1");
        cluster.cache.set_pod(big.clone());
        let shrunk = Pod { uid: big.uid.clone(), ..(*small).clone() };
        assert_eq!(cluster.cache.set_pod(Arc::new(shrunk)), Some(big));
        assert_eq!(used(&cluster), [(1000, 1)]);
    }
}
