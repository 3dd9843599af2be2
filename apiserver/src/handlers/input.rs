//! Request bodies into objects: JSON, YAML or protobuf, of the right version and kind, with the right types, defaulted.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use steersman_machinery::decode::{self, TypeError};
use steersman_machinery::group::GroupVersion;
use steersman_machinery::meta;
use steersman_machinery::protobuf;
use steersman_machinery::schema::{Type, TypeRef, builtin};
use steersman_machinery::status::Status;

use super::{output, yaml};
use crate::http::negotiate::{self, BodyForm};
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

    /// Puts those of the fields in the order of the document, as far as a second look at it finds them.
    fn put_in_order(&mut self, body: &[u8], ty: TypeRef<'_>) {
        let ordered = if self.fields.is_empty() { Vec::new() } else { decode::strict_problems(body, ty) };
        if !ordered.is_empty() {
            self.fields = ordered;
        }
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
    let expected = expected(resource, &api_version);
    let document = document(call, expected)?;
    let value = check_type(document.value, expected, &call.body)?;
    complete(call, resource, value, validation, document.problems)
}

fn expected<'a>(resource: &'a Resource, api_version: &'a str) -> Expected<'a> {
    let ty = (!resource.custom).then(|| resource.object_type.root());
    Expected { api_version, kind: &resource.kind, ty }
}

/// Brings an object into the form of its kind, reports what is wrong with its fields, and fills in its defaults.
/// `problems` are those that were found while it was parsed.
pub(super) fn complete(
    call: &mut Call,
    resource: &Resource,
    value: Value,
    validation: FieldValidation,
    mut problems: Problems,
) -> Result<Value, Status> {
    let api_version = resource.api_version();
    let expected = expected(resource, &api_version);
    let (mut object, unknown) = shape(resource, value).map_err(|error| cannot_be_handled(expected, &error))?;
    problems.fields.extend(unknown.iter().map(|path| format!("unknown field \"{path}\"")));
    if let Some(ty) = expected.ty {
        problems.put_in_order(&call.body, ty);
    }
    report(call, expected, validation, problems)?;
    resource.default(&mut object);
    Ok(object)
}

/// Brings an object into the form of its kind: of built-in ones the whole, of custom ones the metadata and what their own
/// schema knows. Also returns the paths of the fields that were dropped.
pub(crate) fn shape(resource: &Resource, mut object: Value) -> Result<(Value, Vec<String>), TypeError> {
    const MANAGED_FIELDS: [&str; 2] = ["metadata", "managedFields"];
    // An empty list asks for the managed fields to be forgotten; the form of the type would leave it out.
    let forget = meta::at(&object, &MANAGED_FIELDS).and_then(Value::as_array).is_some_and(Vec::is_empty);
    let mut unknown = Vec::new();
    let root = resource.object_type.root();
    if !resource.custom {
        let decoded = decode::convert(object, root, &resource.kind)?;
        (object, unknown) = (decoded.object, decoded.unknown);
        object::set_type(&mut object, &resource.api_version(), &resource.kind);
    } else {
        if let (Some(ty), Some(metadata)) = (root.member("metadata"), meta::remove(&mut object, &["metadata"])) {
            let decoded = decode::convert(metadata, ty, "ObjectMeta")?;
            unknown.extend(decoded.unknown.iter().map(|path| format!("metadata.{path}")));
            meta::set(&mut object, &["metadata"], decoded.object);
        }
        unknown.extend(resource.strategy.prune(&mut object));
        unknown.sort();
    }
    if forget {
        meta::set(&mut object, &MANAGED_FIELDS, serde_json::json!([]));
    }
    Ok((object, unknown))
}

/// [`shape`] of an object that was made from `live`, which has that form: what both have in common is not looked at.
pub(super) fn shape_changed(
    resource: &Resource,
    live: &Value,
    mut object: Value,
) -> Result<(Value, Vec<String>), TypeError> {
    let fields = object.as_object_mut().filter(|_| !resource.custom);
    let mut same = Vec::new();
    if let Some(fields) = fields {
        let is_same = |(name, value): &(&String, &Value)| *name != "metadata" && live.get(name) == Some(value);
        let names: Vec<String> = fields.iter().filter(is_same).map(|(name, _)| name.clone()).collect();
        same.extend(names.iter().filter_map(|name| fields.remove_entry(name)));
    }
    let (mut object, unknown) = shape(resource, object)?;
    if let Some(fields) = object.as_object_mut() {
        fields.extend(same);
    }
    Ok((object, unknown))
}

/// Reads the body as an object of a given type, without defaults.
pub(super) fn typed(call: &mut Call, expected: Expected<'_>, validation: FieldValidation) -> Result<Value, Status> {
    let document = document(call, expected)?;
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
    let decoded = decode::convert(value, ty, expected.kind).map_err(|error| cannot_be_handled(expected, &error))?;
    problems.fields.extend(decoded.unknown.iter().map(|path| format!("unknown field \"{path}\"")));
    problems.put_in_order(&call.body, ty);
    report(call, expected, validation, problems)?;
    let mut object = decoded.object;
    object::set_type(&mut object, expected.api_version, expected.kind);
    Ok(object)
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

/// Parses the body.
fn document(call: &Call, expected: Expected<'_>) -> Result<Document, Status> {
    let unrecognized = |why: String| unrecognized(expected.kind, &why, &call.body);
    let plain = |value| Document { value, problems: Problems::default() };
    match negotiate::body_form(&call.headers, expected.ty.is_some())? {
        BodyForm::Json => {
            let parsed = decode::parse_json(&call.body)
                .map_err(|error| unrecognized(format!("couldn't get version/kind; json parse error: {error}")))?;
            let fields = parsed.duplicates.iter().map(|path| format!("duplicate field \"{path}\"")).collect();
            Ok(Document { value: parsed.value, problems: Problems { fields, ..Problems::default() } })
        }
        BodyForm::Yaml => {
            let parsed = yaml::parse(&call.body).map_err(|why| unrecognized(format!("yaml: {why}")))?;
            let problems = Problems { yaml: parsed.duplicates, ..Problems::default() };
            Ok(Document { value: parsed.value, problems })
        }
        BodyForm::Protobuf if call.body.is_empty() => Err(unrecognized("empty data".to_owned())),
        BodyForm::Protobuf => {
            message(&call.body, expected.ty).map(plain).map_err(|error| unrecognized(error.to_string()))
        }
    }
}

/// A protobuf body in its JSON form.
fn message(body: &[u8], ty: Option<TypeRef<'_>>) -> Result<Value, protobuf::Error> {
    let envelope = protobuf::open(body)?;
    let mut value = match ty.map(TypeRef::ty) {
        Some(Type::Struct(id)) => protobuf::decode(envelope.raw, *id)?,
        _ => Value::Object(steersman_machinery::Object::new()),
    };
    object::set_type(&mut value, &envelope.api_version, &envelope.kind);
    Ok(value)
}

/// A body as JSON, whatever its form, for somebody to read; `None` if it cannot be read.
pub(crate) fn readable(headers: &HeaderMap, body: &[u8]) -> Option<Value> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    match content_type.split(';').next()?.trim() {
        _ if body.is_empty() => None,
        "application/vnd.kubernetes.protobuf" => {
            let envelope = protobuf::open(body).ok()?;
            let gvk = GroupVersion::parse(&envelope.api_version).with_kind(&envelope.kind);
            message(body, builtin::type_ref(&gvk)).ok()
        }
        media if media.contains("yaml") => yaml::parse(body).ok().map(|document| document.value),
        _ => serde_json::from_slice(body).ok(),
    }
}

/// Reads a body that holds the options of a request.
pub(super) fn options(call: &Call, kind: &str) -> Result<Value, Status> {
    let invalid = |why: String| Status::bad_request(why);
    let name = format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}");
    let ty = builtin::definition(&name).map(Type::Struct);
    let ty = ty.as_ref().map(|ty| builtin::schema().type_ref(ty));
    let value = match negotiate::body_form(&call.headers, true)? {
        BodyForm::Json => {
            let parsed = decode::parse_json(&call.body);
            parsed.map_err(|error| invalid(format!("couldn't get version/kind; json parse error: {error}")))?.value
        }
        BodyForm::Yaml => yaml::parse(&call.body).map_err(|why| invalid(format!("yaml: {why}")))?.value,
        BodyForm::Protobuf => message(&call.body, ty).map_err(|error| invalid(error.to_string()))?,
    };
    if !matches!(value, Value::Object(_) | Value::Null) {
        let found = decode::kind_of(&value);
        return Err(invalid(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value of type {GO_TYPE_META}"
        )));
    }
    match meta::text(&value, &["kind"]) {
        other if !other.is_empty() && other != kind => {
            let version = meta::text(&value, &["apiVersion"]);
            Err(invalid(format!("no kind \"{other}\" is registered for version \"{version}\"")))
        }
        _ => match ty {
            // What the options do not have is left out.
            Some(ty) => {
                decode::convert(value, ty, kind).map(|it| it.object).map_err(|error| invalid(error.to_string()))
            }
            None => Ok(value),
        },
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

/// The set of kinds that upstream looks in, by the line that makes it.
const SCHEME: &str = "\"pkg/api/legacyscheme/scheme.go:30\"";

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
    // That of a custom object is validated with the rest of it.
    if !custom && !kind.is_empty() && kind != expected.kind {
        let version = expected.api_version.rsplit('/').next().unwrap_or_default();
        let wanted = expected.kind;
        let why = match builtin::type_of(&GroupVersion::parse(expected.api_version).with_kind(kind)) {
            Some(_) => {
                let package = output::go_package(expected.api_version.split_once('/').map_or("", |(group, _)| group));
                format!("converting ({version}.{kind}) to ({package}.{wanted}): unknown conversion")
            }
            None => {
                format!("no kind \"{kind}\" is registered for version \"{}\" in scheme {SCHEME}", expected.api_version)
            }
        };
        return Err(Status::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {wanted}: {why}"
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
