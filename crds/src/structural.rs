//! Types of the schema table as structural OpenAPI schemas.
//! Source: Kubernetes doc "Extend the Kubernetes API with CustomResourceDefinitions", section "Specifying a structural
//! schema".

use serde_json::{Map, Value, json};
use steersman_machinery::schema::{FieldRef, ListKind, Type, TypeRef};

/// What Kubernetes accepts as a quantity.
pub(crate) const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// The structural schema of a type. Types must not contain themselves.
pub(crate) fn schema(ty: TypeRef<'_>) -> Value {
    match ty.ty() {
        Type::String => json!({"type": "string"}),
        Type::Int32 => json!({"type": "integer", "format": "int32"}),
        Type::Int64 => json!({"type": "integer", "format": "int64"}),
        Type::Number => json!({"type": "number"}),
        Type::Boolean => json!({"type": "boolean"}),
        Type::Bytes => json!({"type": "string", "format": "byte"}),
        Type::Time | Type::MicroTime => json!({"type": "string", "format": "date-time"}),
        Type::Quantity => json!({
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY,
            "x-kubernetes-int-or-string": true,
        }),
        Type::IntOrString => {
            json!({"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true})
        }
        Type::Any | Type::FreeForm => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        Type::Struct(_) => object(ty),
        Type::List(_) => list(ty),
        Type::Map(_) => map(ty),
    }
}

fn object(ty: TypeRef<'_>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in ty.fields() {
        let name = &field.field().name;
        properties.insert(name.clone(), property(field));
        if field.field().required {
            required.push(json!(name));
        }
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    if ty.is_atomic() {
        schema["x-kubernetes-map-type"] = json!("atomic");
    }
    schema
}

fn property(field: FieldRef<'_>) -> Value {
    let mut schema = schema(field.type_ref());
    if let Some(default) = &field.field().default {
        schema["default"] = default.clone();
    }
    schema
}

fn list(ty: TypeRef<'_>) -> Value {
    let items = ty.items().map_or(Value::Null, schema);
    let mut schema = json!({"type": "array", "items": items});
    match ty.as_list().map(|list| &list.kind) {
        Some(ListKind::Set) => schema["x-kubernetes-list-type"] = json!("set"),
        Some(ListKind::Map(keys)) => {
            schema["x-kubernetes-list-type"] = json!("map");
            schema["x-kubernetes-list-map-keys"] = json!(keys);
            require_keys(&mut schema, keys);
        }
        _ => schema["x-kubernetes-list-type"] = json!("atomic"),
    }
    schema
}

/// A key must be required or have a default; the built-in types leave some of them optional without one.
fn require_keys(list: &mut Value, keys: &[String]) {
    for key in keys {
        if list["items"]["properties"][key.as_str()].get("default").is_some() {
            continue;
        }
        let item = &mut list["items"];
        let mut required = item["required"].as_array().cloned().unwrap_or_default();
        if !required.contains(&json!(key)) {
            required.push(json!(key));
            item["required"] = required.into();
        }
    }
}

fn map(ty: TypeRef<'_>) -> Value {
    let values = ty.values().map_or(Value::Null, schema);
    let mut schema = json!({"type": "object", "additionalProperties": values});
    if ty.is_atomic() {
        schema["x-kubernetes-map-type"] = json!("atomic");
    }
    schema
}
