//! The rules for `x-kubernetes-list-type`, `-list-map-keys` and `-map-type`.

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::meta;

use super::flag;

const LIST_TYPES: [&str; 3] = ["atomic", "map", "set"];
const MAP_TYPES: [&str; 2] = ["atomic", "granular"];

pub(super) fn check(schema: &Value, path: &Path, errors: &mut ErrorList) {
    check_map_type(schema, path, errors);
    let list_type = meta::text(schema, &["x-kubernetes-list-type"]);
    let keys = meta::items(schema, &["x-kubernetes-list-map-keys"]);
    let path_of_type = path.child("x-kubernetes-list-type");
    if !list_type.is_empty() {
        if !LIST_TYPES.contains(&list_type) {
            errors.push(FieldError::not_supported(&path_of_type, list_type, &LIST_TYPES));
        }
        must_be("array", schema, "x-kubernetes-list-type", path, errors);
    }
    if keys.is_empty() {
        if list_type == "map" {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            errors.push(FieldError::required(&path.child("x-kubernetes-list-map-keys"), detail));
        }
    } else if list_type != "map" {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match list_type {
            "" => FieldError::required(&path_of_type, detail),
            other => FieldError::invalid_str(&path_of_type, other, detail),
        });
    }
    match (list_type, schema.get("items")) {
        ("map", Some(items)) => check_keys(schema, items, path, errors),
        ("set", Some(items)) => check_set(items, &path.child("items"), errors),
        _ => {}
    }
}

fn check_map_type(schema: &Value, path: &Path, errors: &mut ErrorList) {
    let map_type = meta::text(schema, &["x-kubernetes-map-type"]);
    if map_type.is_empty() {
        return;
    }
    if !MAP_TYPES.contains(&map_type) {
        errors.push(FieldError::not_supported(&path.child("x-kubernetes-map-type"), map_type, &MAP_TYPES));
    }
    must_be("object", schema, "x-kubernetes-map-type", path, errors);
}

fn must_be(wanted: &str, schema: &Value, because: &str, path: &Path, errors: &mut ErrorList) {
    let ty = meta::text(schema, &["type"]);
    if ty != wanted {
        let detail = format!("must be {wanted} if {because} is specified");
        errors.push(match ty {
            "" => FieldError::required(&path.child("type"), detail),
            other => FieldError::invalid_str(&path.child("type"), other, detail),
        });
    }
}

fn check_keys(schema: &Value, items: &Value, path: &Path, errors: &mut ErrorList) {
    let path_of_items = path.child("items");
    if meta::text(items, &["type"]) != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        let ty = meta::text(items, &["type"]);
        errors.push(FieldError::invalid_str(&path_of_items.child("type"), ty, detail));
    }
    let required = meta::items(items, &["required"]);
    let keys = meta::items(schema, &["x-kubernetes-list-map-keys"]);
    for (index, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        let path_of_key = path.child("x-kubernetes-list-map-keys").index(index);
        if keys[..index].contains(key) {
            errors.push(FieldError::duplicate(&path_of_key, key));
        }
        let Some(property) = meta::at(items, &["properties", name]) else {
            let detail = "entries must all be names of item properties";
            errors.push(FieldError::invalid_str(&path_of_key, name, detail));
            continue;
        };
        let path = path_of_items.child("properties").key(name);
        if matches!(meta::text(property, &["type"]), "array" | "object") {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            let ty = meta::text(property, &["type"]);
            errors.push(FieldError::invalid_str(&path.child("type"), ty, detail));
        }
        if flag(property, "nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must not be nullable";
            errors.push(FieldError::forbidden(&path.child("nullable"), detail));
        }
        if !required.contains(key) && property.get("default").is_none_or(Value::is_null) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required \
                          property";
            errors.push(FieldError::required(&path.child("default"), detail));
        }
    }
}

fn check_set(items: &Value, path: &Path, errors: &mut ErrorList) {
    if flag(items, "nullable") {
        let detail = "cannot be nullable when x-kubernetes-list-type is set";
        errors.push(FieldError::forbidden(&path.child("nullable"), detail));
    }
    let (extension, allowed) = match meta::text(items, &["type"]) {
        "array" => ("x-kubernetes-list-type", meta::text(items, &["x-kubernetes-list-type"]) == "atomic"),
        "object" => ("x-kubernetes-map-type", meta::text(items, &["x-kubernetes-map-type"]) == "atomic"),
        _ => return,
    };
    if !allowed {
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        errors.push(FieldError::invalid_str(&path.child(extension), meta::text(items, &[extension]), detail));
    }
}
