//! Types, and the rules for texts, numbers and sizes.

use serde_json::{Number, Value};
use steersman_machinery::field::{ErrorList, FieldError, Path, show};

use super::formats;
use crate::crd::structural::Structural;

/// The largest whole number up to which all are floating point numbers: 2^53 - 1.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;
/// 2^63, from which on whole numbers are too large for an int64.
const I64_LIMIT: f64 = 9_223_372_036_854_775_808.0;

/// Whether the value has the type of its schema; if not, nothing else is said about it.
pub(super) fn check_type(value: &Value, schema: &Structural, path: &Path, errors: &mut ErrorList) -> bool {
    let found = type_of(value);
    let wanted = schema.ty.as_str();
    // A number with a point or an exponent is as good as a whole one if it is exact.
    let exact = value.as_f64().is_some_and(|it| it.fract() == 0.0 && it.abs() <= MAX_EXACT);
    let fits = match (wanted, found) {
        _ if schema.int_or_string => matches!(found, "integer" | "string") || exact,
        ("", _) | ("number", "integer") => true,
        ("integer", "number") => exact,
        _ => wanted == found,
    };
    if fits {
        return true;
    }
    let whole = |it: f64| it.fract() == 0.0 && (-I64_LIMIT..I64_LIMIT).contains(&it);
    if (wanted, found) == ("integer", "number") && !value.as_f64().is_some_and(whole) {
        let detail = format!("Checked value must be of type integer (default format) in {}", path.as_str());
        errors.push(FieldError::invalid_str(&Path::default(), "", detail));
    }
    let wanted = if schema.int_or_string { "integer,string" } else { wanted };
    let detail = format!("{} in body must be of type {wanted}: \"{found}\"", path.as_str());
    errors.push(FieldError::type_invalid(path, &Value::from(found), detail));
    false
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The rules for scalars, and `enum`.
pub(super) fn check(value: &Value, schema: &Structural, path: &Path, errors: &mut ErrorList) {
    match value {
        Value::String(text) => check_text(text, value, schema, path, errors),
        Value::Number(number) => check_number(number, value, schema, path, errors),
        _ => {}
    }
    let allowed = &schema.rules.one_of_values;
    if !allowed.is_empty() && !allowed.iter().any(|allowed| equal(allowed, value)) {
        let supported: Vec<String> = allowed
            .iter()
            .map(|value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
            .collect();
        let supported: Vec<&str> = supported.iter().map(String::as_str).collect();
        let mut error = FieldError::not_supported(path, "", &supported);
        error.value = show(value);
        errors.push(error);
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

fn check_text(text: &str, value: &Value, schema: &Structural, path: &Path, errors: &mut ErrorList) {
    let rules = &schema.rules;
    let length = text.chars().count();
    let at = path.as_str();
    if let Some(max) = rules.length.max.filter(|max| length > *max) {
        errors.push(FieldError::too_long(path, max));
    } else if let Some(min) = rules.length.min.filter(|min| length < *min) {
        let detail = format!("{at} in body should be at least {min} chars long");
        errors.push(FieldError::invalid(path, value, detail));
    } else if let Some((pattern, _)) = rules.pattern.as_ref().filter(|(_, regex)| !regex.is_match(text)) {
        errors.push(FieldError::invalid(path, value, format!("{at} in body should match '{pattern}'")));
    }
    if !schema.int_or_string && !formats::fits(&rules.format, text) {
        let detail = format!("{at} in body must be of type {}: {}", rules.format, show(value));
        errors.push(FieldError::type_invalid(path, value, detail));
    }
}

fn check_number(number: &Number, value: &Value, schema: &Structural, path: &Path, errors: &mut ErrorList) {
    let rules = &schema.rules;
    let Some(number) = number.as_f64() else {
        return;
    };
    let mut complain = |what: String| {
        let detail = format!("{} in body should be {what}", path.as_str());
        errors.push(FieldError::invalid(path, value, detail));
    };
    if let Some(factor) = &rules.multiple_of
        && factor.as_f64().is_some_and(|factor| factor > 0.0 && (number / factor).fract() != 0.0)
    {
        complain(format!("a multiple of {factor}"));
    }
    if let Some((limit, exclusive)) = &rules.maximum
        && let Some(max) = limit.as_f64()
    {
        match exclusive {
            true if number >= max => complain(format!("less than {limit}")),
            false if number > max => complain(format!("less than or equal to {limit}")),
            _ => {}
        }
    }
    if let Some((limit, exclusive)) = &rules.minimum
        && let Some(min) = limit.as_f64()
    {
        match exclusive {
            true if number <= min => complain(format!("greater than {limit}")),
            false if number < min => complain(format!("greater than or equal to {limit}")),
            _ => {}
        }
    }
}

/// The rules for the size of a list.
pub(super) fn check_items(list: &[Value], schema: &Structural, path: &Path, errors: &mut ErrorList) {
    let rules = &schema.rules;
    if let Some(min) = rules.items.min.filter(|min| list.len() < *min) {
        too_few(list.len(), min, "items", path, errors);
    }
    if let Some(max) = rules.items.max.filter(|max| list.len() > *max) {
        errors.push(FieldError::too_many(path, list.len(), max));
    }
    let repeated = |(index, item): (usize, &Value)| list[..index].contains(item);
    if rules.unique_items && list.iter().enumerate().any(repeated) {
        let detail = format!("{} in body shouldn't contain duplicates", path.as_str());
        errors.push(FieldError::invalid_str(path, "", detail));
    }
}

/// The rules for the number of an object's fields.
pub(super) fn check_properties(count: usize, schema: &Structural, path: &Path, errors: &mut ErrorList) {
    let bounds = schema.rules.properties;
    if let Some(min) = bounds.min.filter(|min| count < *min) {
        too_few(count, min, "properties", path, errors);
    }
    if let Some(max) = bounds.max.filter(|max| count > *max) {
        errors.push(FieldError::too_many(path, count, max));
    }
}

fn too_few(count: usize, min: usize, what: &str, path: &Path, errors: &mut ErrorList) {
    let detail = format!("{} in body should have at least {min} {what}", path.as_str());
    errors.push(FieldError::invalid(path, &Value::from(count), detail));
}
