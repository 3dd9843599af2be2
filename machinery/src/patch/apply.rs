//! Server-side apply on values: what a configuration says ([`field_set`]), what differs between two objects
//! ([`compare`]), an object with a configuration merged in ([`merge`]), and an object without some of its fields
//! ([`remove`]). Who owns what is [`crate::managed_fields`]' business.
//! Source: KEP-555; Kubernetes doc "Server-Side Apply"; `sigs.k8s.io/structured-merge-diff/typed`.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::Object;
use crate::field_set::{FieldSet, Node, PathElement};
use crate::schema::{Empty, Field, ListKind, Type, TypeRef};

mod compare;
mod merge;
mod validate;

pub use compare::{Comparison, compare, compare_except};
pub use merge::merge;
pub use validate::{Duplicates, validate};

/// How a value is owned.
#[derive(Clone, Copy, Debug)]
enum Shape<'a> {
    /// As a whole: scalars, atomic lists and maps, and what does not fit its type.
    Leaf,
    /// Item by item.
    List(&'a ListKind),
    /// Field by field, or entry by entry. Null where a map belongs has this shape too.
    Map,
}

impl<'a> Shape<'a> {
    fn of(ty: TypeRef<'a>, value: &Value) -> Self {
        if ty.is_atomic() {
            return Self::Leaf;
        }
        match (ty.ty(), value) {
            (Type::List(list), Value::Array(_) | Value::Null) => Self::List(&list.kind),
            (Type::Struct(_) | Type::Map(_) | Type::FreeForm, Value::Object(_) | Value::Null) => Self::Map,
            _ => Self::Leaf,
        }
    }
}

static EMPTY_OBJECT: LazyLock<Value> = LazyLock::new(|| json!({}));
static EMPTY_TEXT: LazyLock<Value> = LazyLock::new(|| json!(""));
static ZERO: LazyLock<Value> = LazyLock::new(|| json!(0));
static FALSE: LazyLock<Value> = LazyLock::new(|| json!(false));
static NULL: Value = Value::Null;

/// What stands for an absent field wherever its parent is present: the typed form of an object has it always.
fn zero_value(field: &Field) -> Option<&'static Value> {
    match (field.empty, &field.ty) {
        (Empty::Omit | Empty::Keep, _) => None,
        (Empty::Always, Type::Struct(_)) => Some(&EMPTY_OBJECT),
        (Empty::Always, Type::String) => Some(&EMPTY_TEXT),
        (Empty::Always, Type::Int32 | Type::Int64 | Type::Number | Type::IntOrString) => Some(&ZERO),
        (Empty::Always, Type::Boolean) => Some(&FALSE),
        _ => Some(&NULL),
    }
}

/// The step that leads to an item of a set or map list; the error says what the item lacks.
fn item_step(kind: &ListKind, items: Option<TypeRef<'_>>, item: &Value) -> Result<PathElement, String> {
    match (kind, item) {
        (ListKind::Atomic, _) => Err("invalid indexing of non-associative list".to_owned()),
        (ListKind::Set, Value::Object(_)) => {
            Err("associative list without keys has an element that's a map type".to_owned())
        }
        (ListKind::Set, Value::Array(_)) => Err("not supported: associative list with lists as elements".to_owned()),
        (ListKind::Set, Value::Null) => {
            Err("associative list without keys has an element that's an explicit null".to_owned())
        }
        (ListKind::Set, scalar) => Ok(PathElement::Value(scalar.to_string())),
        (ListKind::Map(keys), Value::Object(fields)) => keyed_step(keys, items, fields),
        (ListKind::Map(_), Value::Null) => Err("associative list with keys may not have a null element".to_owned()),
        (ListKind::Map(_), _) => Err("associative list with keys may not have non-map elements".to_owned()),
    }
}

fn keyed_step(keys: &[String], items: Option<TypeRef<'_>>, fields: &Object) -> Result<PathElement, String> {
    let mut key = Object::new();
    for name in keys {
        let default = || {
            let field = items.and_then(|items| items.field(name))?.field();
            field.default.as_ref().or_else(|| zero_value(field))
        };
        if let Some(value) = fields.get(name).or_else(default) {
            key.insert(name.clone(), value.clone());
        }
    }
    match keys.first() {
        Some(first) if key.is_empty() => Err(format!(
            "associative list with keys has an element that omits key field {first:?} (and doesn't have default value)"
        )),
        _ => Ok(PathElement::key(key)),
    }
}

fn field_step(name: &str) -> PathElement {
    PathElement::Field(name.to_owned())
}

/// The set of what a configuration says: every scalar, every list or map with one owner, every item of a list and
/// entry of a map, and empty maps and nulls. A struct that has fields is not in it, its fields are.
pub fn field_set(value: &Value, ty: TypeRef<'_>) -> FieldSet {
    node_of(value, Some(ty)).children
}

fn node_of(value: &Value, ty: Option<TypeRef<'_>>) -> Node {
    let Some(ty) = ty else {
        return Node::leaf();
    };
    let mut children = FieldSet::default();
    match (Shape::of(ty, value), value) {
        (Shape::Leaf, _) => return Node::leaf(),
        (Shape::List(kind), Value::Array(items)) => {
            for item in items {
                let Ok(step) = item_step(kind, ty.items(), item) else {
                    continue;
                };
                // Of items that stand twice only the item as a whole counts.
                let node = match children.get(&step) {
                    Some(_) => Node::leaf(),
                    None => Node { member: true, ..node_of(item, ty.items()) },
                };
                children.insert_node(step, node);
            }
        }
        (_, Value::Object(fields)) => {
            for (name, value) in fields {
                let mut node = node_of(value, ty.member(name));
                let empty = value.is_null() || value.as_object().is_some_and(Object::is_empty);
                node.member |= empty || ty.field(name).is_none();
                children.insert_node(field_step(name), node);
            }
        }
        _ => {}
    }
    Node { member: false, children }
}

/// The value without what is in `gone`. Of an item or field that is in it, everything goes. What becomes empty by that
/// stays, empty.
pub fn remove(value: &Value, gone: &FieldSet, ty: TypeRef<'_>) -> Value {
    remove_from(value, gone, Some(ty))
}

fn remove_from(value: &Value, gone: &FieldSet, ty: Option<TypeRef<'_>>) -> Value {
    let Some(ty) = ty else {
        return value.clone();
    };
    match (Shape::of(ty, value), value) {
        (Shape::List(kind), Value::Array(items)) => {
            let kept = items.iter().filter_map(|item| {
                let step = item_step(kind, ty.items(), item);
                match step.ok().and_then(|step| gone.get(&step)) {
                    Some(node) if node.member => None,
                    Some(node) => Some(remove_from(item, &node.children, ty.items())),
                    None => Some(item.clone()),
                }
            });
            Value::Array(kept.collect())
        }
        (Shape::Map, Value::Object(fields)) => {
            let kept = fields.iter().filter_map(|(name, value)| match gone.get(&field_step(name)) {
                Some(node) if node.member => None,
                Some(node) => Some((name.clone(), remove_from(value, &node.children, ty.member(name)))),
                None => Some((name.clone(), value.clone())),
            });
            Value::Object(kept.collect())
        }
        _ => value.clone(),
    }
}

/// The set with the declared fields in it through which its paths go.
pub fn with_parents(set: &FieldSet, ty: Option<TypeRef<'_>>) -> FieldSet {
    let mut result = FieldSet::default();
    for (step, node) in set.iter() {
        let below = match step {
            PathElement::Field(name) => ty.and_then(|ty| ty.member(name)),
            _ => ty.and_then(TypeRef::items),
        };
        let declared = matches!(step, PathElement::Field(name) if ty.is_some_and(|ty| ty.field(name).is_some()));
        let children = with_parents(&node.children, below);
        let member = node.member || (declared && !children.is_empty());
        result.insert_node(step.clone(), Node { member, children });
    }
    result
}

#[cfg(test)]
pub(crate) mod tests;
