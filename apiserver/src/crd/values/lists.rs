//! Lists whose items have an identity: `x-kubernetes-list-type: set` and `map`.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::Object;
use steersman_machinery::field::{ErrorList, FieldError, Path};

use crate::crd::structural::Structural;

/// The key of an item of a map list, as it is shown.
fn key_of(item: &Value, schema: &Structural) -> Value {
    let keys = schema.list_map_keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
    Value::Object(keys.collect::<Object>())
}

/// The item of the old list that `item` was; only items of map lists are known again.
pub(super) fn correlated<'a>(item: &Value, old: Option<&'a Value>, schema: &Structural) -> Option<&'a Value> {
    if schema.list_type != "map" {
        return None;
    }
    let key = key_of(item, schema);
    old?.as_array()?.iter().find(|old| key_of(old, schema) == key)
}

/// The items that stand twice in a set or map list, anywhere in the value.
pub fn duplicates(value: &Value, schema: &Structural) -> ErrorList {
    let mut errors = ErrorList::new();
    walk(value, schema, &Path::default(), &mut errors);
    errors
}

fn walk(value: &Value, schema: &Structural, path: &Path, errors: &mut ErrorList) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(schema) = schema.member(name) {
                    walk(value, schema, &path.child(name), errors);
                }
            }
        }
        Value::Array(list) => {
            let id = |item: &Value| match schema.list_type.as_str() {
                "set" => Some(item.clone()),
                "map" => Some(key_of(item, schema)),
                _ => None,
            };
            let mut seen = BTreeSet::new();
            for (index, item) in list.iter().enumerate() {
                if let Some(id) = id(item)
                    && !seen.insert(id.to_string())
                {
                    errors.push(FieldError::duplicate(&path.index(index), &id));
                }
                if let Some(schema) = schema.items.as_deref() {
                    walk(item, schema, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}
