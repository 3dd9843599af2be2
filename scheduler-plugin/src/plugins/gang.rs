//! What gang plugins have in common: who belongs together, and how many of them have a place.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::pod::Pod;
use crate::waiting::WaitingPods;

/// Namespace and name of a group.
pub(super) type GroupKey = (Arc<str>, String);

/// `namespace/name` of a group.
pub(super) fn full_name((namespace, name): &GroupKey) -> String {
    format!("{namespace}/{name}")
}

/// The pods of each group.
#[derive(Debug, Default)]
pub(super) struct Members(Mutex<State>);

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
}

impl Members {
    /// A pod came or changed; `group` is the one that it says it belongs to.
    pub(super) fn set(&self, pod: &Pod, group: Option<GroupKey>) {
        let mut state = self.0.lock();
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

    /// A pod is gone.
    pub(super) fn remove(&self, uid: &str) {
        self.0.lock().remove(uid);
    }

    /// A node was chosen for a pod, or given up.
    pub(super) fn reserve(&self, uid: &str, reserved: bool) {
        let mut state = self.0.lock();
        let Some(group) = state.group_of.get(uid).cloned() else { return };
        if let Some(member) = state.groups.get_mut(&group).and_then(|members| members.get_mut(uid)) {
            member.reserved = reserved;
        }
    }

    /// How many pods there are.
    pub(super) fn count(&self, group: &GroupKey) -> usize {
        self.0.lock().groups.get(group).map_or(0, BTreeMap::len)
    }

    /// How many of them have a node, or were given one.
    pub(super) fn placed(&self, group: &GroupKey) -> usize {
        let state = self.0.lock();
        let members = state.groups.get(group).into_iter().flat_map(BTreeMap::values);
        members.filter(|member| member.bound || member.reserved).count()
    }

    /// Those that have no place yet.
    pub(super) fn unplaced(&self, group: &GroupKey) -> Vec<Arc<str>> {
        let state = self.0.lock();
        let members = state.groups.get(group).into_iter().flatten();
        members.filter(|(_, member)| !member.bound && !member.reserved).map(|(uid, _)| uid.clone()).collect()
    }

    /// Lets all that wait go.
    pub(super) fn allow(&self, group: &GroupKey, waiting: &WaitingPods, plugin: &'static str) {
        self.uids(group).iter().for_each(|uid| waiting.allow(uid, plugin));
    }

    /// Refuses all that wait.
    pub(super) fn reject(&self, group: &GroupKey, waiting: &WaitingPods, (plugin, why): (&'static str, &str)) {
        self.uids(group).iter().for_each(|uid| waiting.reject(uid, plugin, why));
    }

    fn uids(&self, group: &GroupKey) -> Vec<Arc<str>> {
        self.0.lock().groups.get(group).into_iter().flat_map(BTreeMap::keys).cloned().collect()
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
