//! Values: scalars, and views of JSON documents that copy nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::budget::Budget;
use crate::declared::{DeclaredType, Identity, Shape};
use crate::error::EvaluationError;
use crate::library::network::Cidr;
use crate::library::semver::Semver;
use crate::library::url::Url;
use crate::types::Type;

mod collections;
mod compare;
mod json;

pub use collections::{Key, List, Map};
pub(crate) use compare::same;
pub(crate) use json::{parse_duration, parse_timestamp};

/// A value of CEL.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number without a sign.
    Uint(u64),
    /// A floating point number.
    Double(f64),
    /// A text.
    Text(Text<'a>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A point in time.
    Timestamp(Timestamp),
    /// A span of time in nanoseconds.
    Duration(i64),
    /// A list.
    List(List<'a>),
    /// A map or an object with fields.
    Map(Map<'a>),
    /// A value or its absence.
    Optional(Option<Arc<Value<'a>>>),
    /// A type.
    Type(Type),
    /// A message that the expression made: `Object.spec{replicas: 1}`.
    Structure(Arc<Structure<'a>>),
    /// A value of a library.
    Opaque(Opaque<'a>),
    /// A value that is computed when it is first asked for.
    Deferred(Arc<dyn Deferred<'a> + 'a>),
}

/// A text, borrowed from a document or made by an expression.
#[derive(Clone)]
pub enum Text<'a> {
    /// In a document.
    Borrowed(&'a str),
    /// Made.
    Shared(Arc<str>),
}

/// A message that an expression made.
#[derive(Clone, Debug)]
pub struct Structure<'a> {
    /// Its type's name: `JSONPatch`, `Object.spec`.
    pub name: Arc<str>,
    /// The fields that were set.
    pub fields: BTreeMap<String, Value<'a>>,
}

/// A value that is computed at most once, when an expression first asks for it: a variable of a policy.
pub trait Deferred<'a>: fmt::Debug + Send + Sync {
    /// The value.
    fn get(&self, budget: &mut Budget) -> Result<Value<'a>, EvaluationError>;
}

/// A value of one of Kubernetes' libraries.
#[derive(Clone, Debug)]
pub enum Opaque<'a> {
    /// `quantity('1Gi')`.
    Quantity(steersman_machinery::quantity::Quantity),
    /// `url('https://example.com')`.
    Url(Arc<Url>),
    /// `ip('192.0.2.1')`.
    Ip(std::net::IpAddr),
    /// `cidr('192.0.2.0/24')`.
    Cidr(Cidr),
    /// `semver('1.2.3')`.
    Semver(Arc<Semver>),
    /// `format.dns1123Label()`.
    Format(&'static str),
    /// `authorizer` and what is built from it.
    Authorizer(crate::library::authorization::Request<'a>),
    /// What `check` answers.
    Decision(Arc<crate::authorizer::Decision>),
}

impl<'a> Value<'a> {
    /// A view of a JSON value. `ty` says how to read what JSON can't express, such as times.
    pub fn from_json(json: &'a Json, ty: Option<&'a DeclaredType>) -> Self {
        json::view(json, ty)
    }

    /// A text that is not in a document.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(Text::Shared(text.into()))
    }

    /// A list that was made.
    pub fn list(items: Vec<Value<'a>>) -> Self {
        Self::List(List::owned(items))
    }

    /// A map with texts as keys.
    pub fn map(entries: impl IntoIterator<Item = (String, Value<'a>)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (Key::Text(Text::Shared(key.into())), value));
        Self::Map(Map::owned(entries.collect()))
    }

    /// The authorizer of a request, as the variable `authorizer`.
    pub fn authorizer(authorizer: &'a dyn crate::Authorizer) -> Self {
        Self::Opaque(Opaque::Authorizer(crate::library::authorization::Request::new(authorizer)))
    }

    /// The request's own resource, as `authorizer.requestResource`.
    pub fn request_resource(authorizer: &'a dyn crate::Authorizer) -> Self {
        let request = crate::library::authorization::Request::of_request(authorizer);
        Self::Opaque(Opaque::Authorizer(request))
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value as JSON; an error for what JSON can't express, in cel-go's words.
    pub fn to_json(&self) -> Result<Json, EvaluationError> {
        json::document(self)
    }

    /// The type it has at run time.
    pub fn type_of(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::Text(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
            Self::List(_) => Type::list(Type::Dyn),
            Self::Map(map) => map.object_type().unwrap_or_else(|| Type::map(Type::Dyn, Type::Dyn)),
            Self::Optional(_) => Type::optional(Type::Dyn),
            Self::Type(_) => Type::Type(Arc::new(Type::Dyn)),
            Self::Structure(structure) => Type::Object(Arc::clone(&structure.name)),
            Self::Opaque(opaque) => Type::Opaque(Arc::from(opaque.type_name())),
            Self::Deferred(_) => Type::Dyn,
        }
    }

    /// What `size()` says, or 1 for what has no size: the measure of costs.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Text(text) => text.as_str().chars().count() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::List(list) => list.len() as u64,
            Self::Map(map) => map.len() as u64,
            Self::Opaque(Opaque::Ip(ip)) => crate::library::network::bytes_of(ip),
            Self::Opaque(Opaque::Cidr(cidr)) => u64::from(cidr.prefix).div_ceil(8),
            _ => 1,
        }
    }

    /// Equality as `==` has it: numbers of different types may be equal, different types else never are.
    pub fn equals(&self, other: &Value<'_>) -> bool {
        compare::equal(self, other)
    }

    /// The order, or `None` if the two can't be compared.
    pub(crate) fn compare(&self, other: &Value<'_>) -> Option<std::cmp::Ordering> {
        compare::compare(self, other)
    }
}

impl Opaque<'_> {
    /// The name of the type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Authorizer(request) => request.type_name(),
            Self::Decision(_) => "kubernetes.authorization.Decision",
        }
    }
}

impl Text<'_> {
    /// The characters.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The declared type of items or values.
fn element_of(ty: Option<&DeclaredType>) -> Option<&DeclaredType> {
    ty.and_then(DeclaredType::element)
}

/// What makes the items of a list of that type the same.
fn identity_of(ty: Option<&DeclaredType>) -> &Identity {
    match ty.map(|ty| &ty.0.shape) {
        Some(Shape::List(_, identity)) => identity,
        _ => &Identity::Position,
    }
}
