//! Optional values.

use super::{Outcome, fail, no_overload};
use crate::evaluator::some;
use crate::value::Value;

pub(crate) fn of<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value] => Ok(some(value.clone())),
        _ => no_overload(),
    }
}

pub(crate) fn of_non_zero_value<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value] if is_zero(value) => Ok(Value::Optional(None)),
        [value] => Ok(some(value.clone())),
        _ => no_overload(),
    }
}

fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Optional(None) => true,
        Value::Bool(value) => !value,
        Value::Int(value) | Value::Duration(value) => *value == 0,
        Value::Uint(value) => *value == 0,
        Value::Double(value) => *value == 0.0,
        Value::Text(text) => text.as_str().is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Structure(structure) => structure.fields.is_empty(),
        _ => false,
    }
}

pub(crate) fn none<'a>(_: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Optional(None))
}

pub(crate) fn value<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Optional(Some(inner))] => Ok((**inner).clone()),
        [Value::Optional(None)] => fail("optional.none() dereference"),
        _ => no_overload(),
    }
}

pub(crate) fn has_value<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Optional(inner)] => Ok(Value::Bool(inner.is_some())),
        _ => no_overload(),
    }
}

pub(crate) fn or<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [one @ Value::Optional(Some(_)), _] => Ok(one.clone()),
        [Value::Optional(None), other @ Value::Optional(_)] => Ok(other.clone()),
        _ => no_overload(),
    }
}

pub(crate) fn or_value<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Optional(Some(inner)), _] => Ok((**inner).clone()),
        [Value::Optional(None), other] => Ok(other.clone()),
        _ => no_overload(),
    }
}

pub(crate) fn unwrap<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else { return no_overload() };
    let mut values = Vec::new();
    for item in list.iter() {
        match item {
            Value::Optional(inner) => values.extend(inner.map(|inner| (*inner).clone())),
            _ => return no_overload(),
        }
    }
    Ok(Value::list(values))
}

pub(crate) fn first<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(list)] => Ok(super::strings::found(list.get(0))),
        _ => no_overload(),
    }
}

pub(crate) fn last<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(list)] => Ok(super::strings::found(list.len().checked_sub(1).and_then(|at| list.get(at)))),
        _ => no_overload(),
    }
}
