//! PersistentVolumes. Source: `ValidatePersistentVolume` of `k8s.io/kubernetes/pkg/apis/core/validation`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::{meta, names};

use super::check::{self, Cursor, amount, text};
use super::pod::{defaults, scheduling, volumes};
use crate::registry::strategy::{Rules, Strategy, restore};

/// The strategy of persistent volumes.
#[derive(Clone, Copy, Debug)]
pub struct PersistentVolume;

/// The ways in which a volume may be mounted.
pub(crate) const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
/// How a volume appears to its pods.
pub(crate) const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];
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
        check::collect(object, |root| validate(&root.at("spec")))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            validate(&spec);
            let source = |object: &Value| {
                let fields = SOURCES
                    .iter()
                    .filter_map(|field| Some(((*field).to_owned(), meta::at(object, &["spec", field])?.clone())));
                Value::Object(fields.collect())
            };
            if !check::same(Some(&source(object)), Some(&source(old))) {
                spec.at("persistentvolumesource").forbidden("spec.persistentvolumesource is immutable after creation");
            }
            spec.at("volumeMode").immutable(meta::at(old, &["spec", "volumeMode"]));
            let before = meta::at(old, &["spec", "nodeAffinity"]).filter(|affinity| !affinity.is_null());
            if before.is_some() {
                spec.at("nodeAffinity").immutable(before);
            }
        })
    }
}

/// The modes in which a volume may be mounted; each wrong one is named at the list.
pub(crate) fn access_modes(modes: &Cursor<'_>) {
    for mode in modes.items() {
        if !ACCESS_MODES.contains(&mode.text()) {
            modes.with(Some(mode.value), modes.path.clone()).not_supported(ACCESS_MODES);
        }
    }
    let alone = modes.items().any(|mode| mode.text() == "ReadWriteOncePod");
    if alone && modes.len() > 1 {
        modes.forbidden("may not use ReadWriteOncePod with other access modes");
    }
}

fn validate(spec: &Cursor<'_>) {
    let modes = spec.at("accessModes");
    modes.must_be_set();
    access_modes(&modes);
    capacity(&spec.at("capacity"));
    spec.at("persistentVolumeReclaimPolicy").one_of(&["Delete", "Recycle", "Retain"]);
    source(spec);
    let class = spec.at("storageClassName");
    if !class.is_empty() {
        class.named(names::dns1123_subdomain);
    }
    spec.at("volumeMode").one_of(VOLUME_MODES);
    let affinity = spec.at("nodeAffinity");
    if affinity.is_set() {
        let required = affinity.at("required");
        if required.is_set() {
            scheduling::node_selector(&required);
        } else {
            required.required("must specify required node constraints");
        }
    }
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
        if amount::of(entry.value) <= amount::of(&json!(0)) {
            entry.invalid("must be greater than zero");
        }
    }
}

fn source(spec: &Cursor<'_>) {
    let mut count = 0;
    for name in SOURCES {
        let source = spec.at(name);
        if !source.is_set() {
            continue;
        }
        count += 1;
        match *name {
            _ if count > 1 => source.forbidden("may not specify more than 1 volume type"),
            "hostPath" => volumes::host_path(&source),
            "local" => local(spec, &source),
            "csi" => {
                source.at("driver").must_be_named(names::dns1123_subdomain);
                source.at("volumeHandle").must_be_set();
            }
            name => volumes::persistent(name, &source),
        }
    }
    if count == 0 {
        spec.required("must specify a volume type");
    }
}

fn local(spec: &Cursor<'_>, source: &Cursor<'_>) {
    source.at("path").must_be_set();
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
        assert_eq!(
            check::messages(&PersistentVolume.validate_update(&object("/b"), &object("/a"))),
            ["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"]
        );
    }
}
