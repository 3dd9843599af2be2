//! The rules for schemas: they must be structural.
//! Source: Kubernetes doc "CustomResourceDefinition", section "Specifying a structural schema"; KEP-1111 and
//! `k8s.io/apiextensions-apiserver/pkg/apiserver/schema/validation.go`.

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::{Object, meta};

use crate::crd::structural::{self, Structural};
use crate::crd::values;

mod junctors;
mod lists;
mod rules;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// What JSON schema has and a structural schema has not.
const UNSUPPORTED: [&str; 7] =
    ["$ref", "$schema", "additionalItems", "definitions", "dependencies", "id", "patternProperties"];
/// What may stand at the root of a schema with a status subresource.
const AT_ROOT_WITH_STATUS: [&str; 22] = [
    "description",
    "type",
    "format",
    "title",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "required",
    "items",
    "properties",
    "externalDocs",
    "example",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

/// Where in a schema a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Item,
}

/// Checks the schema of a version.
pub(super) fn check(schema: &Value, has_status: bool, path: &Path, errors: &mut ErrorList) {
    if has_status {
        check_root_keys(schema, path, errors);
    }
    let before = errors.len();
    check_node(schema, Level::Root, path, errors);
    check_metadata(schema, path, errors);
    rules::check(schema, errors.len() == before, path, errors);
}

/// Calls `visit` with a schema and all schemas in it.
pub(super) fn walk(schema: &Value, visit: &mut impl FnMut(&Value)) {
    visit(schema);
    for (_, child) in children(schema) {
        walk(child, visit);
    }
}

/// The schemas directly in a schema, with the steps that lead to them.
fn children(schema: &Value) -> Vec<(Step<'_>, &Value)> {
    let mut children = Vec::new();
    let fields = schema.get("properties").and_then(Value::as_object);
    children.extend(fields.into_iter().flatten().map(|(name, schema)| (Step::Key("properties", name), schema)));
    for name in ["additionalProperties", "items", "not"] {
        children.extend(schema.get(name).filter(|schema| schema.is_object()).map(|schema| (Step::Field(name), schema)));
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        let items = meta::items(schema, &[name]).iter().enumerate();
        children.extend(items.map(|(index, schema)| (Step::Index(name, index), schema)));
    }
    children
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'static str),
    Key(&'static str, &'a str),
    Index(&'static str, usize),
}

impl Step<'_> {
    fn on(self, path: &Path) -> Path {
        match self {
            Self::Field(name) => path.child(name),
            Self::Key(name, key) => path.child(name).key(key),
            Self::Index(name, index) => path.child(name).index(index),
        }
    }

    fn is_junctor(self) -> bool {
        matches!(self, Self::Index(..) | Self::Field("not"))
    }
}

fn check_root_keys(schema: &Value, path: &Path, errors: &mut ErrorList) {
    let odd = |(name, value): &(&String, &Value)| !AT_ROOT_WITH_STATUS.contains(&name.as_str()) && !value.is_null();
    if schema.as_object().into_iter().flatten().any(|entry| odd(&entry)) {
        let detail = format!(
            "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
            AT_ROOT_WITH_STATUS.join(" ")
        );
        errors.push(FieldError::invalid(path, schema, detail));
    }
}

fn check_node(schema: &Value, level: Level, path: &Path, errors: &mut ErrorList) {
    check_type(schema, level, path, errors);
    check_keywords(schema, path, errors);
    check_object(schema, path, errors);
    lists::check(schema, path, errors);
    check_default(schema, level, path, errors);
    junctors::check(schema, path, errors);
    for (step, child) in children(schema).into_iter().filter(|(step, _)| !step.is_junctor()) {
        let level = match step {
            Step::Field("items") => Level::Item,
            _ => Level::Field,
        };
        check_node(child, level, &step.on(path), errors);
    }
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name) == Some(&Value::Bool(true))
}

fn check_type(schema: &Value, level: Level, path: &Path, errors: &mut ErrorList) {
    let ty = meta::text(schema, &["type"]);
    let (int_or_string, embedded) =
        (flag(schema, "x-kubernetes-int-or-string"), flag(schema, "x-kubernetes-embedded-resource"));
    let path_of_type = path.child("type");
    if embedded && ty != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match ty {
            "" => FieldError::required(&path_of_type, detail),
            other => FieldError::invalid_str(&path_of_type, other, detail),
        });
        return;
    }
    match ty {
        "" if level == Level::Root => {
            errors.push(FieldError::required(&path_of_type, "must not be empty at the root"));
        }
        "" if int_or_string || flag(schema, "x-kubernetes-preserve-unknown-fields") => {}
        "" => {
            let detail = match level {
                Level::Item => "must not be empty for specified array items",
                _ => "must not be empty for specified object fields",
            };
            errors.push(FieldError::required(&path_of_type, detail));
        }
        "null" => {
            let detail = "type cannot be set to null, use nullable as an alternative";
            errors.push(FieldError::forbidden(&path_of_type, detail));
        }
        other if !TYPES.contains(&other) => {
            errors.push(FieldError::not_supported(&path_of_type, other, &TYPES));
        }
        other if int_or_string => {
            let detail = "must be empty if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid_str(&path_of_type, other, detail));
        }
        other if level == Level::Root && other != "object" => {
            errors.push(FieldError::invalid_str(&path_of_type, other, "must be object at the root"));
        }
        _ => {}
    }
    if level == Level::Root && flag(schema, "nullable") {
        errors.push(FieldError::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    if embedded
        && schema.get("properties").and_then(Value::as_object).is_none_or(Object::is_empty)
        && !flag(schema, "x-kubernetes-preserve-unknown-fields")
    {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(&path.child("properties"), detail));
    }
}

fn check_keywords(schema: &Value, path: &Path, errors: &mut ErrorList) {
    for name in UNSUPPORTED {
        if schema.get(name).is_some_and(|value| !value.is_null()) {
            errors.push(FieldError::forbidden(&path.child(name), format!("{name} is not supported")));
        }
    }
    if flag(schema, "uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(&path.child("uniqueItems"), detail));
    }
    if schema.get("items").is_some_and(Value::is_array) {
        let detail = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(&path.child("items"), detail));
    }
    if meta::text(schema, &["type"]) == "array" && schema.get("items").is_none_or(Value::is_null) {
        errors.push(FieldError::required(&path.child("items"), "must be specified"));
    }
    let pattern = meta::text(schema, &["pattern"]);
    // Most schemas have none, and to compile even an empty one takes longer than all the rest.
    if !pattern.is_empty()
        && let Err(error) = regex::Regex::new(pattern)
    {
        let detail = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid_str(&path.child("pattern"), pattern, detail));
    }
}

fn check_object(schema: &Value, path: &Path, errors: &mut ErrorList) {
    let has_properties = schema.get("properties").and_then(Value::as_object).is_some_and(|it| !it.is_empty());
    match schema.get("additionalProperties") {
        Some(Value::Bool(false)) => {
            let detail = "additionalProperties cannot be set to false";
            errors.push(FieldError::forbidden(&path.child("additionalProperties"), detail));
        }
        Some(Value::Bool(true) | Value::Object(_)) if has_properties => {
            let detail = "additionalProperties and properties are mutual exclusive";
            errors.push(FieldError::forbidden(&path.child("additionalProperties"), detail));
        }
        _ => {}
    }
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let path = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(&path, &Value::Bool(false), "must be true or undefined"));
    }
}

/// A default must be an object that the schema itself would accept as it is.
fn check_default(schema: &Value, level: Level, path: &Path, errors: &mut ErrorList) {
    let Some(default) = schema.get("default").filter(|default| !default.is_null()) else {
        return;
    };
    let path = path.child("default");
    if level == Level::Root {
        errors.push(FieldError::forbidden(&path, "must not be set at the root"));
        return;
    }
    // The default of a field is validated as that field would be.
    let wrapped = Structural {
        ty: "object".to_owned(),
        properties: [("default".to_owned(), Structural { default: None, ..Structural::parse(schema) })].into(),
        ..Structural::default()
    };
    let mut object = serde_json::json!({ "default": default });
    structural::default(&mut object, &wrapped);
    if !structural::prune(&mut object.clone(), &wrapped).is_empty() {
        errors.push(FieldError::invalid(&path, default, "must not have unknown fields"));
    }
    let parent = path.as_str().trim_end_matches("default").trim_end_matches('.').to_owned();
    for mut error in values::validate(&object, None, &wrapped) {
        let below = error.field.as_str().to_owned();
        error.field = Path::from(format!("{parent}.{below}").as_str());
        errors.push(error);
    }
}

/// The schema may say no more of an object's own metadata than how it is named.
fn check_metadata(schema: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(metadata) = meta::at(schema, &["properties", "metadata"]) else {
        return;
    };
    let allowed = |name: &str| matches!(name, "type" | "description" | "properties");
    let names_only = metadata.get("properties").and_then(Value::as_object).into_iter().flatten();
    let names_only = names_only.into_iter().all(|(name, _)| matches!(name.as_str(), "name" | "generateName"));
    if !names_only || !metadata.as_object().is_some_and(|fields| fields.keys().all(|name| allowed(name))) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(&path.child("properties").key("metadata"), detail));
    }
}
