//! The indexed store of an informer: ordered, so that whoever iterates sees the same order in every run.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::informer::{Cached, Delta};
use crate::meta::ObjectKey;

pub(super) struct Cache<T> {
    objects: BTreeMap<ObjectKey, Arc<T>>,
    index: BTreeMap<String, BTreeMap<ObjectKey, Arc<T>>>,
    pub(super) resource_version: u64,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), index: BTreeMap::new(), resource_version: 0 }
    }
}

impl<T: Cached> Cache<T> {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<Arc<T>> {
        self.objects.get(key).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<T>> {
        self.objects.values().cloned().collect()
    }

    pub(super) fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        let from = ObjectKey::new(namespace, "");
        let members = self.objects.range(from..).take_while(|(key, _)| key.namespace == namespace);
        members.map(|(_, object)| Arc::clone(object)).collect()
    }

    pub(super) fn indexed(&self, key: &str) -> Vec<Arc<T>> {
        let members = self.index.get(key).into_iter().flat_map(BTreeMap::values);
        members.cloned().collect()
    }

    pub(super) fn count_indexed(&self, key: &str) -> usize {
        self.index.get(key).map_or(0, BTreeMap::len)
    }

    /// Notes that `resource_version` was reached; versions that are not numbers don't count.
    pub(super) fn reached(&mut self, resource_version: &str) {
        let version = resource_version.parse().unwrap_or_default();
        self.resource_version = self.resource_version.max(version);
    }

    /// Puts an object in the place of its former version.
    pub(super) fn apply(&mut self, object: T) -> Delta<T> {
        let key = object.meta().key();
        let new = Arc::new(object);
        let old = self.objects.insert(key.clone(), Arc::clone(&new));
        if let Some(old) = &old {
            self.unindex(&key, old);
        }
        for place in new.index() {
            self.index.entry(place).or_default().insert(key.clone(), Arc::clone(&new));
        }
        Delta { old, new: Some(new), listed: false }
    }

    /// Takes an object out.
    pub(super) fn remove(&mut self, key: &ObjectKey) -> Option<Delta<T>> {
        let old = self.objects.remove(key)?;
        self.unindex(key, &old);
        Some(Delta { old: Some(old), new: None, listed: false })
    }

    /// Makes the store equal to a list; tells the removals first, then creations and changes, each in order.
    pub(super) fn replace(&mut self, objects: Vec<T>) -> Vec<Delta<T>> {
        let listed: BTreeMap<ObjectKey, T> = objects.into_iter().map(|object| (object.meta().key(), object)).collect();
        let gone: Vec<ObjectKey> = self.objects.keys().filter(|key| !listed.contains_key(*key)).cloned().collect();
        let mut deltas: Vec<Delta<T>> = gone.iter().filter_map(|key| self.remove(key)).collect();
        for (key, object) in listed {
            let known = self.objects.get(&key).map(|known| &known.meta().resource_version);
            if known != Some(&object.meta().resource_version) {
                let delta = self.apply(object);
                deltas.push(Delta { listed: true, ..delta });
            }
        }
        deltas
    }

    fn unindex(&mut self, key: &ObjectKey, old: &T) {
        for place in old.index() {
            if let Entry::Occupied(mut entry) = self.index.entry(place) {
                entry.get_mut().remove(key);
                if entry.get().is_empty() {
                    entry.remove();
                }
            }
        }
    }
}
