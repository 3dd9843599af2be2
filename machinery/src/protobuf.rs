//! Protobuf as Kubernetes speaks it: the envelope, and the messages of built-in types from and to their JSON form.
//! Source: Kubernetes doc "API Concepts", section "Kubernetes Protobuf encoding"; `k8s.io/api/**/generated.proto` for
//! the numbers; `gogo/protobuf` for what is written when it is empty.

use crate::decode::TOO_MANY_OBJECTS;

mod decode;
mod encode;
mod json_schema;
mod wire;

pub use decode::decode;
pub use encode::{Encoder, encode};

/// What every Protobuf body of Kubernetes begins with.
pub const MAGIC: [u8; 4] = *b"k8s\0";

/// A body is not what it says it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not begin with [`MAGIC`].
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoPrefix,
    /// It ends in the middle of a field.
    #[error("unexpected EOF")]
    Truncated,
    /// A field has another wire type than its message says, or a value that cannot be.
    #[error("proto: wrong wireType or value for field {0}")]
    Field(u32),
    /// It nests deeper than is read.
    #[error("exceeded max depth")]
    TooDeep,
    /// It has more objects than are read.
    #[error("{TOO_MANY_OBJECTS}")]
    TooManyObjects,
}

/// What is in the envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The `apiVersion` of the object; may be empty.
    pub api_version: String,
    /// The `kind` of the object; may be empty.
    pub kind: String,
    /// The object's own message.
    pub raw: &'a [u8],
}

/// Opens the envelope of a body.
pub fn open(body: &[u8]) -> Result<Envelope<'_>, Error> {
    let unknown = body.strip_prefix(&MAGIC).ok_or(Error::NoPrefix)?;
    let mut envelope = Envelope { api_version: String::new(), kind: String::new(), raw: &[] };
    for field in wire::fields(unknown) {
        let field = field?;
        match field.number {
            1 => {
                for part in wire::fields(field.bytes()?) {
                    let part = part?;
                    match part.number {
                        1 => envelope.api_version = part.text()?,
                        2 => envelope.kind = part.text()?,
                        _ => {}
                    }
                }
            }
            2 => envelope.raw = field.bytes()?,
            _ => {}
        }
    }
    Ok(envelope)
}

/// Puts the message of an object into the envelope: `write` writes the message.
pub fn seal(api_version: &str, kind: &str, write: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut out = Encoder::starting_with(&MAGIC);
    out.message(1, |out| {
        out.text(1, api_version);
        out.text(2, kind);
    });
    out.message(2, write);
    out.text(3, "");
    out.text(4, "");
    out.into_bytes()
}

#[cfg(test)]
mod tests;
