//! CEL, the Common Expression Language, as a Kubernetes API server speaks it.
//!
//! [`Environment`] says which variables an expression may use and of which types they are; [`Environment::compile`] parses
//! and checks an expression and gives a [`Program`]; [`Program::evaluate`] runs it over [`Variables`] and charges what it
//! does to a [`Budget`]. [`DeclaredType::from_schema`] makes a type from a structural OpenAPI schema, and
//! [`Program::estimate`] says what an expression may cost at most before it ever runs.
//!
//! ```
//! use steersman_cel::{Budget, DeclaredType, Environment, Value, Variables};
//! use serde_json::json;
//!
//! let schema = json!({"type": "object", "properties": {"replicas": {"type": "integer"}}});
//! let own = DeclaredType::from_schema("self", &schema, false).expect("the schema has a type");
//! let environment = Environment::kubernetes().variable("self", own.clone());
//! let program = environment.compile("self.replicas > 1").expect("it is well typed");
//! let object = json!({"replicas": 3});
//! let variables = Variables::new().with("self", Value::from_json(&object, Some(&own)));
//! let result = program.evaluate(&variables, &mut Budget::per_object());
//! assert_eq!(result.expect("it has no error").as_bool(), Some(true));
//! ```
//!
//! Sources: the CEL language definition (cel-spec), cel-go for the texts and the costs,
//! `k8s.io/apiserver/pkg/cel` for Kubernetes' libraries.

mod ast;
mod authorizer;
mod budget;
mod checker;
mod declared;
mod environment;
mod error;
mod escaping;
mod estimate;
mod evaluator;
mod functions;
mod lexer;
mod library;
mod parser;
mod program;
mod stack;
mod types;
mod value;

#[cfg(test)]
mod tests;

pub use authorizer::{Authorizer, Check, Decision};
pub use budget::{Budget, PER_CALL_LIMIT, PER_OBJECT_LIMIT};
pub use declared::DeclaredType;
pub use environment::Environment;
pub use error::{CompileError, EvaluationError};
pub use escaping::{escape, is_reserved, unescape};
pub use estimate::CostEstimate;
pub use program::{Program, Variables};
pub use types::Type;
pub use value::{Deferred, Key, List, Map, Opaque, Structure, Text, Value};
