//! Objects that are kept as the API sends them, and what happens when they change.

use std::collections::BTreeMap;
use std::sync::Arc;

use steersman_framework::reflector::Change;

use crate::cluster_event::{ActionType, ClusterEvent, EventObject, EventResource, StoredObject};
use crate::wire;

/// Objects of one resource, by namespace and name.
#[derive(Debug)]
pub struct Table<T>(BTreeMap<String, BTreeMap<String, Arc<T>>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// An object of a [`Table`].
pub trait Stored: Send + Sync + 'static {
    /// Which resource it belongs to.
    const RESOURCE: EventResource;

    /// Its metadata.
    fn metadata(&self) -> &wire::Metadata;
}

macro_rules! stored {
    ($($kind:ident $(.$common:ident)?),*) => {$(
        impl Stored for wire::$kind {
            const RESOURCE: EventResource = EventResource::$kind;

            fn metadata(&self) -> &wire::Metadata {
                &self.metadata$(.$common)?
            }
        }
    )*};
}

stored!(
    Claim.common,
    PersistentVolume.common,
    StorageClass,
    CsiNode.common,
    CsiDriver,
    CsiStorageCapacity,
    VolumeAttachment,
    ResourceClaim.common,
    DeviceClass,
    ResourceSlice
);

impl<T: Stored> Table<T> {
    /// The object of that name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<T>> {
        self.0.get(namespace)?.get(name)
    }

    /// All objects, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.0.values().flat_map(BTreeMap::values)
    }

    /// Takes a change in; returns what happened.
    pub(crate) fn apply(&mut self, change: Change<T>) -> Vec<(ClusterEvent, EventObject)> {
        match change {
            Change::Applied(object) => vec![self.set(object)],
            Change::Deleted(object) => {
                let (namespace, name) = key(&object);
                if let Some(objects) = self.0.get_mut(&namespace) {
                    objects.remove(&name);
                    if objects.is_empty() {
                        self.0.remove(&namespace);
                    }
                }
                vec![happened(Some(Arc::new(object)), None)]
            }
            Change::Replaced(objects) => {
                let old = std::mem::take(&mut self.0);
                let events = objects.into_iter().map(|object| {
                    let ((namespace, name), object) = (key(&object), Arc::new(object));
                    let before = old.get(&namespace).and_then(|objects| objects.get(&name)).cloned();
                    self.0.entry(namespace).or_default().insert(name, object.clone());
                    happened(before, Some(object))
                });
                let mut events: Vec<_> = events.collect();
                let known = |object: &Arc<T>| {
                    let (namespace, name) = key(object.as_ref());
                    self.get(&namespace, &name).is_some()
                };
                let gone = old.into_values().flat_map(BTreeMap::into_values).filter(|object| !known(object));
                events.extend(gone.map(|object| happened(Some(object), None)));
                events
            }
            Change::Progress => Vec::new(),
        }
    }

    fn set(&mut self, object: T) -> (ClusterEvent, EventObject) {
        let ((namespace, name), object) = (key(&object), Arc::new(object));
        let old = self.0.entry(namespace).or_default().insert(name, object.clone());
        happened(old, Some(object))
    }
}

fn key<T: Stored>(object: &T) -> (String, String) {
    let metadata = object.metadata();
    (metadata.namespace.clone(), metadata.name.clone())
}

fn happened<T: Stored>(old: Option<Arc<T>>, new: Option<Arc<T>>) -> (ClusterEvent, EventObject) {
    let action = match (&old, &new) {
        (None, _) => ActionType::ADD,
        (Some(_), Some(_)) => ActionType::UPDATE,
        (Some(_), None) => ActionType::DELETE,
    };
    let stored = |object: Option<Arc<T>>| object.map(|object| object as StoredObject);
    let object = EventObject::Stored { old: stored(old), new: stored(new) };
    (ClusterEvent { resource: T::RESOURCE, action }, object)
}
