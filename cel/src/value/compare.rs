//! Equality and order.

use std::cmp::Ordering;

use super::{List, Map, Opaque, Value};
use crate::declared::Identity;

pub(super) fn equal(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::Text(one), Value::Text(other)) => one.as_str() == other.as_str(),
        (Value::Bytes(one), Value::Bytes(other)) => one == other,
        (Value::Timestamp(one), Value::Timestamp(other)) => one == other,
        (Value::Duration(one), Value::Duration(other)) => one == other,
        (Value::List(one), Value::List(other)) => equal_lists(one, other),
        (Value::Map(one), Value::Map(other)) => equal_maps(one, other),
        (Value::Optional(None), Value::Optional(None)) => true,
        (Value::Optional(Some(one)), Value::Optional(Some(other))) => equal(one, other),
        (Value::Type(one), Value::Type(other)) => one.name() == other.name(),
        (Value::Structure(one), Value::Structure(other)) => {
            one.name == other.name
                && one.fields.len() == other.fields.len()
                && one.fields.iter().all(|(name, value)| other.fields.get(name).is_some_and(|it| equal(value, it)))
        }
        (Value::Opaque(one), Value::Opaque(other)) => equal_opaque(one, other),
        _ => compare_numbers(one, other) == Some(Ordering::Equal),
    }
}

fn equal_lists(one: &List<'_>, other: &List<'_>) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let identity = if *one.identity == Identity::Position { other.identity } else { one.identity };
    match identity {
        Identity::Position => one.iter().zip(other.iter()).all(|(one, other)| equal(&one, &other)),
        Identity::Set => one.iter().all(|item| other.contains(&item)),
        Identity::Keys(keys) => {
            one.iter().all(|item| other.iter().any(|it| same(&item, &it, keys) && equal(&item, &it)))
        }
    }
}

/// Whether two items of a list of objects have the same keys.
pub(crate) fn same(one: &Value<'_>, other: &Value<'_>, keys: &[String]) -> bool {
    let (Value::Map(one), Value::Map(other)) = (one, other) else { return false };
    keys.iter().all(|key| {
        let name = crate::escaping::escape(key).unwrap_or_default();
        match (one.field(&name), other.field(&name)) {
            (Some(one), Some(other)) => equal(&one, &other),
            (None, None) => true,
            _ => false,
        }
    })
}

fn equal_maps(one: &Map<'_>, other: &Map<'_>) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let others: Vec<_> = other.iter().collect();
    // Both are in order of their keys.
    one.iter().zip(others).all(|((one_key, one), (other_key, other))| {
        let keys = equal(&one_key.value(), &other_key.value());
        keys && equal(&one, &other)
    })
}

fn equal_opaque(one: &Opaque<'_>, other: &Opaque<'_>) -> bool {
    match (one, other) {
        (Opaque::Quantity(one), Opaque::Quantity(other)) => one.cmp(other) == Ordering::Equal,
        (Opaque::Url(one), Opaque::Url(other)) => one == other,
        (Opaque::Ip(one), Opaque::Ip(other)) => one == other,
        (Opaque::Cidr(one), Opaque::Cidr(other)) => one == other,
        (Opaque::Semver(one), Opaque::Semver(other)) => one.compare(other) == Ordering::Equal,
        (Opaque::Format(one), Opaque::Format(other)) => one == other,
        _ => false,
    }
}

pub(super) fn compare(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        (Value::Text(one), Value::Text(other)) => Some(one.as_str().cmp(other.as_str())),
        (Value::Bytes(one), Value::Bytes(other)) => Some(one.cmp(other)),
        (Value::Timestamp(one), Value::Timestamp(other)) => Some(one.cmp(other)),
        (Value::Duration(one), Value::Duration(other)) => Some(one.cmp(other)),
        _ => compare_numbers(one, other),
    }
}

fn compare_numbers(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    match (one, other) {
        (Value::Double(one), Value::Double(other)) => one.partial_cmp(other),
        (Value::Double(one), other) => compare_whole(other, *one).map(Ordering::reverse),
        (one, Value::Double(other)) => compare_whole(one, *other),
        _ => Some(whole(one)?.cmp(&whole(other)?)),
    }
}

fn whole(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    }
}

/// Compares without the loss that a conversion to floating point would bring.
fn compare_whole(one: &Value<'_>, other: f64) -> Option<Ordering> {
    let one = whole(one)?;
    if other.is_nan() {
        return None;
    }
    if other >= 1.0e20 {
        return Some(Ordering::Less);
    }
    if other <= -1.0e20 {
        return Some(Ordering::Greater);
    }
    let floor = other.floor();
    match one.cmp(&(floor as i128)) {
        Ordering::Equal if other > floor => Some(Ordering::Less),
        order => Some(order),
    }
}
