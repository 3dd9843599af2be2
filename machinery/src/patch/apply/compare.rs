//! What differs between two objects.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Shape, field_step, item_step, zero_value};
use crate::Object;
use crate::field_set::{FieldSet, Node, PathElement};
use crate::schema::{ListKind, TypeRef};

/// The difference between an old and a new object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What only the old object has.
    pub removed: FieldSet,
    /// What has another value.
    pub modified: FieldSet,
    /// What only the new object has.
    pub added: FieldSet,
}

impl Comparison {
    /// Whether the objects are the same as far as owners are concerned.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }
}

/// The difference between two objects of type `ty`. Fields that the typed form always has (`spec` of a pod) count as
/// present if their parent is; so comparing with `{}` gives what creating an object adds.
pub fn compare(old: &Value, new: &Value, ty: TypeRef<'_>) -> Comparison {
    compare_except(old, new, ty, &FieldSet::default())
}

/// The difference between two objects, except in and below the fields of `ignored`.
pub fn compare_except(old: &Value, new: &Value, ty: TypeRef<'_>, ignored: &FieldSet) -> Comparison {
    let change = change(Some(old), Some(new), Some(ty), Some(ignored));
    Comparison { removed: change.removed.children, modified: change.modified.children, added: change.added.children }
}

/// The difference at one path and below it.
#[derive(Default)]
struct Change {
    removed: Node,
    modified: Node,
    added: Node,
}

impl Change {
    fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    fn put(&mut self, step: impl FnOnce() -> PathElement, below: Self) {
        if below.is_empty() {
            return;
        }
        let step = step();
        let Self { removed, modified, added } = below;
        if !removed.is_empty() {
            self.removed.children.insert_node(step.clone(), removed);
        }
        if !modified.is_empty() {
            self.modified.children.insert_node(step.clone(), modified);
        }
        self.added.children.insert_node(step, added);
    }
}

fn change(old: Option<&Value>, new: Option<&Value>, ty: Option<TypeRef<'_>>, ignored: Option<&FieldSet>) -> Change {
    let shape = |value: Option<&Value>| match (ty, value) {
        (Some(ty), Some(value)) => Some(Shape::of(ty, value)),
        (None, Some(_)) => Some(Shape::Leaf),
        (_, None) => None,
    };
    let mut change = match (shape(old), shape(new)) {
        (Some(Shape::List(kind)), None | Some(Shape::List(_))) | (None, Some(Shape::List(kind))) => {
            change_of_list(as_list(old), as_list(new), kind, ty)
        }
        (Some(Shape::Map), None | Some(Shape::Map)) | (None, Some(Shape::Map)) => {
            change_of_map(as_map(old), as_map(new), ty, ignored)
        }
        _ => None,
    }
    .unwrap_or_else(|| change_of_leaf(old, new));
    match (old, new) {
        (None, Some(_)) => change.added.member = true,
        (Some(_), None) => change.removed.member = true,
        _ => {}
    }
    change
}

fn as_list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn as_map(value: Option<&Value>) -> Option<&Object> {
    value.and_then(Value::as_object)
}

fn change_of_leaf(old: Option<&Value>, new: Option<&Value>) -> Change {
    let mut change = Change::default();
    change.modified.member = matches!((old, new), (Some(old), Some(new)) if !equal(old, new));
    change
}

/// Whether two values are the same; numbers by their value.
fn equal(a: &Value, b: &Value) -> bool {
    a == b || matches!((a, b), (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64())
}

/// `None`: both are empty, which makes them leaves, so that empty and null differ.
fn change_of_map(
    old: Option<&Object>,
    new: Option<&Object>,
    ty: Option<TypeRef<'_>>,
    ignored: Option<&FieldSet>,
) -> Option<Change> {
    if old.is_none_or(Object::is_empty) && new.is_none_or(Object::is_empty) {
        return None;
    }
    let ignored = ignored.filter(|ignored| !ignored.is_empty());
    let mut change = Change::default();
    let mut visit = |name: &str, old_value: Option<&Value>, new_value: Option<&Value>| {
        let ignored = ignored.and_then(|ignored| ignored.get_field(name));
        if ignored.is_some_and(|node| node.member) {
            return;
        }
        // A field that is absent has its zero value if the object around it is there.
        let zero = || zero_value(ty.and_then(|ty| ty.field(name))?.field());
        if old_value.is_some() && old_value == new_value {
            return;
        }
        let old_value = old_value.or_else(|| old.and_then(|_| zero()));
        let new_value = new_value.or_else(|| new.and_then(|_| zero()));
        let member = ty.and_then(|ty| ty.member(name));
        let below = self::change(old_value, new_value, member, ignored.map(|node| &node.children));
        change.put(|| field_step(name), below);
    };
    for (name, new_value) in new.into_iter().flatten() {
        visit(name, old.and_then(|old| old.get(name)), Some(new_value));
    }
    for (name, old_value) in old.into_iter().flatten() {
        if new.is_none_or(|new| !new.contains_key(name)) {
            visit(name, Some(old_value), None);
        }
    }
    Some(change)
}

fn change_of_list(old: &[Value], new: &[Value], kind: &ListKind, ty: Option<TypeRef<'_>>) -> Option<Change> {
    if old.is_empty() && new.is_empty() {
        return None;
    }
    let items = ty.and_then(TypeRef::items);
    let mut pairs: BTreeMap<PathElement, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for item in old {
        if let Ok(step) = item_step(kind, items, item) {
            pairs.entry(step).or_default().0.push(item);
        }
    }
    for item in new {
        if let Ok(step) = item_step(kind, items, item) {
            pairs.entry(step).or_default().1.push(item);
        }
    }
    let mut change = Change::default();
    for (step, pair) in pairs {
        let below = match (pair.0.as_slice(), pair.1.as_slice()) {
            ([], [new]) => self::change(None, Some(new), items, None),
            ([old], []) => self::change(Some(old), None, items, None),
            ([old], [new]) => self::change(Some(old), Some(new), items, None),
            (old, new) => change_of_duplicates(old, new),
        };
        change.put(|| step, below);
    }
    Some(change)
}

/// Items that stand twice, which only lists that nobody applied can have: they count as a whole.
fn change_of_duplicates(old: &[&Value], new: &[&Value]) -> Change {
    let mut change = Change::default();
    let node = match (old.is_empty(), new.is_empty()) {
        (true, _) => &mut change.added,
        (_, true) => &mut change.removed,
        _ => &mut change.modified,
    };
    node.member = old != new;
    change
}
