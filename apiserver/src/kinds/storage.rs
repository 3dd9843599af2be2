//! The kinds of `storage.k8s.io`. Source: `k8s.io/kubernetes/pkg/apis/storage/{v1,validation}`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::check::{self, Cursor, amount};
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of storage classes.
#[derive(Clone, Copy, Debug)]
pub struct StorageClass;

/// The strategy of CSI drivers.
#[derive(Clone, Copy, Debug)]
pub struct CsiDriver;

/// The strategy of CSI nodes.
#[derive(Clone, Copy, Debug)]
pub struct CsiNode;

/// The strategy of CSI storage capacities.
#[derive(Clone, Copy, Debug)]
pub struct CsiStorageCapacity;

/// The strategy of volume attachments.
#[derive(Clone, Copy, Debug)]
pub struct VolumeAttachment;

/// The strategy of volume attributes classes.
#[derive(Clone, Copy, Debug)]
pub struct VolumeAttributesClass;

const FS_GROUP_POLICIES: &[&str] = &["File", "None", "ReadWriteOnceWithFSType"];
/// The most parameters of a class, and the most bytes of their keys and values.
const MAX_PARAMETERS: usize = 512;
const MAX_PARAMETER_BYTES: usize = 256 * 1024;

impl Strategy for StorageClass {
    fn rules(&self) -> Rules {
        Rules { returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["reclaimPolicy"], "Delete");
        meta::set_default(object, &["volumeBindingMode"], "Immediate");
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| storage_class(&root))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
                root.at(field).immutable(old.get(field));
            }
            storage_class(&root);
        })
    }
}

fn storage_class(root: &Cursor<'_>) {
    let provisioner = root.at("provisioner");
    if provisioner.must_be_set() {
        for complaint in names::qualified_name(&provisioner.text().to_lowercase()) {
            provisioner.invalid_text(complaint);
        }
    }
    parameters(&root.at("parameters"), true);
    root.at("reclaimPolicy").must_be_one_of(&["Delete", "Retain"]);
    let mode = root.at("volumeBindingMode");
    if mode.is_set() {
        mode.one_of(&["Immediate", "WaitForFirstConsumer"]);
    } else {
        mode.required("");
    }
    for term in root.at("allowedTopologies").items() {
        for requirement in term.at("matchLabelExpressions").items() {
            requirement.at("key").named(names::qualified_name);
            if requirement.at("values").is_empty() {
                requirement.at("values").required("");
            }
        }
    }
}

fn parameters(parameters: &Cursor<'_>, may_be_empty: bool) {
    if !may_be_empty && parameters.is_empty() {
        parameters.required("must contain at least one key/value pair");
    }
    if parameters.len() > MAX_PARAMETERS {
        parameters.push(steersman_machinery::field::FieldError::too_long(&parameters.path, MAX_PARAMETERS));
    }
    let mut bytes = 0;
    for (key, entry) in parameters.entries() {
        if key.is_empty() {
            parameters.invalid_str(key, "field can not be empty.");
        }
        bytes += key.len() + entry.text().len();
    }
    if bytes > MAX_PARAMETER_BYTES {
        parameters.push(steersman_machinery::field::FieldError::too_long(&parameters.path, MAX_PARAMETER_BYTES));
    }
}

impl Strategy for CsiDriver {
    fn rules(&self) -> Rules {
        Rules { unconditional_update: false, tracks_generation: true, returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        for (field, value) in [
            ("attachRequired", json!(true)),
            ("podInfoOnMount", json!(false)),
            ("fsGroupPolicy", json!("ReadWriteOnceWithFSType")),
            ("storageCapacity", json!(false)),
            ("requiresRepublish", json!(false)),
            ("seLinuxMount", json!(false)),
        ] {
            meta::set_default(object, &["spec", field], value);
        }
        if meta::items(object, &["spec", "volumeLifecycleModes"]).is_empty() {
            meta::set(object, &["spec", "volumeLifecycleModes"], json!(["Persistent"]));
        }
    }

    /// The generation counts changes only: a new driver has none.
    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::remove(object, &["metadata", "generation"]);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| csi_driver(&root.at("spec")))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            csi_driver(&spec);
            // Upstream's path of the first field is misspelt.
            for (field, shown) in
                [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")]
            {
                spec.with(spec.value.get(field), spec.path.child(shown)).immutable(meta::at(old, &["spec", field]));
            }
        })
    }
}

fn csi_driver(spec: &Cursor<'_>) {
    for field in ["attachRequired", "podInfoOnMount", "storageCapacity"] {
        if !spec.at(field).is_set() {
            spec.at(field).required("");
        }
    }
    spec.at("fsGroupPolicy").must_be_one_of(FS_GROUP_POLICIES);
    let mut audiences = BTreeSet::new();
    for request in spec.at("tokenRequests").items() {
        request.at("audience").once(&mut audiences);
        let seconds = request.at("expirationSeconds");
        if seconds.int().is_some_and(|seconds| seconds < 600) {
            seconds.invalid("may not specify a duration less than 10 minutes");
        }
    }
    let modes = spec.at("volumeLifecycleModes");
    for mode in modes.items() {
        if !matches!(mode.text(), "Persistent" | "Ephemeral") {
            modes.with(Some(mode.value), modes.path.clone()).not_supported(&["Persistent", "Ephemeral"]);
        }
    }
}

impl Strategy for CsiNode {
    fn rules(&self) -> Rules {
        Rules { unconditional_update: false, returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec", "drivers"], Value::Null);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| csi_node(&root))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            csi_node(&root);
            for driver in root.down(&["spec", "drivers"]).items() {
                let before = meta::items(old, &["spec", "drivers"])
                    .iter()
                    .find(|before| meta::text(before, &["name"]) == driver.at("name").text());
                for field in ["nodeID", "topologyKeys"] {
                    if before.is_some_and(|before| !check::same(before.get(field), Some(driver.at(field).value))) {
                        driver.at(field).invalid(check::IMMUTABLE);
                    }
                }
            }
        })
    }
}

fn csi_node(root: &Cursor<'_>) {
    let mut seen = BTreeSet::new();
    for driver in root.down(&["spec", "drivers"]).items() {
        let name = driver.at("name");
        name.must_be_named(names::dns1123_subdomain);
        driver.at("nodeID").must_be_set();
        driver.at("allocatable").at("count").not_negative();
        name.once(&mut seen);
        for key in driver.at("topologyKeys").items() {
            key.named(names::qualified_name);
        }
    }
}

impl Strategy for CsiStorageCapacity {
    fn rules(&self) -> Rules {
        Rules { unconditional_update: false, ..Rules::DEFAULT }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            root.at("storageClassName").named(names::dns1123_subdomain);
            root.at("nodeTopology").label_selector();
            for field in ["capacity", "maximumVolumeSize"] {
                let field = root.at(field);
                if amount::of(field.value).is_negative() {
                    field.invalid("must be greater than or equal to 0");
                }
            }
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(object);
        errors.extend(check::collect(object, |root| {
            for field in ["nodeTopology", "storageClassName"] {
                root.at(field).immutable(old.get(field));
            }
        }));
        errors
    }
}

impl Strategy for VolumeAttachment {
    fn rules(&self) -> Rules {
        Rules { unconditional_update: false, has_status: true, returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["status", "attached"], false);
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({"attached": false}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| attachment(&root.at("spec")))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            attachment(&spec);
            if !check::same(Some(spec.value), old.get("spec")) {
                let source = spec.at("source");
                spec.invalid_as(
                    format!(
                        "{{\"Attacher\":{},\"Source\":{{\"PersistentVolumeName\":{},\"InlineVolumeSpec\":{}}},\"NodeName\":{}}}",
                        json!(spec.at("attacher").text()),
                        source.at("persistentVolumeName").value,
                        source.at("inlineVolumeSpec").value,
                        json!(spec.at("nodeName").text())
                    ),
                    check::IMMUTABLE,
                );
            }
        })
    }
}

fn attachment(spec: &Cursor<'_>) {
    let attacher = spec.at("attacher");
    if attacher.must_be_set() {
        for complaint in names::qualified_name(&attacher.text().to_lowercase()) {
            attacher.invalid_text(complaint);
        }
    }
    let source = spec.at("source");
    let (name, inline) = (source.at("persistentVolumeName"), source.at("inlineVolumeSpec"));
    match (name.is_set(), inline.is_set()) {
        (false, false) => source.required("must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
        (true, true) => source.forbidden("must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
        (true, false) if name.is_empty() => name.required("must specify non empty persistentVolumeName"),
        _ => {}
    }
    spec.at("nodeName").named(names::dns1123_subdomain);
}

impl Strategy for VolumeAttributesClass {
    fn rules(&self) -> Rules {
        Rules { returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let driver = root.at("driverName");
            driver.must_be_named(names::dns1123_subdomain);
            parameters(&root.at("parameters"), false);
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            for field in ["driverName", "parameters"] {
                if !check::same(Some(root.at(field).value), old.get(field)) {
                    root.at(field).forbidden(format!("updates to {field} are forbidden."));
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(strategy: &dyn Strategy, object: Value, expect: &[&str]) {
        let mut object = object;
        strategy.default(&mut object);
        assert_eq!(check::messages(&strategy.validate(&object)), expect);
    }

    #[test]
    fn classes_and_drivers_are_checked() {
        check(
            &StorageClass,
            json!({"provisioner": "", "reclaimPolicy": "Recycle", "volumeBindingMode": "Never"}),
            &[
                "provisioner: Required value",
                r#"reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain""#,
                r#"volumeBindingMode: Unsupported value: "Never": supported values: "Immediate", "WaitForFirstConsumer""#,
            ],
        );
        check(&CsiDriver, json!({"spec": {}}), &[]);
        check(
            &CsiDriver,
            json!({"spec": {"fsGroupPolicy": "Maybe", "tokenRequests": [{"audience": "a"}, {"audience": "a"}]}}),
            &[
                r#"spec.fsGroupPolicy: Unsupported value: "Maybe": supported values: "File", "None", "ReadWriteOnceWithFSType""#,
                r#"spec.tokenRequests[1].audience: Duplicate value: "a""#,
            ],
        );
        check(
            &VolumeAttributesClass,
            json!({}),
            &["driverName: Required value", "parameters: Required value: must contain at least one key/value pair"],
        );
    }

    #[test]
    fn attachments_stay_as_they_are() {
        let object = |node: &str| json!({"spec": {"attacher": "a.example.com", "nodeName": node, "source": {"persistentVolumeName": "pv1"}}});
        assert_eq!(
            check::messages(&VolumeAttachment.validate_update(&object("n2"), &object("n1"))),
            [
                r#"spec: Invalid value: {"Attacher":"a.example.com","Source":{"PersistentVolumeName":"pv1","InlineVolumeSpec":null},"NodeName":"n2"}: field is immutable"#
            ]
        );
    }
}
