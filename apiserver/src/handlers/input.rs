//! Request bodies into objects: JSON or YAML, of the right version and kind, with the right types, defaulted.

use serde_json::Value;
use steersman_machinery::decode::{self, Decoded, TypeError};
use steersman_machinery::meta;
use steersman_machinery::schema::TypeRef;
use steersman_machinery::status::Status;

use super::yaml;
use crate::http::negotiate::{self, Media};
use crate::object;
use crate::options::FieldValidation;
use crate::registry::resource::Resource;
use crate::service::Call;

/// A body as JSON, with what is wrong with its keys.
pub(super) struct Document {
    pub(super) value: Value,
    problems: Problems,
}

/// What a strict client wants to know of a body, in its words.
#[derive(Clone, Debug, Default)]
pub(super) struct Problems {
    /// Of YAML: `line 6: key "a" already set in map`.
    pub(super) yaml: Vec<String>,
    /// Of the fields: `duplicate field "a"`, `unknown field "b"`.
    pub(super) fields: Vec<String>,
}

impl Problems {
    /// The same, for an error: keys of YAML that stand twice are one problem.
    pub(super) fn strict(self) -> Vec<String> {
        yaml_error(&self.yaml).into_iter().chain(self.fields).collect()
    }

    fn warnings(self) -> impl Iterator<Item = String> {
        self.yaml.into_iter().chain(self.fields)
    }
}

/// Duplicate keys in the words of upstream's YAML parser.
pub(super) fn yaml_error(duplicates: &[String]) -> Option<String> {
    (!duplicates.is_empty()).then(|| format!("yaml: unmarshal errors:\n  {}", duplicates.join("\n  ")))
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
    mut problems: Problems,
) -> Result<Value, Status> {
    let Some(ty) = expected.ty else {
        report(call, expected, validation, problems)?;
        return Ok(value);
    };
    let decoded = decode_typed(value, ty, expected.kind).map_err(|error| cannot_be_handled(expected, &error))?;
    problems.fields.extend(decoded.unknown.iter().map(|path| format!("unknown field \"{path}\"")));
    if !problems.fields.is_empty() {
        // A second look at the body gives them in the order of the document.
        let ordered = decode::strict_problems(&call.body, ty);
        problems.fields = if ordered.is_empty() { problems.fields } else { ordered };
    }
    report(call, expected, validation, problems)?;
    let mut object = decoded.object;
    object::set_type(&mut object, expected.api_version, expected.kind);
    Ok(object)
}

/// [`decode::convert`] that keeps an empty list of managed fields: it asks for those of the object to be forgotten.
pub(super) fn decode_typed(value: Value, ty: TypeRef<'_>, kind: &str) -> Result<Decoded, TypeError> {
    const PATH: [&str; 2] = ["metadata", "managedFields"];
    let forget = meta::at(&value, &PATH).and_then(Value::as_array).is_some_and(Vec::is_empty);
    let mut decoded = decode::convert(value, ty, kind)?;
    if forget {
        meta::set(&mut decoded.object, &PATH, serde_json::json!([]));
    }
    Ok(decoded)
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
    let fields = unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
    report(call, expected, validation, Problems { fields, ..Problems::default() })?;
    resource.strategy.default(object);
    Ok(())
}

fn report(
    call: &mut Call,
    expected: Expected<'_>,
    validation: FieldValidation,
    problems: Problems,
) -> Result<(), Status> {
    match validation {
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Warn => {
            call.warnings.extend(problems.warnings());
            Ok(())
        }
        FieldValidation::Strict => match problems.strict() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(cannot_be_handled(expected, format!("strict decoding error: {}", problems.join(", ")))),
        },
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
            let fields = parsed.duplicates.iter().map(|path| format!("duplicate field \"{path}\"")).collect();
            Ok(Document { value: parsed.value, problems: Problems { fields, ..Problems::default() } })
        }
        Media::Yaml => {
            let parsed = yaml::parse(&call.body).map_err(|why| unrecognized(format!("yaml: {why}")))?;
            let problems = Problems { yaml: parsed.duplicates, ..Problems::default() };
            Ok(Document { value: parsed.value, problems })
        }
    }
}

/// Reads a body that holds the options of a request.
pub(super) fn options(call: &Call, kind: &str) -> Result<Value, Status> {
    let invalid = |why: String| Status::bad_request(why);
    let value = match negotiate::body_media(&call.headers)? {
        Media::Json => {
            let parsed = decode::parse_json(&call.body);
            parsed.map_err(|error| invalid(format!("couldn't get version/kind; json parse error: {error}")))?.value
        }
        Media::Yaml => yaml::parse(&call.body).map_err(|why| invalid(format!("yaml: {why}")))?.value,
    };
    match meta::text(&value, &["kind"]) {
        "" => Ok(value),
        found if found == kind => Ok(value),
        other => {
            let version = meta::text(&value, &["apiVersion"]);
            Err(invalid(format!("no kind \"{other}\" is registered for version \"{version}\"")))
        }
    }
}

fn unrecognized(kind: &str, why: &str, body: &[u8]) -> Status {
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {why} ({})",
        excerpt(body)
    ))
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
        assert_eq!(
            excerpt(b"apiVersion: v1\nkind: [ConfigMap]\n"),
            "61706956657273696f6e3a2076310a6b696e643a205b436f6e6669674d61 ..."
        );
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
