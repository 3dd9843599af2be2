//! Quantities, and the comparisons that they share with versions.
//!
//! Source: `k8s.io/apiserver/pkg/cel/library/quantity.go`.

use std::cmp::Ordering;

use steersman_machinery::quantity::{Format, Quantity};

use super::{Outcome, fail, no_overload};
use crate::error::EvaluationError;
use crate::value::{Opaque, Value};

fn value<'a>(quantity: Quantity) -> Value<'a> {
    Value::Opaque(Opaque::Quantity(quantity))
}

pub(crate) fn quantity<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text)] => match Quantity::parse(text.as_str()) {
            Ok(quantity) => Ok(value(quantity)),
            Err(error) => fail(error.to_string()),
        },
        _ => no_overload(),
    }
}

pub(crate) fn is_quantity<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text)] => Ok(Value::Bool(Quantity::parse(text.as_str()).is_ok())),
        _ => no_overload(),
    }
}

/// The amount, if it is whole.
fn whole(quantity: Quantity) -> Option<i64> {
    let units = quantity.value();
    (Quantity::from_units(units, Format::DecimalSi).cmp(&quantity) == Ordering::Equal).then_some(units)
}

pub(crate) fn sign<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(it))] => Ok(Value::Int(match it {
            it if it.is_zero() => 0,
            it if it.is_negative() => -1,
            _ => 1,
        })),
        _ => no_overload(),
    }
}

pub(crate) fn is_integer<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(it))] => Ok(Value::Bool(whole(*it).is_some())),
        _ => no_overload(),
    }
}

pub(crate) fn as_integer<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(it))] => match whole(*it) {
            Some(units) => Ok(Value::Int(units)),
            None => fail("cannot convert value to integer"),
        },
        _ => no_overload(),
    }
}

pub(crate) fn as_approximate_float<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(it))] => Ok(Value::Double(it.approximate())),
        _ => no_overload(),
    }
}

/// The other amount: a quantity or a whole number.
fn other(value: &Value<'_>) -> Result<Quantity, EvaluationError> {
    match value {
        Value::Opaque(Opaque::Quantity(it)) => Ok(*it),
        Value::Int(units) => Ok(Quantity::from_units(*units, Format::DecimalExponent)),
        _ => Err(EvaluationError::NoSuchOverload),
    }
}

pub(crate) fn add<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(it)), more] => Ok(value(*it + other(more)?)),
        _ => no_overload(),
    }
}

pub(crate) fn sub<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Quantity(it)), less] => Ok(value(*it - other(less)?)),
        _ => no_overload(),
    }
}

fn order(args: &[Value<'_>]) -> Result<Ordering, EvaluationError> {
    match args {
        [Value::Opaque(Opaque::Quantity(one)), Value::Opaque(Opaque::Quantity(other))] => Ok(one.cmp(other)),
        [Value::Opaque(Opaque::Semver(one)), Value::Opaque(Opaque::Semver(other))] => Ok(one.compare(other)),
        _ => Err(EvaluationError::NoSuchOverload),
    }
}

pub(crate) fn is_less_than<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(order(args)?.is_lt()))
}

pub(crate) fn is_greater_than<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(order(args)?.is_gt()))
}

pub(crate) fn compare_to<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Int(order(args)? as i64))
}
