//! The rules for `x-kubernetes-list-type`, `-list-map-keys`, `-map-type` and `-preserve-unknown-fields`.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::meta;

use super::flag;
use super::structure::required_or_invalid;

const LIST_TYPES: [&str; 3] = ["atomic", "set", "map"];
const MAP_TYPES: [&str; 2] = ["atomic", "granular"];
const LIST_TYPE: &str = "x-kubernetes-list-type";
const MAP_TYPE: &str = "x-kubernetes-map-type";
const KEYS: &str = "x-kubernetes-list-map-keys";

pub(super) fn check(schema: &Value, path: &Path, errors: &mut ErrorList) {
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let path = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(&path, &Value::Bool(false), "must be true or undefined"));
    }
    check_map_type(schema, path, errors);
    let list_type = schema.get(LIST_TYPE).and_then(Value::as_str);
    if let Some(list_type) = list_type {
        check_list_type(schema, list_type, path, errors);
    }
    let keys = meta::items(schema, &[KEYS]);
    if !keys.is_empty() && list_type != Some("map") {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(required_or_invalid(&path.child(LIST_TYPE), list_type.unwrap_or_default(), detail));
    }
    if list_type == Some("map") {
        check_map(schema, path, errors);
    }
    if let (Some(list_type @ ("set" | "map")), Some(items)) =
        (list_type, schema.get("items").filter(|items| items.is_object()))
    {
        check_items(schema, list_type, items, &path.child("items"), errors);
    }
}

fn check_map_type(schema: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(map_type) = schema.get(MAP_TYPE).and_then(Value::as_str) else {
        return;
    };
    let kind = meta::text(schema, &["type"]);
    if kind != "object" {
        let detail = "must be object if x-kubernetes-map-type is specified";
        errors.push(required_or_invalid(&path.child("type"), kind, detail));
    }
    if !MAP_TYPES.contains(&map_type) {
        errors.push(FieldError::not_supported(&path.child(MAP_TYPE), map_type, &MAP_TYPES));
    }
}

fn check_list_type(schema: &Value, list_type: &str, path: &Path, errors: &mut ErrorList) {
    let kind = meta::text(schema, &["type"]);
    if kind != "array" {
        let detail = "must be array if x-kubernetes-list-type is specified";
        errors.push(required_or_invalid(&path.child("type"), kind, detail));
    } else if let Some(items) = schema.get("items").filter(|_| list_type == "set") {
        check_set(items, &path.child("items"), errors);
    }
    if !LIST_TYPES.contains(&list_type) {
        errors.push(FieldError::not_supported(&path.child(LIST_TYPE), list_type, &LIST_TYPES));
    }
}

/// Items of a set are told apart as wholes. Upstream shows the type of lists in both cases.
fn check_set(items: &Value, path: &Path, errors: &mut ErrorList) {
    let (name, atomic) = match (meta::text(items, &["type"]), items.get(LIST_TYPE), items.get(MAP_TYPE)) {
        ("array", list_type, _) => (LIST_TYPE, list_type.is_none_or(|it| it == "atomic")),
        ("object", _, map_type) => (MAP_TYPE, map_type.is_some_and(|it| it == "atomic")),
        _ => return,
    };
    if !atomic {
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        errors.push(FieldError::invalid(&path.child(name), items.get(LIST_TYPE).unwrap_or(&Value::Null), detail));
    }
}

fn check_map(schema: &Value, path: &Path, errors: &mut ErrorList) {
    let keys = meta::items(schema, &[KEYS]);
    if keys.is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(&path.child(KEYS), detail));
    }
    let path_of_items = path.child("items");
    let items = match schema.get("items") {
        None | Some(Value::Null) => {
            let detail = "must have a schema if x-kubernetes-list-type is map";
            return errors.push(FieldError::required(&path_of_items, detail));
        }
        Some(Value::Array(_)) => {
            let detail = "must only have a single schema if x-kubernetes-list-type is map";
            return errors.push(FieldError::invalid(&path_of_items, &schema["items"], detail));
        }
        Some(items) => items,
    };
    let kind = meta::text(items, &["type"]);
    if kind != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        return errors.push(FieldError::invalid_str(&path_of_items.child("type"), kind, detail));
    }
    let mut seen = BTreeSet::new();
    for key in keys.iter().filter_map(Value::as_str) {
        match meta::at(items, &["properties", key]) {
            Some(property) if matches!(meta::text(property, &["type"]), "array" | "object") => {
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                let path = path_of_items.child("properties").key(key).child("type");
                errors.push(FieldError::invalid_str(&path, kind, detail));
            }
            Some(_) => {}
            None => {
                let detail = "entries must all be names of item properties";
                errors.push(FieldError::invalid(&path.child(KEYS), &schema[KEYS], detail));
            }
        }
        if !seen.insert(key) {
            errors.push(FieldError::invalid(&path.child(KEYS), &schema[KEYS], "must not contain duplicate entries"));
        }
    }
}

/// Items that are told apart are there, and so are the keys by which they are.
fn check_items(schema: &Value, list_type: &str, items: &Value, path: &Path, errors: &mut ErrorList) {
    if flag(items, "nullable") {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(&path.child("nullable"), detail));
    }
    let required = meta::items(items, &["required"]);
    for key in meta::items(schema, &[KEYS]).iter().filter(|_| list_type == "map") {
        let name = key.as_str().unwrap_or_default();
        let Some(property) = meta::at(items, &["properties", name]) else {
            continue;
        };
        let path = path.child("properties").key(name);
        if !required.contains(key) && property.get("default").is_none_or(Value::is_null) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required \
                          property";
            errors.push(FieldError::required(&path.child("default"), detail));
        }
        if flag(property, "nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(&path.child("nullable"), detail));
        }
    }
}
