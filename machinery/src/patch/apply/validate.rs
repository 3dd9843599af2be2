//! Whether a configuration fits its type.

use std::collections::BTreeSet;

use serde_json::Value;

use super::item_step;
use crate::Object;
use crate::field_set::PathElement;
use crate::patch::{go_print, go_type};
use crate::schema::{ListKind, ListType, Type, TypeRef};

/// Whether items of a set or map list may stand twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// In live objects.
    Tolerated,
    /// In configurations.
    Refused,
}

/// What does not fit, as lines of a path and a text: `.spec.foo: field not declared in schema`.
pub fn validate(value: &Value, ty: TypeRef<'_>, duplicates: Duplicates) -> Vec<String> {
    let mut walk = Walk { duplicates, path: String::new(), errors: Vec::new() };
    walk.value(value, ty);
    walk.errors
}

struct Walk {
    duplicates: Duplicates,
    path: String,
    errors: Vec<String>,
}

impl Walk {
    fn error(&mut self, text: &str) {
        let path = &self.path;
        self.errors.push(match path.as_str() {
            "" => text.to_owned(),
            path => format!("{path}: {text}"),
        });
    }

    fn below(&mut self, step: &PathElement, visit: impl FnOnce(&mut Self)) {
        let len = self.path.len();
        self.path.push_str(&step.to_string());
        visit(self);
        self.path.truncate(len);
    }

    fn value(&mut self, value: &Value, ty: TypeRef<'_>) {
        match (ty.ty(), value) {
            (_, Value::Null) | (Type::Any | Type::FreeForm, _) => {}
            (Type::List(list), Value::Array(items)) => self.list(items, list, ty),
            (Type::List(_), other) => self.error(&format!("expected list, got {}", go_pointer(other))),
            (Type::Struct(_) | Type::Map(_), Value::Object(fields)) => self.map(fields, ty),
            (Type::Struct(_) | Type::Map(_), other) => self.error(&format!("expected map, got {}", go_pointer(other))),
            (scalar, value) => self.scalar(scalar, value),
        }
    }

    fn scalar(&mut self, ty: &Type, value: &Value) {
        let text = match (ty, value) {
            (Type::Boolean, Value::Bool(_))
            | (Type::Int32 | Type::Int64 | Type::Number, Value::Number(_))
            | (Type::String | Type::Bytes | Type::Time | Type::MicroTime, Value::String(_))
            | (Type::Quantity | Type::IntOrString, Value::String(_) | Value::Number(_) | Value::Bool(_)) => return,
            (Type::Boolean, other) => format!("expected boolean, got {}", go_pointer(other)),
            (Type::Int32 | Type::Int64 | Type::Number, other) => {
                format!("expected numeric (int or float), got {}", go_type(other))
            }
            (Type::Quantity | Type::IntOrString, other) => format!("expected any scalar, got {}", go_pointer(other)),
            (_, other) => {
                let other = go_print(other);
                format!("expected string, got &value.valueUnstructured{{Value:{other}}}")
            }
        };
        self.error(&text);
    }

    fn map(&mut self, fields: &Object, ty: TypeRef<'_>) {
        for (name, value) in fields {
            let step = PathElement::Field(name.clone());
            match ty.member(name) {
                Some(member) => self.below(&step, |walk| walk.value(value, member)),
                None => self.below(&step, |walk| walk.error("field not declared in schema")),
            }
        }
    }

    fn list(&mut self, items: &[Value], list: &ListType, ty: TypeRef<'_>) {
        let Some(item_type) = ty.items() else {
            return;
        };
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let step = match list.kind {
                ListKind::Atomic => PathElement::Index(i64::try_from(index).unwrap_or(i64::MAX)),
                _ => match item_step(&list.kind, Some(item_type), item) {
                    Ok(step) => step,
                    Err(why) => return self.error(&format!("element {index}: {why}")),
                },
            };
            self.below(&step, |walk| walk.value(item, item_type));
            if seen.contains(&step) && self.duplicates == Duplicates::Refused {
                self.error(&format!("duplicate entries for key {step}"));
            }
            seen.insert(step);
        }
    }
}

/// A value of another type as Go's `%v` prints the library's wrapper of it.
fn go_pointer(value: &Value) -> String {
    format!("&{{{}}}", go_print(value))
}
