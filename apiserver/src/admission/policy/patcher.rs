//! Changes of objects by mutating policies.
//! Source: `k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch`, whose texts these are.

use serde_json::{Value, json};
use steersman_cel::{Budget, Structure, Value as CelValue, Variables};
use steersman_machinery::meta;
use steersman_machinery::patch::apply::{self, Duplicates};
use steersman_machinery::patch::json as json_patch;
use steersman_machinery::schema::TypeRef;

use super::definition::{Expression, Mutation};
use super::evaluation;

const NO_PATCHES: &str = "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch";

/// The object with the change made.
pub(super) fn patch(
    mutation: &Mutation,
    object: &Value,
    ty: TypeRef<'_>,
    (variables, budget): (&Variables<'_>, &mut Budget),
) -> Result<Value, String> {
    match mutation {
        Mutation::Apply(expression) => {
            let configuration = configuration(expression, object, variables, budget)?;
            apply_configuration(object, &configuration, ty).map_err(|error| format!("error applying patch: {error}"))
        }
        Mutation::Patch(expression) => {
            let operations = operations(expression, variables, budget)?;
            let document = serde_json::to_vec(&operations).map_err(|error| error.to_string())?;
            match json_patch::apply(object, &document) {
                // A test that fails keeps the patch from being applied, and is no error.
                Err(_) if fails_a_test(object, &operations) => Ok(object.clone()),
                other => other.map_err(|error| format!("JSONPath: {error}")),
            }
        }
    }
}

/// What an expression wants merged into an object of that kind.
fn configuration(
    expression: &Expression,
    object: &Value,
    variables: &Variables<'_>,
    budget: &mut Budget,
) -> Result<Value, String> {
    let value = evaluation::evaluate(expression, variables, budget).map_err(evaluation::Failure::text)?;
    let CelValue::Structure(structure) = &value else {
        return Err(format!("unsupported return type from ApplyConfiguration expression: {}", value.type_of()));
    };
    check_names(structure, "Object").map_err(|error| format!("type mismatch: {error}"))?;
    let mut configuration = value.to_json().map_err(|error| error.to_string())?;
    for field in ["apiVersion", "kind"] {
        meta::set(&mut configuration, &[field], json!(meta::text(object, &[field])));
    }
    Ok(configuration)
}

/// Objects are named after the fields in which they stand.
fn check_names(structure: &Structure<'_>, expected: &str) -> Result<(), String> {
    if &*structure.name != expected {
        return Err(format!(
            "unexpected type name {:?}, expected {expected:?}, which matches field name path from root Object type",
            structure.name
        ));
    }
    structure.fields.iter().try_for_each(|(name, value)| check_value(value, &format!("{expected}.{name}")))
}

fn check_value(value: &CelValue<'_>, expected: &str) -> Result<(), String> {
    match value {
        CelValue::Structure(structure) => check_names(structure, expected),
        CelValue::List(list) => list.iter().try_for_each(|item| check_value(&item, expected)),
        CelValue::Map(map) => map.iter().try_for_each(|(_, value)| check_value(&value, expected)),
        _ => Ok(()),
    }
}

fn apply_configuration(object: &Value, configuration: &Value, ty: TypeRef<'_>) -> Result<Value, String> {
    let faults = apply::validate(configuration, ty, Duplicates::Refused);
    if !faults.is_empty() {
        return Err(format!("failed to convert patch object to typed object: {}", faults.join("\n")));
    }
    let mut atomic = Vec::new();
    find_atomic(configuration, ty, String::new(), &mut atomic);
    if !atomic.is_empty() {
        let paths = atomic.join(", ");
        return Err(format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {paths}"));
    }
    Ok(apply::merge(object, configuration, ty))
}

/// The places of lists, maps and structs that have one owner: they could only be replaced, not changed.
fn find_atomic(value: &Value, ty: TypeRef<'_>, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if ty.as_struct().is_some() || ty.values().is_some() => {
            if ty.is_atomic() {
                found.push(path.clone());
            }
            for (name, value) in fields {
                if let Some(field) = ty.field(name) {
                    find_atomic(value, field.type_ref(), format!("{path}.{name}"), found);
                }
            }
        }
        Value::Array(items) => {
            let Some(of) = ty.items() else { return };
            if ty.is_atomic() {
                found.push(path.clone());
            }
            for (at, item) in items.iter().enumerate() {
                find_atomic(item, of, format!("{path}[{at}]"), found);
            }
        }
        _ => {}
    }
}

/// Whether it is a test of the object that fails.
fn fails_a_test(object: &Value, operations: &Value) -> bool {
    let operations = operations.as_array().map_or(&[][..], Vec::as_slice);
    let tests = operations.iter().enumerate().filter(|(_, operation)| operation["op"] == "test");
    for (at, test) in tests {
        // What stands before the test passes, or it is not the test that fails.
        let before =
            serde_json::to_vec(&operations[..at]).ok().and_then(|patch| json_patch::apply(object, &patch).ok());
        let Some(before) = before else { return false };
        let path = test["path"].as_str().unwrap_or_default();
        if before.pointer(path) != test.get("value") {
            return true;
        }
    }
    false
}

fn operations(expression: &Expression, variables: &Variables<'_>, budget: &mut Budget) -> Result<Value, String> {
    let value = evaluation::evaluate(expression, variables, budget).map_err(evaluation::Failure::text)?;
    let CelValue::List(list) = &value else {
        return Err(NO_PATCHES.to_owned());
    };
    let mut operations = Vec::new();
    for item in list.iter() {
        match &item {
            CelValue::Structure(structure) if &*structure.name == "JSONPatch" => {
                if let Some(CelValue::Structure(value)) = structure.fields.get("value") {
                    check_names(value, &value.name).map_err(|error| format!("type mismatch: {error}"))?;
                }
            }
            _ => return Err(NO_PATCHES.to_owned()),
        }
        let operation = item.to_json().map_err(|error| error.to_string())?;
        operations.push(operation);
    }
    Ok(Value::Array(operations))
}
