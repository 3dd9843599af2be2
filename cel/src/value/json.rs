//! From JSON and back.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map as JsonMap, Value as Json};

use super::{Key, List, Map, Opaque, Text, Value, element_of, identity_of};
use crate::declared::DeclaredType;
use crate::error::EvaluationError;
use crate::types::Type;

pub(super) fn view<'a>(json: &'a Json, ty: Option<&'a DeclaredType>) -> Value<'a> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (ty.map(DeclaredType::ty), number.as_i64()) {
            (Some(Type::Double), _) => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
            (_, Some(value)) => Value::Int(value),
            (Some(Type::Int), None) => Value::Int(number.as_f64().map_or(0, |value| value as i64)),
            (_, None) => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => view_text(text, ty.map(DeclaredType::ty)),
        Json::Array(items) => Value::List(List::json(items, element_of(ty), identity_of(ty))),
        Json::Object(entries) => Value::Map(Map::json(entries, ty)),
    }
}

fn view_text<'a>(text: &'a str, ty: Option<&Type>) -> Value<'a> {
    // What does not have the form of its type stays a text: an expression about it finds no overload.
    let special = match ty {
        Some(Type::Timestamp) => parse_timestamp(text).or_else(|| parse_date(text)).map(Value::Timestamp),
        Some(Type::Duration) => parse_duration(text).map(Value::Duration),
        Some(Type::Bytes) => STANDARD.decode(text).ok().map(|bytes| Value::Bytes(bytes.into())),
        _ => None,
    };
    special.unwrap_or(Value::Text(Text::Borrowed(text)))
}

/// A point in time in the form of RFC 3339, from year 1 to year 9999.
pub(crate) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let shape = text.as_bytes();
    let zoned = text.ends_with('Z') || (shape.len() > 6 && shape[shape.len() - 3] == b':');
    if shape.len() < 20 || shape[10] != b'T' || !zoned || !shape[0].is_ascii_digit() {
        return None;
    }
    let time: Timestamp = text.parse().ok()?;
    in_range(time).then_some(time)
}

/// Whether CEL has that point in time.
pub(crate) fn in_range(time: Timestamp) -> bool {
    (-62_135_596_800..=253_402_300_799).contains(&time.as_second())
}

fn parse_date(text: &str) -> Option<Timestamp> {
    let date: jiff::civil::Date = text.parse().ok()?;
    date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|it| it.timestamp())
}

/// A span of time as Go writes it: `1h30m`, `-1.5s`, `0`.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, after) = rest.split_at(digits);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.find(|it: char| !it.is_ascii_digit()).unwrap_or(after.len())),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after.find(|it: char| it == '.' || it.is_ascii_digit()).unwrap_or(after.len());
        let unit: i128 = match &after[..end] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole: i128 =
            if whole.is_empty() { 0 } else { whole.get(..18.min(whole.len())).and_then(|_| whole.parse().ok())? };
        let fraction: f64 = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().ok()? };
        total = total.checked_add(whole.checked_mul(unit)?)?.checked_add((fraction * unit as f64) as i128)?;
        rest = &after[end..];
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

pub(super) fn document(value: &Value<'_>) -> Result<Json, EvaluationError> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::Uint(value) => Json::from(*value),
        Value::Double(value) => number(*value),
        Value::Text(text) => Json::from(text.as_str()),
        Value::Bytes(bytes) => Json::from(STANDARD.encode(bytes)),
        Value::Timestamp(time) => Json::from(time.to_string()),
        Value::Duration(nanoseconds) => Json::from(crate::library::time::format_duration(*nanoseconds)),
        Value::List(list) => Json::Array(list.iter().map(|item| document(&item)).collect::<Result<_, _>>()?),
        Value::Map(map) => {
            let mut entries = JsonMap::new();
            for (key, value) in map.iter() {
                entries.insert(key_text(&key), document(&value)?);
            }
            Json::Object(entries)
        }
        Value::Structure(structure) => {
            let fields = structure.fields.iter().map(|(name, value)| Ok((name.clone(), document(value)?)));
            Json::Object(fields.collect::<Result<_, EvaluationError>>()?)
        }
        Value::Opaque(Opaque::Quantity(quantity)) => Json::from(quantity.to_string()),
        Value::Opaque(Opaque::Ip(ip)) => Json::from(ip.to_string()),
        Value::Opaque(Opaque::Cidr(cidr)) => Json::from(cidr.to_string()),
        Value::Optional(Some(inner)) => document(&Arc::clone(inner))?,
        other => {
            let message = format!("type conversion error from '{}' to JSON", other.type_of());
            return Err(EvaluationError::failed(message));
        }
    })
}

/// Whole numbers are written without a fraction, as Go writes them.
fn number(value: f64) -> Json {
    if value.fract() == 0.0 && value.abs() < 9.0e15 { Json::from(value as i64) } else { Json::from(value) }
}

fn key_text(key: &Key<'_>) -> String {
    match key {
        Key::Bool(value) => value.to_string(),
        Key::Int(value) => value.to_string(),
        Key::Uint(value) => value.to_string(),
        Key::Text(text) => text.as_str().to_owned(),
    }
}
