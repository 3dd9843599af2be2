//! What may stand in `allOf`, `anyOf`, `oneOf` and `not`: rules for values of fields that the schema around declares.

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::meta;

use super::{children, flag};

/// What belongs to the structure and not to the rules for values.
const STRUCTURE: [&str; 7] =
    ["additionalProperties", "default", "description", "nullable", "title", "type", "x-kubernetes-validations"];
const STRUCTURE_EXTENSIONS: [&str; 6] = [
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
];

pub(super) fn check(schema: &Value, path: &Path, errors: &mut ErrorList) {
    for (step, junctor) in children(schema).into_iter().filter(|(step, _)| step.is_junctor()) {
        check_nested(junctor, schema, &step.on(path), errors);
    }
}

fn check_nested(nested: &Value, structure: &Value, path: &Path, errors: &mut ErrorList) {
    let is_set = |name: &str| match nested.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(_) => true,
    };
    // The two forms of int-or-string are the exception: they say the type.
    let int_or_string = flag(structure, "x-kubernetes-int-or-string");
    for name in STRUCTURE.into_iter().chain(STRUCTURE_EXTENSIONS) {
        if is_set(name) && !(int_or_string && name == "type") {
            errors.push(FieldError::forbidden(&path.child(name), "must be empty to be structural"));
        }
    }
    for (name, below) in nested.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = path.child("properties").key(name);
        let declared = meta::at(structure, &["properties", name])
            .or_else(|| structure.get("additionalProperties").filter(|schema| schema.is_object()));
        match declared {
            Some(declared) => check_nested(below, declared, &path, errors),
            None if flag(structure, "x-kubernetes-preserve-unknown-fields") => {}
            None => errors.push(FieldError::required(&path, "must be specified in the structural part of the schema")),
        }
    }
    for (step, below) in children(nested).into_iter() {
        match step {
            super::Step::Field("items") => match structure.get("items") {
                Some(declared) => check_nested(below, declared, &step.on(path), errors),
                None => {
                    let detail = "must be specified in the structural part of the schema";
                    errors.push(FieldError::required(&step.on(path), detail));
                }
            },
            step if step.is_junctor() => check_nested(below, structure, &step.on(path), errors),
            _ => {}
        }
    }
}
