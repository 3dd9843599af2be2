//! Nodes in columns, with what runs on them: everything a scheduling cycle looks at.
//!
//! A node is a row. What filters and scores read in their inner loop (amounts, label values, taint lists) lies in one
//! array a column, so that looking at all nodes is a scan. A cycle borrows the snapshot; nothing is copied, and nothing
//! can change meanwhile.

mod attaching;
mod change;
mod held;
mod images;
mod journal;
mod labels;
mod node;
mod order;
mod selecting;
mod signature;
mod storage;
mod table;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub use images::Images;
pub(crate) use journal::Change;
pub use labels::{LabelColumn, Labels, Matcher, ValueId};
pub use node::NodeRef;
pub use selecting::{Selecting, SelectingKind};
pub(crate) use signature::Signature;
pub use storage::{DEVICE_CLASS_PREFIX, Devices, Storage};
pub use table::{Stored, Table};

use crate::pod::{HostPort, Pod, PodSpec, SpecId};
use crate::wire::{self, Map, Taint};

/// The place of a node in the columns.
pub type Row = u32;
/// The place of a resource among the columns.
pub type ResourceId = usize;
/// Thousandths of a core.
pub const CPU: ResourceId = 0;
/// Bytes of memory.
pub const MEMORY: ResourceId = 1;
/// Bytes of local ephemeral storage.
pub const EPHEMERAL_STORAGE: ResourceId = 2;
/// The number of pods.
pub const PODS: ResourceId = 3;

/// Nodes and pods at one moment.
#[derive(Debug)]
pub struct Snapshot {
    rows: HashMap<Arc<str>, Row>,
    free: Vec<Row>,
    nodes: Vec<NodeCell>,
    order: order::NodeOrder,
    resources: Vec<ResourceColumn>,
    scalars: BTreeMap<Arc<str>, ResourceId>,
    /// Requested cpu and memory with defaults for containers that request none.
    non_zero: [Vec<i64>; 2],
    labels: Labels,
    taints: Vec<u32>,
    taint_lists: Vec<Vec<Taint>>,
    unschedulable: Vec<bool>,
    specs: BTreeMap<SpecId, SpecPods>,
    /// Those of them that want to be near or away from other pods.
    with_affinity: BTreeSet<SpecId>,
    images: Images,
    namespaces: BTreeMap<String, Map>,
    selecting: Selecting,
    storage: Storage,
    devices: Devices,
    budgets: BTreeMap<(String, String), wire::Budget>,
    budgets_version: u64,
    held: held::Held,
    attaching: attaching::Attaching,
    /// By row: what says in short which amounts and pods are there.
    signatures: Vec<Signature>,
    journal: journal::Journal,
    /// Says which snapshot this is.
    identity: Arc<()>,
}

/// One resource on all nodes.
#[derive(Debug, Default)]
pub struct ResourceColumn {
    /// What pods can have.
    pub allocatable: Vec<i64>,
    /// What pods have asked for.
    pub requested: Vec<i64>,
}

/// What of a node is not in columns.
#[derive(Debug, Default)]
struct NodeCell {
    name: Arc<str>,
    /// `false` while pods are known to be on a node that is itself not (or no longer) known.
    known: bool,
    zone: String,
    labels: Map,
    images: Vec<wire::ContainerImage>,
    declared_features: Vec<String>,
    ports: Vec<HostPort>,
    pods: Vec<Arc<Pod>>,
    generation: u64,
}

/// Where pods of one spec are.
#[derive(Debug)]
pub struct SpecPods {
    /// What the pods have in common.
    pub spec: Arc<PodSpec>,
    /// How many of them are on which node; only known nodes are meant to be read.
    pub rows: BTreeMap<Row, u32>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            rows: HashMap::new(),
            free: Vec::new(),
            nodes: Vec::new(),
            order: order::NodeOrder::default(),
            resources: (CPU..=PODS).map(|_| ResourceColumn::default()).collect(),
            scalars: BTreeMap::new(),
            non_zero: [Vec::new(), Vec::new()],
            labels: Labels::default(),
            taints: Vec::new(),
            // The first list is the empty one.
            taint_lists: vec![Vec::new()],
            unschedulable: Vec::new(),
            specs: BTreeMap::new(),
            with_affinity: BTreeSet::new(),
            images: Images::default(),
            namespaces: BTreeMap::new(),
            selecting: Selecting::default(),
            storage: Storage::default(),
            devices: Devices::default(),
            budgets: BTreeMap::new(),
            budgets_version: 0,
            held: held::Held::default(),
            attaching: attaching::Attaching::default(),
            signatures: Vec::new(),
            journal: journal::Journal::default(),
            identity: Arc::default(),
        }
    }
}

/// Reading.
impl Snapshot {
    /// The nodes in the order in which they are looked at: zones take turns.
    pub fn order(&self) -> &[Row] {
        self.order.rows()
    }

    /// The same, for who changes something meanwhile.
    pub(crate) fn shared_order(&self) -> Arc<Vec<Row>> {
        self.order.shared()
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.order.rows().len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A node by its row.
    pub fn node(&self, row: Row) -> NodeRef<'_> {
        NodeRef::new(self, row)
    }

    /// A node by its name.
    pub fn node_by_name(&self, name: &str) -> Option<NodeRef<'_>> {
        let &row = self.rows.get(name)?;
        self.nodes[row as usize].known.then(|| self.node(row))
    }

    /// All nodes, in order.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRef<'_>> {
        self.order().iter().map(|&row| self.node(row))
    }

    /// A resource by its name; `None` if no node has or had it.
    pub fn resource_id(&self, name: &str) -> Option<ResourceId> {
        match name {
            "cpu" => Some(CPU),
            "memory" => Some(MEMORY),
            "ephemeral-storage" => Some(EPHEMERAL_STORAGE),
            "pods" => Some(PODS),
            scalar => self.scalars.get(scalar).copied(),
        }
    }

    /// The column of a resource.
    pub fn resource(&self, id: ResourceId) -> &ResourceColumn {
        &self.resources[id]
    }

    /// Requested cpu ([`CPU`]) or memory ([`MEMORY`]), with defaults for containers that request none.
    pub fn non_zero_requested(&self, id: ResourceId) -> &[i64] {
        &self.non_zero[id]
    }

    /// Labels of all nodes.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// For each row the number of its taints in [`taint_lists`](Self::taint_lists).
    pub fn taint_column(&self) -> &[u32] {
        &self.taints
    }

    /// The distinct lists of taints.
    pub fn taint_lists(&self) -> &[Vec<Taint>] {
        &self.taint_lists
    }

    /// For each row whether the node was cordoned.
    pub fn unschedulable_column(&self) -> &[bool] {
        &self.unschedulable
    }

    /// Pods grouped by what they have in common.
    pub fn specs(&self) -> impl Iterator<Item = &SpecPods> {
        self.specs.values()
    }

    /// Those of them that want to be near or away from other pods.
    pub fn specs_with_affinity(&self) -> impl Iterator<Item = &SpecPods> {
        self.with_affinity.iter().filter_map(|id| self.specs.get(id))
    }

    /// Images and where they are.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// The labels of a namespace.
    pub fn namespace_labels(&self, name: &str) -> Option<&Map> {
        self.namespaces.get(name)
    }

    /// All namespaces with their labels.
    pub fn namespaces(&self) -> &BTreeMap<String, Map> {
        &self.namespaces
    }

    /// Services and owners that select pods.
    pub fn selecting(&self) -> &Selecting {
        &self.selecting
    }

    /// Disruption budgets.
    pub fn budgets(&self) -> impl Iterator<Item = &wire::Budget> {
        self.budgets.values()
    }

    /// Changes whenever budgets do.
    pub(crate) fn budgets_version(&self) -> u64 {
        self.budgets_version
    }

    /// What says in short which amounts a node has, which kinds of pods are on it, and for which it is held. Nodes of one
    /// signature differ in nothing that a filter of amounts could see, whichever pods are taken away.
    pub(crate) fn signature(&self, row: Row) -> Signature {
        self.signatures[row as usize]
    }

    /// Rises with every change; equal generations mean equal content.
    pub fn generation(&self) -> u64 {
        self.journal.generation()
    }

    /// Changes whenever more than amounts and pods of single nodes does.
    pub(crate) fn epoch(&self) -> u64 {
        self.journal.epoch()
    }

    /// What has changed since a generation; `None` if that is not remembered any more.
    pub(crate) fn changes_since(&self, generation: u64) -> Option<impl Iterator<Item = &Change>> {
        self.journal.since(generation)
    }

    /// The same for one snapshot as long as it lives, and another for every other.
    pub(crate) fn identity(&self) -> &Arc<()> {
        &self.identity
    }

    /// The length of the columns: one more than the highest row.
    pub fn rows(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the node of that row is known; rows of unknown nodes only hold pods.
    pub fn is_known(&self, row: Row) -> bool {
        self.nodes[row as usize].known
    }
}
