//! The schemas of custom resources, as their definitions publish them.

use serde_json::{Map, Value, json};

use super::texts::Texts;
use super::{Dialect, OBJECT_META};

/// What Swagger 2.0 has no words for.
const NOT_IN_V2: [&str; 6] = ["nullable", "oneOf", "anyOf", "allOf", "not", "x-kubernetes-validations"];

/// The schema in the words of the dialect. Version 3 takes it as it is.
pub(super) fn schema(published: &Value, dialect: Dialect) -> Value {
    match dialect {
        Dialect::V3 => published.clone(),
        Dialect::V2 if is_open(published) => json!({"type": "object"}),
        Dialect::V2 => to_v2(published),
    }
}

/// Declares the three fields that every object has; what the schema says of them is replaced. Objects that are embedded
/// have them, too.
pub(super) fn add_type_and_metadata(schema: &mut Value, dialect: Dialect, texts: &Texts) {
    if !schema.is_object() {
        *schema = json!({});
    }
    schema["type"] = "object".into();
    let said = |field: &str| texts.of_field(super::OBJECT_WITH_TYPE, field);
    set_type_and_metadata(schema, dialect, [said("apiVersion"), said("kind")]);
    let properties = schema["properties"].as_object_mut().into_iter().flatten();
    properties.for_each(|(_, property)| add_to_embedded(property, dialect));
}

const CONVENTIONS: &str = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";

fn set_type_and_metadata(schema: &mut Value, dialect: Dialect, [api_version, kind]: [&str; 2]) {
    let properties = &mut schema["properties"];
    if !properties.is_object() {
        *properties = json!({});
    }
    properties["apiVersion"] = json!({"type": "string", "description": api_version});
    properties["kind"] = json!({"type": "string", "description": kind});
    let mut metadata = dialect.wrapped_reference(OBJECT_META);
    metadata["description"] = format!("Standard object's metadata. More info: {CONVENTIONS}#metadata").into();
    properties["metadata"] = metadata;
}

fn add_to_embedded(schema: &mut Value, dialect: Dialect) {
    for (_, property) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        add_to_embedded(property, dialect);
    }
    for name in ["items", "additionalProperties"] {
        schema.get_mut(name).into_iter().for_each(|schema| add_to_embedded(schema, dialect));
    }
    let is_set = |name: &str| schema.get(name) == Some(&Value::Bool(true));
    // kubectl would refuse unknown fields where known ones are listed.
    let open = dialect == Dialect::V2 && is_set("x-kubernetes-preserve-unknown-fields");
    if is_set("x-kubernetes-embedded-resource") && !open {
        let api_version = format!(
            "apiVersion defines the versioned schema of this representation of an object. More info: \
             {CONVENTIONS}#resources"
        );
        let kind = format!(
            "kind is a string value representing the type of this object. In CamelCase. More info: \
             {CONVENTIONS}#types-kinds"
        );
        set_type_and_metadata(schema, dialect, [&api_version, &kind]);
        let mut required = schema["required"].as_array().cloned().unwrap_or_default();
        for name in ["kind", "apiVersion"] {
            if !required.iter().any(|it| it == name) {
                required.push(name.into());
            }
        }
        schema["required"] = required.into();
    }
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

/// Whether objects may have any fields: then Swagger 2.0 lists none.
pub(super) fn is_open(schema: &Value) -> bool {
    schema.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool) == Some(true)
}
