//! AdmissionReviews: what a webhook is told, and what it may answer.
//! Source: `k8s.io/apiserver/pkg/admission/plugin/webhook/request`, `…/errors`, whose texts these are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use steersman_machinery::field::go_quote;
use steersman_machinery::group::GroupVersionKind;
use steersman_machinery::meta;
use steersman_machinery::status::{Status, StatusDetails};

use crate::admission::Attributes;
use crate::admission::matching::Matched;
use crate::registry::resource::Resource;

/// The group of reviews.
const GROUP: &str = "admission.k8s.io";
/// The code of a refusal that says none, or one that is no error.
const REFUSED: u16 = 400;

/// The versions of reviews that the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    /// Neither the type nor the uid of its answers is looked at.
    V1Beta1,
}

impl Version {
    /// The first that both sides understand.
    pub(super) fn choose(understood: &[String]) -> Option<Self> {
        understood.iter().find_map(|version| match version.as_str() {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1Beta1 => "v1beta1",
        }
    }
}

/// The objects that a webhook is shown, in the version that it asked for.
#[derive(Clone, Copy, Default)]
pub(super) struct Objects<'a> {
    pub(super) new: Option<&'a Value>,
    pub(super) old: Option<&'a Value>,
}

/// The review that a webhook is sent.
pub(super) fn request(
    version: Version,
    uid: &str,
    attributes: &Attributes<'_>,
    matched: &Matched,
    objects: Objects<'_>,
) -> Value {
    let mut request = self::attributes(attributes, matched);
    request["uid"] = json!(uid);
    request["object"] = json!(objects.new);
    request["oldObject"] = json!(objects.old);
    json!({"kind": "AdmissionReview", "apiVersion": format!("{GROUP}/{}", version.name()), "request": request})
}

/// What a request is, without its objects.
pub(in crate::admission) fn attributes(attributes: &Attributes<'_>, matched: &Matched) -> Value {
    let shown = matched.other.as_deref().unwrap_or(attributes.resource);
    let mut request = json!({
        "kind": kind(&matched.kind),
        "resource": resource(shown),
        "requestKind": kind(&attributes.kind()),
        "requestResource": resource(attributes.resource),
        "operation": attributes.operation.as_str(),
        "userInfo": attributes.origin.user.to_json(),
        "dryRun": attributes.dry_run,
        "options": attributes.options.to_json(),
    });
    let namespaces = attributes.is("", "namespaces") || attributes.resource.name == "namespaces";
    let namespace = if namespaces { attributes.name } else { attributes.namespace };
    for (field, text) in [
        ("subResource", attributes.subresource),
        ("requestSubResource", attributes.subresource),
        ("name", attributes.name),
        ("namespace", namespace),
    ] {
        if !text.is_empty() {
            request[field] = json!(text);
        }
    }
    request
}

fn kind(kind: &GroupVersionKind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn resource(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "resource": resource.name})
}

/// What a webhook answered.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) allowed: bool,
    /// A JSON patch; empty if there is none.
    pub(super) patch: Vec<u8>,
    pub(super) warnings: Vec<String>,
    pub(super) annotations: Vec<(String, String)>,
    status: Value,
}

/// Why an answer is none.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is no review at all.
    Undecodable(String),
    /// It is a review that does not keep the rules.
    Invalid(String),
}

/// Reads an answer.
pub(super) fn response(version: Version, uid: &str, mutating: bool, review: &Value) -> Result<Response, Fault> {
    if !review.is_object() {
        let why = "couldn't get version/kind; json parse error: the answer is no JSON object";
        return Err(Fault::Undecodable(why.to_owned()));
    }
    let response = match review.get("response") {
        None | Some(Value::Null) => return Err(Fault::Invalid("webhook response was absent".to_owned())),
        Some(response) => response,
    };
    check_types(response)?;
    let patch = STANDARD.decode(meta::text(response, &["patch"]));
    let patch = patch.map_err(|error| Fault::Undecodable(format!("illegal base64 data: {error}")))?;
    if version == Version::V1 {
        check_identity(uid, review, response).map_err(Fault::Invalid)?;
        check_patch(mutating, &patch, response.get("patchType")).map_err(Fault::Invalid)?;
    }
    let texts = |field: &str| meta::items(response, &[field]).iter().filter_map(Value::as_str).map(str::to_owned);
    let annotations = meta::pairs(response, &["auditAnnotations"]);
    Ok(Response {
        allowed: response.get("allowed") == Some(&Value::Bool(true)),
        patch: if mutating { patch } else { Vec::new() },
        warnings: texts("warnings").collect(),
        annotations: annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        status: response.get("status").cloned().unwrap_or_default(),
    })
}

fn check_types(response: &Value) -> Result<(), Fault> {
    type Holds = fn(&Value) -> bool;
    let fields: [(&str, &str, Holds); 7] = [
        ("uid", "types.UID", Value::is_string),
        ("allowed", "bool", Value::is_boolean),
        ("status", "v1.Status", Value::is_object),
        ("patch", "[]uint8", Value::is_string),
        ("patchType", "v1.PatchType", Value::is_string),
        ("auditAnnotations", "map[string]string", Value::is_object),
        ("warnings", "[]string", Value::is_array),
    ];
    for (field, expected, holds) in fields {
        let Some(value) = response.get(field).filter(|value| !value.is_null() && !holds(value)) else { continue };
        let found = match value {
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            _ => "object",
        };
        let why = format!(
            "json: cannot unmarshal {found} into Go struct field AdmissionResponse.response.{field} of type {expected}"
        );
        return Err(Fault::Undecodable(why));
    }
    if response.is_object() {
        return Ok(());
    }
    let why = "json: cannot unmarshal into Go struct field AdmissionReview.response of type v1.AdmissionResponse";
    Err(Fault::Undecodable(why.to_owned()))
}

fn check_identity(uid: &str, review: &Value, response: &Value) -> Result<(), String> {
    let answered = meta::text(response, &["uid"]);
    if answered != uid {
        return Err(format!("expected response.uid={}, got {}", go_quote(uid), go_quote(answered)));
    }
    let found = meta::gvk(review);
    let expected = GroupVersionKind::new(GROUP, "v1", "AdmissionReview");
    if found != expected {
        return Err(format!("expected webhook response of {}, got {}", go_kind(&expected), go_kind(&found)));
    }
    Ok(())
}

/// Upstream's text form of a kind.
pub(crate) fn go_kind(kind: &GroupVersionKind) -> String {
    format!("{}/{}, Kind={}", kind.group, kind.version, kind.kind)
}

fn check_patch(mutating: bool, patch: &[u8], kind: Option<&Value>) -> Result<(), String> {
    let kind = kind.and_then(Value::as_str);
    let why = match (mutating, patch.is_empty(), kind) {
        (false, false, _) => "validating webhook may not return response.patch",
        (false, true, Some(_)) => "validating webhook may not return response.patchType",
        (true, false, None) => "webhook returned response.patch but not response.patchType",
        (true, true, Some(_)) => "webhook returned response.patchType but not response.patch",
        (true, false, Some("")) => r#"webhook returned invalid response.patchType of """#,
        (true, false, Some(kind)) if kind != "JSONPatch" => {
            return Err(format!("unsupported patch type {}", go_quote(kind)));
        }
        _ => return Ok(()),
    };
    Err(why.to_owned())
}

impl Response {
    /// What the client is told whom this answer refuses.
    pub(super) fn refusal(&self, webhook: &str) -> Status {
        let denied = format!("admission webhook {} denied the request", go_quote(webhook));
        let (message, reason) = (meta::text(&self.status, &["message"]), meta::text(&self.status, &["reason"]));
        let message = match (message, reason) {
            ("", "") => format!("{denied} without explanation"),
            ("", reason) => format!("{denied}: {reason}"),
            (message, _) => format!("{denied}: {message}"),
        };
        let code = self.status.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        let mut status = Status::failure(code.filter(|code| *code >= REFUSED).unwrap_or(REFUSED), reason, message);
        let details = self.status.get("details").filter(|details| details.is_object()).cloned();
        status.details = details.and_then(|it| serde_json::from_value::<StatusDetails>(it).ok()).map(Box::new);
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(response: Value) -> Value {
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})
    }

    #[track_caller]
    fn check(mutating: bool, review: &Value, expect: &str) {
        let got = match response(Version::V1, "u", mutating, review) {
            Ok(response) => format!("allowed {}", response.allowed),
            Err(Fault::Undecodable(why) | Fault::Invalid(why)) => why,
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn answers_are_checked() {
        check(false, &review(json!({"uid": "u", "allowed": true})), "allowed true");
        check(false, &review(json!({"uid": "u"})), "allowed false");
        check(false, &review(Value::Null), "webhook response was absent");
        check(false, &review(json!({"uid": "x"})), r#"expected response.uid="u", got "x""#);
        check(
            false,
            &json!({"response": {"uid": "u"}}),
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=",
        );
        let patch = STANDARD.encode("[]");
        check(
            true,
            &review(json!({"uid": "u", "patch": patch})),
            "webhook returned response.patch but not response.patchType",
        );
        check(
            true,
            &review(json!({"uid": "u", "patchType": "JSONPatch"})),
            "webhook returned response.patchType but not response.patch",
        );
        check(
            false,
            &review(json!({"uid": "u", "patch": patch, "patchType": "JSONPatch"})),
            "validating webhook may not return response.patch",
        );
        check(
            false,
            &review(json!({"uid": "u", "allowed": "yes"})),
            "json: cannot unmarshal string into Go struct field AdmissionResponse.response.allowed of type bool",
        );
    }

    #[test]
    fn a_refusal_is_an_error_with_the_words_of_the_webhook() {
        let check = |status: Value, code: u16, message: &str| {
            let answer = review(json!({"uid": "u", "allowed": false, "status": status}));
            let refusal = response(Version::V1, "u", false, &answer).unwrap().refusal("a.b.c");
            assert_eq!((refusal.code, refusal.message.as_str()), (code, message));
        };
        check(Value::Null, 400, r#"admission webhook "a.b.c" denied the request without explanation"#);
        check(json!({"message": "no", "code": 200}), 400, r#"admission webhook "a.b.c" denied the request: no"#);
        check(json!({"reason": "Why", "code": 403}), 403, r#"admission webhook "a.b.c" denied the request: Why"#);
    }
}
