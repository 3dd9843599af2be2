//! Which functions there are, with which arguments, and what carries them out.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::error::EvaluationError;
use crate::types::Type;
use crate::value::Value;

pub(crate) mod dispatch;

/// What carries a function out, for all its overloads. A member's target is the first argument.
pub(crate) type Implementation = for<'a> fn(&[Value<'a>]) -> Result<Value<'a>, EvaluationError>;

/// One way to call a function.
#[derive(Debug)]
pub(crate) struct Overload {
    pub(crate) id: &'static str,
    pub(crate) member: bool,
    /// With the target of a member first.
    pub(crate) args: Vec<Type>,
    pub(crate) result: Type,
}

/// All the ways to call a function of that name.
#[derive(Debug, Default)]
pub(crate) struct Function {
    pub(crate) overloads: Vec<Overload>,
}

static FUNCTIONS: LazyLock<BTreeMap<&'static str, Function>> = LazyLock::new(|| {
    let mut functions: BTreeMap<&'static str, Function> = BTreeMap::new();
    for line in include_str!("functions/declarations.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, overload) = declaration(line).expect("the table is well formed: a test reads it");
        functions.entry(name).or_default().overloads.push(overload);
    }
    functions
});

/// The function of that name.
pub(crate) fn function(name: &str) -> Option<(&'static str, &'static Function)> {
    FUNCTIONS.get_key_value(name).map(|(name, function)| (*name, function))
}

/// The names of all functions.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.keys().copied()
}

fn declaration(line: &'static str) -> Option<(&'static str, Overload)> {
    let (id, rest) = line.split_once(" = ")?;
    let (name, signature) = rest.split_once(' ')?;
    let (call, result) = signature.split_once(" -> ")?;
    let call = call.strip_suffix(')')?;
    // The arguments begin at the last parenthesis that is not inside a type.
    let (target, args) = match call.find(".(") {
        Some(at) => (Some(&call[..at]), &call[at + 2..]),
        None => (None, call.strip_prefix('(')?),
    };
    let mut types = Vec::new();
    types.extend(target.map(parse_type));
    types.extend(split(args).into_iter().map(parse_type));
    Some((name, Overload { id, member: target.is_some(), args: types, result: parse_type(result) }))
}

/// The parts between commas that stand in no parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        parts.push(last);
    }
    parts
}

fn parse_type(text: &str) -> Type {
    if let Some((name, inner)) = text.strip_suffix(')').and_then(|it| it.split_once('(')) {
        let inner: Vec<Type> = split(inner).into_iter().map(parse_type).collect();
        let first = inner.first().cloned().unwrap_or(Type::Dyn);
        return match name {
            "list" => Type::list(first),
            "map" => Type::map(first, inner.get(1).cloned().unwrap_or(Type::Dyn)),
            "optional_type" => Type::optional(first),
            _ => Type::Type(Arc::new(first)),
        };
    }
    match text {
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "A" => Type::Param(u32::MAX),
        "B" => Type::Param(u32::MAX - 1),
        opaque => Type::Opaque(Arc::from(opaque)),
    }
}
