//! Volumes and claims, as the API shows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use steersman_framework::reflector::Change;

use crate::cluster_event::{ActionType, ClusterEvent, EventObject, EventResource};
use crate::pod::Pod;
use crate::wire;

/// Objects of one resource, by namespace and name.
#[derive(Debug)]
pub struct Table<T>(BTreeMap<(String, String), Arc<T>>);

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
    VolumeAttachment
);

impl<T: Stored> Table<T> {
    /// The object of that name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<T>> {
        self.0.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// All objects, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.0.values()
    }

    /// Takes a change in; returns what happened.
    pub(crate) fn apply(&mut self, change: Change<T>) -> Vec<(ClusterEvent, EventObject)> {
        match change {
            Change::Applied(object) => vec![self.set(object)],
            Change::Deleted(object) => {
                self.0.remove(&key(&object));
                vec![happened(ActionType::DELETE, &object)]
            }
            Change::Replaced(objects) => {
                let old = std::mem::take(&mut self.0);
                let mut events: Vec<_> = objects.into_iter().map(|object| self.set(object)).collect();
                let gone = old.iter().filter(|(key, _)| !self.0.contains_key(*key));
                events.extend(gone.map(|(_, object)| happened(ActionType::DELETE, object.as_ref())));
                events
            }
            Change::Progress => Vec::new(),
        }
    }

    fn set(&mut self, object: T) -> (ClusterEvent, EventObject) {
        let (key, object) = (key(&object), Arc::new(object));
        let action = if self.0.contains_key(&key) { ActionType::UPDATE } else { ActionType::ADD };
        let event = happened(action, object.as_ref());
        self.0.insert(key, object);
        event
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

/// What the cluster has of volumes.
#[derive(Debug, Default)]
pub struct Storage {
    /// Claims.
    pub claims: Table<wire::Claim>,
    /// Volumes.
    pub volumes: Table<wire::PersistentVolume>,
    /// Classes of volumes.
    pub classes: Table<wire::StorageClass>,
    /// What CSI drivers can do on nodes.
    pub csi_nodes: Table<wire::CsiNode>,
    /// CSI drivers.
    pub csi_drivers: Table<wire::CsiDriver>,
    /// How much room drivers have, and for which nodes.
    pub capacities: Table<wire::CsiStorageCapacity>,
    /// What is attached to which node.
    pub attachments: Table<wire::VolumeAttachment>,
    /// How many pods on nodes use a claim.
    claims_in_use: BTreeMap<(String, String), usize>,
}

impl Storage {
    /// Whether a pod on a node uses that claim.
    pub fn is_in_use(&self, namespace: &str, claim: &str) -> bool {
        self.claims_in_use.contains_key(&(namespace.to_owned(), claim.to_owned()))
    }

    /// A pod came to a node, or left it.
    pub(super) fn count(&mut self, pod: &Pod, came: bool) {
        for (_, claim) in pod.claims() {
            let key = (pod.spec.namespace.to_string(), claim);
            let users = self.claims_in_use.entry(key.clone()).or_default();
            *users = if came { *users + 1 } else { users.saturating_sub(1) };
            if *users == 0 {
                self.claims_in_use.remove(&key);
            }
        }
    }
}

impl super::Snapshot {
    /// Volumes and claims.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Volumes and claims, to be changed.
    pub(crate) fn storage_mut(&mut self) -> &mut Storage {
        self.generation += 1;
        &mut self.storage
    }
}
