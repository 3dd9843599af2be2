//! The functions, by what they are about. Each gets its arguments evaluated, a member's target first.

pub(crate) mod authorization;
pub(crate) mod conversions;
pub(crate) mod format;
pub(crate) mod formats;
pub(crate) mod lists;
pub(crate) mod network;
pub(crate) mod operators;
pub(crate) mod optional;
pub(crate) mod quantity;
pub(crate) mod regex;
pub(crate) mod semver;
pub(crate) mod strings;
pub(crate) mod time;
pub(crate) mod url;

use crate::error::EvaluationError;
use crate::value::Value;

/// What a function gives back.
pub(crate) type Outcome<'a> = Result<Value<'a>, EvaluationError>;

/// An error of that text.
pub(crate) fn fail<'a>(message: impl Into<String>) -> Outcome<'a> {
    Err(EvaluationError::failed(message))
}

/// The error for arguments of other types.
pub(crate) fn no_overload<'a>() -> Outcome<'a> {
    Err(EvaluationError::NoSuchOverload)
}
