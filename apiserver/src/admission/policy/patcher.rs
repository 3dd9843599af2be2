//! Changes of objects by mutating policies.
//! Source: `k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch`, whose texts these are.

use serde_json::{Value, json};
use steersman_cel::{Budget, Structure, Value as CelValue, Variables};
use steersman_machinery::meta;
use steersman_machinery::patch::apply::{self, Duplicates};
use steersman_machinery::patch::json as json_patch;
use steersman_machinery::schema::{ListKind, TypeRef};

use super::definition::{Expression, Mutation};
use super::evaluation;

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
            apply_configuration(object, &configuration, ty)
        }
        Mutation::Patch(expression) => {
            let operations = operations(expression, variables, budget)?;
            let document = serde_json::to_vec(&operations).map_err(|error| error.to_string())?;
            json_patch::apply(object, &document).map_err(|error| format!("JSON Patch: {error}"))
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
        Value::Array(_) | Value::Object(_) if ty.is_atomic() => found.push(path),
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(ty) = ty.member(name) {
                    find_atomic(value, ty, format!("{path}.{name}"), found);
                }
            }
        }
        Value::Array(items) => {
            let (Some(list), Some(of)) = (ty.as_list(), ty.items()) else { return };
            for item in items {
                let step = match &list.kind {
                    ListKind::Map(keys) => {
                        let keys = keys.iter().filter_map(|key| Some(format!("{key}={}", item.get(key)?)));
                        keys.collect::<Vec<_>>().join(",")
                    }
                    _ => format!("={item}"),
                };
                find_atomic(item, of, format!("{path}[{step}]"), found);
            }
        }
        _ => {}
    }
}

fn operations(expression: &Expression, variables: &Variables<'_>, budget: &mut Budget) -> Result<Value, String> {
    let value = evaluation::evaluate(expression, variables, budget).map_err(evaluation::Failure::text)?;
    let CelValue::List(list) = &value else {
        return Err("type error: JSONPatchType's evaluator should return list of JSONPatch".to_owned());
    };
    let mut operations = Vec::new();
    for item in list.iter() {
        match &item {
            CelValue::Structure(structure) if &*structure.name == "JSONPatch" => {}
            _ => return Err("type error: JSONPatchType's evaluator should return list of JSONPatch".to_owned()),
        }
        let operation = item.to_json().map_err(|error| error.to_string())?;
        operations.push(operation);
    }
    Ok(Value::Array(operations))
}
