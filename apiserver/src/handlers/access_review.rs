//! Reviews of what somebody may do.
//! Source: `authorization.k8s.io/v1`; `kubernetes/pkg/registry/authorization`, `kubernetes/pkg/apis/authorization/validation`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError, Path, go_quote};
use steersman_machinery::group::GroupKind;
use steersman_machinery::status::Status;
use steersman_machinery::{fields, labels, meta, names};

use crate::authentication::UserInfo;
use crate::authorization::{self, Attributes, Decision, Target};
use crate::kinds::show_in_order;
use crate::registry::resource::Resource;
use crate::service::Call;

const GROUP: &str = "authorization.k8s.io";
const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];
/// The fields of metadata in the order in which Go shows them.
const METADATA: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
    "manager",
    "operation",
    "apiVersion",
    "time",
    "fieldsType",
    "fieldsV1",
    "subresource",
];

/// The status of a SelfSubjectAccessReview, SubjectAccessReview or LocalSubjectAccessReview.
pub(super) async fn access(call: &Call, resource: &Resource, review: &Value) -> Result<Value, Status> {
    let spec = review.get("spec").unwrap_or(&Value::Null);
    let local = resource.name == "localsubjectaccessreviews";
    let mut errors = validate(spec, resource.name != "selfsubjectaccessreviews");
    errors.extend(if local { validate_local(review, spec) } else { validate_metadata(review, "must be empty") });
    if !errors.is_empty() {
        // Upstream has forgotten the kind when it gets here.
        return Err(Status::invalid(&GroupKind::new(GROUP, ""), "", &errors));
    }
    if local && meta::namespace(review) != call.info.namespace {
        let why = format!("spec.resourceAttributes.namespace must match namespace: {}", call.info.namespace);
        return Err(Status::bad_request(why));
    }
    let named = subject(spec);
    let user = if resource.name == "selfsubjectaccessreviews" { &call.user } else { &named };
    let selector = field_selector(spec);
    let verdict = authorization::decide(&call.server, &attributes(user, spec, &selector)).await?;
    let mut status = json!({"allowed": verdict.is_allowed()});
    if verdict.decision == Decision::Deny {
        status["denied"] = json!(true);
    }
    if !verdict.reason.is_empty() {
        status["reason"] = json!(verdict.reason);
    }
    let ignored = ignored_selectors(spec);
    if !ignored.is_empty() {
        status["evaluationError"] = json!(ignored);
    }
    Ok(status)
}

/// Which selectors could not be read, and so confine nothing.
fn ignored_selectors(spec: &Value) -> String {
    let raw = |selector| meta::text(spec, &["resourceAttributes", selector, "rawSelector"]);
    let unknown = |selector| {
        let requirements = meta::items(spec, &["resourceAttributes", selector, "requirements"]);
        requirements.iter().any(|it| !OPERATORS.contains(&meta::text(it, &["operator"])))
    };
    let fields = fields::Selector::parse(raw("fieldSelector")).is_err() || unknown("fieldSelector");
    let labels = labels::Selector::parse(raw("labelSelector")).is_err() || unknown("labelSelector");
    let faults = [("fieldSelector", fields), ("labelSelector", labels)].into_iter().filter(|(_, fault)| *fault);
    let faults: Vec<String> =
        faults.map(|(name, _)| format!("spec.resourceAttributes.{name} ignored due to parse error")).collect();
    match faults.as_slice() {
        [one] => one.clone(),
        [] => String::new(),
        several => format!("[{}]", several.join(", ")),
    }
}

/// The answer to a SelfSubjectRulesReview. It says nothing of what was sent.
pub(super) async fn rules(call: &Call, review: &Value) -> Result<Value, Status> {
    let namespace = meta::text(review, &["spec", "namespace"]);
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let view = call.server.authorizer.view(&*call.server.store).await?;
    let found = view.rules_for(&call.user, namespace);
    let mut status = json!({"incomplete": found.incomplete, "resourceRules": [], "nonResourceRules": []});
    let list = |name: &str, rule: &mut Value, values: &[String]| {
        if !values.is_empty() {
            rule[name] = json!(values);
        }
    };
    for rule in &found.rules {
        let mut shown = json!({"verbs": rule.verbs});
        if !rule.resources.is_empty() {
            list("apiGroups", &mut shown, &rule.api_groups);
            list("resources", &mut shown, &rule.resources);
            list("resourceNames", &mut shown, &rule.resource_names);
            push(&mut status, "resourceRules", shown);
        } else if !rule.non_resource_urls.is_empty() {
            list("nonResourceURLs", &mut shown, &rule.non_resource_urls);
            push(&mut status, "nonResourceRules", shown);
        }
    }
    match found.errors.as_slice() {
        [] => {}
        [error] => status["evaluationError"] = json!(error),
        errors => status["evaluationError"] = json!(format!("[{}]", errors.join(", "))),
    }
    let (api_version, kind) = (&review["apiVersion"], &review["kind"]);
    Ok(json!({"apiVersion": api_version, "kind": kind, "metadata": {}, "spec": {}, "status": status}))
}

fn push(status: &mut Value, list: &str, rule: Value) {
    status[list].as_array_mut().expect("both lists were just made").push(rule);
}

/// The user whom a review is about. Nothing is added to what it says.
fn subject(spec: &Value) -> UserInfo {
    let texts = |list: &Value| {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let extra = spec.get("extra").and_then(Value::as_object).into_iter().flatten();
    let extra: BTreeMap<String, Vec<String>> = extra.map(|(key, values)| (key.clone(), texts(values))).collect();
    UserInfo {
        name: meta::text(spec, &["user"]).to_owned(),
        uid: meta::text(spec, &["uid"]).to_owned(),
        groups: spec.get("groups").map(texts).unwrap_or_default(),
        extra,
    }
}

fn attributes<'a>(user: &'a UserInfo, spec: &'a Value, field_selector: &'a str) -> Attributes<'a> {
    let Some(resource) = part(spec, "resourceAttributes") else {
        let of = |field: &str| meta::text(spec, &["nonResourceAttributes", field]);
        return Attributes { user, verb: of("verb"), target: Target::Path(of("path")), field_selector: "" };
    };
    let of = |field: &str| meta::text(resource, &[field]);
    let target = Target::Resource {
        group: of("group"),
        resource: of("resource"),
        subresource: of("subresource"),
        namespace: of("namespace"),
        name: of("name"),
    };
    Attributes { user, verb: of("verb"), target, field_selector }
}

/// The field selector that is reviewed, as text. What cannot be said as `field=value` confines nothing.
fn field_selector(spec: &Value) -> String {
    let path = |field| ["resourceAttributes", "fieldSelector", field];
    let raw = meta::text(spec, &path("rawSelector"));
    if !raw.is_empty() {
        return raw.to_owned();
    }
    let requirements = meta::items(spec, &path("requirements")).iter();
    let exact = requirements.filter_map(|it| match meta::items(it, &["values"]) {
        [Value::String(value)] if meta::text(it, &["operator"]) == "In" => {
            let value = value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            Some(format!("{}={value}", meta::text(it, &["key"])))
        }
        _ => None,
    });
    exact.collect::<Vec<_>>().join(",")
}

fn part<'a>(spec: &'a Value, name: &str) -> Option<&'a Value> {
    spec.get(name).filter(|value| value.is_object())
}

fn validate(spec: &Value, names_subject: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    let at = |field: &str| Path::new("spec").child(field);
    match (part(spec, "resourceAttributes"), part(spec, "nonResourceAttributes")) {
        (Some(_), Some(other)) => {
            let detail = "cannot be specified in combination with resourceAttributes";
            errors.push(FieldError::invalid_shown(&at("nonResourceAttributes"), shown(other), detail));
        }
        (None, None) => {
            let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errors.push(FieldError::invalid_shown(&at("resourceAttributes"), "null", detail));
        }
        _ => {}
    }
    if names_subject && meta::text(spec, &["user"]).is_empty() && meta::items(spec, &["groups"]).is_empty() {
        errors.push(FieldError::invalid_str(&at("user"), "", "at least one of user or group must be specified"));
    }
    for selector in ["fieldSelector", "labelSelector"] {
        let path = Path::from("spec.resourceAttributes").child(selector);
        let found = part(spec, "resourceAttributes").and_then(|attributes| part(attributes, selector));
        let Some(found) = found else { continue };
        errors.extend(validate_selector(found, &path));
        for (index, requirement) in meta::items(found, &["requirements"]).iter().enumerate() {
            let path = path.child("requirements").index(index);
            validate_requirement(requirement, (&path, selector == "labelSelector"), &mut errors);
        }
    }
    errors
}

/// Operators that nobody knows yet are borne with: who asks may be newer.
fn validate_requirement(requirement: &Value, (path, labels): (&Path, bool), errors: &mut ErrorList) {
    let key = meta::text(requirement, &["key"]);
    let values = meta::items(requirement, &["values"]);
    if !labels && key.is_empty() {
        errors.push(FieldError::required(&path.child("key"), "must be specified"));
    }
    let place = path.child("values");
    match meta::text(requirement, &["operator"]) {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(FieldError::required(&place, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&place, why));
        }
        _ => {}
    }
    if labels {
        let complain = |path: &Path, text: &str, why| FieldError::invalid_str(path, text, why);
        errors.extend(names::qualified_name(key).into_iter().map(|why| complain(&path.child("key"), key, why)));
        for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
            let place = place.index(index);
            errors.extend(names::label_value(value).into_iter().map(|why| complain(&place, value, why)));
        }
    }
}

fn validate_selector(selector: &Value, path: &Path) -> Option<FieldError> {
    let raw = meta::text(selector, &["rawSelector"]);
    match (raw.is_empty(), meta::items(selector, &["requirements"]).is_empty()) {
        (false, false) => {
            let detail = "may not specified at the same time as requirements";
            Some(FieldError::invalid_str(&path.child("rawSelector"), raw, detail))
        }
        (true, true) => {
            let detail = format!("when {path} is specified, requirements or rawSelector is required");
            Some(FieldError::required(&path.child("requirements"), detail))
        }
        _ => None,
    }
}

/// Path and verb as Go's internal type shows them.
fn shown(attributes: &Value) -> String {
    let of = |field: &str| go_quote(meta::text(attributes, &[field]));
    format!("{{\"Path\":{},\"Verb\":{}}}", of("path"), of("verb"))
}

fn validate_metadata(review: &Value, detail: &str) -> ErrorList {
    let metadata = review.get("metadata").and_then(Value::as_object);
    let local = detail != "must be empty";
    let set = metadata.into_iter().flatten().any(|(field, value)| {
        let ignored = field == "managedFields" || (local && field == "namespace");
        !ignored && !matches!(value, Value::Null) && *value != json!("") && *value != json!({}) && *value != json!([])
    });
    let shown = || show_in_order(review.get("metadata").unwrap_or(&Value::Null), METADATA);
    set.then(|| FieldError::invalid_shown(&Path::new("metadata"), shown(), detail)).into_iter().collect()
}

fn validate_local(review: &Value, spec: &Value) -> ErrorList {
    let mut errors = validate_metadata(review, "must be empty except for namespace");
    if let Some(attributes) = part(spec, "resourceAttributes") {
        let namespace = meta::text(attributes, &["namespace"]);
        if namespace != meta::namespace(review) {
            let path = Path::from("spec.resourceAttributes.namespace");
            errors.push(FieldError::invalid_str(&path, namespace, "must match metadata.namespace"));
        }
    }
    if let Some(attributes) = part(spec, "nonResourceAttributes") {
        let path = Path::from("spec.nonResourceAttributes");
        errors.push(FieldError::invalid_shown(&path, shown(attributes), "disallowed on this kind of request"));
    }
    errors
}
