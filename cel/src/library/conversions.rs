//! Conversions between types.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Outcome, fail, no_overload};
use crate::library::time::format_duration;
use crate::value::{Opaque, Value, parse_duration, parse_timestamp};

/// The first number that no `int` reaches; its negative is not exact either.
const TWO_TO_63: f64 = (1_u64 << 63) as f64;
const INT_RANGE: &str = "integer overflow";
const UINT_RANGE: &str = "unsigned integer overflow";

pub(crate) fn to_bool<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Bool(value)] => Ok(Value::Bool(*value)),
        [Value::Text(text)] => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => unreadable("bool"),
        },
        _ => no_overload(),
    }
}

pub(crate) fn to_bytes<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Bytes(bytes)] => Ok(Value::Bytes(Arc::clone(bytes))),
        [Value::Text(text)] => Ok(Value::Bytes(text.as_str().as_bytes().into())),
        _ => no_overload(),
    }
}

pub(crate) fn to_double<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Double(value)] => Ok(Value::Double(*value)),
        [Value::Int(value)] => Ok(Value::Double(*value as f64)),
        [Value::Uint(value)] => Ok(Value::Double(*value as f64)),
        [Value::Text(text)] => match text.as_str().parse() {
            Ok(value) => Ok(Value::Double(value)),
            Err(_) => unreadable("double"),
        },
        _ => no_overload(),
    }
}

/// The error for a text that does not stand for a value of that type.
fn unreadable<'a>(ty: &str) -> Outcome<'a> {
    fail(format!("type conversion error from 'string' to '{ty}'"))
}

pub(crate) fn to_int<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(value)] => Ok(Value::Int(*value)),
        [Value::Uint(value)] => i64::try_from(*value).map_or_else(|_| fail(INT_RANGE), |it| Ok(Value::Int(it))),
        // The bounds themselves are not exact.
        [Value::Double(value)] if value.abs() < TWO_TO_63 => Ok(Value::Int(*value as i64)),
        [Value::Double(_)] => fail(INT_RANGE),
        [Value::Timestamp(time)] => Ok(Value::Int(time.as_second())),
        [Value::Duration(nanoseconds)] => Ok(Value::Int(*nanoseconds)),
        [Value::Text(text)] => text.as_str().parse().map_or_else(|_| unreadable("int"), |it| Ok(Value::Int(it))),
        _ => no_overload(),
    }
}

pub(crate) fn to_uint<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Uint(value)] => Ok(Value::Uint(*value)),
        [Value::Int(value)] => u64::try_from(*value).map_or_else(|_| fail(UINT_RANGE), |it| Ok(Value::Uint(it))),
        [Value::Double(value)] if *value >= 0.0 && *value < 2.0 * TWO_TO_63 => Ok(Value::Uint(*value as u64)),
        [Value::Double(_)] => fail(UINT_RANGE),
        [Value::Text(text)] => text.as_str().parse().map_or_else(|_| unreadable("uint"), |it| Ok(Value::Uint(it))),
        _ => no_overload(),
    }
}

pub(crate) fn to_string<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    Ok(match args {
        [Value::Text(text)] => Value::Text(text.clone()),
        [Value::Bool(value)] => Value::text(value.to_string()),
        [Value::Int(value)] => Value::text(value.to_string()),
        [Value::Uint(value)] => Value::text(value.to_string()),
        [Value::Double(value)] => Value::text(format_double(*value)),
        [Value::Timestamp(time)] => Value::text(time.to_string()),
        [Value::Duration(nanoseconds)] => Value::text(format_duration(*nanoseconds)),
        [Value::Bytes(bytes)] => match std::str::from_utf8(bytes) {
            Ok(text) => Value::text(text),
            Err(_) => return fail("invalid UTF-8 in bytes, cannot convert to string"),
        },
        [Value::Opaque(Opaque::Ip(ip))] => Value::text(ip.to_string()),
        [Value::Opaque(Opaque::Cidr(cidr))] => Value::text(cidr.to_string()),
        _ => return no_overload(),
    })
}

/// As Go's `%g` with the shortest digits that are exact.
pub(crate) fn format_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    // Rust writes 1e6 where Go writes 1e+06.
    let text = format!("{value:e}");
    match text.split_once('e').map(|(digits, exponent)| (digits, exponent.parse::<i32>().unwrap_or_default())) {
        Some((digits, exponent)) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => value.to_string(),
    }
}

pub(crate) fn to_duration<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Duration(value)] | [Value::Int(value)] => Ok(Value::Duration(*value)),
        [Value::Text(text)] => match parse_duration(text.as_str()) {
            Some(nanoseconds) => Ok(Value::Duration(nanoseconds)),
            None => unreadable("google.protobuf.Duration"),
        },
        _ => no_overload(),
    }
}

pub(crate) fn to_timestamp<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Timestamp(time)] => Ok(Value::Timestamp(*time)),
        [Value::Int(seconds)] if (-62_135_596_800..=253_402_300_799).contains(seconds) => {
            Timestamp::from_second(*seconds).map_or_else(|_| fail("timestamp overflow"), |it| Ok(Value::Timestamp(it)))
        }
        [Value::Int(_)] => fail("timestamp overflow"),
        [Value::Text(text)] => match parse_timestamp(text.as_str()) {
            Some(time) => Ok(Value::Timestamp(time)),
            None => unreadable("google.protobuf.Timestamp"),
        },
        _ => no_overload(),
    }
}

pub(crate) fn to_dyn<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value] => Ok(value.clone()),
        _ => no_overload(),
    }
}

pub(crate) fn to_type<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value] => Ok(crate::evaluator::type_value(value)),
        _ => no_overload(),
    }
}
