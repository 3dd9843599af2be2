//! What the calls of functions cost.

use crate::budget::{Budget, PER_CALL_LIMIT};
use crate::error::EvaluationError;
use crate::functions::Overload;
use crate::value::Value;

/// What a character costs that is looked at.
const TEXT_FACTOR: f64 = 0.1;
/// What a character of a regular expression costs.
const REGEX_FACTOR: f64 = 0.25;

/// The cost of looking at that many characters.
fn text_cost(size: u64) -> u64 {
    (size as f64 * TEXT_FACTOR).ceil() as u64
}

/// The cost of matching a regular expression of the second size with a text of the first.
fn regex_cost(text: u64, regex: u64) -> u64 {
    text_cost(text.saturating_add(1)).saturating_mul((regex as f64 * REGEX_FACTOR).ceil() as u64)
}

/// Refuses calls that would take more memory than any budget pays for.
pub(super) fn before(function: &str, args: &[Value<'_>], budget: &mut Budget) -> Result<(), EvaluationError> {
    match (function, args) {
        ("lists.range", [Value::Int(count)]) => budget.charge(u64::try_from(*count).unwrap_or_default()),
        ("replace", [Value::Text(text), Value::Text(old), Value::Text(new), ..]) => {
            let places = text.as_str().len() / old.as_str().len().max(1) + 1;
            match (places as u64).saturating_mul(new.as_str().len() as u64) > PER_CALL_LIMIT * 10 {
                true => Err(EvaluationError::CallLimitExceeded),
                false => Ok(()),
            }
        }
        ("distinct" | "sort" | "@sortByAssociatedKeys" | "flatten", [list, ..]) => budget.charge(list.size()),
        ("sets.contains" | "sets.equivalent" | "sets.intersects", [one, other]) => {
            budget.charge(one.size().saturating_mul(other.size()))
        }
        _ => Ok(()),
    }
}

/// The cost of a call that has been made.
pub(super) fn of(function: &str, overloads: &[&Overload], args: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
    let size = |at: usize| args.get(at).map_or(0, Value::size);
    let is = |id: &str| overloads.iter().any(|overload| overload.id == id);
    match function {
        // Two checks in an expression, and no more.
        "check" => 350_000,
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => args.first().map_or(0, traversal),
        "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "cidr" | "isIP" | "isCIDR" | "quantity"
        | "isQuantity" | "semver" | "isSemver" | "validate" => text_cost(size(0)),
        "ip" if is("cidr_ip") => 1,
        "ip" => text_cost(size(0)),
        "replace" | "split" | "ip.isCanonical" => text_cost(size(0) * 2),
        "join" => text_cost(result.map_or(0, Value::size) * 2),
        "find" | "findAll" | "matches" => regex_cost(size(0), size(1)),
        "containsIP" | "containsCIDR" => network(function, args),
        "startsWith" | "endsWith" => text_cost(size(1)),
        "bytes" | "format" | "strings.quote" => text_cost(size(0)),
        "string" if matches!(args.first(), Some(Value::Bytes(_))) => text_cost(size(0)),
        "@in" if matches!(args.get(1), Some(Value::List(_))) => size(1),
        "_==_" | "_!=_" => text_cost(size(0).min(size(1))),
        "_<_" | "_<=_" | "_>_" | "_>=_" if matches!(args.first(), Some(Value::Text(_) | Value::Bytes(_))) => {
            text_cost(size(0).min(size(1)))
        }
        "_+_" if matches!(args.first(), Some(Value::Text(_) | Value::Bytes(_))) => text_cost(size(0) + size(1)),
        "contains" => text_cost(size(0)) * text_cost(size(1)),
        _ => 1,
    }
}

fn network(function: &str, args: &[Value<'_>]) -> u64 {
    let (Some(block), Some(other)) = (args.first(), args.get(1)) else { return 1 };
    let mut cost = text_cost(block.size() * 2);
    if function == "containsCIDR" {
        cost += text_cost(block.size()) + 1;
    }
    if matches!(other, Value::Text(_)) {
        cost += text_cost(other.size());
    }
    cost
}

/// The cost of looking at everything in a value.
fn traversal(value: &Value<'_>) -> u64 {
    match value {
        Value::Text(text) => (text.as_str().len() as f64 * TEXT_FACTOR) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * TEXT_FACTOR) as u64,
        Value::List(list) => list.iter().map(|item| traversal(&item)).sum(),
        Value::Map(map) => map.iter().map(|(key, value)| traversal(&key.value()) + traversal(&value)).sum(),
        _ => 1,
    }
}
