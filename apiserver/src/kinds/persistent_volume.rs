//! PersistentVolumes. Source: `ValidatePersistentVolume` of `k8s.io/kubernetes/pkg/apis/core/validation`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::{meta, names};

use super::check::dump::{self, Fields, Shape};
use super::check::{self, Cursor, amount, text};
use super::pod::defaults;
use super::pod::mounts::no_backsteps;
use super::pod::scheduling::{self, TERM};
use super::pod::volumes::sources;
use crate::registry::strategy::{Rules, Strategy, restore};

/// The strategy of persistent volumes.
#[derive(Clone, Copy, Debug)]
pub struct PersistentVolume;

/// The ways in which a volume may be mounted.
pub(crate) const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
/// How a volume appears to its pods.
pub(crate) const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];
const MORE_THAN_ONE: &str = "may not specify more than 1 volume type";
const SOURCES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

impl Strategy for PersistentVolume {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        Rules { has_status: true, returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        if meta::text(object, &["status", "phase"]).is_empty() {
            meta::set(object, &["status", "phase"], "Pending");
        }
        if meta::text(object, &["spec", "persistentVolumeReclaimPolicy"]).is_empty() {
            meta::set(object, &["spec", "persistentVolumeReclaimPolicy"], "Retain");
        }
        meta::set_default(object, &["spec", "volumeMode"], "Filesystem");
        if let Some(path) = meta::at_mut(object, &["spec", "hostPath"]).filter(|path| path.is_object()) {
            meta::set_default(path, &["type"], "");
        }
        if let Some(disk) = meta::at_mut(object, &["spec", "azureDisk"]).filter(|disk| disk.is_object()) {
            defaults::azure_disk(disk);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, now: Timestamp) {
        let time = text::seconds(now);
        meta::set(object, &["status"], json!({"phase": "Pending", "lastPhaseTransitionTime": time}));
    }

    fn prepare_for_status_update(&self, object: &mut Value, old: &Value) {
        if meta::text(object, &["status", "phase"]) == meta::text(old, &["status", "phase"]) {
            restore(object, old, &["status", "lastPhaseTransitionTime"]);
        }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| validate(&root))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            validate(&root);
            source_stays(&spec, old);
            let mode = spec.at("volumeMode");
            spec.with(Some(mode.value), Path::new("volumeMode")).immutable(meta::at(old, &["spec", "volumeMode"]));
            affinity_stays(&spec, old);
            let class = |object: &Value| {
                meta::at(object, &["spec", "volumeAttributesClassName"]).is_some_and(|class| !class.is_null())
            };
            if class(old) && !class(object) {
                spec.at("volumeAttributesClassName").forbidden("update from non-nil value to nil is forbidden");
            }
        })
    }
}

/// Where a volume comes from does not change, but for a secret that was not there.
fn source_stays(spec: &Cursor<'_>, old: &Value) {
    let source = |spec: &Value| {
        let fields = SOURCES
            .iter()
            .filter_map(|field| Some(((*field).to_owned(), spec.get(field).filter(|v| !v.is_null())?.clone())));
        Value::Object(fields.collect())
    };
    let (before, mut after) = (source(&old["spec"]), source(spec.value));
    let secret = ["csi", "controllerExpandSecretRef"];
    if before.get("csi").is_some() && meta::at(&before, &secret).is_none_or(Value::is_null) {
        meta::remove(&mut after, &secret);
    }
    if !check::same(Some(&after), Some(&before)) {
        let difference = dump::unified(&dump::lines(&before, SOURCE), &dump::lines(&after, SOURCE));
        let rule = format!("spec.persistentvolumesource is immutable after creation\n{difference}");
        spec.at("persistentvolumesource").forbidden(rule);
    }
}

/// The labels of nodes that got another name when they became stable.
const RENAMED: &[(&str, &str)] = &[
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
];

/// From where a volume is reached stays, once it is known, but for labels that were renamed.
fn affinity_stays(spec: &Cursor<'_>, old: &Value) {
    let affinity = spec.at("nodeAffinity");
    let Some(before) = meta::at(old, &["spec", "nodeAffinity"]).filter(|affinity| !affinity.is_null()) else {
        return;
    };
    let mut before = before.clone();
    let mut terms = affinity.down(&["required", "nodeSelectorTerms"]).items();
    super::pod::defaults::each(
        meta::at_mut(&mut before, &["required"]).unwrap_or(&mut Value::Null),
        "nodeSelectorTerms",
        |term| {
            let now = terms.next();
            for field in ["matchExpressions", "matchFields"] {
                let mut now = now.as_ref().map(|now| now.at(field).items()).into_iter().flatten();
                super::pod::defaults::each(term, field, |requirement| {
                    let key = now.next().map(|now| now.at("key").text()).unwrap_or_default();
                    if RENAMED.contains(&(meta::text(requirement, &["key"]), key)) {
                        meta::set(requirement, &["key"], key);
                    }
                });
            }
        },
    );
    if !check::same(Some(affinity.value), Some(&before)) {
        let shown = if affinity.is_set() { dump::internal(affinity.value, AFFINITY) } else { "null".to_owned() };
        let place = spec.with(Some(affinity.value), Path::new("nodeAffinity"));
        place.invalid_as(shown, "field is immutable, except for updating from beta label to GA");
    }
}

/// `core.VolumeNodeAffinity`.
const AFFINITY: Fields =
    &[("Required", "required", Shape::Pointer(&[("NodeSelectorTerms", "nodeSelectorTerms", Shape::List(TERM))]))];
/// `core.PersistentVolumeSource`. What few still use is shown as in the API.
const SOURCE: Fields = &[
    ("GCEPersistentDisk", "gcePersistentDisk", Shape::Same),
    ("AWSElasticBlockStore", "awsElasticBlockStore", Shape::Same),
    ("HostPath", "hostPath", Shape::Pointer(&[("Path", "path", Shape::Text), ("Type", "type", Shape::Same)])),
    ("Glusterfs", "glusterfs", Shape::Same),
    (
        "NFS",
        "nfs",
        Shape::Pointer(&[
            ("Server", "server", Shape::Text),
            ("Path", "path", Shape::Text),
            ("ReadOnly", "readOnly", Shape::Or("false")),
        ]),
    ),
    ("RBD", "rbd", Shape::Same),
    ("Quobyte", "quobyte", Shape::Same),
    ("ISCSI", "iscsi", Shape::Same),
    ("FlexVolume", "flexVolume", Shape::Same),
    ("Cinder", "cinder", Shape::Same),
    ("CephFS", "cephfs", Shape::Same),
    ("FC", "fc", Shape::Same),
    ("Flocker", "flocker", Shape::Same),
    ("AzureFile", "azureFile", Shape::Same),
    ("VsphereVolume", "vsphereVolume", Shape::Same),
    ("AzureDisk", "azureDisk", Shape::Same),
    ("PhotonPersistentDisk", "photonPersistentDisk", Shape::Same),
    ("PortworxVolume", "portworxVolume", Shape::Same),
    ("ScaleIO", "scaleIO", Shape::Same),
    ("Local", "local", Shape::Pointer(&[("Path", "path", Shape::Text), ("FSType", "fsType", Shape::Same)])),
    ("StorageOS", "storageos", Shape::Same),
    (
        "CSI",
        "csi",
        Shape::Pointer(&[
            ("Driver", "driver", Shape::Text),
            ("VolumeHandle", "volumeHandle", Shape::Text),
            ("ReadOnly", "readOnly", Shape::Or("false")),
            ("FSType", "fsType", Shape::Text),
            ("VolumeAttributes", "volumeAttributes", Shape::Same),
            ("ControllerPublishSecretRef", "controllerPublishSecretRef", Shape::Pointer(SECRET)),
            ("NodeStageSecretRef", "nodeStageSecretRef", Shape::Pointer(SECRET)),
            ("NodePublishSecretRef", "nodePublishSecretRef", Shape::Pointer(SECRET)),
            ("ControllerExpandSecretRef", "controllerExpandSecretRef", Shape::Pointer(SECRET)),
            ("NodeExpandSecretRef", "nodeExpandSecretRef", Shape::Pointer(SECRET)),
        ]),
    ),
];
const SECRET: Fields = &[("Name", "name", Shape::Text), ("Namespace", "namespace", Shape::Text)];

const NOT_INLINE: &str = "may not be specified in the context of inline volumes";

/// The modes in which a volume may be mounted; each wrong one is named at the list.
pub(crate) fn access_modes(modes: &Cursor<'_>) {
    for mode in modes.items() {
        if !ACCESS_MODES.contains(&mode.text()) {
            modes.with(Some(mode.value), modes.path.clone()).not_supported(ACCESS_MODES);
        }
    }
    let known = |mode: &str| ACCESS_MODES.contains(&mode) && mode != "ReadWriteOncePod";
    if modes.items().any(|mode| mode.text() == "ReadWriteOncePod") && modes.items().any(|mode| known(mode.text())) {
        modes.forbidden("may not use ReadWriteOncePod with other access modes");
    }
}

fn validate(root: &Cursor<'_>) {
    let spec = root.at("spec");
    let modes = spec.at("accessModes");
    modes.must_be_set();
    access_modes(&modes);
    capacity(&spec.at("capacity"));
    let policy = spec.at("persistentVolumeReclaimPolicy");
    policy.one_of(&["Delete", "Recycle", "Retain"]);
    node_affinity(&spec.at("nodeAffinity"));
    source(&spec, root.at("metadata").at("name").text());
    let path = spec.at("hostPath").at("path").text();
    if !path.is_empty() && is_root(path) && policy.text() == "Recycle" {
        policy.forbidden("may not be 'recycle' for a hostPath mount of '/'");
    }
    let class = spec.at("storageClassName");
    if !class.is_empty() {
        class.named(names::dns1123_subdomain);
    }
    spec.at("volumeMode").one_of(VOLUME_MODES);
    let class = spec.at("volumeAttributesClassName");
    if class.is_set() {
        if class.is_empty() {
            class.required("an empty string is disallowed");
        } else {
            class.named(names::dns1123_subdomain);
        }
        if !spec.at("csi").is_set() {
            spec.at("csi").required("has to be specified when using volumeAttributesClassName");
        }
    }
}

fn node_affinity(affinity: &Cursor<'_>) {
    if affinity.is_set() {
        let required = affinity.at("required");
        if required.is_set() {
            scheduling::node_selector(&required);
        } else {
            required.required("must specify required node constraints");
        }
    }
}

/// The specification of a volume that an attachment has in itself: of a CSI driver, without what is about claims.
pub(crate) fn inline(spec: &Cursor<'_>) {
    let unless_empty = |field: &str| {
        if !spec.at(field).is_empty() {
            spec.at(field).forbidden(NOT_INLINE);
        }
    };
    unless_empty("claimRef");
    unless_empty("capacity");
    if !spec.at("csi").is_set() {
        spec.at("csi").required("has to be specified in the context of inline volumes");
    }
    let modes = spec.at("accessModes");
    modes.must_be_set();
    access_modes(&modes);
    let policy = spec.at("persistentVolumeReclaimPolicy");
    if !matches!(policy.text(), "" | "Retain") {
        policy.forbidden("may only be Retain in the context of inline volumes");
    }
    node_affinity(&spec.at("nodeAffinity"));
    unless_empty("nodeAffinity");
    source(spec, "");
    unless_empty("storageClassName");
    let mode = spec.at("volumeMode");
    if mode.is_set() && mode.text() != "Filesystem" {
        mode.forbidden("may not specify volumeMode other than Filesystem in the context of inline volumes");
    }
}

/// Whether an absolute path leads nowhere but to the root.
fn is_root(path: &str) -> bool {
    let mut depth = 0_usize;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    path.starts_with('/') && depth == 0
}

fn capacity(capacity: &Cursor<'_>) {
    if capacity.is_empty() {
        capacity.required("");
    }
    if !capacity.key("storage").is_set() || capacity.len() > 1 {
        let mut error = FieldError::not_supported(&capacity.path, "", &["storage"]);
        error.value = capacity.value.to_string();
        capacity.push(error);
    }
    for (_, entry) in capacity.entries() {
        amount::valid(&entry);
        if amount::of(entry.value) <= amount::of(&json!(0)) {
            entry.invalid("must be greater than zero");
        }
    }
}

fn source(spec: &Cursor<'_>, name: &str) {
    let mut count = 0;
    for sort in SOURCES {
        let source = spec.at(sort);
        if !source.is_set() {
            continue;
        }
        count += 1;
        match *sort {
            // Upstream lets this one pass beside others.
            "flexVolume" => sources::check(sort, &source, true),
            "cephfs" if count > 1 => spec.at("cephFS").forbidden(MORE_THAN_ONE),
            _ if count > 1 => source.forbidden(MORE_THAN_ONE),
            "local" => local(spec, &source),
            "iscsi" => {
                let portal = source.at("targetPortal");
                portal.must_be_set();
                if source.at("initiatorName").is_set() && name.len() + 1 + portal.text().len() > 64 {
                    let place = portal.with(Some(portal.value), source.path.child("targetportal"));
                    place.invalid_text(sources::TOO_LONG);
                }
                sources::iscsi_names(&source, true);
            }
            sort => sources::check(sort, &source, true),
        }
    }
    if count == 0 {
        spec.required("must specify a volume type");
    }
}

fn local(spec: &Cursor<'_>, source: &Cursor<'_>) {
    let path = source.at("path");
    if path.must_be_set() {
        no_backsteps(&path);
    }
    if !spec.at("nodeAffinity").is_set() {
        spec.at("nodeAffinity").required("Local volume requires node affinity");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: Value, expect: &[&str]) {
        let mut object = json!({"spec": spec});
        PersistentVolume.default(&mut object);
        assert_eq!(check::messages(&PersistentVolume.validate(&object)), expect);
    }

    #[test]
    fn volumes_have_a_size_a_mode_and_a_source() {
        let fine =
            json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"}});
        check(fine.clone(), &[]);
        check(
            json!({"capacity": {}}),
            &[
                "spec.accessModes: Required value",
                "spec.capacity: Required value",
                r#"spec.capacity: Unsupported value: {}: supported values: "storage""#,
                "spec: Required value: must specify a volume type",
            ],
        );
        let mut two = fine;
        two["nfs"] = json!({"server": "a", "path": "/"});
        check(two, &["spec.nfs: Forbidden: may not specify more than 1 volume type"]);
    }

    #[test]
    fn the_source_stays() {
        let object = |path: &str| json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": path}}});
        let messages = check::messages(&PersistentVolume.validate_update(&object("/b"), &object("/a")));
        let rule =
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n@@";
        assert!(messages.len() == 1 && messages[0].starts_with(rule), "{messages:?}");
    }
}
