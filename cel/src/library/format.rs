//! `'%s has %d'.format([x, y])`.
//!
//! Source: cel-go's `ext/formatting.go`.

use super::{Outcome, fail, no_overload};
use crate::error::EvaluationError;
use crate::library::strings::display;
use crate::value::{Key, Value};

/// The largest precision.
const MAX_PRECISION: usize = 1000;

pub(crate) fn format<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Text(text), Value::List(list)] = args else { return no_overload() };
    let mut result = String::new();
    let mut rest = text.as_str();
    let mut next = 0;
    while let Some(at) = rest.find('%') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            result.push('%');
            rest = after;
            continue;
        }
        let Some(value) = list.get(next) else { return fail(format!("index {next} out of range")) };
        next += 1;
        let precision =
            match rest.strip_prefix('.') {
                Some(after) => {
                    let digits = after.find(|it: char| !it.is_ascii_digit()).unwrap_or(after.len());
                    let precision = after[..digits].parse::<usize>().ok().filter(|it| *it <= MAX_PRECISION);
                    rest = &after[digits..];
                    Some(precision.ok_or_else(|| {
                        EvaluationError::failed("could not parse formatting clause: invalid precision")
                    })?)
                }
                None => None,
            };
        let Some(clause) = rest.chars().next() else { return fail("unexpected end of string") };
        result.push_str(&one(clause, &value, precision)?);
        rest = &rest[clause.len_utf8()..];
    }
    result.push_str(rest);
    Ok(Value::text(result))
}

fn one(clause: char, value: &Value<'_>, precision: Option<usize>) -> Result<String, EvaluationError> {
    let wrong = |kinds: &str, name: &str| {
        let ty = value.type_of();
        EvaluationError::failed(format!(
            "error during formatting: {name} clause can only be used on {kinds}, was given {}",
            ty.name()
        ))
    };
    match (clause, value) {
        ('s', value) => text(value),
        ('d', Value::Int(value)) => Ok(value.to_string()),
        ('d', Value::Uint(value)) => Ok(value.to_string()),
        ('d', Value::Double(value)) if !value.is_finite() => Ok(special(*value)),
        ('d', _) => Err(wrong("integers", "decimal")),
        ('f', value) => match number(value) {
            Some(value) if !value.is_finite() => Ok(special(value)),
            Some(value) => Ok(format!("{value:.*}", precision.unwrap_or(6))),
            None => Err(wrong("doubles", "fixed-point")),
        },
        ('e', value) => match number(value) {
            Some(value) if !value.is_finite() => Ok(special(value)),
            Some(value) => Ok(scientific(value, precision.unwrap_or(6))),
            None => Err(wrong("doubles", "scientific")),
        },
        ('b', Value::Int(value)) => Ok(signed(*value, |it| format!("{it:b}"))),
        ('b', Value::Uint(value)) => Ok(format!("{value:b}")),
        ('b', Value::Bool(value)) => Ok(if *value { "1" } else { "0" }.to_owned()),
        ('b', _) => Err(wrong("integers and bools", "binary")),
        ('o', Value::Int(value)) => Ok(signed(*value, |it| format!("{it:o}"))),
        ('o', Value::Uint(value)) => Ok(format!("{value:o}")),
        ('o', _) => Err(wrong("integers", "octal")),
        ('x' | 'X', value) => {
            let hex = match value {
                Value::Int(value) => signed(*value, |it| format!("{it:x}")),
                Value::Uint(value) => format!("{value:x}"),
                Value::Text(text) => text.as_str().bytes().map(|it| format!("{it:02x}")).collect(),
                Value::Bytes(bytes) => bytes.iter().map(|it| format!("{it:02x}")).collect(),
                _ => return Err(wrong("integers, byte buffers, and strings", "hex")),
            };
            Ok(if clause == 'X' { hex.to_uppercase() } else { hex })
        }
        (other, _) => Err(EvaluationError::failed(format!(
            "could not parse formatting clause: unrecognized formatting clause \"{other}\""
        ))),
    }
}

fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(value) => Some(*value),
        Value::Int(value) => Some(*value as f64),
        Value::Uint(value) => Some(*value as f64),
        _ => None,
    }
}

fn special(value: f64) -> String {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
    .to_owned()
}

fn scientific(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let number: i32 = exponent.parse().unwrap_or_default();
            format!("{digits}e{}{:02}", if number < 0 { '-' } else { '+' }, number.abs())
        }
        None => text,
    }
}

fn signed(value: i64, digits: impl Fn(u64) -> String) -> String {
    format!("{}{}", if value < 0 { "-" } else { "" }, digits(value.unsigned_abs()))
}

fn text(value: &Value<'_>) -> Result<String, EvaluationError> {
    Ok(match value {
        Value::List(list) => {
            let items: Result<Vec<String>, _> = list.iter().map(|item| text(&item)).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Map(map) => {
            let mut entries = Vec::new();
            for (key, value) in map.iter() {
                let key = match key {
                    Key::Text(text) => text.as_str().to_owned(),
                    other => display(&other.value()),
                };
                entries.push(format!("{key}: {}", text(&value)?));
            }
            format!("{{{}}}", entries.join(", "))
        }
        Value::Double(value) if !value.is_finite() => special(*value),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Timestamp(time) => time.to_string(),
        Value::Duration(nanoseconds) => super::time::format_duration(*nanoseconds),
        Value::Type(ty) => ty.name().to_owned(),
        Value::Text(_) | Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Null => {
            display(value)
        }
        other => {
            let name = other.type_of();
            let message = format!(
                "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, \
                 types, durations, and timestamps, was given {}",
                name.name()
            );
            return Err(EvaluationError::failed(message));
        }
    })
}
