//! The patch algebras: how a request that is not a whole object changes the object that is stored. All work on the JSON
//! form; strategic merge and apply are driven by the object's [schema](crate::schema), built-in or custom alike.
//! Source: RFC 6902, RFC 7386; Kubernetes doc "Update API Objects in Place Using kubectl patch"; KEP-555.

pub mod apply;
pub mod json;
pub mod merge;
pub mod strategic;

#[cfg(test)]
mod laws;
#[cfg(test)]
pub(crate) mod tests_support;

use serde_json::Value;
use thiserror::Error;

use crate::status::Status;

/// Why a patch can't be applied. Its text is the message of the [`Status`] that it becomes, where upstream shows one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PatchError {
    /// 400: the patch is not a document of its kind.
    #[error("error decoding patch: {0}")]
    Malformed(String),
    /// 400: a directive of a strategic merge patch has the wrong form.
    #[error("{0}")]
    BadFormat(&'static str),
    /// 413: a JSON patch has more operations than a server takes.
    #[error("The allowed maximum operations in a JSON patch is {max}, got {0}", max = json::MAX_OPERATIONS)]
    TooManyOperations(usize),
    /// 422: the patch is well formed but does not fit this object. The reason is not shown to clients.
    #[error("{0}")]
    DoesNotApply(String),
    /// 500: what upstream reports as an error without a Status.
    #[error("{0}")]
    Untyped(String),
}

impl From<PatchError> for Status {
    fn from(error: PatchError) -> Self {
        match error {
            PatchError::Malformed(_) | PatchError::BadFormat(_) => Self::bad_request(error.to_string()),
            PatchError::TooManyOperations(_) => Self::too_large(error),
            PatchError::DoesNotApply(_) => {
                let message = "the server rejected our request due to an error in our request";
                let mut status = Self::failure(422, "Invalid", message);
                status.details = Some(Box::default());
                status
            }
            PatchError::Untyped(message) => Self::untyped(message),
        }
    }
}

/// A value as Go's `%v` prints it: `map[a:1 b:[x y]]`. Some of upstream's messages contain that.
pub fn go_print(value: &Value) -> String {
    let mut out = String::new();
    go_print_into(value, &mut out);
    out
}

fn go_print_into(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                go_print_into(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push_str("map[");
            for (index, (key, item)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                out.push_str(key);
                out.push(':');
                go_print_into(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// What Go calls the type of a decoded value: `string`, `int64`, `map[string]interface {}`.
pub fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// What a patch brings new, without members that are null, in all objects in it: within lists as well, which RFC 7386 does not
/// ask for, but the library that upstream uses does (`evanphx/json-patch`).
fn without_nulls(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(|value| *value = without_nulls(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_nulls(item.take())),
        _ => {}
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_print_as_go_prints_them() {
        let value = json!({"spec": {"replica": 3, "list": [{"a": null}, true, "x"]}});
        assert_eq!(go_print(&value), "map[spec:map[list:[map[a:<nil>] true x] replica:3]]");
    }

    #[test]
    fn errors_become_upstreams_statuses() {
        let code = |error: PatchError| Status::from(error).code;
        assert_eq!(code(PatchError::Malformed("x".into())), 400);
        assert_eq!(code(PatchError::Untyped("x".into())), 500);
        let status = serde_json::to_value(Status::from(PatchError::DoesNotApply("secret".into()))).unwrap();
        assert_eq!(
            status,
            json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": 422,
                "reason": "Invalid", "details": {},
                "message": "the server rejected our request due to an error in our request"})
        );
        assert_eq!(
            Status::from(PatchError::TooManyOperations(10001)).message,
            "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
        );
    }
}
