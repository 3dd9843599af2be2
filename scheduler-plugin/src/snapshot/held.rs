//! Nodes that are held for pods while room is made there, and questions of the kind "what if".

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Change, Row, Signature, Snapshot};
use crate::pod::Pod;

/// For whom which node is held.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Each names the node as if it were there.
    by_row: BTreeMap<Row, Vec<Arc<Pod>>>,
    by_uid: HashMap<Arc<str>, Row>,
    /// How many questions are being asked inside of each other.
    questions: u32,
}

impl Held {
    /// The pods for which a node is held.
    pub(super) fn on(&self, row: Row) -> &[Arc<Pod>] {
        self.by_row.get(&row).map_or(&[], Vec::as_slice)
    }

    /// Whether pods come and go for the sake of a question.
    pub(super) fn is_pretending(&self) -> bool {
        self.questions > 0
    }
}

impl Snapshot {
    /// Whether any node is held for a pod.
    pub fn has_nominated(&self) -> bool {
        !self.held.by_uid.is_empty()
    }

    /// The nodes that are held for pods, rising.
    pub(crate) fn nominated_rows(&self) -> impl Iterator<Item = Row> {
        self.held.by_row.keys().copied()
    }

    /// The pods for which a node is held.
    pub fn nominated(&self, row: Row) -> &[Arc<Pod>] {
        self.held.on(row)
    }

    /// The node that is held for a pod.
    pub(crate) fn row_held_for(&self, uid: &str) -> Option<Row> {
        self.held.by_uid.get(uid).copied()
    }

    /// Holds a node for a pod, or none any more; whether one was held before.
    pub(crate) fn nominate(&mut self, pod: &Pod, node: Option<&Arc<str>>) -> bool {
        let before = self.let_go(&pod.uid);
        if let Some(node) = node {
            self.hold(Arc::new(Pod { node_name: Some(node.clone()), pending: None, ..pod.clone() }));
        }
        if let Some((row, _)) = &before {
            self.free_if_unused(*row);
        }
        before.is_some()
    }

    /// Holds the node that the pod names.
    pub(crate) fn hold(&mut self, pod: Arc<Pod>) {
        let Some(node) = pod.node_name.clone() else { return };
        let row = self.row_of(&node);
        self.signatures[row as usize].add(Signature::of_held(&pod));
        self.held.by_uid.insert(pod.uid.clone(), row);
        self.held.by_row.entry(row).or_default().push(pod);
        self.touch(row, Change::Node(row));
    }

    /// Holds no node any more for a pod; returns it as it was held.
    pub(crate) fn let_go(&mut self, uid: &str) -> Option<(Row, Arc<Pod>)> {
        let row = self.held.by_uid.remove(uid)?;
        let held = self.held.by_row.get_mut(&row)?;
        let pod = held.remove(held.iter().position(|other| *other.uid == *uid)?);
        if held.is_empty() {
            self.held.by_row.remove(&row);
        }
        self.signatures[row as usize].subtract(Signature::of_held(&pod));
        self.touch(row, Change::Node(row));
        Some((row, pod))
    }

    /// From now on pods come and go for the sake of a question: who keeps something need not be told. To be ended by
    /// [`pretended`](Self::pretended), and all pods must be where they were then.
    pub(crate) fn pretend(&mut self) {
        self.held.questions += 1;
    }

    /// The question is answered.
    pub(crate) fn pretended(&mut self) {
        self.held.questions -= 1;
    }

    /// Puts the pods of a node into an order: the one in which they were before a question.
    pub(crate) fn restore_order(&mut self, row: Row, pods: Vec<Arc<Pod>>) {
        debug_assert_eq!(self.nodes[row as usize].pods.len(), pods.len());
        self.nodes[row as usize].pods = pods;
    }
}
