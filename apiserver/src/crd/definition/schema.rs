//! The rules for schemas: they must be structural.
//! Source: Kubernetes doc "CustomResourceDefinition", section "Specifying a structural schema"; KEP-1111 and
//! `k8s.io/apiextensions-apiserver/pkg/apiserver/schema/validation.go`.

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::meta;

use crate::crd::structural::{self, Structural};
use crate::crd::values;

mod lists;
mod open_api;
mod rules;
mod structure;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// The logic junctors that have lists of schemas.
const JUNCTORS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// What may stand at the root of a schema with a status subresource, as Go calls it.
const AT_ROOT_WITH_STATUS: [(&str, &str); 22] = [
    ("Description", "description"),
    ("Type", "type"),
    ("Format", "format"),
    ("Title", "title"),
    ("Maximum", "maximum"),
    ("ExclusiveMaximum", "exclusiveMaximum"),
    ("Minimum", "minimum"),
    ("ExclusiveMinimum", "exclusiveMinimum"),
    ("MaxLength", "maxLength"),
    ("MinLength", "minLength"),
    ("Pattern", "pattern"),
    ("MaxItems", "maxItems"),
    ("MinItems", "minItems"),
    ("UniqueItems", "uniqueItems"),
    ("MultipleOf", "multipleOf"),
    ("Required", "required"),
    ("Items", "items"),
    ("Properties", "properties"),
    ("ExternalDocs", "externalDocs"),
    ("Example", "example"),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields"),
    ("XValidations", "x-kubernetes-validations"),
];

/// Checks the schema of a version.
pub(super) fn check(schema: &Value, has_status: bool, path: &Path, errors: &mut ErrorList) {
    let mut own = ErrorList::new();
    if has_status {
        check_root(schema, path, &mut own);
    }
    if flag(schema, "nullable") {
        own.push(FieldError::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    let mut foreign = false;
    walk(schema, &mut |schema| foreign |= open_api::is_foreign(schema));
    let mut compiles = false;
    if !foreign {
        let mut structure = structure::check(schema, path);
        if structure.is_empty() {
            check_defaults(schema, true, path, &mut structure);
        }
        compiles = structure.is_empty();
        own.append(&mut structure);
    }
    rules::check(schema, compiles, path, &mut own);
    if own.is_empty() && meta::at(schema, &["$schema"]).is_some_and(|it| !it.is_null()) {
        own.push(FieldError::invalid_str(path, "", "OpenAPIV3 'schema' is not supported"));
    }
    errors.append(&mut own);
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
    for name in JUNCTORS {
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

/// The root of a schema whose status is checked alone says nothing that would be lost with that.
fn check_root(schema: &Value, path: &Path, errors: &mut ErrorList) {
    let is_set = |name: &str| schema.get(name).is_some_and(|value| !value.is_null() && *value != Value::Bool(false));
    let odd = |name: &str| is_set(name) && !AT_ROOT_WITH_STATUS.iter().any(|(_, allowed)| *allowed == name);
    let kind = meta::text(schema, &["type"]);
    let first = ["id", "$schema", "$ref"].into_iter().any(odd);
    if !first && !kind.is_empty() && kind != "object" {
        let detail = "only \\\"object\\\" is allowed as the type at the root of the schema if the status subresource \
                      is enabled";
        errors.push(FieldError::invalid_str(&path.child("type"), kind, detail));
    } else if first || schema.as_object().into_iter().flatten().any(|(name, _)| odd(name)) {
        let names = AT_ROOT_WITH_STATUS.map(|(name, _)| name).join(" ");
        let detail =
            format!("only [{names}] fields are allowed at the root of the schema if the status subresource is enabled");
        errors.push(FieldError::invalid(path, schema, detail));
    }
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name) == Some(&Value::Bool(true))
}

fn check_defaults(schema: &Value, is_root: bool, path: &Path, errors: &mut ErrorList) {
    check_default(schema, is_root, path, errors);
    for (step, child) in children(schema).into_iter().filter(|(step, _)| !step.is_junctor()) {
        check_defaults(child, false, &step.on(path), errors);
    }
}

/// A default must be an object that the schema itself would accept as it is.
fn check_default(schema: &Value, is_root: bool, path: &Path, errors: &mut ErrorList) {
    let Some(default) = schema.get("default").filter(|default| !default.is_null()) else {
        return;
    };
    let path = path.child("default");
    if is_root {
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
