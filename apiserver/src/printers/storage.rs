//! How volumes, claims and what provisions them show.

use serde_json::Value;
use steersman_machinery::meta;

use super::row::{
    AGE, NAME, NONE, Native, Row, UNSET, boolean, cells, integer, named, non_empty, scalar_or, text, text_at, wide,
};

const ACCESS_MODES: [(&str, &str); 4] =
    [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];

fn access_modes(modes: &[Value]) -> String {
    let has = |mode: &str| modes.iter().any(|it| it.as_str() == Some(mode));
    ACCESS_MODES.into_iter().filter(|(mode, _)| has(mode)).map(|(_, short)| short).collect::<Vec<_>>().join(",")
}

fn storage_class<'a>(row: &Row<'a>) -> &'a str {
    meta::annotation(row.object, "volume.beta.kubernetes.io/storage-class")
        .unwrap_or_else(|| row.text("spec.storageClassName"))
}

fn phase<'a>(row: &Row<'a>) -> &'a str {
    if row.is_deleting() { "Terminating" } else { row.text("status.phase") }
}

/// Persistent volumes.
pub(super) const VOLUME: Native = Native::new(
    &[
        NAME,
        text("Capacity", "The size of the volume."),
        text("Access Modes", "How the volume can be mounted."),
        text("Reclaim Policy", "What becomes of the volume when its claim goes."),
        text("Status", "Whether the volume is available, bound or released."),
        text("Claim", "The claim that holds the volume."),
        text("StorageClass", "StorageClass of the pv"),
        text("VolumeAttributesClass", "The class of the attributes of the volume."),
        text("Reason", "Why the volume is in its state, in one word."),
        AGE,
        wide("VolumeMode", "Whether the volume has a file system or is a block device."),
    ],
    |row| {
        let claim = match row.at("spec.claimRef") {
            Some(claim) => format!("{}/{}", text_at(claim, "namespace"), text_at(claim, "name")),
            None => String::new(),
        };
        cells![
            row.name(),
            scalar_or(row.at("spec.capacity.storage"), "0"),
            access_modes(row.list("spec.accessModes")),
            row.text("spec.persistentVolumeReclaimPolicy"),
            phase(row),
            claim,
            storage_class(row),
            scalar_or(row.at("spec.volumeAttributesClassName"), UNSET),
            row.text("status.reason"),
            row.age(),
            row.text_or("spec.volumeMode", UNSET),
        ]
    },
);

/// Claims on persistent volumes; size and modes show once a volume is bound.
pub(super) const CLAIM: Native = Native::new(
    &[
        NAME,
        text("Status", "Whether the claim is pending, bound or lost."),
        text("Volume", "The volume that is bound."),
        text("Capacity", "The size of the volume."),
        text("Access Modes", "How the volume can be mounted."),
        text("StorageClass", "StorageClass of the pvc"),
        text("VolumeAttributesClass", "The class of the attributes of the volume."),
        AGE,
        wide("VolumeMode", "Whether the volume has a file system or is a block device."),
    ],
    |row| {
        let volume = row.text("spec.volumeName");
        let (capacity, modes) = match volume {
            "" => (String::new(), String::new()),
            _ => (scalar_or(row.at("status.capacity.storage"), "0"), access_modes(row.list("status.accessModes"))),
        };
        cells![
            row.name(),
            phase(row),
            volume,
            capacity,
            modes,
            storage_class(row),
            scalar_or(row.at("spec.volumeAttributesClassName"), UNSET),
            row.age(),
            row.text_or("spec.volumeMode", UNSET),
        ]
    },
);

/// Storage classes.
pub(super) const STORAGE_CLASS: Native = Native::new(
    &[
        NAME,
        text("Provisioner", "Who makes the volumes."),
        text("ReclaimPolicy", "What becomes of a volume when its claim goes."),
        text("VolumeBindingMode", "When volumes are made and bound."),
        text("AllowVolumeExpansion", "Whether volumes can grow."),
        AGE,
    ],
    |row| {
        let default =
            ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
                .into_iter()
                .any(|key| meta::annotation(row.object, key) == Some("true"));
        cells![
            marked(row.name(), default),
            row.text("provisioner"),
            row.text_or("reclaimPolicy", "Delete"),
            row.text_or("volumeBindingMode", "Immediate"),
            row.flag("allowVolumeExpansion"),
            row.age(),
        ]
    },
);

/// Volume attributes classes.
pub(super) const ATTRIBUTES_CLASS: Native =
    Native::new(&[NAME, text("DriverName", "The driver that the attributes are for."), AGE], |row| {
        let default = meta::annotation(row.object, DEFAULT_ATTRIBUTES_CLASS) == Some("true");
        cells![marked(row.name(), default), row.text("driverName"), row.age()]
    });

/// The annotation that makes a volume attributes class the default one.
const DEFAULT_ATTRIBUTES_CLASS: &str = "volumeattributesclass.alpha.kubernetes.io/is-default-class";

/// The name of a class, marked if it is the default one.
fn marked(name: &str, default: bool) -> String {
    format!("{name}{}", if default { " (default)" } else { "" })
}

/// Volume attachments.
pub(super) const ATTACHMENT: Native = Native::new(
    &[
        NAME,
        named("Attacher", "The driver that attaches the volume."),
        text("PV", "The volume."),
        text("Node", "The node to which the volume is attached."),
        boolean("Attached", "Whether the volume is attached."),
        AGE,
    ],
    |row| {
        cells![
            row.name(),
            row.text("spec.attacher"),
            row.text("spec.source.persistentVolumeName"),
            row.text("spec.nodeName"),
            row.flag("status.attached"),
            row.age(),
        ]
    },
);

/// Nodes as the storage drivers see them.
pub(super) const CSI_NODE: Native =
    Native::new(&[NAME, integer("Drivers", "How many drivers the node has."), AGE], |row| {
        cells![row.name(), row.count("spec.drivers"), row.age()]
    });

/// Storage drivers.
pub(super) const CSI_DRIVER: Native = Native::new(
    &[
        NAME,
        boolean("AttachRequired", "Whether volumes must be attached before they are mounted."),
        boolean("PodInfoOnMount", "Whether the driver is told which pod a volume is for."),
        boolean("StorageCapacity", "Whether the driver reports how much room there is."),
        text("TokenRequests", "The audiences of the tokens that the driver is given."),
        boolean("RequiresRepublish", "Whether volumes are published again from time to time."),
        text("Modes", "How the driver supports volumes: persistent, ephemeral or both."),
        AGE,
    ],
    |row| {
        let attach = row.at("spec.attachRequired").and_then(Value::as_bool).unwrap_or(true);
        let audiences = row.list("spec.tokenRequests").iter().map(|it| text_at(it, "audience"));
        let audiences = match row.at("spec.tokenRequests") {
            Some(_) => audiences.collect::<Vec<_>>().join(","),
            None => UNSET.to_owned(),
        };
        let modes: Vec<_> = row.list("spec.volumeLifecycleModes").iter().filter_map(Value::as_str).collect();
        cells![
            row.name(),
            attach,
            row.flag("spec.podInfoOnMount"),
            row.flag("spec.storageCapacity"),
            audiences,
            row.flag("spec.requiresRepublish"),
            non_empty(&modes.join(","), NONE),
            row.age(),
        ]
    },
);

/// Storage capacities.
pub(super) const CSI_CAPACITY: Native = Native::new(
    &[
        NAME,
        text("StorageClassName", "The class that the capacity is for."),
        text("Capacity", "How much room there is."),
    ],
    |row| cells![row.name(), row.text("storageClassName"), scalar_or(row.at("capacity"), UNSET),],
);
