//! Whether an object obeys the rules of its schema.
//! Source: `k8s.io/apiextensions-apiserver/pkg/apiserver/validation`, `k8s.io/kube-openapi/pkg/validation/validate`;
//! KEP-4008 (an update is not refused for what was wrong before and did not change).

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};

use super::structural::Structural;

mod embedded;
mod formats;
mod junctors;
mod lists;
mod scalars;

pub use embedded::check as embedded;
pub use formats::is_known as is_known_format;
pub use lists::duplicates;

/// What is wrong with an object. Of an update (`old` is given), what was wrong before and has not changed is not held
/// against it.
pub fn validate(object: &Value, old: Option<&Value>, schema: &Structural) -> ErrorList {
    let mut errors = ErrorList::new();
    node(object, old, schema, &Path::default(), &mut errors);
    errors
}

/// Validates the part of an object at `path`, such as its status.
pub fn validate_at(object: &Value, old: Option<&Value>, schema: &Structural, name: &str) -> ErrorList {
    let mut errors = ErrorList::new();
    if let (Some(value), Some(schema)) = (object.get(name), schema.properties.get(name)) {
        let old = old.and_then(|old| old.get(name));
        node(value, old, schema, &Path::new(name), &mut errors);
    }
    errors
}

fn node(value: &Value, old: Option<&Value>, schema: &Structural, path: &Path, errors: &mut ErrorList) {
    if old == Some(value) {
        return;
    }
    if value.is_null() && (schema.nullable || schema.ty.is_empty()) && !schema.int_or_string {
        return;
    }
    if !scalars::check_type(value, schema, path, errors) {
        return;
    }
    junctors::check(value, schema, path, errors);
    scalars::check(value, schema, path, errors);
    match value {
        Value::Object(_) => fields(value, old, schema, path, errors),
        Value::Array(list) => {
            scalars::check_items(list, schema, path, errors);
            for (index, item) in list.iter().enumerate() {
                if let Some(schema_of_item) = schema.items.as_deref() {
                    let old = lists::correlated(item, old, schema);
                    node(item, old, schema_of_item, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn fields(value: &Value, old: Option<&Value>, schema: &Structural, path: &Path, errors: &mut ErrorList) {
    let Some(fields) = value.as_object() else {
        return;
    };
    scalars::check_properties(fields.len(), schema, path, errors);
    for name in &schema.rules.required {
        if !fields.contains_key(name) {
            errors.push(FieldError::required(&path.child(name), ""));
        }
    }
    for (name, value) in fields {
        if let Some(schema) = schema.member(name) {
            let old = old.and_then(|old| old.get(name));
            node(value, old, schema, &path.child(name), errors);
        }
    }
}

#[cfg(test)]
mod tests;
