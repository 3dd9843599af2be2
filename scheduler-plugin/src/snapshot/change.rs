//! Keeping the columns up to date.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    CPU, Change, EPHEMERAL_STORAGE, MEMORY, NodeCell, PODS, ResourceColumn, ResourceId, Row, SelectingKind, Signature,
    Snapshot, SpecPods, order,
};
use crate::pod::{Pod, PodSpec};
use crate::resources::{Requests, amount, is_scalar};
use crate::wire::{self, Map, Taint};

impl Snapshot {
    /// Adds or replaces a node.
    pub(crate) fn set_node(&mut self, node: &wire::Node) {
        let row = self.row_of(&node.metadata.name);
        let index = row as usize;
        let zone = order::zone_of(&node.metadata.labels);
        let cell = &self.nodes[index];
        let same = cell.known && cell.labels == node.metadata.labels && cell.images == node.status.images;
        let same = same && self.taint_lists[self.taints[index] as usize] == node.spec.taints;
        if !cell.known || cell.zone != zone {
            if cell.known {
                self.order.remove(&cell.zone, row);
            }
            self.order.add(&zone, row);
        }
        self.set_allocatable(row, &node.status.allocatable);
        self.taints[index] = self.taint_list_id(&node.spec.taints);
        self.unschedulable[index] = node.spec.unschedulable;
        let cell = &mut self.nodes[index];
        cell.known = true;
        cell.zone = zone;
        let old = std::mem::replace(&mut cell.labels, node.metadata.labels.clone());
        self.labels.set(row, &old, &node.metadata.labels);
        cell.declared_features.clone_from(&node.status.declared_features);
        if cell.images != node.status.images {
            self.images.set(row, &cell.images, &node.status.images);
            cell.images.clone_from(&node.status.images);
        }
        self.touch(row, if same { Change::Node(row) } else { Change::All });
        self.order.refresh();
    }

    /// Removes a node; its pods stay counted in case it comes back.
    pub(crate) fn remove_node(&mut self, name: &str) {
        let Some(&row) = self.rows.get(name) else { return };
        let index = row as usize;
        if !self.nodes[index].known {
            return;
        }
        self.set_allocatable(row, &Map::new());
        self.taints[index] = 0;
        self.unschedulable[index] = false;
        let cell = &mut self.nodes[index];
        cell.known = false;
        cell.declared_features.clear();
        let labels = std::mem::take(&mut cell.labels);
        let images = std::mem::take(&mut cell.images);
        self.labels.set(row, &labels, &Map::new());
        self.images.set(row, &images, &[]);
        self.order.remove(&self.nodes[index].zone, row);
        self.touch(row, Change::All);
        self.order.refresh();
        self.free_if_unused(row);
    }

    /// Counts a pod on the node that it names.
    pub(crate) fn add_pod(&mut self, pod: Arc<Pod>) {
        let Some(node) = pod.node_name.clone() else { return };
        let row = self.row_of(&node);
        self.account(row, &pod.spec, 1);
        let spec_pods =
            self.specs.entry(pod.spec_id).or_insert_with(|| SpecPods { spec: pod.spec.clone(), rows: BTreeMap::new() });
        *spec_pods.rows.entry(row).or_default() += 1;
        if pod.spec.has_pod_affinity() {
            self.with_affinity.insert(pod.spec_id);
        }
        self.storage.count(&pod, true);
        self.attaching.count(row, &pod.spec, true);
        self.signatures[row as usize].add(Signature::of_pod(&pod));
        let cell = &mut self.nodes[row as usize];
        cell.ports.extend(pod.spec.host_ports.iter().cloned());
        cell.pods.push(pod.clone());
        self.touch(row, Change::Pod { row, pod, came: true });
    }

    /// Takes a pod off the node that it names; false if it was not there.
    pub(crate) fn remove_pod(&mut self, pod: &Pod) -> bool {
        let row = pod.node_name.as_ref().and_then(|node| self.rows.get(node).copied());
        let Some(row) = row else { return false };
        let cell = &mut self.nodes[row as usize];
        let Some(place) = cell.pods.iter().position(|other| other.uid == pod.uid) else {
            return false;
        };
        // What is subtracted must be what was added, even if the pod has changed since.
        let pod = cell.pods.swap_remove(place);
        for port in &pod.spec.host_ports {
            if let Some(place) = cell.ports.iter().position(|other| other == port) {
                cell.ports.swap_remove(place);
            }
        }
        if let Some(spec_pods) = self.specs.get_mut(&pod.spec_id) {
            if let Some(count) = spec_pods.rows.get_mut(&row) {
                *count -= 1;
                if *count == 0 {
                    spec_pods.rows.remove(&row);
                }
            }
            if spec_pods.rows.is_empty() {
                self.specs.remove(&pod.spec_id);
                self.with_affinity.remove(&pod.spec_id);
            }
        }
        self.storage.count(&pod, false);
        self.attaching.count(row, &pod.spec, false);
        self.signatures[row as usize].subtract(Signature::of_pod(&pod));
        self.account(row, &pod.spec, -1);
        self.touch(row, Change::Pod { row, pod, came: false });
        self.free_if_unused(row);
        true
    }

    /// Sets or removes the labels of a namespace.
    pub(crate) fn set_namespace(&mut self, name: &str, labels: Option<Map>) {
        match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels),
            None => self.namespaces.remove(name),
        };
        self.journal.note(Change::All);
    }

    /// Adds or replaces an object that selects pods.
    pub(crate) fn set_selecting(&mut self, kind: SelectingKind, object: &wire::Selecting) {
        // The status of a ReplicaSet changes often, its selector never.
        if self.selecting.set(kind, object) {
            self.journal.note(Change::All);
        }
    }

    /// Removes an object that selects pods.
    pub(crate) fn remove_selecting(&mut self, kind: SelectingKind, metadata: &wire::Metadata) {
        self.selecting.remove(kind, metadata);
        self.journal.note(Change::All);
    }

    /// Forgets all objects of a kind that selects pods.
    pub(crate) fn clear_selecting(&mut self, kind: SelectingKind) {
        self.selecting.clear(kind);
        self.journal.note(Change::All);
    }

    /// Adds, replaces or removes a disruption budget.
    pub(crate) fn set_budget(&mut self, metadata: &wire::Metadata, budget: Option<wire::Budget>) {
        let key = (metadata.namespace.clone(), metadata.name.clone());
        match budget {
            Some(budget) => self.budgets.insert(key, budget),
            None => self.budgets.remove(&key),
        };
        self.budgets_version += 1;
    }

    /// Forgets all disruption budgets.
    pub(crate) fn clear_budgets(&mut self) {
        self.budgets.clear();
        self.budgets_version += 1;
    }

    pub(super) fn touch(&mut self, row: Row, change: Change) {
        // What is taken back before anybody else looks is no change.
        if self.held.is_pretending() && matches!(change, Change::Pod { .. }) {
            return;
        }
        self.journal.note(change);
        self.nodes[row as usize].generation = self.journal.generation();
    }

    pub(super) fn row_of(&mut self, name: &str) -> Row {
        if let Some(&row) = self.rows.get(name) {
            return row;
        }
        let name: Arc<str> = Arc::from(name);
        let cell = NodeCell { name: name.clone(), ..NodeCell::default() };
        let row = if let Some(row) = self.free.pop() {
            self.nodes[row as usize] = cell;
            self.signatures[row as usize] = Signature::default();
            row
        } else {
            self.nodes.push(cell);
            self.taints.push(0);
            self.unschedulable.push(false);
            self.signatures.push(Signature::default());
            for column in &mut self.resources {
                column.allocatable.push(0);
                column.requested.push(0);
            }
            for column in &mut self.non_zero {
                column.push(0);
            }
            Row::try_from(self.nodes.len() - 1).expect("fewer than four billion nodes")
        };
        self.attaching.begin(row, &name, &self.storage);
        self.rows.insert(name, row);
        // The columns may be longer now.
        self.journal.note(Change::All);
        row
    }

    pub(super) fn free_if_unused(&mut self, row: Row) {
        let cell = &self.nodes[row as usize];
        if !cell.known && cell.pods.is_empty() && self.held.on(row).is_empty() {
            self.rows.remove(&cell.name);
            self.free.push(row);
        }
    }

    fn set_allocatable(&mut self, row: Row, allocatable: &Map) {
        let index = row as usize;
        for (id, column) in self.resources.iter_mut().enumerate() {
            let old = std::mem::take(&mut column.allocatable[index]);
            self.signatures[index].subtract(Signature::of_amount(id, old));
        }
        for (name, quantity) in allocatable {
            if let Some(id) = self.column_for(name) {
                let old = std::mem::replace(&mut self.resources[id].allocatable[index], amount(name, quantity));
                self.signatures[index].subtract(Signature::of_amount(id, old));
                self.signatures[index].add(Signature::of_amount(id, self.resources[id].allocatable[index]));
            }
        }
    }

    /// The column of a resource; a new one if it is a scalar that is seen for the first time.
    fn column_for(&mut self, name: &str) -> Option<ResourceId> {
        let known = self.resource_id(name);
        if known.is_some() || !is_scalar(name) {
            return known;
        }
        self.resources
            .push(ResourceColumn { allocatable: vec![0; self.nodes.len()], requested: vec![0; self.nodes.len()] });
        let id = self.resources.len() - 1;
        self.scalars.insert(Arc::from(name), id);
        self.journal.note(Change::All);
        Some(id)
    }

    fn taint_list_id(&mut self, taints: &[Taint]) -> u32 {
        let known = self.taint_lists.iter().position(|list| list == taints);
        let id = known.unwrap_or_else(|| {
            // A list that no node has any more is replaced, so that changing values don't pile up.
            let used = |id: usize| self.taints.iter().any(|&other| other as usize == id);
            let unused = (1..self.taint_lists.len()).find(|&id| !used(id));
            unused.inspect(|&id| self.taint_lists[id] = taints.to_vec()).unwrap_or_else(|| {
                self.taint_lists.push(taints.to_vec());
                self.taint_lists.len() - 1
            })
        });
        u32::try_from(id).expect("fewer lists than nodes")
    }

    fn account(&mut self, row: Row, spec: &PodSpec, sign: i64) {
        let index = row as usize;
        let Requests { cpu, memory, ephemeral_storage, scalars } = &spec.requests;
        for (id, amount) in [(CPU, *cpu), (MEMORY, *memory), (EPHEMERAL_STORAGE, *ephemeral_storage), (PODS, 1)] {
            self.resources[id].requested[index] += sign * amount;
        }
        for (name, amount) in scalars {
            if let Some(id) = self.column_for(name) {
                self.resources[id].requested[index] += sign * amount;
            }
        }
        for (column, amount) in self.non_zero.iter_mut().zip(spec.non_zero) {
            column[index] += sign * amount;
        }
    }
}
