//! The rules for each node of a schema, structural or not.
//! Source: `ValidateCustomResourceDefinitionOpenAPISchema` of `k8s.io/apiextensions-apiserver`.

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::{Object, meta};

use super::{TYPES, flag};

/// What JSON schema has and a schema of a custom resource has not.
const UNSUPPORTED: [&str; 6] = ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"];

/// What the schemas around say about a node.
#[derive(Clone, Default)]
pub(super) struct Context {
    /// Why the node may have no default.
    pub(super) no_default: Option<String>,
    /// Whether it describes metadata.
    pub(super) in_metadata: bool,
}

/// The errors that come before those of the schemas in `schema`.
pub(super) fn before(schema: &Value, context: &Context, path: &Path, errors: &mut ErrorList) {
    let kind = meta::text(schema, &["type"]);
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, &TYPES));
    }
    let has_default = schema.get("default").is_some_and(|default| !default.is_null());
    if let Some(reason) = context.no_default.as_ref().filter(|_| has_default) {
        errors.push(FieldError::forbidden(&path.child("default"), format!("must not be set {reason}")));
    }
    for name in UNSUPPORTED {
        if is_present(schema, name) {
            errors.push(FieldError::forbidden(&path.child(name), format!("{name} is not supported")));
        }
    }
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(&path.child("type"), detail));
    }
    if schema.get("items").and_then(Value::as_array).is_some_and(|items| !items.is_empty()) {
        let detail = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(&path.child("items"), detail));
    }
    if context.in_metadata && flag(schema, "x-kubernetes-embedded-resource") {
        let path = path.child("x-kubernetes-embedded-resource");
        errors.push(FieldError::forbidden(&path, "must not be used inside of resource meta"));
    }
    if flag(schema, "uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(&path.child("uniqueItems"), detail));
    }
    let has_properties = schema.get("properties").and_then(Value::as_object).is_some_and(|it| !it.is_empty());
    if has_properties && matches!(schema.get("additionalProperties"), Some(Value::Bool(false) | Value::Object(_))) {
        let detail = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), detail));
    }
}

/// Whether a schema uses what structural schemas do not have.
pub(super) fn is_foreign(schema: &Value) -> bool {
    UNSUPPORTED.into_iter().chain(["$schema"]).any(|name| is_present(schema, name))
        || schema.get("items").is_some_and(Value::is_array)
}

fn is_present(schema: &Value, name: &str) -> bool {
    match (name, schema.get(name)) {
        (_, None | Some(Value::Null)) => false,
        ("id" | "$schema", Some(Value::String(text))) => !text.is_empty(),
        ("definitions" | "patternProperties", Some(Value::Object(fields))) => !Object::is_empty(fields),
        _ => true,
    }
}
