//! PersistentVolumeClaims. Source: `ValidatePersistentVolumeClaim` of `k8s.io/kubernetes/pkg/apis/core/validation`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, Path};
use steersman_machinery::{meta, names};

use super::check::dump::{self, Fields, Shape};
use super::check::{self, Cursor, amount};
use super::persistent_volume::{VOLUME_MODES, access_modes};
use super::pod::resources;
use crate::registry::strategy::{Rules, Strategy, restore};

/// The strategy of claims on persistent volumes.
#[derive(Clone, Copy, Debug)]
pub struct PersistentVolumeClaim;

const FROZEN: &str =
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
/// `core.PersistentVolumeClaimSpec`.
const SPEC: Fields = &[
    ("AccessModes", "accessModes", Shape::Same),
    ("Selector", "selector", Shape::Same),
    (
        "Resources",
        "resources",
        Shape::Struct(&[("Limits", "limits", Shape::Same), ("Requests", "requests", Shape::Same)]),
    ),
    ("VolumeName", "volumeName", Shape::Text),
    ("StorageClassName", "storageClassName", Shape::Same),
    ("VolumeMode", "volumeMode", Shape::Same),
    (
        "DataSource",
        "dataSource",
        Shape::Pointer(&[
            ("APIGroup", "apiGroup", Shape::Same),
            ("Kind", "kind", Shape::Text),
            ("Name", "name", Shape::Text),
        ]),
    ),
    (
        "DataSourceRef",
        "dataSourceRef",
        Shape::Pointer(&[
            ("APIGroup", "apiGroup", Shape::Same),
            ("Kind", "kind", Shape::Text),
            ("Name", "name", Shape::Text),
            ("Namespace", "namespace", Shape::Same),
        ]),
    ),
    ("VolumeAttributesClassName", "volumeAttributesClassName", Shape::Same),
];
/// What can become of an expansion, in order.
const RESIZING: &[&str] = &[
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];
const TOO_SMALL: &str = "field can not be less than status.capacity";

impl Strategy for PersistentVolumeClaim {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        Rules { has_status: true, returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec", "resources"], json!({}));
        meta::set_default(object, &["spec", "volumeMode"], "Filesystem");
        if meta::text(object, &["status", "phase"]).is_empty() {
            meta::set(object, &["status", "phase"], "Pending");
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        drop_foreign_source(object);
        meta::set(object, &["status"], json!({"phase": "Pending"}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| validate(&root.at("spec")))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            validate(&root.at("spec"));
            old_class_stays(&root, old);
            change(&root.at("spec"), old);
        })
    }

    fn validate_status_update(&self, object: &Value, _old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let status = root.at("status");
            status.at("capacity").entries().for_each(|(_, entry)| amount::valid(&entry));
            growth(&status);
        })
    }
}

/// How far a claim has grown, by the names of resources.
fn growth(status: &Cursor<'_>) {
    // Upstream's path has the singular, and the resource stands where the state should.
    let shown = status.with(None, status.path.child("allocatedResourceStatus"));
    for (name, state) in status.at("allocatedResourceStatuses").entries() {
        resource_key(&shown, name);
        if !RESIZING.contains(&state.text()) {
            shown.with_local(&json!(name)).not_supported(RESIZING);
        }
    }
    let allocated = status.at("allocatedResources");
    for (name, entry) in allocated.entries() {
        if resource_key(&allocated, name) {
            amount::valid(&entry);
        }
    }
}

/// Whether a claim can grow in that: in storage, or in what is nobody's own.
fn resource_key(place: &Cursor<'_>, name: &str) -> bool {
    let complaints = names::qualified_name(name);
    for complaint in &complaints {
        place.invalid_str(name, complaint.clone());
    }
    let foreign = complaints.is_empty() && resources::is_native(name) && name != "storage";
    if foreign {
        place.with_local(&json!(name)).not_supported(&["storage"]);
    }
    complaints.is_empty() && !foreign
}

/// A claim is filled from another claim or a snapshot; what is neither is forgotten. `dataSourceRef` mirrors it.
fn drop_foreign_source(object: &mut Value) {
    let Some(source) = meta::at(object, &["spec", "dataSource"]).filter(|source| source.is_object()) else {
        return;
    };
    let known = match meta::text(source, &["kind"]) {
        "PersistentVolumeClaim" => meta::text(source, &["apiGroup"]).is_empty(),
        "VolumeSnapshot" => meta::text(source, &["apiGroup"]) == "snapshot.storage.k8s.io",
        _ => false,
    };
    if known {
        let source = source.clone();
        meta::set_default(object, &["spec", "dataSourceRef"], source);
    } else {
        meta::remove(object, &["spec", "dataSource"]);
    }
}

/// The template of a claim in a volume of a pod: its labels, annotations and specification.
pub(crate) fn template(template: &Cursor<'_>) {
    let metadata = template.at("metadata");
    metadata.at("annotations").annotations();
    metadata.at("labels").labels();
    for field in [
        "name",
        "generateName",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "ownerReferences",
        "finalizers",
        "managedFields",
    ] {
        let field = metadata.at(field);
        if !field.is_empty() && field.int() != Some(0) {
            field.forbidden("cannot be set");
        }
    }
    validate(&template.at("spec"));
}

pub(crate) fn validate(spec: &Cursor<'_>) {
    let modes = spec.at("accessModes");
    if modes.is_empty() {
        modes.required("at least 1 access mode is required");
    }
    spec.at("selector").label_selector();
    access_modes(&modes);
    let resources = spec.at("resources");
    let storage = resources.at("requests").key("storage");
    let place = resources.with(Some(storage.value), resources.path.key("storage"));
    if !storage.is_set() {
        place.required("");
    } else if amount::of(storage.value) <= amount::of(&json!(0)) {
        place.invalid("must be greater than zero");
    }
    let class = spec.at("storageClassName");
    if !class.is_empty() {
        class.named(names::dns1123_subdomain);
    }
    spec.at("volumeMode").one_of(VOLUME_MODES);
    let (source, reference) = (spec.at("dataSource"), spec.at("dataSourceRef"));
    for source in [&source, &reference] {
        if source.is_set() {
            data_source(source);
        }
    }
    if source.is_set() && reference.is_set() {
        let same = ["apiGroup", "kind", "name"].iter().all(|field| source.at(field).value == reference.at(field).value);
        if !same {
            // Upstream shows a path as the value, which prints as nothing.
            spec.invalid_as("{}", "must match dataSourceRef");
        }
    }
    let class = spec.at("volumeAttributesClassName");
    if !class.is_empty() {
        class.named(names::dns1123_subdomain);
    }
}

fn data_source(source: &Cursor<'_>) {
    source.at("name").must_be_set();
    source.at("kind").must_be_set();
    let (group, kind) = (source.at("apiGroup"), source.at("kind").text());
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        source.invalid_str(kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    } else if !group.is_empty() {
        group.named(names::dns1123_subdomain);
    }
}

/// What may change of a claim: it may be bound once, and a bound claim may grow.
fn change(spec: &Cursor<'_>, old: &Value) {
    let mut compared = spec.value.clone();
    let before = old.get("spec").cloned().unwrap_or_default();
    if meta::text(&before, &["volumeName"]).is_empty() {
        restore(&mut compared, &before, &["volumeName"]);
    }
    if meta::text(&before, &["storageClassName"]).is_empty() && before.get("storageClassName").is_none() {
        restore(&mut compared, &before, &["storageClassName"]);
    }
    if meta::text(old, &["status", "phase"]) == "Bound" {
        restore(&mut compared, &before, &["resources", "requests", "storage"]);
    }
    restore(&mut compared, &before, &["volumeAttributesClassName"]);
    if !check::same(Some(&compared), Some(&before)) {
        let difference = dump::unified(&dump::lines(&before, SPEC), &dump::lines(&compared, SPEC));
        spec.forbidden(format!("{FROZEN}\n{difference}"));
    }
    let storage = spec.down(&["resources", "requests", "storage"]);
    let asked = amount::of(storage.value);
    let size = meta::at(&before, &["resources", "requests", "storage"]).map(amount::of);
    let capacity = meta::at(old, &["status", "capacity", "storage"]).map(amount::of);
    if size.is_some_and(|size| asked < size) && capacity.is_some_and(|capacity| asked <= capacity) {
        storage.forbidden(TOO_SMALL);
    }
    spec.with(spec.value.get("volumeMode"), Path::from("volumeMode")).immutable(before.get("volumeMode"));
    let class = spec.at("volumeAttributesClassName");
    let has_class = !meta::text(old, &["status", "currentVolumeAttributesClassName"]).is_empty();
    if has_class && class.is_empty() && !check::same(Some(class.value), before.get("volumeAttributesClassName")) {
        let what = if class.is_set() { "an empty string" } else { "nil" };
        class.forbidden(format!("update from non-nil value to {what} is forbidden"));
    }
}

/// The annotation that was there before `storageClassName` does not change.
fn old_class_stays(root: &Cursor<'_>, old: &Value) {
    const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
    let annotation = root.at("metadata").at("annotations").at(CLASS);
    let before = meta::annotation(old, CLASS).unwrap_or_default();
    let moved = annotation.is_empty() && meta::text(root.value, &["spec", "storageClassName"]) == before;
    if annotation.text() != before && !moved {
        annotation.invalid_str(annotation.text(), check::IMMUTABLE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(change: &Value) -> Value {
        let mut object =
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}});
        for (field, value) in change.as_object().expect("an object") {
            object["spec"][field] = value.clone();
        }
        PersistentVolumeClaim.default(&mut object);
        object
    }

    #[track_caller]
    fn check(change: &Value, expect: &[&str]) {
        assert_eq!(check::messages(&PersistentVolumeClaim.validate(&claim(change))), expect);
    }

    #[test]
    fn claims_say_what_they_need() {
        check(&json!({}), &[]);
        check(
            &json!({"accessModes": [], "resources": {}}),
            &[
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value",
            ],
        );
        check(
            &json!({"accessModes": ["ReadWriteOncePod", "ReadWriteMany"]}),
            &["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
        );
        let mut foreign = claim(&json!({"dataSource": {"kind": "Thing", "name": "a"}}));
        PersistentVolumeClaim.prepare_for_create(&mut foreign, Timestamp::UNIX_EPOCH);
        assert_eq!(foreign["spec"].get("dataSource"), None);
    }

    #[test]
    fn the_status_of_a_claim_says_how_it_grows() {
        let states = r#""ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending""#;
        for (status, expect) in [
            (
                json!({"capacity": {"storage": "-1Gi"}}),
                vec![
                    "status.capacity[storage]: Invalid value: -1073741824: must be a valid resource quantity"
                        .to_owned(),
                ],
            ),
            (
                json!({"allocatedResourceStatuses": {"storage": "NodeResizePending", "example.com/x": "NodeResizePending"}}),
                vec![],
            ),
            (
                json!({"allocatedResourceStatuses": {"storage": "Large"}}),
                vec![format!(
                    r#"status.allocatedResourceStatus: Unsupported value: "storage": supported values: {states}"#
                )],
            ),
            (
                json!({"allocatedResourceStatuses": {"cpu": "NodeResizePending"}}),
                vec![
                    r#"status.allocatedResourceStatus: Unsupported value: "cpu": supported values: "storage""#
                        .to_owned(),
                ],
            ),
            (
                json!({"allocatedResources": {"memory": "1Gi", "storage": "-1"}}),
                vec![
                    r#"status.allocatedResources: Unsupported value: "memory": supported values: "storage""#.to_owned(),
                    "status.allocatedResources[storage]: Invalid value: -1: must be a valid resource quantity"
                        .to_owned(),
                ],
            ),
        ] {
            let object = json!({"status": status});
            let found = PersistentVolumeClaim.validate_status_update(&object, &object);
            assert_eq!(check::messages(&found), expect, "{status}");
        }
    }

    #[test]
    fn only_bound_claims_grow() {
        let larger = json!({"resources": {"requests": {"storage": "8Gi"}}});
        let old = claim(&json!({}));
        assert_eq!(
            check::messages(&PersistentVolumeClaim.validate_update(&claim(&larger), &old)),
            [format!(
                "spec: Forbidden: {FROZEN}\n@@ -6,7 +6,7 @@\n  \"Resources\": {{\n   \"Limits\": null,\n   \"Requests\": {{\n-   \"storage\": \"5Gi\"\n+   \"storage\": \"8Gi\"\n   }}\n  }},\n  \"VolumeName\": \"\",\n"
            )]
        );
        let mut bound = claim(&json!({}));
        bound["status"] = json!({"phase": "Bound", "capacity": {"storage": "5Gi"}});
        assert!(PersistentVolumeClaim.validate_update(&claim(&larger), &bound).is_empty());
        let smaller = json!({"resources": {"requests": {"storage": "1Gi"}}});
        assert_eq!(
            check::messages(&PersistentVolumeClaim.validate_update(&claim(&smaller), &bound)),
            [format!("spec.resources.requests.storage: Forbidden: {TOO_SMALL}")]
        );
        bound["spec"]["volumeMode"] = json!("Filesystem");
        let mut block = bound.clone();
        block["spec"]["volumeMode"] = json!("Block");
        let errors = check::messages(&PersistentVolumeClaim.validate_update(&block, &bound));
        assert_eq!(errors[1..], [r#"volumeMode: Invalid value: "Block": field is immutable"#]);
    }

    #[test]
    fn classes_stay_where_they_are() {
        let mut old = claim(&json!({"volumeAttributesClassName": "gold"}));
        old["metadata"] = json!({"annotations": {"volume.beta.kubernetes.io/storage-class": "a"}});
        old["status"] = json!({"currentVolumeAttributesClassName": "gold"});
        let mut new = old.clone();
        new["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"] = json!("b");
        new["spec"]["volumeAttributesClassName"] = json!("");
        assert_eq!(
            check::messages(&PersistentVolumeClaim.validate_update(&new, &old)),
            [
                r#"metadata.annotations.volume.beta.kubernetes.io/storage-class: Invalid value: "b": field is immutable"#,
                "spec.volumeAttributesClassName: Forbidden: update from non-nil value to an empty string is forbidden",
            ]
        );
    }
}
