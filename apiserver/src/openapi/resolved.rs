//! The schema of one kind with everything that it refers to in its place.
//! Source: `k8s.io/apiserver/pkg/cel/openapi/resolver`.

use serde_json::{Map, Value, json};
use steersman_machinery::group::GroupVersion;

use super::Dialect;
use super::schemas::Schemas;
use super::texts::Texts;
use crate::registry::resource::Resource;

/// What of a schema tells the type of a value.
const KEPT: [&str; 9] = [
    "type",
    "format",
    "items",
    "additionalProperties",
    "properties",
    "maxItems",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
];

/// The schema of the objects of a resource. What refers to itself is left open where it does.
pub(crate) fn schema(resource: &Resource) -> Value {
    let texts = Texts::read();
    let mut schemas = Schemas::new(Dialect::V3, &texts, [GroupVersion::new(&resource.group, &resource.version)]);
    let name = schemas.object(resource);
    let definitions = schemas.into_definitions();
    resolve(&definitions[&name], &definitions, &mut vec![name])
}

fn resolve(schema: &Value, definitions: &Value, inside: &mut Vec<String>) -> Value {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|it| it.rsplit('/').next()) {
        if inside.iter().any(|outer| outer == name) {
            return json!({});
        }
        inside.push(name.to_owned());
        let resolved = resolve(&definitions[name], definitions, inside);
        inside.pop();
        return resolved;
    }
    // A reference with a description or a default of its own stands in a list of one.
    if let Some([one]) = schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        return resolve(one, definitions, inside);
    }
    if schema["format"] == "int-or-string" {
        return json!({"x-kubernetes-int-or-string": true});
    }
    let mut resolved = Map::new();
    for (key, value) in schema.as_object().into_iter().flatten().filter(|(key, _)| KEPT.contains(&key.as_str())) {
        let value = match (key.as_str(), value) {
            ("items" | "additionalProperties", Value::Object(_)) => resolve(value, definitions, inside),
            ("properties", Value::Object(fields)) => {
                fields.iter().map(|(name, field)| (name.clone(), resolve(field, definitions, inside))).collect()
            }
            _ => value.clone(),
        };
        resolved.insert(key.clone(), value);
    }
    Value::Object(resolved)
}
