//! Operators.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};

use super::{Outcome, fail, no_overload};
use crate::declared::Identity;
use crate::error::EvaluationError;
use crate::evaluator::some;
use crate::library::strings::display;
use crate::value::{Key, List, Value};

pub(crate) fn equals<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [one, other] => Ok(Value::Bool(one.equals(other))),
        _ => no_overload(),
    }
}

pub(crate) fn not_equals<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [one, other] => Ok(Value::Bool(!one.equals(other))),
        _ => no_overload(),
    }
}

pub(crate) fn not<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Bool(value)] => Ok(Value::Bool(!value)),
        _ => no_overload(),
    }
}

fn checked<'a, T>(value: Option<T>, make: impl Fn(T) -> Value<'a>) -> Outcome<'a> {
    value.map(make).ok_or_else(|| EvaluationError::failed("integer overflow"))
}

fn unsigned<'a>(value: Option<u64>) -> Outcome<'a> {
    value.map(Value::Uint).ok_or_else(|| EvaluationError::failed("unsigned integer overflow"))
}

fn shifted<'a>(time: Timestamp, nanoseconds: i64, back: bool) -> Outcome<'a> {
    let duration = SignedDuration::from_nanos(nanoseconds);
    let moved = if back { time.checked_sub(duration) } else { time.checked_add(duration) };
    match moved.ok().filter(|time| (-62_135_596_800..=253_402_300_799).contains(&time.as_second())) {
        Some(time) => Ok(Value::Timestamp(time)),
        None => fail("timestamp overflow"),
    }
}

pub(crate) fn add<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(one), Value::Int(other)] => checked(one.checked_add(*other), Value::Int),
        [Value::Uint(one), Value::Uint(other)] => unsigned(one.checked_add(*other)),
        [Value::Double(one), Value::Double(other)] => Ok(Value::Double(one + other)),
        [Value::Text(one), Value::Text(other)] => Ok(Value::text(format!("{}{}", one.as_str(), other.as_str()))),
        [Value::Bytes(one), Value::Bytes(other)] => Ok(Value::Bytes([&one[..], &other[..]].concat().into())),
        [Value::List(one), Value::List(other)] => Ok(Value::List(concatenate(one, other))),
        [Value::Duration(one), Value::Duration(other)] => match one.checked_add(*other) {
            Some(sum) => Ok(Value::Duration(sum)),
            None => fail("duration overflow"),
        },
        [Value::Timestamp(time), Value::Duration(duration)] | [Value::Duration(duration), Value::Timestamp(time)] => {
            shifted(*time, *duration, false)
        }
        _ => no_overload(),
    }
}

/// Sets stay sets, and items of lists of objects with keys replace those of the same keys.
fn concatenate<'a>(one: &List<'a>, other: &List<'a>) -> List<'a> {
    let mut items: Vec<Value<'a>> = one.iter().collect();
    match one.identity {
        Identity::Position => return one.clone().append(other.iter().collect()),
        Identity::Set => {
            for item in other.iter() {
                if !items.iter().any(|have| have.equals(&item)) {
                    items.push(item);
                }
            }
        }
        Identity::Keys(keys) => {
            for item in other.iter() {
                match items.iter_mut().find(|have| crate::value::same(have, &item, keys)) {
                    Some(have) => *have = item,
                    None => items.push(item),
                }
            }
        }
    }
    List::owned(items).with_identity(one.identity)
}

pub(crate) fn subtract<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(one), Value::Int(other)] => checked(one.checked_sub(*other), Value::Int),
        [Value::Uint(one), Value::Uint(other)] => unsigned(one.checked_sub(*other)),
        [Value::Double(one), Value::Double(other)] => Ok(Value::Double(one - other)),
        [Value::Duration(one), Value::Duration(other)] => match one.checked_sub(*other) {
            Some(difference) => Ok(Value::Duration(difference)),
            None => fail("duration overflow"),
        },
        [Value::Timestamp(time), Value::Duration(duration)] => shifted(*time, *duration, true),
        [Value::Timestamp(one), Value::Timestamp(other)] => {
            match i64::try_from(one.as_nanosecond() - other.as_nanosecond()) {
                Ok(difference) => Ok(Value::Duration(difference)),
                Err(_) => fail("duration overflow"),
            }
        }
        _ => no_overload(),
    }
}

pub(crate) fn multiply<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(one), Value::Int(other)] => checked(one.checked_mul(*other), Value::Int),
        [Value::Uint(one), Value::Uint(other)] => unsigned(one.checked_mul(*other)),
        [Value::Double(one), Value::Double(other)] => Ok(Value::Double(one * other)),
        _ => no_overload(),
    }
}

pub(crate) fn divide<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => fail("division by zero"),
        [Value::Int(one), Value::Int(other)] => checked(one.checked_div(*other), Value::Int),
        [Value::Uint(one), Value::Uint(other)] => unsigned(one.checked_div(*other)),
        [Value::Double(one), Value::Double(other)] => Ok(Value::Double(one / other)),
        _ => no_overload(),
    }
}

pub(crate) fn modulo<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => fail("modulus by zero"),
        [Value::Int(one), Value::Int(other)] => checked(one.checked_rem(*other), Value::Int),
        [Value::Uint(one), Value::Uint(other)] => unsigned(one.checked_rem(*other)),
        _ => no_overload(),
    }
}

pub(crate) fn negate<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(value)] => checked(value.checked_neg(), Value::Int),
        [Value::Double(value)] => Ok(Value::Double(-value)),
        _ => no_overload(),
    }
}

fn ordered<'a>(args: &[Value<'a>], holds: fn(Ordering) -> bool) -> Outcome<'a> {
    let [one, other] = args else { return no_overload() };
    match one.compare(other) {
        Some(order) => Ok(Value::Bool(holds(order))),
        None => match (one, other) {
            (Value::Double(it), _) | (_, Value::Double(it)) if it.is_nan() => fail("NaN values cannot be ordered"),
            _ => no_overload(),
        },
    }
}

pub(crate) fn less<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    ordered(args, Ordering::is_lt)
}

pub(crate) fn less_equals<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    ordered(args, Ordering::is_le)
}

pub(crate) fn greater<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    ordered(args, Ordering::is_gt)
}

pub(crate) fn greater_equals<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    ordered(args, Ordering::is_ge)
}

/// The place in a list that a value stands for.
fn place(index: &Value<'_>) -> Option<i64> {
    match Key::of(index)? {
        Key::Int(at) => Some(at),
        Key::Uint(at) => i64::try_from(at).ok(),
        _ => None,
    }
}

/// What is there, or why nothing is.
fn at<'a>(container: &Value<'a>, index: &Value<'a>) -> Outcome<'a> {
    match container {
        Value::List(list) => {
            let Some(at) = place(index) else {
                return fail(format!("unsupported index type '{}' in list", index.type_of()));
            };
            match usize::try_from(at).ok().and_then(|at| list.get(at)) {
                Some(item) => Ok(item),
                None => fail(format!("index out of bounds: {at}")),
            }
        }
        Value::Map(map) => match Key::of(index).and_then(|key| map.get(&key)) {
            Some(value) => Ok(value),
            None => fail(format!("no such key: {}", display(index))),
        },
        _ => no_overload(),
    }
}

pub(crate) fn index<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Optional(None), _] => Ok(Value::Optional(None)),
        [Value::Optional(Some(inner)), index] => Ok(present(at(inner, index))),
        [container, index] => at(container, index),
        _ => no_overload(),
    }
}

fn present(found: Outcome<'_>) -> Value<'_> {
    match found {
        Ok(optional @ Value::Optional(_)) => optional,
        Ok(value) => some(value),
        Err(_) => Value::Optional(None),
    }
}

pub(crate) fn optional_index<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Optional(None), _] => Ok(Value::Optional(None)),
        [Value::Optional(Some(inner)), index] => Ok(present(at(inner, index))),
        [container @ (Value::List(_) | Value::Map(_)), index] => Ok(present(at(container, index))),
        _ => no_overload(),
    }
}

pub(crate) fn contained<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [item, Value::List(list)] => Ok(Value::Bool(list.contains(item))),
        [key, Value::Map(map)] => Ok(Value::Bool(Key::of(key).is_some_and(|key| map.get(&key).is_some()))),
        _ => no_overload(),
    }
}

pub(crate) fn size<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value @ (Value::Text(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))] => {
            Ok(Value::Int(i64::try_from(value.size()).unwrap_or(i64::MAX)))
        }
        _ => no_overload(),
    }
}

pub(crate) fn map_insert<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let inserted = match args {
        [Value::Map(map), key, value] => {
            let Some(known) = Key::of(key) else { return no_overload() };
            (map.clone().insert(known, value.clone()), key.clone())
        }
        [Value::Map(map), Value::Map(more)] => {
            let mut result = map.clone();
            for (key, value) in more.iter() {
                match result.insert(key.clone(), value) {
                    Some(grown) => result = grown,
                    None => return fail(format!("insert failed: key {} already exists", display(&key.value()))),
                }
            }
            (Some(result), Value::Null)
        }
        _ => return no_overload(),
    };
    match inserted {
        (Some(map), _) => Ok(Value::Map(map)),
        (None, key) => fail(format!("insert failed: key {} already exists", display(&key))),
    }
}
