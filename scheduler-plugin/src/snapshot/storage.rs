//! Volumes, devices, and claims on both, as the API shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Table;
use crate::pod::Pod;
use crate::wire;

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

/// What the cluster has of devices.
#[derive(Debug, Default)]
pub struct Devices {
    /// Claims.
    pub claims: Table<wire::ResourceClaim>,
    /// Classes.
    pub classes: Table<wire::DeviceClass>,
    /// What drivers have.
    pub slices: Table<wire::ResourceSlice>,
}

/// Before the name of a class: the resource by which pods can ask for its devices in any case.
/// Source: `k8s.io/api/resource/v1.ResourceDeviceClassPrefix`.
pub const DEVICE_CLASS_PREFIX: &str = "deviceclass.resource.kubernetes.io/";

impl Devices {
    /// The class that an extended resource stands for. If several say so it is the youngest, and of those of one age the
    /// first by name.
    pub fn class_of(&self, resource: &str) -> Option<&Arc<wire::DeviceClass>> {
        if let Some(class) = resource.strip_prefix(DEVICE_CLASS_PREFIX) {
            return self.classes.get("", class);
        }
        let says_so = |class: &&Arc<wire::DeviceClass>| class.spec.extended_resource_name.as_deref() == Some(resource);
        let age = |class: &Arc<wire::DeviceClass>| class.metadata.creation_timestamp;
        // The first of those that are equal is kept.
        self.classes.iter().filter(says_so).reduce(|best, next| if age(next) > age(best) { next } else { best })
    }

    /// All resources that stand for classes.
    pub(crate) fn resources(&self) -> BTreeSet<Arc<str>> {
        let implicit = |class: &Arc<wire::DeviceClass>| format!("{DEVICE_CLASS_PREFIX}{}", class.metadata.name);
        let explicit = |class: &Arc<wire::DeviceClass>| class.spec.extended_resource_name.as_deref().map(Arc::from);
        self.classes.iter().flat_map(|class| [Some(Arc::from(implicit(class))), explicit(class)]).flatten().collect()
    }
}

impl Storage {
    /// Whether a pod on a node uses that claim.
    pub fn is_in_use(&self, namespace: &str, claim: &str) -> bool {
        self.claims_in_use.contains_key(&(namespace.to_owned(), claim.to_owned()))
    }

    /// A pod came to a node, or left it.
    pub(super) fn count(&mut self, pod: &Pod, came: bool) {
        for (_, claim) in pod.claims().filter(|(volume, _)| volume.ephemeral.is_none()) {
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

    /// Devices and claims on them.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Devices and claims on them, to be changed.
    pub(crate) fn devices_mut(&mut self) -> &mut Devices {
        self.journal.note(super::Change::Storage);
        &mut self.devices
    }

    /// Classes of devices, to be changed. Which extended resources can be had depends on them, whoever asks.
    pub(crate) fn device_classes_mut(&mut self) -> &mut Table<wire::DeviceClass> {
        self.journal.note(super::Change::All);
        &mut self.devices.classes
    }

    /// Volumes and claims, to be changed.
    pub(crate) fn storage_mut(&mut self) -> &mut Storage {
        self.journal.note(super::Change::Storage);
        &mut self.storage
    }
}
