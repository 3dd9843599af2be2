//! What gang plugins have in common: who belongs together, how many of them have a place, and what becomes of those that wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::cluster_event::{ActionType, ClusterEvent, EventResource};
use crate::plugin::{Dependence, PodObserver};
use crate::pod::Pod;
use crate::waiting::WaitingPods;

/// Namespace and name of a group.
pub(super) type GroupKey = (Arc<str>, String);

/// `namespace/name` of a group.
pub(super) fn full_name((namespace, name): &GroupKey) -> String {
    format!("{namespace}/{name}")
}

/// What brings back a pod that waits for others: another pod, or its group, which is such an object.
pub(super) fn events(groups: EventResource) -> Vec<ClusterEvent> {
    vec![
        ClusterEvent::pod(ActionType::ADD),
        ClusterEvent::of(EventResource::UnscheduledPod, ActionType::ADD),
        // Of GangScheduling upstream registers no updates, so that a lower minCount takes until the next pod; here it counts
        // at once.
        ClusterEvent::of(groups, ActionType::ADD.or(ActionType::UPDATE)),
    ]
}

/// The pods of each group. Observes them, so that a plugin only has to say that it is its observer.
pub(super) struct Members {
    plugin: &'static str,
    key: fn(&Pod) -> Option<GroupKey>,
    waiting: WaitingPods,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    groups: BTreeMap<GroupKey, BTreeMap<Arc<str>, Member>>,
    group_of: BTreeMap<Arc<str>, GroupKey>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Member {
    /// The API shows it on a node.
    bound: bool,
    /// A node was chosen.
    reserved: bool,
    /// No node was found, the last time that one was looked for.
    failed: bool,
}

impl PodObserver for Members {
    fn pod_set(&self, pod: &Pod) {
        let group = (self.key)(pod);
        let mut state = self.state.lock();
        let old = state.group_of.get(&pod.uid).cloned();
        if old != group {
            state.remove(&pod.uid);
        }
        if let Some(group) = group {
            state.group_of.insert(pod.uid.clone(), group.clone());
            let member = state.groups.entry(group).or_default().entry(pod.uid.clone()).or_default();
            member.bound = pod.node_name.is_some();
        }
    }

    fn pod_removed(&self, uid: &str) {
        self.state.lock().remove(uid);
    }
}

impl Members {
    /// Of the groups that `key` tells; those that wait do so for `plugin`.
    pub(super) fn new(plugin: &'static str, key: fn(&Pod) -> Option<GroupKey>, waiting: &WaitingPods) -> Self {
        Self { plugin, key, waiting: waiting.clone(), state: Mutex::default() }
    }

    /// Nothing is filtered and scored; the members of a group are counted each time.
    pub(super) fn dependence(&self, pod: &Pod) -> Dependence {
        if (self.key)(pod).is_some() { Dependence::Anything } else { Dependence::Node }
    }

    /// A node was chosen for a pod, or given up.
    pub(super) fn reserve(&self, uid: &str, reserved: bool) {
        let mut state = self.state.lock();
        let Some(group) = state.group_of.get(uid).cloned() else { return };
        if let Some(member) = state.groups.get_mut(&group).and_then(|members| members.get_mut(uid)) {
            (member.reserved, member.failed) = (reserved, false);
        }
    }

    /// No node was found for a pod.
    pub(super) fn fail(&self, uid: &str) {
        let mut state = self.state.lock();
        let Some(group) = state.group_of.get(uid).cloned() else { return };
        if let Some(member) = state.groups.get_mut(&group).and_then(|members| members.get_mut(uid)) {
            member.failed = true;
        }
    }

    /// How many pods have a node, or may still get one.
    pub(super) fn hopeful(&self, group: &GroupKey) -> usize {
        let state = self.state.lock();
        let members = state.groups.get(group).into_iter().flat_map(BTreeMap::values);
        members.filter(|member| !member.failed).count()
    }

    /// How many pods there are.
    pub(super) fn count(&self, group: &GroupKey) -> usize {
        self.state.lock().groups.get(group).map_or(0, BTreeMap::len)
    }

    /// How many of them have a node, or were given one.
    pub(super) fn placed(&self, group: &GroupKey) -> usize {
        let state = self.state.lock();
        let members = state.groups.get(group).into_iter().flat_map(BTreeMap::values);
        members.filter(|member| member.bound || member.reserved).count()
    }

    /// Those that have no place yet.
    pub(super) fn unplaced(&self, group: &GroupKey) -> Vec<Arc<str>> {
        let state = self.state.lock();
        let members = state.groups.get(group).into_iter().flatten();
        members.filter(|(_, member)| !member.bound && !member.reserved).map(|(uid, _)| uid.clone()).collect()
    }

    /// Lets all that wait go.
    pub(super) fn allow(&self, group: &GroupKey) {
        self.uids(group).iter().for_each(|uid| self.waiting.allow(uid, self.plugin));
    }

    /// Refuses all that wait.
    pub(super) fn reject(&self, group: &GroupKey, why: &str) {
        self.uids(group).iter().for_each(|uid| self.waiting.reject(uid, self.plugin, why));
    }

    fn uids(&self, group: &GroupKey) -> Vec<Arc<str>> {
        self.state.lock().groups.get(group).into_iter().flat_map(BTreeMap::keys).cloned().collect()
    }
}

impl State {
    fn remove(&mut self, uid: &str) {
        let Some(group) = self.group_of.remove(uid) else { return };
        if let Some(members) = self.groups.get_mut(&group) {
            members.remove(uid);
            if members.is_empty() {
                self.groups.remove(&group);
            }
        }
    }
}
