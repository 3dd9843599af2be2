//! What a value takes in memory, roughly: for whoever keeps values that others sent.

use serde_json::Value;

use crate::Object;

/// What a value weighs besides its text, and a field besides its name and value: half of a node of a map, a text's place.
const EACH: usize = 64;

/// Whether a value weighs no more than so many bytes. Looks at no more of it than that takes.
pub fn is_at_most(value: &Value, bytes: usize) -> bool {
    left(bytes, value).is_some()
}

fn left(bytes: usize, value: &Value) -> Option<usize> {
    let bytes = bytes.checked_sub(EACH)?;
    match value {
        Value::String(text) => bytes.checked_sub(text.len()),
        Value::Array(items) => items.iter().try_fold(bytes, left),
        Value::Object(fields) => left_of_fields(bytes, fields),
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(bytes),
    }
}

fn left_of_fields(bytes: usize, fields: &Object) -> Option<usize> {
    fields.iter().try_fold(bytes, |bytes, (name, value)| left(bytes.checked_sub(EACH + name.len())?, value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_names_and_numbers_of_values_weigh() {
        let check = |value: Value, weight: usize| {
            assert!(is_at_most(&value, weight), "{value}");
            assert!(!is_at_most(&value, weight - 1), "{value}");
        };
        check(json!(null), EACH);
        check(json!("four"), EACH + 4);
        check(json!([1, true, []]), 4 * EACH);
        check(json!({"a": {"bc": "def"}}), 5 * EACH + 6);
    }
}
