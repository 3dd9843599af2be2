//! Lists and maps.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map as JsonMap, Value as Json};

use super::{Text, Value, json};
use crate::declared::{DeclaredType, Identity};
use crate::types::Type;

/// A list: a view of a JSON array or one that was made.
#[derive(Clone, Debug)]
pub struct List<'a> {
    items: Items<'a>,
    pub(crate) identity: &'a Identity,
}

#[derive(Clone, Debug)]
enum Items<'a> {
    Json(&'a [Json], Option<&'a DeclaredType>),
    Owned(Arc<Vec<Value<'a>>>),
}

/// A map: a view of a JSON object or one that was made.
#[derive(Clone, Debug)]
pub struct Map<'a>(Entries<'a>);

#[derive(Clone, Debug)]
enum Entries<'a> {
    Json(&'a JsonMap<String, Json>, Option<&'a DeclaredType>),
    Owned(Arc<BTreeMap<Key<'a>, Value<'a>>>),
}

/// A key of a map. Whole numbers of both kinds are the same key.
#[derive(Clone, Debug)]
pub enum Key<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number without a sign.
    Uint(u64),
    /// A text.
    Text(Text<'a>),
}

impl<'a> List<'a> {
    pub(crate) fn owned(items: Vec<Value<'a>>) -> Self {
        Self { items: Items::Owned(Arc::new(items)), identity: &Identity::Position }
    }

    pub(crate) fn json(items: &'a [Json], element: Option<&'a DeclaredType>, identity: &'a Identity) -> Self {
        Self { items: Items::Json(items, element), identity }
    }

    /// The declared type of the items.
    pub(crate) fn element_type(&self) -> Option<&'a Type> {
        match &self.items {
            Items::Json(_, element) => element.map(DeclaredType::ty),
            Items::Owned(_) => None,
        }
    }

    pub(crate) fn with_identity(mut self, identity: &'a Identity) -> Self {
        self.identity = identity;
        self
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        match &self.items {
            Items::Json(items, _) => items.len(),
            Items::Owned(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at that place.
    pub fn get(&self, at: usize) -> Option<Value<'a>> {
        match &self.items {
            Items::Json(items, element) => items.get(at).map(|item| json::view(item, *element)),
            Items::Owned(items) => items.get(at).cloned(),
        }
    }

    /// The items.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Value<'a>> + ExactSizeIterator + '_ {
        (0..self.len()).map(|at| self.get(at).expect("the place is within the list"))
    }

    /// This list with more items; in place, if nobody else has it.
    pub(crate) fn append(self, more: Vec<Value<'a>>) -> Self {
        let mut items = match self.items {
            Items::Owned(items) => items,
            Items::Json(..) => Arc::new(self.iter().collect()),
        };
        Arc::make_mut(&mut items).extend(more);
        Self { items: Items::Owned(items), identity: self.identity }
    }

    pub(crate) fn contains(&self, wanted: &Value<'_>) -> bool {
        self.iter().any(|item| item.equals(wanted))
    }
}

impl<'a> Map<'a> {
    pub(crate) fn owned(entries: BTreeMap<Key<'a>, Value<'a>>) -> Self {
        Self(Entries::Owned(Arc::new(entries)))
    }

    /// This map with one more entry, or `None` if the key was there.
    pub(crate) fn insert(self, key: Key<'a>, value: Value<'a>) -> Option<Self> {
        let mut entries = match self.0 {
            Entries::Owned(entries) => entries,
            Entries::Json(..) => Arc::new(self.iter().collect()),
        };
        let before = Arc::make_mut(&mut entries).insert(key, value);
        before.is_none().then_some(Self(Entries::Owned(entries)))
    }

    pub(crate) fn json(entries: &'a JsonMap<String, Json>, ty: Option<&'a DeclaredType>) -> Self {
        Self(Entries::Json(entries, ty))
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        match &self.0 {
            Entries::Json(entries, _) => entries.len(),
            Entries::Owned(entries) => entries.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type, if it is an object with declared fields.
    pub(crate) fn object_type(&self) -> Option<Type> {
        match &self.0 {
            Entries::Json(_, Some(ty)) if ty.is_object() => Some(ty.ty().clone()),
            _ => None,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &Key<'_>) -> Option<Value<'a>> {
        match (&self.0, key) {
            (Entries::Json(..), Key::Text(text)) => self.field(text.as_str()),
            (Entries::Json(..), _) => None,
            (Entries::Owned(entries), key) => {
                // The key only lives as long as the question; the map's keys live longer.
                let found = entries.iter().find(|(have, _)| compare_keys(have, key) == Ordering::Equal);
                match entries.len() > SMALL {
                    true => lookup(entries, key),
                    false => found.map(|(_, value)| value.clone()),
                }
            }
        }
    }

    /// The value of a field or of a key that is a text.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        match &self.0 {
            Entries::Json(entries, None) => entries.get(name).map(|value| json::view(value, None)),
            Entries::Json(entries, Some(ty)) if ty.is_object() => match ty.field(name) {
                Some((property, ty)) => entries.get(property).map(|value| json::view(value, Some(ty))),
                None => None,
            },
            Entries::Json(entries, Some(ty)) => entries.get(name).map(|value| json::view(value, ty.element())),
            Entries::Owned(_) => self.get(&Key::Text(Text::Shared(Arc::from(name)))),
        }
    }

    /// The keys with their values, in order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (Key<'a>, Value<'a>)> + '_> {
        match &self.0 {
            Entries::Json(entries, ty) => {
                let element = move |name: &str| match ty {
                    Some(ty) if ty.is_object() => ty.property(name),
                    other => other.and_then(DeclaredType::element),
                };
                Box::new(entries.iter().map(move |(key, value)| {
                    (Key::Text(Text::Borrowed(key.as_str())), json::view(value, element(key)))
                }))
            }
            Entries::Owned(entries) => Box::new(entries.iter().map(|(key, value)| (key.clone(), value.clone()))),
        }
    }
}

/// Maps up to this size are searched from the start.
const SMALL: usize = 8;

fn lookup<'a>(entries: &BTreeMap<Key<'a>, Value<'a>>, key: &Key<'_>) -> Option<Value<'a>> {
    let owned: Key<'a> = match key {
        Key::Bool(value) => Key::Bool(*value),
        Key::Int(value) => Key::Int(*value),
        Key::Uint(value) => Key::Uint(*value),
        Key::Text(text) => Key::Text(Text::Shared(Arc::from(text.as_str()))),
    };
    entries.get(&owned).cloned()
}

impl<'a> Key<'a> {
    /// The key that a value stands for, if it can be one. A floating point number that is whole finds a whole number.
    pub fn of(value: &Value<'a>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Int(value) => Some(Self::Int(*value)),
            Value::Uint(value) => Some(Self::Uint(*value)),
            Value::Text(text) => Some(Self::Text(text.clone())),
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 9.0e18 => Some(Self::Int(*value as i64)),
            _ => None,
        }
    }

    /// The key as a value.
    pub fn value(self) -> Value<'a> {
        match self {
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Uint(value) => Value::Uint(value),
            Self::Text(text) => Value::Text(text),
        }
    }
}

fn compare_keys(one: &Key<'_>, other: &Key<'_>) -> Ordering {
    fn number(key: &Key<'_>) -> Option<i128> {
        match key {
            Key::Int(value) => Some(i128::from(*value)),
            Key::Uint(value) => Some(i128::from(*value)),
            _ => None,
        }
    }
    fn rank(key: &Key<'_>) -> u8 {
        match key {
            Key::Bool(_) => 0,
            Key::Int(_) | Key::Uint(_) => 1,
            Key::Text(_) => 2,
        }
    }
    match (one, other) {
        (Key::Bool(one), Key::Bool(other)) => one.cmp(other),
        (Key::Text(one), Key::Text(other)) => one.as_str().cmp(other.as_str()),
        _ => match (number(one), number(other)) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => rank(one).cmp(&rank(other)),
        },
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_keys(self, other)
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key<'_> {}
