//! Regular expressions in RE2's syntax.

use std::collections::BTreeMap;
use std::sync::Mutex;

use regex::{Regex, RegexBuilder};

use super::{Outcome, no_overload};
use crate::error::EvaluationError;
use crate::value::Value;

mod syntax;

/// The largest compiled expression: what a small pattern such as `(a{100}){100}` may grow to.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// The expressions that are kept compiled. Rules use a handful; what loops make up must not fill the memory.
const MAX_KEPT: usize = 64;

static KEPT: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());

/// Compiles a pattern, or finds it compiled.
pub(crate) fn compile(pattern: &str) -> Result<Regex, EvaluationError> {
    let lock = || KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(regex) = lock().get(pattern) {
        return Ok(regex.clone());
    }
    let built = RegexBuilder::new(&syntax::translate(pattern)).size_limit(MAX_COMPILED_BYTES).build();
    let regex = built.map_err(|_| {
        EvaluationError::failed(format!("error parsing regexp: invalid regular expression: `{pattern}`"))
    })?;
    let mut kept = lock();
    if kept.len() >= MAX_KEPT {
        kept.clear();
    }
    kept.insert(pattern.to_owned(), regex.clone());
    Ok(regex)
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
