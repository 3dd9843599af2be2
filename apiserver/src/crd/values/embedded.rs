//! Objects in objects: `x-kubernetes-embedded-resource`.
//! Source: `k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta`.

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::{meta, names, object_meta};

use crate::crd::structural::Structural;

/// What is wrong with the types and the metadata of the objects that are embedded in an object.
pub fn check(object: &Value, schema: &Structural) -> ErrorList {
    let mut errors = ErrorList::new();
    below(object, schema, &Path::default(), &mut errors);
    errors
}

fn walk(value: &Value, schema: &Structural, path: &Path, errors: &mut ErrorList) {
    if schema.embedded && value.is_object() {
        resource(value, path, errors);
    }
    below(value, schema, path, errors);
}

fn below(value: &Value, schema: &Structural, path: &Path, errors: &mut ErrorList) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (schema.properties.get(name), schema.member(name)) {
                    (Some(schema), _) => walk(value, schema, &path.child(name), errors),
                    (None, Some(schema)) => walk(value, schema, &path.key(name), errors),
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if let Some(schema) = schema.items.as_deref() {
                    walk(item, schema, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

/// What is wrong with a text, if anything is.
type Check = fn(&str) -> Option<String>;

fn resource(object: &Value, path: &Path, errors: &mut ErrorList) {
    let checks: [(&str, Check); 2] = [("apiVersion", api_version), ("kind", kind)];
    for (name, check) in checks {
        let path = path.child(name);
        match object.get(name) {
            None => errors.push(FieldError::required(&path, "must not be empty")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid_str(&path, text, "must not be empty"));
            }
            Some(Value::String(text)) => {
                errors.extend(check(text).map(|detail| FieldError::invalid_str(&path, text, detail)));
            }
            Some(other) => errors.push(FieldError::invalid(&path, other, "must be a string")),
        }
    }
    if object.get("metadata").is_some_and(Value::is_object) {
        let mut named = serde_json::json!({ "metadata": object["metadata"] });
        if meta::name(&named).is_empty() {
            meta::set(&mut named, &["metadata", "name"], "fakename");
        }
        let is_namespaced = !meta::namespace(&named).is_empty();
        for mut error in object_meta::validate(&named, is_namespaced, &|name| names::path_segment(name)) {
            error.field = path.child(error.field.as_str());
            errors.push(error);
        }
    }
}

fn api_version(text: &str) -> Option<String> {
    let parts = text.matches('/').count();
    (parts > 1).then(|| format!("unexpected GroupVersion string: {text}"))
}

fn kind(text: &str) -> Option<String> {
    let complaints = names::dns1035_label(&text.to_lowercase());
    (!complaints.is_empty())
        .then(|| format!("may have mixed case, but should otherwise match: {}", complaints.join(",")))
}
