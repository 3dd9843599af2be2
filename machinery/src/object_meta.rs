//! What `metadata` of any object must fulfil, on every write and compared with the object that it replaces.
//! Source: `k8s.io/apimachinery/pkg/api/validation`; the texts are upstream's.

use serde_json::{Value, json};

use crate::field::{ErrorList, FieldError, Path, go_quote};
use crate::group::GroupVersionKind;
use crate::schema::builtin;
use crate::{meta, names};

/// The most bytes of all annotations, keys and values.
const ANNOTATIONS_MAX: usize = 256 << 10;
/// The most bytes of a field manager's name.
const FIELD_MANAGER_MAX: usize = 128;
/// The most bytes of the subresource of an entry of the managed fields.
const SUBRESOURCE_MAX: usize = 256;
/// The most owners that errors show, again and again, before they show no more.
const OWNERS_TOLD: usize = 10_000;
/// The finalizers that need no prefix.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", meta::FINALIZER_ORPHAN, meta::FINALIZER_FOREGROUND];

/// What is wrong with the metadata of an object. `name_check` complains about a name as the type's rule does, such as
/// [`names::dns1123_subdomain`].
pub fn validate(object: &Value, namespaced: bool, name_check: &dyn Fn(&str) -> Vec<String>) -> ErrorList {
    look(object, namespaced, name_check, qualified_finalizers)
}

/// What is wrong with the metadata of an object as far as all kinds are concerned: any name that can stand in a path
/// will do, and any finalizer.
pub fn validate_common(object: &Value, namespaced: bool) -> ErrorList {
    look(object, namespaced, &names::path_segment, |_| ErrorList::new())
}

fn look(
    object: &Value,
    namespaced: bool,
    name_check: &dyn Fn(&str) -> Vec<String>,
    finalizer_check: fn(&Value) -> ErrorList,
) -> ErrorList {
    let path = Path::new("metadata");
    let mut errors = validate_names(object, namespaced, name_check);
    let generation = meta::generation(object);
    if generation < 0 {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child("generation"), &generation.into(), why));
    }
    errors.extend(validate_labels(meta::labels(object), &path.child("labels")));
    errors.extend(validate_annotations(object));
    errors.extend(validate_owners(meta::items(object, &["metadata", "ownerReferences"])));
    errors.extend(validate_finalizers(object));
    errors.extend(finalizer_check(object));
    errors.extend(validate_managed_fields(meta::items(object, &["metadata", "managedFields"])));
    errors
}

/// What in the metadata of `new` may not differ from that of `old`. Like upstream, it repeats what [`validate`] says of
/// labels, annotations, owners and managed fields.
pub fn validate_update(new: &Value, old: &Value) -> ErrorList {
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    if meta::deletion_timestamp(old).is_some() {
        let mut added: Vec<&str> =
            meta::finalizers(new).filter(|it| !meta::finalizers(old).any(|had| had == *it)).collect();
        added.sort_unstable();
        added.dedup();
        if !added.is_empty() {
            let added: Vec<String> = added.into_iter().map(go_quote).collect();
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            errors.push(FieldError::forbidden(&path.child("finalizers"), why));
        }
    }
    let generation = meta::generation(new);
    if generation < meta::generation(old) {
        let why = "must not be decremented";
        errors.push(FieldError::invalid(&path.child("generation"), &generation.into(), why));
    }
    // Absent texts are empty; absent times and numbers are null.
    let text = || json!("");
    for (field, absent) in [
        ("name", text()),
        ("namespace", text()),
        ("uid", text()),
        ("creationTimestamp", Value::Null),
        ("deletionTimestamp", Value::Null),
        ("deletionGracePeriodSeconds", Value::Null),
    ] {
        let get = |object: &Value| meta::at(object, &["metadata", field]).cloned().unwrap_or_else(|| absent.clone());
        let (new, old) = (get(new), get(old));
        if new != old {
            errors.push(FieldError::invalid(&path.child(field), &new, "field is immutable"));
        }
    }
    errors.extend(validate_labels(meta::labels(new), &path.child("labels")));
    errors.extend(validate_annotations(new));
    errors.extend(validate_owners(meta::items(new, &["metadata", "ownerReferences"])));
    errors.extend(validate_managed_fields(meta::items(new, &["metadata", "managedFields"])));
    errors
}

/// What is wrong with labels: of an object, of a pod template, of a selector's `matchLabels`.
pub fn validate_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, path: &Path) -> ErrorList {
    let mut errors = Vec::new();
    for (key, value) in labels {
        errors.extend(names::qualified_name(key).into_iter().map(|why| FieldError::invalid_str(path, key, why)));
        errors.extend(names::label_value(value).into_iter().map(|why| FieldError::invalid_str(path, value, why)));
    }
    errors
}

/// What is wrong with the name of a field manager.
pub fn validate_field_manager(manager: &str, path: &Path) -> ErrorList {
    let mut errors = Vec::new();
    if manager.len() > FIELD_MANAGER_MAX {
        errors.push(FieldError::too_long(path, FIELD_MANAGER_MAX));
    }
    // The only white space that Go prints is the ASCII blank.
    let unprintable = |c: char| c.is_control() || (c.is_whitespace() && c != ' ');
    for (at, c) in manager.char_indices().filter(|(_, c)| unprintable(*c)) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.push(FieldError::invalid_str(path, manager, why));
    }
    errors
}

fn validate_names(object: &Value, namespaced: bool, name_check: &dyn Fn(&str) -> Vec<String>) -> ErrorList {
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    let generate_name = meta::text(object, &["metadata", "generateName"]);
    if !generate_name.is_empty() {
        let field = path.child("generateName");
        let complaints = name_check(&names::mask_trailing_dash(generate_name));
        errors.extend(complaints.into_iter().map(|why| FieldError::invalid_str(&field, generate_name, why)));
    }
    let (name, field) = (meta::name(object), path.child("name"));
    if name.is_empty() {
        errors.push(FieldError::required(&field, "name or generateName is required"));
    } else {
        errors.extend(name_check(name).into_iter().map(|why| FieldError::invalid_str(&field, name, why)));
    }
    let (namespace, field) = (meta::namespace(object), path.child("namespace"));
    match (namespaced, namespace) {
        (true, "") => errors.push(FieldError::required(&field, "")),
        (true, namespace) => {
            let complaints = names::dns1123_label(namespace).into_iter();
            errors.extend(complaints.map(|why| FieldError::invalid_str(&field, namespace, why)));
        }
        (false, "") => {}
        (false, _) => errors.push(FieldError::forbidden(&field, "not allowed on this type")),
    }
    errors
}

fn validate_annotations(object: &Value) -> ErrorList {
    let path = Path::new("metadata").child("annotations");
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in meta::annotations(object) {
        size += key.len() + value.len();
        let complaints = names::qualified_name(&key.to_lowercase());
        errors.extend(complaints.into_iter().map(|why| FieldError::invalid_str(&path, key, why)));
    }
    if size > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(&path, ANNOTATIONS_MAX));
    }
    errors
}

fn validate_owners(owners: &[Value]) -> ErrorList {
    let path = Path::new("metadata").child("ownerReferences");
    let mut errors = Vec::new();
    let mut controller: Option<String> = None;
    // Each controller too many is told with all owners; a list that is made to be told often ends the telling.
    let mut told = 0;
    for owner in owners {
        errors.extend(validate_owner(owner, &path));
        if owner["controller"] == true {
            let name = format!("{}/{}", meta::text(owner, &["kind"]), meta::text(owner, &["name"]));
            match &controller {
                None => controller = Some(name),
                Some(_) if told > OWNERS_TOLD => {}
                Some(first) => {
                    let shown: Vec<String> = owners.iter().map(show_owner).collect();
                    told += owners.len();
                    let why = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                    );
                    errors.push(FieldError::invalid_shown(&path, format!("[{}]", shown.join(",")), why));
                }
            }
        }
    }
    errors
}

fn validate_owner(owner: &Value, path: &Path) -> ErrorList {
    let mut errors = Vec::new();
    let api_version = meta::text(owner, &["apiVersion"]);
    let version = match api_version.matches('/').count() {
        0 => api_version,
        1 => api_version.rsplit('/').next().unwrap_or_default(),
        _ => "",
    };
    if version.is_empty() {
        errors.push(FieldError::invalid_str(&path.child("apiVersion"), api_version, "version must not be empty"));
    }
    for field in ["kind", "name", "uid"] {
        if meta::text(owner, &[field]).is_empty() {
            errors.push(FieldError::invalid_str(&path.child(field), "", "must not be empty"));
        }
    }
    if meta::gvk(owner) == GroupVersionKind::new("", "v1", "Event") {
        let why = "/v1, Kind=Event is disallowed from being an owner";
        errors.push(FieldError::invalid_shown(path, show_owner(owner), why));
    }
    errors
}

/// An owner reference with its fields in the order of Go's struct.
fn show_owner(owner: &Value) -> String {
    let text = |field: &str| format!("\"{field}\":{}", json!(meta::text(owner, &[field])));
    let mut fields: Vec<String> = ["apiVersion", "kind", "name", "uid"].into_iter().map(text).collect();
    for field in ["controller", "blockOwnerDeletion"] {
        if let Some(flag) = owner.get(field).and_then(Value::as_bool) {
            fields.push(format!("\"{field}\":{flag}"));
        }
    }
    format!("{{{}}}", fields.join(","))
}

fn validate_finalizers(object: &Value) -> ErrorList {
    let path = Path::new("metadata").child("finalizers");
    let mut errors = Vec::new();
    for finalizer in meta::finalizers(object) {
        let complaints = names::qualified_name(finalizer).into_iter();
        errors.extend(complaints.map(|why| FieldError::invalid_str(&path, finalizer, why)));
    }
    let has = |wanted: &str| meta::finalizers(object).any(|it| it == wanted);
    if has(meta::FINALIZER_ORPHAN) && has(meta::FINALIZER_FOREGROUND) {
        let why = format!("finalizer {} and {} cannot be both set", meta::FINALIZER_ORPHAN, meta::FINALIZER_FOREGROUND);
        errors.push(FieldError::invalid(&path, &object["metadata"]["finalizers"], why));
    }
    errors
}

/// The finalizers that are neither standard ones nor have a prefix.
fn qualified_finalizers(object: &Value) -> ErrorList {
    let path = Path::new("metadata").child("finalizers");
    let mut errors = Vec::new();
    if wants_qualified_finalizers(object) {
        let unqualified = |it: &&str| !it.contains('/') && !STANDARD_FINALIZERS.contains(it);
        for (at, finalizer) in meta::finalizers(object).enumerate().filter(|(_, it)| unqualified(it)) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid_str(&path.index(at), finalizer, why));
        }
    }
    errors
}

/// Whether finalizers need a prefix: of the built-in kinds, but not of those that extend the API, and not of custom
/// resources.
fn wants_qualified_finalizers(object: &Value) -> bool {
    let gvk = meta::gvk(object);
    !matches!(gvk.group.as_str(), "apiextensions.k8s.io" | "apiregistration.k8s.io")
        && builtin::resource_of_kind(&gvk).is_some()
}

fn validate_managed_fields(entries: &[Value]) -> ErrorList {
    let mut errors = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let path = Path::new("metadata").child("managedFields").index(at);
        let operation = meta::text(entry, &["operation"]);
        if !matches!(operation, "Apply" | "Update") {
            let why = "must be `Apply` or `Update`";
            errors.push(FieldError::invalid_str(&path.child("operation"), operation, why));
        }
        let fields_type = meta::text(entry, &["fieldsType"]);
        if !matches!(fields_type, "" | "FieldsV1") {
            errors.push(FieldError::invalid_str(&path.child("fieldsType"), fields_type, "must be `FieldsV1`"));
        }
        errors.extend(validate_field_manager(meta::text(entry, &["manager"]), &path.child("manager")));
        if meta::text(entry, &["subresource"]).len() > SUBRESOURCE_MAX {
            errors.push(FieldError::too_long(&path.child("subresource"), SUBRESOURCE_MAX));
        }
    }
    errors
}

#[cfg(test)]
mod tests;
