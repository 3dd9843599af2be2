//! Volumes, claims, and what says which node can have them.

use serde::Deserialize;

use super::{LabelSelector, Map, Metadata, NodeSelector, nullable};

/// `v1.Volume`, of those kinds that only some nodes can have or that cannot be shared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// The name in the pod.
    pub name: String,
    /// A claim by its name.
    pub persistent_volume_claim: Option<ClaimSource>,
    /// A claim that is made for the pod; its name is made of both names.
    pub ephemeral: Option<Ephemeral>,
    /// A disk of Google Compute Engine.
    pub gce_persistent_disk: Option<GceDisk>,
    /// A volume of AWS Elastic Block Store.
    pub aws_elastic_block_store: Option<EbsVolume>,
    /// A disk of Azure.
    pub azure_disk: Option<AzureDisk>,
    /// A volume of OpenStack Cinder.
    pub cinder: Option<CinderVolume>,
    /// An iSCSI disk.
    pub iscsi: Option<Iscsi>,
    /// A Ceph block device.
    pub rbd: Option<Rbd>,
    /// A volume that a driver makes for the pod alone.
    pub csi: Option<InlineCsi>,
    /// The content of an image.
    pub image: Option<ImageVolume>,
}

/// `v1.CSIVolumeSource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct InlineCsi {
    /// The driver.
    #[serde(deserialize_with = "nullable")]
    pub driver: String,
}

/// `v1.ImageVolumeSource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct ImageVolume {
    /// The image.
    #[serde(deserialize_with = "nullable")]
    pub reference: String,
}

/// That a claim is made for the pod; what it says is not read here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
pub struct Ephemeral {}

/// `v1.PersistentVolumeClaimVolumeSource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSource {
    /// The claim, in the pod's namespace.
    pub claim_name: String,
}

/// `v1.GCEPersistentDiskVolumeSource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GceDisk {
    /// The disk.
    pub pd_name: String,
    /// Whether it is only read.
    #[serde(deserialize_with = "nullable")]
    pub read_only: bool,
}

/// `v1.AWSElasticBlockStoreVolumeSource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EbsVolume {
    /// The volume.
    #[serde(rename = "volumeID")]
    pub volume_id: String,
}

/// `v1.AzureDiskVolumeSource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AzureDisk {
    /// The disk's address.
    #[serde(rename = "diskURI")]
    pub disk_uri: String,
}

/// `v1.CinderVolumeSource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CinderVolume {
    /// The volume.
    #[serde(rename = "volumeID")]
    pub volume_id: String,
}

/// `v1.ISCSIVolumeSource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Iscsi {
    /// The target's name.
    pub iqn: String,
    /// Whether it is only read.
    #[serde(deserialize_with = "nullable")]
    pub read_only: bool,
}

/// `v1.RBDVolumeSource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rbd {
    /// Where the image is asked for.
    #[serde(deserialize_with = "nullable")]
    pub monitors: Vec<String>,
    /// The pool.
    #[serde(deserialize_with = "nullable")]
    pub pool: String,
    /// The image.
    pub image: String,
    /// Whether it is only read.
    #[serde(deserialize_with = "nullable")]
    pub read_only: bool,
}

impl Volume {
    /// Whether the scheduler has anything to decide about it.
    pub fn matters(&self) -> bool {
        let Self {
            name: _,
            persistent_volume_claim,
            ephemeral,
            gce_persistent_disk,
            aws_elastic_block_store,
            azure_disk,
            cinder,
            iscsi,
            rbd,
            csi,
            // Any node can have it; which one has it already is a matter of the pod's images.
            image: _,
        } = self;
        persistent_volume_claim.is_some()
            || ephemeral.is_some()
            || gce_persistent_disk.is_some()
            || aws_elastic_block_store.is_some()
            || azure_disk.is_some()
            || cinder.is_some()
            || iscsi.is_some()
            || rbd.is_some()
            || csi.is_some()
    }
}

/// Metadata of which annotations and the uids of owners matter, too.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnnotatedMetadata {
    /// What all objects have.
    #[serde(flatten)]
    pub common: Metadata,
    /// The annotations.
    #[serde(deserialize_with = "nullable")]
    pub annotations: Map,
    /// What has to happen before the object goes.
    #[serde(deserialize_with = "nullable")]
    pub finalizers: Vec<String>,
    /// Who owns the object.
    #[serde(rename = "ownerReferences", deserialize_with = "nullable")]
    pub owners: Vec<Owner>,
}

/// An owner, by its uid.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Its uid.
    pub uid: String,
    /// Whether it is the controller.
    #[serde(deserialize_with = "nullable")]
    pub controller: bool,
}

/// `v1.PersistentVolumeClaim`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Claim {
    /// The metadata.
    pub metadata: AnnotatedMetadata,
    /// The wish.
    #[serde(deserialize_with = "nullable")]
    pub spec: ClaimSpec,
    /// The state.
    #[serde(deserialize_with = "nullable")]
    pub status: Phase,
}

/// `v1.PersistentVolumeClaimSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSpec {
    /// How it is to be mounted.
    #[serde(deserialize_with = "nullable")]
    pub access_modes: Vec<String>,
    /// The class; empty and absent mean the same here.
    #[serde(deserialize_with = "nullable")]
    pub storage_class_name: String,
    /// The class of attributes.
    #[serde(deserialize_with = "nullable")]
    pub volume_attributes_class_name: String,
    /// `Filesystem` (default) or `Block`.
    #[serde(deserialize_with = "nullable")]
    pub volume_mode: String,
    /// The volume that it is bound to, or is to be.
    #[serde(deserialize_with = "nullable")]
    pub volume_name: String,
    /// Labels that the volume must have.
    pub selector: Option<LabelSelector>,
    /// How much is asked for.
    #[serde(deserialize_with = "nullable")]
    pub resources: super::Resources,
}

/// The state of a volume or a claim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Phase {
    /// `Available`, `Bound`, `Lost`, `Pending`, `Released`, `Failed`.
    #[serde(deserialize_with = "nullable")]
    pub phase: String,
}

/// `v1.PersistentVolume`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PersistentVolume {
    /// The metadata.
    pub metadata: AnnotatedMetadata,
    /// The volume.
    #[serde(deserialize_with = "nullable")]
    pub spec: PersistentVolumeSpec,
    /// The state.
    #[serde(deserialize_with = "nullable")]
    pub status: Phase,
}

/// `v1.PersistentVolumeSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolumeSpec {
    /// How it can be mounted.
    #[serde(deserialize_with = "nullable")]
    pub access_modes: Vec<String>,
    /// Its size.
    #[serde(deserialize_with = "nullable")]
    pub capacity: Map,
    /// To which claim it is bound, or is to be.
    pub claim_ref: Option<ClaimReference>,
    /// The class.
    #[serde(deserialize_with = "nullable")]
    pub storage_class_name: String,
    /// The class of attributes.
    #[serde(deserialize_with = "nullable")]
    pub volume_attributes_class_name: String,
    /// `Filesystem` (default) or `Block`.
    #[serde(deserialize_with = "nullable")]
    pub volume_mode: String,
    /// Which nodes can have it.
    pub node_affinity: Option<VolumeNodeAffinity>,
    /// The volume of a CSI driver.
    pub csi: Option<CsiVolume>,
    /// A disk of Google Compute Engine.
    pub gce_persistent_disk: Option<GceDisk>,
    /// A volume of AWS Elastic Block Store.
    pub aws_elastic_block_store: Option<EbsVolume>,
    /// A disk of Azure.
    pub azure_disk: Option<AzureDisk>,
    /// A volume of OpenStack Cinder.
    pub cinder: Option<CinderVolume>,
}

/// A reference to a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ClaimReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid; empty while only the name is settled.
    #[serde(deserialize_with = "nullable")]
    pub uid: String,
}

/// `v1.VolumeNodeAffinity`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeNodeAffinity {
    /// What must hold of the node.
    pub required: Option<NodeSelector>,
}

/// `v1.CSIPersistentVolumeSource`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiVolume {
    /// The driver.
    pub driver: String,
    /// Its name for the volume.
    pub volume_handle: String,
}

/// `storage/v1.StorageClass`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageClass {
    /// The metadata.
    pub metadata: Metadata,
    /// Who makes volumes.
    pub provisioner: String,
    /// `Immediate` or `WaitForFirstConsumer`.
    pub volume_binding_mode: Option<String>,
    /// Where volumes can be made; everywhere if it is empty.
    #[serde(deserialize_with = "nullable")]
    pub allowed_topologies: Vec<TopologySelectorTerm>,
}

/// `v1.TopologySelectorTerm`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologySelectorTerm {
    /// Labels that the node must have, all of them.
    #[serde(deserialize_with = "nullable")]
    pub match_label_expressions: Vec<TopologySelectorLabelRequirement>,
}

/// `v1.TopologySelectorLabelRequirement`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TopologySelectorLabelRequirement {
    /// The label.
    pub key: String,
    /// One of these.
    #[serde(deserialize_with = "nullable")]
    pub values: Vec<String>,
}

/// `storage/v1.CSINode`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiNode {
    /// The metadata; the name is the node's.
    pub metadata: AnnotatedMetadata,
    /// What the node can have.
    #[serde(deserialize_with = "nullable")]
    pub spec: CsiNodeSpec,
}

/// `storage/v1.CSINodeSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiNodeSpec {
    /// The drivers on the node.
    #[serde(deserialize_with = "nullable")]
    pub drivers: Vec<CsiNodeDriver>,
}

/// `storage/v1.CSINodeDriver`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiNodeDriver {
    /// The driver.
    pub name: String,
    /// How many volumes it can attach there.
    #[serde(deserialize_with = "nullable")]
    pub allocatable: VolumeNodeResources,
}

/// `storage/v1.VolumeNodeResources`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeNodeResources {
    /// The number of volumes; absent: no limit.
    pub count: Option<u32>,
}

/// `storage/v1.CSIDriver`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiDriver {
    /// The metadata.
    pub metadata: Metadata,
    /// What the driver can do.
    #[serde(deserialize_with = "nullable")]
    pub spec: CsiDriverSpec,
}

/// `storage/v1.CSIDriverSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiDriverSpec {
    /// Whether it tells how much room there is.
    #[serde(deserialize_with = "nullable")]
    pub storage_capacity: bool,
}

/// `storage/v1.CSIStorageCapacity`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiStorageCapacity {
    /// The metadata.
    pub metadata: Metadata,
    /// Of which class.
    pub storage_class_name: String,
    /// For which nodes; none if it is absent.
    pub node_topology: Option<LabelSelector>,
    /// How much there is in all.
    pub capacity: Option<String>,
    /// How large one volume can be.
    pub maximum_volume_size: Option<String>,
}

/// `storage/v1.VolumeAttachment`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeAttachment {
    /// The metadata.
    pub metadata: Metadata,
    /// What is attached where.
    #[serde(deserialize_with = "nullable")]
    pub spec: VolumeAttachmentSpec,
}

/// `storage/v1.VolumeAttachmentSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeAttachmentSpec {
    /// The driver.
    pub attacher: String,
    /// The node.
    pub node_name: String,
    /// The volume.
    #[serde(deserialize_with = "nullable")]
    pub source: VolumeAttachmentSource,
}

/// `storage/v1.VolumeAttachmentSource`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeAttachmentSource {
    /// A volume by its name.
    #[serde(deserialize_with = "nullable")]
    pub persistent_volume_name: String,
}

/// The annotation that names the class in old claims and volumes.
const BETA_STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

fn class<'a>(metadata: &'a AnnotatedMetadata, field: &'a str) -> &'a str {
    metadata.annotations.get(BETA_STORAGE_CLASS).map_or(field, String::as_str)
}

fn mode(field: &str) -> &str {
    if field.is_empty() { "Filesystem" } else { field }
}

impl Claim {
    /// The name.
    pub fn name(&self) -> &str {
        &self.metadata.common.name
    }

    /// The class of volumes that it asks for; may be empty.
    pub fn class(&self) -> &str {
        class(&self.metadata, &self.spec.storage_class_name)
    }

    /// `Filesystem` or `Block`.
    pub fn mode(&self) -> &str {
        mode(&self.spec.volume_mode)
    }

    /// How many bytes are asked for.
    pub fn requested(&self) -> Option<i64> {
        self.spec.resources.requests.get("storage").map(|size| crate::resources::amount("storage", size))
    }

    /// Whether both sides of the binding have been written.
    pub fn is_fully_bound(&self) -> bool {
        !self.spec.volume_name.is_empty() && self.metadata.annotations.contains_key("pv.kubernetes.io/bind-completed")
    }
}

impl PersistentVolume {
    /// The class that it belongs to; may be empty.
    pub fn class(&self) -> &str {
        class(&self.metadata, &self.spec.storage_class_name)
    }

    /// `Filesystem` or `Block`.
    pub fn mode(&self) -> &str {
        mode(&self.spec.volume_mode)
    }

    /// Its size in bytes.
    pub fn size(&self) -> i64 {
        self.spec.capacity.get("storage").map_or(0, |size| crate::resources::amount("storage", size))
    }

    /// Whether it is bound to that claim, or is to be.
    pub fn is_bound_to(&self, claim: &Claim) -> bool {
        let metadata = &claim.metadata.common;
        self.spec.claim_ref.as_ref().is_some_and(|reference| {
            reference.name == metadata.name
                && reference.namespace == metadata.namespace
                && (reference.uid.is_empty() || reference.uid == metadata.uid)
        })
    }

    /// What must hold of a node for it to have the volume.
    pub fn required(&self) -> Option<&NodeSelector> {
        self.spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref())
    }
}
