//! Regular expressions.

use regex::{Regex, RegexBuilder};

use super::{Outcome, no_overload};
use crate::error::EvaluationError;
use crate::value::Value;

/// The largest compiled expression: what a small pattern such as `(a{100}){100}` may grow to.
const MAX_COMPILED_BYTES: usize = 1 << 20;

fn compile(pattern: &str) -> Result<Regex, EvaluationError> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED_BYTES)
        .build()
        .map_err(|_| EvaluationError::failed(format!("error parsing regexp: invalid regular expression: `{pattern}`")))
}

pub(crate) fn matches<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text), Value::Text(pattern)] => {
            Ok(Value::Bool(compile(pattern.as_str())?.is_match(text.as_str())))
        }
        _ => no_overload(),
    }
}

pub(crate) fn find<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text), Value::Text(pattern)] => {
            let regex = compile(pattern.as_str())?;
            Ok(Value::text(regex.find(text.as_str()).map_or("", |found| found.as_str())))
        }
        _ => no_overload(),
    }
}

pub(crate) fn find_all<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (text, pattern, limit) = match args {
        [Value::Text(text), Value::Text(pattern)] => (text, pattern, -1),
        [Value::Text(text), Value::Text(pattern), Value::Int(limit)] => (text, pattern, *limit),
        _ => return no_overload(),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let regex = compile(pattern.as_str())?;
    Ok(Value::list(regex.find_iter(text.as_str()).take(limit).map(|found| Value::text(found.as_str())).collect()))
}
