//! Pods for which something has to happen first.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::QueuedPod;

/// They by uid, and how many each plugin has rejected or keeps out: most of what happens in a cluster is of no interest to
/// any of these plugins, and then nobody has to be asked.
#[derive(Debug, Default)]
pub(super) struct Parked {
    pods: BTreeMap<Arc<str>, QueuedPod>,
    by_plugin: BTreeMap<&'static str, usize>,
    /// Pods that nobody rejected.
    without_plugin: usize,
}

impl Parked {
    pub(super) fn len(&self) -> usize {
        self.pods.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    pub(super) fn get(&self, uid: &str) -> Option<&QueuedPod> {
        self.pods.get(uid)
    }

    pub(super) fn contains_key(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.pods.keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &QueuedPod> {
        self.pods.values()
    }

    pub(super) fn insert(&mut self, uid: Arc<str>, queued: QueuedPod) {
        self.remove(&uid);
        let mut any = false;
        for plugin in waits_for(&queued) {
            *self.by_plugin.entry(plugin).or_default() += 1;
            any = true;
        }
        self.without_plugin += usize::from(!any);
        self.pods.insert(uid, queued);
    }

    pub(super) fn remove(&mut self, uid: &str) -> Option<QueuedPod> {
        let queued = self.pods.remove(uid)?;
        let mut any = false;
        for plugin in waits_for(&queued) {
            if let Some(count) = self.by_plugin.get_mut(plugin) {
                *count -= 1;
            }
            any = true;
        }
        self.without_plugin -= usize::from(!any);
        Some(queued)
    }

    /// Whether there may be a pod that one of these plugins would let be tried again.
    pub(super) fn concerns<'a>(&self, mut plugins: impl Iterator<Item = &'a &'static str>) -> bool {
        self.without_plugin > 0 || plugins.any(|plugin| self.by_plugin.get(plugin).is_some_and(|count| *count > 0))
    }
}

/// The plugins on which it depends whether a pod is tried again.
fn waits_for(queued: &QueuedPod) -> impl Iterator<Item = &'static str> {
    let rejectors = queued.rejectors().filter(|_| queued.gated_by.is_none());
    queued.gated_by.into_iter().chain(rejectors)
}
