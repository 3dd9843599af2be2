//! The schemas of custom resources, as their definitions publish them.

use serde_json::{Map, Value, json};

use super::{Dialect, OBJECT_META};

/// What Swagger 2.0 has no words for.
const NOT_IN_V2: [&str; 6] = ["nullable", "oneOf", "anyOf", "allOf", "not", "x-kubernetes-validations"];

/// The schema in the words of the dialect. Version 3 takes it as it is.
pub(super) fn schema(published: &Value, dialect: Dialect) -> Value {
    match dialect {
        Dialect::V3 => published.clone(),
        Dialect::V2 if preserves_unknown(published) => json!({"type": "object"}),
        Dialect::V2 => to_v2(published),
    }
}

/// Declares the three fields that every object has; what the schema says of them is replaced.
pub(super) fn add_type_and_metadata(schema: &mut Value, dialect: Dialect) {
    if !schema.is_object() {
        *schema = json!({});
    }
    schema["type"] = "object".into();
    let properties = &mut schema["properties"];
    if !properties.is_object() {
        *properties = json!({});
    }
    properties["apiVersion"] = json!({"type": "string"});
    properties["kind"] = json!({"type": "string"});
    properties["metadata"] = dialect.wrapped_reference(OBJECT_META);
}

/// Takes away what Swagger 2.0 does not have. A value that may be null has no type there, and so no parts.
fn to_v2(schema: &Value) -> Value {
    let Some(fields) = schema.as_object() else {
        return schema.clone();
    };
    let nullable = fields.get("nullable").and_then(Value::as_bool) == Some(true);
    let dropped =
        |field: &str| NOT_IN_V2.contains(&field) || (nullable && ["type", "items", "properties"].contains(&field));
    let kept: Map<_, _> = fields
        .iter()
        .filter(|(field, _)| !dropped(field))
        .map(|(field, value)| {
            let value = match field.as_str() {
                "properties" => each(value),
                "items" | "additionalProperties" => to_v2(value),
                _ => value.clone(),
            };
            (field.clone(), value)
        })
        .collect();
    kept.into()
}

fn each(properties: &Value) -> Value {
    let Some(fields) = properties.as_object() else {
        return properties.clone();
    };
    fields.iter().map(|(name, schema)| (name.clone(), to_v2(schema))).collect::<Map<_, _>>().into()
}

fn preserves_unknown(schema: &Value) -> bool {
    schema.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool) == Some(true)
}
