//! The kinds of `storage.k8s.io`. Source: `k8s.io/kubernetes/pkg/apis/storage/{v1,validation}`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::{meta, names};

use super::check::dump::{self, Fields, Shape};
use super::check::{self, Cursor, amount};
use super::persistent_volume;
use super::pod::volumes::sources;
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
/// The most bytes of the name by which a driver knows a node.
const MAX_NODE_ID: usize = 256;
/// The most bytes of what went wrong with an attachment.
const MAX_ERROR_MESSAGE: usize = 1024;

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
            storage_class(&root);
            for field in ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"] {
                root.at(field).immutable(old.get(field));
            }
        })
    }
}

fn storage_class(root: &Cursor<'_>) {
    provisioner(&root.at("provisioner"));
    parameters(&root.at("parameters"), true);
    root.at("reclaimPolicy").must_be_one_of(&["Delete", "Retain"]);
    let mode = root.at("volumeBindingMode");
    if mode.is_set() {
        mode.one_of(&["Immediate", "WaitForFirstConsumer"]);
    } else {
        mode.required("");
    }
    allowed_topologies(&root.at("allowedTopologies"));
}

/// A provisioner is named in lower case as labels are.
fn provisioner(provisioner: &Cursor<'_>) {
    if provisioner.must_be_set() {
        for complaint in names::qualified_name(&provisioner.text().to_lowercase()) {
            provisioner.invalid_str(&provisioner.text().to_lowercase(), complaint);
        }
    }
}

/// The terms that restrict where volumes are made; upstream takes an empty one for repeated once per term.
fn allowed_topologies(terms: &Cursor<'_>) {
    let mut seen = vec![BTreeMap::new(); terms.len()];
    for term in terms.items() {
        let expressions = term.at("matchLabelExpressions");
        let mut keys = BTreeMap::new();
        for expression in expressions.items() {
            let (key, values) = (expression.at("key"), expression.at("values"));
            if values.is_empty() {
                values.required("");
            }
            let mut known = BTreeSet::new();
            for value in values.items() {
                value.once(&mut known);
            }
            key.named(names::qualified_name);
            if keys.contains_key(key.text()) {
                key.push(FieldError::duplicate(&key.path, key.value));
            }
            keys.insert(key.text(), known);
        }
        for _ in seen.iter().filter(|before| **before == keys) {
            expressions.push(FieldError::duplicate(&expressions.path, &json!("")));
        }
        seen.push(keys);
    }
}

fn parameters(parameters: &Cursor<'_>, may_be_empty: bool) {
    if parameters.len() > MAX_PARAMETERS {
        parameters.push(FieldError::too_long(&parameters.path, MAX_PARAMETERS));
        return;
    }
    let mut bytes = 0;
    for (key, entry) in parameters.entries() {
        if key.is_empty() {
            parameters.invalid_str(key, "field can not be empty.");
        }
        bytes += key.len() + entry.text().len();
    }
    if bytes > MAX_PARAMETER_BYTES {
        parameters.push(FieldError::too_long(&parameters.path, MAX_PARAMETER_BYTES));
    }
    if !may_be_empty && parameters.is_empty() {
        parameters.required("must contain at least one key/value pair");
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
        let audience = request.at("audience");
        if audiences.contains(audience.text()) {
            audience.push(FieldError::duplicate(&audience.path, &json!(audience.text())));
            continue;
        }
        audiences.insert(audience.text());
        let seconds = request.at("expirationSeconds");
        if seconds.int().is_some_and(|seconds| seconds < 600) {
            seconds.invalid("may not specify a duration less than 10 minutes");
        }
        if seconds.int().is_some_and(|seconds| seconds > 1 << 32) {
            seconds.invalid("may not specify a duration larger than 2^32 seconds");
        }
    }
    let modes = spec.at("volumeLifecycleModes");
    for mode in modes.items() {
        if !matches!(mode.text(), "Persistent" | "Ephemeral") {
            modes.with(Some(mode.value), modes.path.clone()).not_supported(&["Persistent", "Ephemeral"]);
        }
    }
    let period = spec.at("nodeAllocatableUpdatePeriodSeconds");
    if period.int().is_some_and(|period| period < 10) {
        period.invalid("must be greater than or equal to 10 seconds");
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
            let drivers = root.down(&["spec", "drivers"]);
            for before in meta::items(old, &["spec", "drivers"]) {
                for driver in drivers.items() {
                    let same = |field: &str| check::same(Some(driver.at(field).value), before.get(field));
                    if same("name") && !(same("nodeID") && same("topologyKeys")) {
                        let mut shown = driver.value.clone();
                        meta::remove(&mut shown, &["allocatable"]);
                        drivers.invalid_as(dump::internal(&shown, OF_DRIVER), check::IMMUTABLE);
                    }
                }
            }
        })
    }
}

const OF_DRIVER: Fields = &[
    ("Name", "name", Shape::Text),
    ("NodeID", "nodeID", Shape::Text),
    ("TopologyKeys", "topologyKeys", Shape::Same),
    ("Allocatable", "allocatable", Shape::Same),
];

fn csi_node(root: &Cursor<'_>) {
    let mut seen = BTreeSet::new();
    for driver in root.down(&["spec", "drivers"]).items() {
        let (name, id) = (driver.at("name"), driver.at("nodeID"));
        sources::driver_name(&name);
        id.must_be_set();
        if id.text().len() > MAX_NODE_ID {
            id.invalid_text(format!("must be {MAX_NODE_ID} characters or less"));
        }
        driver.at("allocatable").at("count").not_negative();
        name.once(&mut seen);
        let mut keys = BTreeSet::new();
        for key in driver.at("topologyKeys").items() {
            // Upstream names the driver, not the key.
            let key = driver.with(Some(key.value), driver.path.clone());
            if key.is_empty() {
                key.required("");
            }
            key.once(&mut keys);
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
            let capacity = root.at("capacity");
            if amount::of(capacity.value).is_negative() {
                capacity.invalid_str(&amount::of(capacity.value).to_string(), "must be greater than or equal to 0");
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
        check::collect(object, |root| {
            attachment(&root);
            let spec = root.at("spec");
            if !spec.at("attacher").is_empty() {
                sources::driver_name(&spec.at("attacher"));
            }
            let volume = spec.at("source").at("persistentVolumeName");
            if volume.is_set() {
                volume.named(names::dns1123_subdomain);
            }
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            attachment(&root);
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

fn attachment(root: &Cursor<'_>) {
    let spec = root.at("spec");
    spec.at("attacher").must_be_set();
    let source = spec.at("source");
    let (name, inline) = (source.at("persistentVolumeName"), source.at("inlineVolumeSpec"));
    match (name.is_set(), inline.is_set()) {
        (false, false) => source.required("must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
        (true, true) => source.forbidden("must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
        (true, false) if name.is_empty() => name.required("must specify non empty persistentVolumeName"),
        (true, false) => {}
        (false, true) => persistent_volume::inline(&inline),
    }
    spec.at("nodeName").named(names::dns1123_subdomain);
    let status = root.at("status");
    let metadata = status.at("attachmentMetadata");
    let bytes: usize = metadata.entries().map(|(key, entry)| key.len() + entry.text().len()).sum();
    if bytes > MAX_PARAMETER_BYTES {
        metadata.push(FieldError::too_long(&metadata.path, MAX_PARAMETER_BYTES));
    }
    for error in [status.at("attachError"), status.at("detachError")] {
        let (message, code) = (error.at("message"), error.at("errorCode"));
        if message.text().len() > MAX_ERROR_MESSAGE {
            // Upstream names the limit of the metadata.
            message.push(FieldError::too_long(&message.path, MAX_PARAMETER_BYTES));
        }
        if code.int().is_some_and(|code| code < 0) {
            code.invalid("must be between 0 and 2147483647, inclusive");
        }
    }
}

impl Strategy for VolumeAttributesClass {
    fn rules(&self) -> Rules {
        Rules { returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            provisioner(&root.at("driverName"));
            parameters(&root.at("parameters"), false);
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        let mut errors = check::collect(object, |root| {
            for field in ["driverName", "parameters"] {
                if !check::same(Some(root.at(field).value), old.get(field)) {
                    root.at(field).forbidden(format!("updates to {field} are forbidden."));
                }
            }
        });
        errors.extend(self.validate(object));
        errors
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
    fn topologies_are_said_once() {
        let term = |values: Value| json!({"matchLabelExpressions": [{"key": "zone", "values": values}]});
        check(
            &StorageClass,
            json!({"provisioner": "a", "allowedTopologies": [term(json!(["a", "b"])), term(json!(["b", "a"])), term(json!(["a", "a"]))]}),
            &[
                r#"allowedTopologies[1].matchLabelExpressions: Duplicate value: """#,
                r#"allowedTopologies[2].matchLabelExpressions[0].values[1]: Duplicate value: "a""#,
            ],
        );
    }

    #[test]
    fn drivers_of_nodes_are_checked() {
        let node = |driver: Value| json!({"spec": {"drivers": [driver]}});
        check(
            &CsiNode,
            node(json!({"name": "a_b", "nodeID": "", "topologyKeys": ["zone", "zone"], "allocatable": {"count": -1}})),
            &[
                &format!(r#"spec.drivers[0].name: Invalid value: "a_b": {}"#, names::dns1123_subdomain("a_b")[0]),
                "spec.drivers[0].nodeID: Required value",
                "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
                r#"spec.drivers[0]: Duplicate value: "zone""#,
            ],
        );
        let old = node(json!({"name": "a", "nodeID": "n", "topologyKeys": null, "allocatable": {"count": 1}}));
        let new = node(json!({"name": "a", "nodeID": "n", "topologyKeys": null, "allocatable": {"count": 2}}));
        assert_eq!(check::messages(&CsiNode.validate_update(&new, &old)), [""; 0]);
        let new = node(json!({"name": "a", "nodeID": "m", "topologyKeys": null}));
        assert_eq!(
            check::messages(&CsiNode.validate_update(&new, &old)),
            [
                r#"spec.drivers: Invalid value: {"Name":"a","NodeID":"m","TopologyKeys":null,"Allocatable":null}: field is immutable"#
            ]
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
