//! Which driver attaches a volume, and under which name. What was built into Kubernetes once is attached by CSI drivers now.
//! Source: `k8s.io/csi-translation-lib`.

use crate::snapshot::Storage;
use crate::wire::{Claim, CsiNode, PersistentVolume, Volume};

/// What says on a CSINode which former plugins its drivers have taken over.
const MIGRATED_PLUGINS: &str = "storage.alpha.kubernetes.io/migrated-plugins";
/// The plugins that were built in, and the drivers that have taken over.
const MIGRATED: [(&str, &str); 4] = [
    ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
    ("kubernetes.io/cinder", "cinder.csi.openstack.org"),
];

/// A volume as a driver counts it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Attachable {
    /// The driver.
    pub(super) driver: String,
    /// The former plugin that it stands in for; empty if none.
    plugin: &'static str,
    /// The driver's name for the volume.
    handle: String,
}

impl Attachable {
    fn migrated(plugin: &str, handle: &str) -> Option<Self> {
        let (plugin, driver) = MIGRATED.into_iter().find(|(known, _)| *known == plugin)?;
        Some(Self { driver: driver.to_owned(), plugin, handle: handle.to_owned() })
    }

    /// Whether the node's drivers attach it.
    pub(super) fn counts_on(&self, node: Option<&CsiNode>) -> bool {
        self.plugin.is_empty()
            || node
                .and_then(|node| node.metadata.annotations.get(MIGRATED_PLUGINS))
                .is_some_and(|plugins| plugins.split(',').any(|plugin| plugin == self.plugin))
    }
}

/// A disk that is named in the pod itself.
pub(super) fn of_inline(volume: &Volume) -> Option<Attachable> {
    let gce = volume.gce_persistent_disk.as_ref().map(|it| ("kubernetes.io/gce-pd", &it.pd_name));
    let ebs = volume.aws_elastic_block_store.as_ref().map(|it| ("kubernetes.io/aws-ebs", &it.volume_id));
    let azure = volume.azure_disk.as_ref().map(|it| ("kubernetes.io/azure-disk", &it.disk_uri));
    let cinder = volume.cinder.as_ref().map(|it| ("kubernetes.io/cinder", &it.volume_id));
    gce.or(ebs).or(azure).or(cinder).and_then(|(plugin, handle)| Attachable::migrated(plugin, handle))
}

/// A volume of the cluster. Whether it counts is a matter of the node.
pub(super) fn of_persistent(volume: &PersistentVolume) -> Option<Attachable> {
    let spec = &volume.spec;
    if let Some(csi) = &spec.csi {
        let named = !csi.driver.is_empty() && !csi.volume_handle.is_empty();
        return named.then(|| Attachable { driver: csi.driver.clone(), plugin: "", handle: csi.volume_handle.clone() });
    }
    let inline = Volume {
        gce_persistent_disk: spec.gce_persistent_disk.clone(),
        aws_elastic_block_store: spec.aws_elastic_block_store.clone(),
        azure_disk: spec.azure_disk.clone(),
        cinder: spec.cinder.clone(),
        ..Volume::default()
    };
    of_inline(&inline)
}

/// The volume of a claim; one that does not exist yet counts with the driver that will make it. Whether it counts is a
/// matter of the node.
pub(super) fn of_claim(claim: &Claim, storage: &Storage) -> Option<Attachable> {
    let volume = storage.volumes.get("", &claim.spec.volume_name).filter(|_| !claim.spec.volume_name.is_empty());
    if let Some(volume) = volume {
        return of_persistent(volume);
    }
    let class = storage.classes.get("", claim.class())?;
    let metadata = &claim.metadata.common;
    // The handle only has to differ from those of volumes that exist.
    let handle = format!("\0{}/{}", metadata.namespace, metadata.name);
    let migrated = Attachable::migrated(&class.provisioner, &handle);
    Some(migrated.unwrap_or_else(|| Attachable { driver: class.provisioner.clone(), plugin: "", handle }))
}
