//! Which pods go.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use steersman_framework::meta::ObjectKey;

use crate::node_lifecycle::objects::Node;
use crate::objects::Pod;

/// The taint of a node of which somebody says that it will not come back.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Where a pod that has ended comes among those to go: evicted ones first, then the oldest.
type Rank = (bool, Option<Timestamp>, String, String);

/// The pods that have ended, in the order in which they go.
#[derive(Debug, Default)]
pub struct Ended {
    order: BTreeSet<Rank>,
    ranks: BTreeMap<ObjectKey, Rank>,
}

impl Ended {
    /// Takes note of how a pod is now.
    pub fn note(&mut self, key: &ObjectKey, pod: Option<&Pod>) {
        if let Some(rank) = self.ranks.remove(key) {
            self.order.remove(&rank);
        }
        if let Some(pod) = pod.filter(|pod| pod.phase.is_terminal()) {
            let rank = (!pod.evicted, pod.metadata.creation_timestamp, key.name.clone(), key.namespace.clone());
            self.order.insert(rank.clone());
            self.ranks.insert(key.clone(), rank);
        }
    }

    /// Whether there are more than `threshold`.
    pub fn is_over(&self, threshold: usize) -> bool {
        self.order.len() > threshold
    }

    /// Those that are too many.
    pub fn excess(&self, threshold: usize) -> Vec<ObjectKey> {
        let count = self.order.len().saturating_sub(threshold);
        self.order.iter().take(count).map(|(_, _, name, namespace)| ObjectKey::new(namespace, name)).collect()
    }
}

/// Whether somebody has said that the node will not come back, and it does not contradict.
pub fn is_out_of_service(node: &Node) -> bool {
    let ready = node.status.conditions.iter().any(|it| it.kind == "Ready" && it.status == "True");
    !ready && node.spec.taints.iter().any(|taint| taint.key == OUT_OF_SERVICE)
}

/// Why a pod goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its node is gone.
    Orphaned,
    /// It is being deleted, and no kubelet will see to it.
    Abandoned,
}

/// Whether a pod goes for the state of its node; `node` is `None` if that is certainly gone.
pub fn of_node(pod: &Pod, node: Option<&Node>) -> Option<Why> {
    match node {
        None => Some(Why::Orphaned),
        Some(node) => (pod.metadata.is_deleting() && is_out_of_service(node)).then_some(Why::Abandoned),
    }
}

/// Whether a pod is being deleted that never came to a node.
pub fn is_unscheduled_terminating(pod: &Pod) -> bool {
    pod.metadata.is_deleting() && pod.node_name.is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(metadata: Value, node: &str, status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": metadata, "spec": {"nodeName": node}, "status": status})).unwrap()
    }

    #[test]
    fn evicted_pods_go_first_and_then_the_oldest() {
        let mut ended = Ended::default();
        let note = |ended: &mut Ended, name: &str, day: u32, status: Value| {
            let metadata = json!({"name": name, "creationTimestamp": format!("2026-01-{day:02}T00:00:00Z")});
            ended.note(&ObjectKey::new("ns", name), Some(&pod(metadata, "n", status)));
        };
        note(&mut ended, "young", 9, json!({"phase": "Succeeded"}));
        note(&mut ended, "b", 5, json!({"phase": "Failed"}));
        note(&mut ended, "a", 5, json!({"phase": "Failed"}));
        note(&mut ended, "evicted", 10, json!({"phase": "Failed", "reason": "Evicted"}));
        note(&mut ended, "runs", 1, json!({"phase": "Running"}));
        let names = |ended: &Ended, threshold| -> Vec<String> {
            ended.excess(threshold).into_iter().map(|key| key.name).collect()
        };
        assert_eq!(names(&ended, 0), ["evicted", "a", "b", "young"]);
        assert_eq!(names(&ended, 2), ["evicted", "a"]);
        assert!(ended.is_over(3) && !ended.is_over(4) && names(&ended, 4).is_empty());
        ended.note(&ObjectKey::new("ns", "a"), None);
        note(&mut ended, "b", 5, json!({"phase": "Running"}));
        assert_eq!(names(&ended, 0), ["evicted", "young"]);
    }

    #[test]
    fn pods_go_with_their_node() {
        let node = |ready: &str, taint: &str| -> Node {
            serde_json::from_value(json!({
                "metadata": {"name": "n"}, "spec": {"taints": [{"key": taint, "effect": "NoExecute"}]},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            }))
            .unwrap()
        };
        let lives = pod(json!({"name": "a"}), "n", json!({}));
        let deleted = json!({"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        let going = pod(deleted.clone(), "n", json!({}));
        for (pod, node, expect) in [
            (&lives, None, Some(Why::Orphaned)),
            (&going, None, Some(Why::Orphaned)),
            (&lives, Some(node("Unknown", OUT_OF_SERVICE)), None),
            (&going, Some(node("Unknown", OUT_OF_SERVICE)), Some(Why::Abandoned)),
            (&going, Some(node("True", OUT_OF_SERVICE)), None),
            (&going, Some(node("False", "other")), None),
        ] {
            assert_eq!(of_node(pod, node.as_ref()), expect, "{pod:?} {node:?}");
        }
        assert!(is_unscheduled_terminating(&pod(deleted, "", json!({}))));
        assert!(!is_unscheduled_terminating(&going) && !is_unscheduled_terminating(&pod(json!({}), "", json!({}))));
    }
}
