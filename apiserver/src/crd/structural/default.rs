//! Filling in what a schema defaults.

use serde_json::Value;

use super::prune::is_implied;
use super::{Additional, Structural};

/// Fills defaults in, after nulls were dropped where null is no value. An object that is absent is not made for the sake
/// of a default in it.
pub fn default(object: &mut Value, schema: &Structural) {
    apply(object, schema, true);
}

fn apply(value: &mut Value, schema: &Structural, is_resource: bool) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                let member = schema.member(name);
                let drop = value.is_null() && member.is_some_and(|schema| !schema.takes_null());
                !drop || member.is_some_and(|schema| schema.default.is_some())
            });
            for (name, schema) in &schema.properties {
                if is_resource && is_implied(name) {
                    continue;
                }
                let absent = fields.get(name).is_none_or(|value| value.is_null() && !schema.takes_null());
                if let (true, Some(default)) = (absent, &schema.default) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                if is_resource && is_implied(name) {
                    continue;
                }
                if let (Value::Null, Additional::Schema(entry)) = (&*value, &schema.additional)
                    && let (false, Some(default)) = (entry.takes_null(), &entry.default)
                {
                    *value = default.clone();
                }
                if let Some(schema) = schema.member(name) {
                    apply(value, schema, schema.embedded);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                if let Some(schema) = schema.items.as_deref() {
                    if let (Value::Null, false, Some(default)) = (&*item, schema.takes_null(), &schema.default) {
                        *item = default.clone();
                    }
                    apply(item, schema, schema.embedded);
                }
            }
        }
        _ => {}
    }
}
