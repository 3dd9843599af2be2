//! JSON documents into objects, as Go's `encoding/json` does it with Kubernetes' types: the same result, the same
//! errors, the same complaints about unknown and duplicate fields.
//!
//! [`parse_json`] reads bytes, [`convert`] brings the value into the form of its type, and [`strict_problems`] lists what
//! a strict client wants to know in the order of the document (the first two know only part of it each).
//! Source: Go's `encoding/json` and `sigs.k8s.io/json`; API conventions, "Field validation".

use serde_json::Value;

use crate::schema::TypeRef;

mod base64;
mod convert;
mod go_type;
mod parse;
mod time;

pub use convert::{kind_of, zero};
pub use time::{canonical_micro_time, canonical_time, parse_time};

/// A parsed document.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The document. Of a key that stands twice, the last value counts.
    pub value: Value,
    /// The paths of the keys that stand twice: `spec.replicas`, `spec.containers[0].name`.
    pub duplicates: Vec<String>,
}

/// A document in the form of its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The object: known fields only, quantities and times in canonical form, no empty values that Go would leave out,
    /// and those that it always writes.
    pub object: Value,
    /// The paths of the fields that the type does not have, sorted as the document's keys are.
    pub unknown: Vec<String>,
}

/// A document is not JSON; the text is that of Go's `encoding/json`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(String);

/// A value has another type than its field; the text is that of Go: `json: cannot unmarshal string into Go struct field
/// DeploymentSpec.spec.replicas of type int32`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypeError(String);

/// Counts the objects of a document.
#[derive(Debug, Default)]
pub struct ObjectCount(usize);

impl ObjectCount {
    /// Counts one more, unless it is empty.
    ///
    /// # Errors
    /// If it is one too many; the error says so.
    pub fn add(&mut self, object: &crate::Object) -> Result<(), &'static str> {
        self.0 += usize::from(!object.is_empty());
        if self.0 > MAX_OBJECTS { Err(TOO_MANY_OBJECTS) } else { Ok(()) }
    }
}

/// Parses JSON. Whole numbers that fit an int64 stay whole; others become floating point numbers.
///
/// # Errors
/// If the bytes are not one JSON document, nest deeper than [`MAX_DEPTH`] or have more than [`MAX_OBJECTS`].
pub fn parse_json(bytes: &[u8]) -> Result<Parsed, SyntaxError> {
    let (value, duplicates) = parse::run(bytes, parse::Watch::duplicates())?;
    Ok(Parsed { value, duplicates })
}

/// Brings a document into the form of a type: drops fields that it does not have, treats null as absent, drops the
/// empty values that Go leaves out and adds those that it always writes, and normalises quantities, times and bytes.
/// `kind` names the type in the error about a document that is no object.
///
/// # Errors
/// If a value has another type than its field, or there are more than [`MAX_OBJECTS`].
pub fn convert(value: Value, ty: TypeRef<'_>, kind: &str) -> Result<Decoded, TypeError> {
    convert::run(value, ty, kind)
}

/// What is wrong with the fields of a document: `unknown field "spec.x"`, `duplicate field "spec.replicas"`, in the order
/// of the document, each once, at most 100. Nothing if the bytes are not JSON.
pub fn strict_problems(bytes: &[u8], ty: TypeRef<'_>) -> Vec<String> {
    parse::run(bytes, parse::Watch::typed(ty)).map(|(_, problems)| problems).unwrap_or_default()
}

/// How many objects that are not empty a document may have, with those that its type fills in. Of 1.5 MiB, the most that etcd
/// keeps of an object, that is one in 24 bytes. Small ones cost a hundred times what it takes to write them down, two hundred and
/// fifty times if their type fills them in, and again for everybody who owns their fields.
pub const MAX_OBJECTS: usize = 1 << 16;

/// How many problems with fields are told. Source: `sigs.k8s.io/json` (`maxStrictErrors`).
pub const MAX_PROBLEMS: usize = 100;

/// What a document with more objects than [`MAX_OBJECTS`] is told.
pub const TOO_MANY_OBJECTS: &str = "exceeded max number of objects";

/// The deepest nesting that is read. Go stops at 10,000; here values are walked by recursion, and the stack of a thread
/// of two MiB must hold the deepest walk in a build without optimisation.
pub const MAX_DEPTH: usize = 256;

#[cfg(test)]
mod tests;
