//! Request bodies into objects: JSON or YAML, of the right version and kind, with the right types, defaulted.

use serde_json::Value;
use steersman_machinery::decode;
use steersman_machinery::meta;
use steersman_machinery::schema::TypeRef;
use steersman_machinery::status::Status;

use crate::http::negotiate::{self, Media};
use crate::object;
use crate::options::FieldValidation;
use crate::registry::resource::Resource;
use crate::service::Call;

/// A body as JSON, with the paths of the keys that stand twice.
pub(super) struct Document {
    pub(super) value: Value,
    /// What a strict client wants to know, in its words: `duplicate field "a"`.
    problems: Vec<String>,
}

/// What a body must be.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    /// `apiVersion`.
    pub(super) api_version: &'a str,
    /// `kind`.
    pub(super) kind: &'a str,
    /// The type; `None` for custom resources, whose own schema is applied when they are defaulted.
    pub(super) ty: Option<TypeRef<'a>>,
}

/// Reads the body as an object of the resource and fills in its defaults.
pub(super) fn object(call: &mut Call, resource: &Resource, validation: FieldValidation) -> Result<Value, Status> {
    let api_version = resource.api_version();
    let ty = (!resource.custom).then(|| resource.object_type.root());
    let mut object = typed(call, Expected { api_version: &api_version, kind: &resource.kind, ty }, validation)?;
    finish(call, resource, &mut object, validation)?;
    Ok(object)
}

/// Reads the body as an object of a given type, without defaults.
pub(super) fn typed(call: &mut Call, expected: Expected<'_>, validation: FieldValidation) -> Result<Value, Status> {
    let document = document(call, expected.kind)?;
    let value = check_type(document.value, expected, &call.body)?;
    convert(call, value, expected, validation, document.problems)
}

/// Brings a document into the form of its type. `problems` are those that were found while it was parsed.
pub(super) fn convert(
    call: &mut Call,
    value: Value,
    expected: Expected<'_>,
    validation: FieldValidation,
    mut problems: Vec<String>,
) -> Result<Value, Status> {
    let Some(ty) = expected.ty else {
        report(call, expected, validation, problems)?;
        return Ok(value);
    };
    let decoded = decode::convert(value, ty, expected.kind).map_err(|error| cannot_be_handled(expected, &error))?;
    problems.extend(decoded.unknown.iter().map(|path| format!("unknown field \"{path}\"")));
    if !problems.is_empty() {
        // A second look at the body gives them in the order of the document.
        let ordered = decode::strict_problems(&call.body, ty);
        problems = if ordered.is_empty() { problems } else { ordered };
    }
    report(call, expected, validation, problems)?;
    let mut object = decoded.object;
    object::set_type(&mut object, expected.api_version, expected.kind);
    Ok(object)
}

/// Defaults an object and reports the fields that its own schema does not know.
pub(super) fn finish(
    call: &mut Call,
    resource: &Resource,
    object: &mut Value,
    validation: FieldValidation,
) -> Result<(), Status> {
    let unknown = resource.strategy.prune(object);
    let api_version = resource.api_version();
    let expected = Expected { api_version: &api_version, kind: &resource.kind, ty: None };
    report(call, expected, validation, unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect())?;
    resource.strategy.default(object);
    Ok(())
}

fn report(
    call: &mut Call,
    expected: Expected<'_>,
    validation: FieldValidation,
    problems: Vec<String>,
) -> Result<(), Status> {
    match validation {
        _ if problems.is_empty() => Ok(()),
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Warn => {
            call.warnings.extend(problems);
            Ok(())
        }
        FieldValidation::Strict => {
            Err(cannot_be_handled(expected, format!("strict decoding error: {}", problems.join(", "))))
        }
    }
}

fn cannot_be_handled(expected: Expected<'_>, why: impl std::fmt::Display) -> Status {
    let kind = expected.kind;
    let version = expected.api_version.rsplit('/').next().unwrap_or_default();
    Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"))
}

/// Parses the body; `kind` is for the error.
pub(super) fn document(call: &Call, kind: &str) -> Result<Document, Status> {
    let unrecognized = |why: String| unrecognized(kind, &why, &call.body);
    match negotiate::body_media(&call.headers)? {
        Media::Json => {
            let parsed = decode::parse_json(&call.body)
                .map_err(|error| unrecognized(format!("couldn't get version/kind; json parse error: {error}")))?;
            let problems = parsed.duplicates.iter().map(|path| format!("duplicate field \"{path}\"")).collect();
            Ok(Document { value: parsed.value, problems })
        }
        Media::Yaml => {
            let value = yaml(&call.body).map_err(|why| unrecognized(format!("yaml: {why}")))?;
            Ok(Document { value, problems: Vec::new() })
        }
    }
}

/// Parses YAML (or JSON, which is YAML) as an apply patch and a YAML body hold it.
pub(super) fn yaml(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    // JSON is by far the most frequent form, and the JSON parser is much faster.
    serde_json::from_str(text).or_else(|_| serde_saphyr::from_str(text).map_err(|error| first_line(&error.to_string())))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn unrecognized(kind: &str, why: &str, body: &[u8]) -> Status {
    Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why} ({})", excerpt(body)))
}

/// The beginning of a body as upstream shows it: text if it looks like JSON, else hexadecimal.
fn excerpt(body: &[u8]) -> String {
    const MAX: usize = 30;
    if body.is_empty() {
        return "<empty>".to_owned();
    }
    let head = &body[..body.len().min(MAX)];
    let shown = match head[0] {
        b'{' => String::from_utf8_lossy(head).into_owned(),
        _ => head.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    if body.len() > MAX { format!("{shown} ...") } else { shown }
}

/// Go's name of the struct into which upstream first reads the type of an object.
const GO_TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

fn check_type(value: Value, expected: Expected<'_>, body: &[u8]) -> Result<Value, Status> {
    let found = match &value {
        Value::Object(_) => "",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Null => return check_type(serde_json::json!({}), expected, body),
    };
    if !found.is_empty() {
        let why = format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value of type {GO_TYPE_META}"
        );
        return Err(unrecognized(expected.kind, &why, body));
    }
    let custom = expected.ty.is_none();
    let (api_version, kind) = (meta::text(&value, &["apiVersion"]), meta::text(&value, &["kind"]));
    if custom && kind.is_empty() {
        let why = format!("Object 'Kind' is missing in '{}'", String::from_utf8_lossy(body));
        return Err(unrecognized(expected.kind, &why, body));
    }
    if (custom || !api_version.is_empty()) && api_version != expected.api_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            expected.api_version
        )));
    }
    if !kind.is_empty() && kind != expected.kind {
        let version = expected.api_version.rsplit('/').next().unwrap_or_default();
        return Err(Status::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {}: no conversion from {kind} exists",
            expected.kind
        )));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_body_is_shown() {
        assert_eq!(excerpt(b""), "<empty>");
        assert_eq!(excerpt(br#"{"a""#), r#"{"a""#);
        assert_eq!(excerpt(b"apiVersion: v1\nkind: [ConfigMap]\n"), "61706956657273696f6e3a2076310a6b696e643a205b436f6e6669674d61 ...");
    }

    #[test]
    fn the_type_must_be_that_of_the_endpoint() {
        let check = |value: Value, expect: &str| {
            let expected = Expected { api_version: "apps/v1", kind: "Deployment", ty: None };
            let got = check_type(value, expected, b"{}").map_or_else(|status| status.message, |_| "ok".to_owned());
            assert!(got.contains(expect), "{got}");
        };
        check(serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment"}), "ok");
        check(
            serde_json::json!({"apiVersion": "v1", "kind": "Deployment"}),
            "the API version in the data (v1) does not match the expected API version (apps/v1)",
        );
        check(serde_json::json!({"apiVersion": "apps/v1"}), "Object 'Kind' is missing in '{}'");
        check(serde_json::json!([]), "json: cannot unmarshal array into Go value of type struct { APIVersion");
    }
}
