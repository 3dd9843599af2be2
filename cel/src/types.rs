//! Types of expressions, and how they are written in messages.

use std::fmt;
use std::sync::Arc;

/// The type of an expression. [`fmt::Display`] writes it as cel-go does in its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Not known before evaluation: everything type-checks.
    Dyn,
    /// The type of an expression with an error in it.
    Error,
    /// The type of `null`.
    Null,
    /// `true` and `false`.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// A whole number of 64 bits without a sign.
    Uint,
    /// A floating point number.
    Double,
    /// A text.
    String,
    /// Bytes.
    Bytes,
    /// A point in time.
    Timestamp,
    /// A span of time.
    Duration,
    /// A list.
    List(Arc<Type>),
    /// A map from the first to the second.
    Map(Arc<(Type, Type)>),
    /// An object whose fields the environment knows by this name.
    Object(Arc<str>),
    /// A type of a library, such as `kubernetes.Quantity`.
    Opaque(Arc<str>),
    /// A value that may be absent.
    Optional(Arc<Type>),
    /// The type of a type.
    Type(Arc<Type>),
    /// A type that is not known yet, by number; or a parameter of an overload, by letter.
    Param(u32),
}

impl Type {
    /// A list of these.
    pub fn list(item: Type) -> Self {
        Self::List(Arc::new(item))
    }

    /// A map from these to those.
    pub fn map(key: Type, value: Type) -> Self {
        Self::Map(Arc::new((key, value)))
    }

    /// An optional of these.
    pub fn optional(inner: Type) -> Self {
        Self::Optional(Arc::new(inner))
    }

    /// The type of that name: a declared object's.
    pub fn object(name: &str) -> Self {
        Self::Object(Arc::from(name))
    }

    /// Whether anything may be assigned to it and from it.
    pub fn is_dyn_or_error(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    /// The types it is made of.
    pub(crate) fn parameters(&self) -> Vec<&Type> {
        match self {
            Self::List(item) => vec![item],
            Self::Map(entry) => vec![&entry.0, &entry.1],
            Self::Optional(inner) | Self::Type(inner) => vec![inner],
            _ => Vec::new(),
        }
    }

    /// The same type of other parameters.
    pub(crate) fn with_parameters(&self, change: &mut impl FnMut(&Type) -> Type) -> Type {
        match self {
            Self::List(item) => Self::list(change(item)),
            Self::Map(entry) => Self::map(change(&entry.0), change(&entry.1)),
            Self::Optional(inner) => Self::optional(change(inner)),
            Self::Type(inner) => Self::Type(Arc::new(change(inner))),
            other => other.clone(),
        }
    }

    /// The name without parameters, as `string(type(x))` and `type(x) == …` see it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Dyn => "dyn",
            Self::Error => "!error!",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Object(name) | Self::Opaque(name) => name,
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Param(_) => "dyn",
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::Param(number) => write!(f, "_var{number}"),
            other => {
                f.write_str(other.name())?;
                let parameters = other.parameters();
                for (at, parameter) in parameters.iter().enumerate() {
                    f.write_str(if at == 0 { "(" } else { ", " })?;
                    write!(f, "{parameter}")?;
                }
                f.write_str(if parameters.is_empty() { "" } else { ")" })
            }
        }
    }
}
