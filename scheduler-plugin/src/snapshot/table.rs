//! Objects that are kept as the API sends them, and what happens when they change.

use std::collections::BTreeMap;
use std::sync::Arc;

use steersman_framework::reflector::Change;

use crate::cluster_event::{ActionType, ClusterEvent, EventObject, EventResource};
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
pub trait Stored {
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
                vec![happened(ActionType::DELETE, &object)]
            }
            Change::Replaced(objects) => {
                let old = std::mem::take(&mut self.0);
                let mut events: Vec<_> = objects.into_iter().map(|object| self.set(object)).collect();
                let old = old.iter().flat_map(|(namespace, objects)| objects.iter().map(move |it| (namespace, it)));
                let gone = old.filter(|(namespace, (name, _))| self.get(namespace, name).is_none());
                events.extend(gone.map(|(_, (_, object))| happened(ActionType::DELETE, object.as_ref())));
                events
            }
            Change::Progress => Vec::new(),
        }
    }

    fn set(&mut self, object: T) -> (ClusterEvent, EventObject) {
        let ((namespace, name), object) = (key(&object), Arc::new(object));
        let old = self.0.entry(namespace).or_default().insert(name, object.clone());
        let action = if old.is_some() { ActionType::UPDATE } else { ActionType::ADD };
        happened(action, object.as_ref())
    }
}

fn key<T: Stored>(object: &T) -> (String, String) {
    let metadata = object.metadata();
    (metadata.namespace.clone(), metadata.name.clone())
}

fn happened<T: Stored>(action: ActionType, object: &T) -> (ClusterEvent, EventObject) {
    let (namespace, name) = key(object);
    (ClusterEvent { resource: T::RESOURCE, action }, EventObject::Named { namespace, name })
}
