//! What Kubernetes objects *are*: metadata and names, selectors, quantities, the schema of every built-in kind, the
//! four patch algebras, Status errors; and what every program needs: the clock, the source of randomness, metrics, a token
//! bucket.
//!
//! Nearly everything here is a pure function over [`serde_json::Value`], and nothing does I/O, has a hidden clock or needs an
//! async runtime. A table test, a property test or a fuzzer can call any of it.

pub mod clock;
pub mod decode;
pub mod field;
pub mod field_set;
pub mod fields;
pub mod go_regexp;
pub mod group;
pub mod int_or_string;
pub mod labels;
pub mod managed_fields;
pub mod meta;
pub mod metrics;
pub mod names;
pub mod object_meta;
pub mod patch;
pub mod pod;
pub mod protobuf;
pub mod quantity;
pub mod quota;
pub mod random;
pub mod resource_list;
pub mod schema;
pub mod status;
pub mod token_bucket;
pub mod weight;

/// A JSON object, the form in which the server handles every Kubernetes object.
pub type Object = serde_json::Map<String, serde_json::Value>;
