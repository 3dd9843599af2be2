//! One node, as plugins see it.

use std::sync::Arc;

use super::{Row, Snapshot};
use crate::pod::{HostPort, Pod};
use crate::wire::{Map, Taint};

/// A node in a snapshot. It is a reference and a number: pass it by value.
#[derive(Clone, Copy)]
pub struct NodeRef<'a> {
    snapshot: &'a Snapshot,
    row: Row,
}

impl<'a> NodeRef<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, row: Row) -> Self {
        Self { snapshot, row }
    }

    /// The snapshot that the node belongs to.
    pub fn snapshot(self) -> &'a Snapshot {
        self.snapshot
    }

    /// The node's place in the columns.
    pub fn row(self) -> Row {
        self.row
    }

    /// The name.
    pub fn name(self) -> &'a Arc<str> {
        &self.snapshot.nodes[self.row as usize].name
    }

    /// The value of a label.
    pub fn label(self, key: &str) -> Option<&'a str> {
        self.snapshot.labels.get(self.row, key)
    }

    /// All labels.
    pub fn labels(self) -> &'a Map {
        &self.snapshot.nodes[self.row as usize].labels
    }

    /// The taints.
    pub fn taints(self) -> &'a [Taint] {
        &self.snapshot.taint_lists[self.snapshot.taints[self.row as usize] as usize]
    }

    /// What it says that it can do.
    pub fn declared_features(self) -> &'a [String] {
        &self.snapshot.nodes[self.row as usize].declared_features
    }

    /// Whether the node was cordoned.
    pub fn is_unschedulable(self) -> bool {
        self.snapshot.unschedulable[self.row as usize]
    }

    /// How much of a resource pods can have: cpu in thousandths, everything else in whole units.
    pub fn allocatable(self, resource: &str) -> i64 {
        let id = self.snapshot.resource_id(resource);
        id.map_or(0, |id| self.snapshot.resources[id].allocatable[self.row as usize])
    }

    /// How much of it pods have asked for.
    pub fn requested(self, resource: &str) -> i64 {
        let id = self.snapshot.resource_id(resource);
        id.map_or(0, |id| self.snapshot.resources[id].requested[self.row as usize])
    }

    /// The pods on it, also those that are on their way there or out.
    pub fn pods(self) -> &'a [Arc<Pod>] {
        &self.snapshot.nodes[self.row as usize].pods
    }

    /// The ports that pods have taken.
    pub fn used_ports(self) -> &'a [HostPort] {
        &self.snapshot.nodes[self.row as usize].ports
    }

    /// Rises with every change of this node or of its pods.
    pub fn generation(self) -> u64 {
        self.snapshot.nodes[self.row as usize].generation
    }
}

impl std::fmt::Debug for NodeRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NodeRef").field(self.name()).finish()
    }
}
