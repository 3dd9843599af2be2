//! Taking in what the API server tells.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use steersman_framework::reflector::Change;
use tokio::time::Instant;

use super::Scheduler;
use crate::cluster_event::{
    ActionType, ClusterEvent, EventObject, EventResource, Happening, node_changes, pod_changes,
};
use crate::informers::Update;
use crate::pod::Pod;
use crate::queue::plain;
use crate::snapshot::{SelectingKind, Snapshot, Stored, Table};
use crate::wire;

impl Scheduler {
    pub(super) fn update(&mut self, update: Update) {
        match update {
            Update::Nodes(change) => self.nodes(change),
            Update::Pods(change) => self.pods(change),
            Update::Namespaces(change) => self.namespaces(change),
            Update::Selecting(kind, change) => self.selecting(kind, change),
            Update::Budgets(change) => self.budgets(change),
            Update::Claims(change) => self.stored(8, change, |snapshot| &mut snapshot.storage_mut().claims),
            Update::Volumes(change) => self.stored(9, change, |snapshot| &mut snapshot.storage_mut().volumes),
            Update::Classes(change) => self.stored(10, change, |snapshot| &mut snapshot.storage_mut().classes),
            Update::CsiNodes(change) => self.applied(11, change, Snapshot::apply_csi_nodes),
            Update::CsiDrivers(change) => self.stored(12, change, |snapshot| &mut snapshot.storage_mut().csi_drivers),
            Update::Capacities(change) => self.stored(13, change, |snapshot| &mut snapshot.storage_mut().capacities),
            Update::Watched(place, change) => self.watched(place, change),
            Update::ResourceClaims(change) => {
                // Before pods that wait for it are looked at again.
                self.known_claims.take(&change);
                self.stored(15, change, |snapshot| &mut snapshot.devices_mut().claims);
            }
            Update::DeviceClasses(change) => {
                self.stored(16, change, Snapshot::device_classes_mut);
                self.device_resources.set(self.cache.snapshot().devices().resources());
            }
            Update::ResourceSlices(change) => self.stored(17, change, |snapshot| &mut snapshot.devices_mut().slices),
            Update::Attachments(change) => self.applied(14, change, Snapshot::apply_attachments),
        }
    }

    /// A change of what a plugin asked for.
    fn watched(&mut self, place: usize, change: Change<Value>) {
        if matches!(change, Change::Replaced(_)) {
            self.watched_synced.insert(place);
        }
        let source = self.watched[place].clone();
        let resource = source.resource().to_string();
        for (action, (namespace, name)) in source.apply(change) {
            self.handling.begin();
            let names = self.profiles.values().flat_map(|profile| profile.custom_events(&resource));
            if let Some(known) = names.into_iter().next() {
                let event = ClusterEvent::of(EventResource::Custom(known), action);
                self.happened(event, EventObject::Named { namespace, name });
            }
        }
    }

    fn nodes(&mut self, change: Change<wire::Node>) {
        match change {
            Change::Applied(node) => self.set_node(node),
            Change::Deleted(node) => self.remove_node(&node.metadata.name),
            Change::Replaced(nodes) => {
                let names: BTreeSet<&str> = nodes.iter().map(|node| node.metadata.name.as_str()).collect();
                let gone = self.cache.node_names().filter(|name| !names.contains(name.as_str()));
                for name in gone.cloned().collect::<Vec<_>>() {
                    self.remove_node(&name);
                }
                nodes.into_iter().for_each(|node| self.set_node(node));
                self.synced.insert(0);
            }
            Change::Progress => {}
        }
    }

    fn set_node(&mut self, node: wire::Node) {
        self.handling.begin();
        let new = Arc::new(node);
        let old = self.cache.set_node(new.clone());
        let events = match &old {
            None => vec![ClusterEvent::node(ActionType::ADD)],
            Some(old) => node_changes(old, &new),
        };
        for event in events {
            let object = EventObject::Node { old: old.clone(), new: new.clone() };
            self.happened(event, object);
        }
    }

    fn remove_node(&mut self, name: &str) {
        self.handling.begin();
        if self.cache.remove_node(name).is_some() {
            self.happened(ClusterEvent::node(ActionType::DELETE), EventObject::None);
        }
    }

    fn pods(&mut self, change: Change<wire::Pod>) {
        match change {
            Change::Applied(pod) => self.set_pod(&pod),
            Change::Deleted(pod) => self.remove_pod(&pod.metadata.uid),
            Change::Replaced(pods) => {
                let uids: BTreeSet<&str> = pods.iter().map(|pod| pod.metadata.uid.as_str()).collect();
                // Assumed ones too: a pod that is not in the list is gone, whatever has become of its binding.
                let known = self.cache.uids().chain(self.pending.keys());
                let gone: Vec<_> = known.filter(|uid| !uids.contains(&***uid)).cloned().collect();
                gone.iter().for_each(|uid| self.remove_pod(uid));
                pods.iter().for_each(|pod| self.set_pod(pod));
                self.synced.insert(1);
            }
            Change::Progress => {}
        }
    }

    fn set_pod(&mut self, pod: &wire::Pod) {
        if matches!(pod.status.phase.as_str(), "Succeeded" | "Failed") {
            return self.remove_pod(&pod.metadata.uid);
        }
        self.handling.begin();
        let pod = self.cache.intern(pod);
        for observer in self.observers.iter().filter_map(|plugin| plugin.as_pod_observer()) {
            observer.pod_set(&pod);
        }
        if pod.node_name.is_some() {
            self.set_assigned(pod);
        } else if self.profiles.contains_key(&pod.spec.scheduler_name) {
            let old = self.pending.insert(pod.uid.clone(), pod.clone());
            let action = if old.is_some() { ActionType::UPDATE } else { ActionType::ADD };
            if self.cache.is_assumed(&pod.uid) {
                return;
            }
            // What the API says about the nominated node counts when it changes; between, what we have decided.
            let old = old.and_then(|old| old.nominated_node_name.clone());
            let changed = old != pod.nominated_node_name;
            if changed {
                self.cache.snapshot_mut().nominate(&pod, pod.nominated_node_name.as_ref());
            }
            let given_up = pod.nominated_node_name.is_none();
            let is_new = !self.observers.is_empty() && !self.queue.contains(&pod.uid);
            self.queue.set(pod.clone(), Instant::now());
            self.handling.ended(ClusterEvent::of(EventResource::UnscheduledPod, action));
            if is_new {
                // For groups that it may complete.
                let event = ClusterEvent::of(EventResource::UnscheduledPod, ActionType::ADD);
                self.happened(event, EventObject::Pod(pod));
            }
            // Its room on that node is free for others, and it has to look for another itself.
            if old.is_some() && given_up {
                self.happened(ClusterEvent::pod(ActionType::DELETE), EventObject::None);
            }
        }
    }

    /// A pod that is on a node, by our decision or by somebody else's.
    fn set_assigned(&mut self, new: Arc<Pod>) {
        self.pending.remove(&new.uid);
        self.queue.remove(&new.uid);
        self.cache.snapshot_mut().nominate(&new, None);
        let old = self.cache.set_pod(new.clone());
        let events = match &old {
            None => vec![ClusterEvent::pod(ActionType::ADD)],
            Some(old) => pod_changes(old, &new),
        };
        for event in events {
            let object = EventObject::AssignedPod { old: old.clone(), new: Some(new.clone()) };
            self.happened(event, object);
        }
    }

    fn remove_pod(&mut self, uid: &str) {
        self.handling.begin();
        for observer in self.observers.iter().filter_map(|plugin| plugin.as_pod_observer()) {
            observer.pod_removed(uid);
        }
        if let Some(pod) = self.pending.get(uid).cloned()
            && self.cache.snapshot_mut().nominate(&pod, None)
        {
            // A node was held for the pod, and is not any more.
            self.happened(ClusterEvent::pod(ActionType::DELETE), EventObject::None);
        }
        let was_pending = self.pending.contains_key(uid);
        self.forget_pod(uid);
        self.queue.remove(uid);
        self.waiting.forget(uid);
        if was_pending {
            self.handling.ended(ClusterEvent::of(EventResource::UnscheduledPod, ActionType::DELETE));
        }
        if let Some(old) = self.cache.remove_pod(uid) {
            let object = EventObject::AssignedPod { old: Some(old), new: None };
            self.happened(ClusterEvent::pod(ActionType::DELETE), object);
        }
    }

    fn happened(&mut self, event: ClusterEvent, object: EventObject) {
        self.queue.happened(&Happening { event, object }, Instant::now());
        self.handling.ended(event);
    }

    fn namespaces(&mut self, change: Change<wire::Meta>) {
        let snapshot = self.cache.snapshot_mut();
        match change {
            Change::Applied(namespace) => {
                snapshot.set_namespace(&namespace.metadata.name, Some(namespace.metadata.labels));
            }
            Change::Deleted(namespace) => snapshot.set_namespace(&namespace.metadata.name, None),
            Change::Replaced(namespaces) => {
                let known: Vec<String> = snapshot.namespaces().keys().cloned().collect();
                known.iter().for_each(|name| snapshot.set_namespace(name, None));
                for namespace in namespaces {
                    snapshot.set_namespace(&namespace.metadata.name, Some(namespace.metadata.labels));
                }
                self.synced.insert(2);
            }
            Change::Progress => {}
        }
        self.queue.happened(&plain(EventResource::Selector, ActionType::UPDATE), Instant::now());
    }

    fn budgets(&mut self, change: Change<wire::Budget>) {
        let snapshot = self.cache.snapshot_mut();
        match change {
            Change::Applied(budget) => snapshot.set_budget(&budget.metadata.clone(), Some(budget)),
            Change::Deleted(budget) => snapshot.set_budget(&budget.metadata, None),
            Change::Replaced(budgets) => {
                snapshot.clear_budgets();
                for budget in budgets {
                    snapshot.set_budget(&budget.metadata.clone(), Some(budget));
                }
                self.synced.insert(7);
            }
            Change::Progress => {}
        }
    }

    /// A change of what is kept as the API sends it.
    fn stored<T: Stored>(&mut self, source: u8, change: Change<T>, table: fn(&mut Snapshot) -> &mut Table<T>) {
        self.applied(source, change, |snapshot, change| table(snapshot).apply(change));
    }

    fn applied<T>(
        &mut self,
        source: u8,
        change: Change<T>,
        apply: impl FnOnce(&mut Snapshot, Change<T>) -> Vec<(ClusterEvent, EventObject)>,
    ) {
        if matches!(change, Change::Replaced(_)) {
            self.synced.insert(source);
        }
        for (event, object) in apply(self.cache.snapshot_mut(), change) {
            self.handling.begin();
            self.happened(event, object);
        }
    }

    fn selecting(&mut self, kind: SelectingKind, change: Change<wire::Selecting>) {
        let snapshot = self.cache.snapshot_mut();
        match change {
            Change::Applied(object) => snapshot.set_selecting(kind, &object),
            Change::Deleted(object) => snapshot.remove_selecting(kind, &object.metadata),
            Change::Replaced(objects) => {
                snapshot.clear_selecting(kind);
                objects.iter().for_each(|object| snapshot.set_selecting(kind, object));
                self.synced.insert(match kind {
                    SelectingKind::Service => 3,
                    SelectingKind::ReplicationController => 4,
                    SelectingKind::ReplicaSet => 5,
                    SelectingKind::StatefulSet => 6,
                });
            }
            Change::Progress => {}
        }
    }
}
