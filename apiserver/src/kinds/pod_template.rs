//! The pod template that every workload has, and the PodTemplate kind.
//! Source: `ValidatePodTemplateSpec` of `k8s.io/kubernetes/pkg/apis/core/validation`.

use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::meta;

use super::check::selector::{ORDER, matches};
use super::check::{self, Cursor};
use super::pod::{annotations, defaults, validation, warnings};
use crate::registry::strategy::{Rules, Strategy};

/// Fills in the template at `path`, making it if it is absent.
pub(crate) fn default(object: &mut Value, path: &[&str]) {
    if !meta::at(object, path).is_some_and(Value::is_object) {
        meta::set(object, path, json!({}));
    }
    if let Some(template) = meta::at_mut(object, path) {
        meta::set_default(template, &["metadata"], json!({}));
        meta::set_default(template, &["spec"], json!({}));
        if let Some(spec) = template.get_mut("spec") {
            defaults::pod_spec(spec);
        }
    }
}

/// A template by itself.
pub(crate) fn validate(template: &Cursor<'_>) {
    let metadata = template.at("metadata");
    let at = |field: &str| template.with(metadata.value.get(field), template.path.child(field));
    at("labels").labels();
    at("annotations").annotations();
    let spec = template.at("spec");
    annotations::all(&at("annotations"), &spec);
    validation::pod_spec(&spec, None);
    annotations::match_fields(&at("annotations"), &spec);
    let ephemeral = spec.at("ephemeralContainers");
    if !ephemeral.is_empty() {
        ephemeral.forbidden("ephemeral containers not allowed in pod template");
    }
}

/// The template of a workload whose pods run for ever, beside the selector at `spec.selector`.
pub(crate) fn validate_running(spec: &Cursor<'_>) {
    let template = spec.at("template");
    match_selector(spec, "template");
    validate(&template);
    always(&template, "ReplicaSet");
}

/// The pods are restarted always and have no deadline; `kind` is named in the complaint.
pub(crate) fn always(template: &Cursor<'_>, kind: &str) {
    let policy = template.down(&["spec", "restartPolicy"]);
    if policy.text() != "Always" {
        policy.not_supported(&["Always"]);
    }
    let deadline = template.down(&["spec", "activeDeadlineSeconds"]);
    if deadline.is_set() {
        deadline.forbidden(format!("activeDeadlineSeconds in {kind} is not Supported"));
    }
}

/// The selector beside the template selects the pods of the template.
pub(crate) fn match_selector(spec: &Cursor<'_>, template: &str) {
    let labels = spec.down(&[template, "metadata", "labels"]);
    let none = serde_json::Map::new();
    let matched = matches(spec.at("selector").value, labels.value.as_object().unwrap_or(&none));
    if matched == Some(false) {
        labels.invalid("`selector` does not match template `labels`");
    }
}

/// The selector of a workload: there, well formed and not empty. Returns whether it is a selector at all; `kind` is
/// named in the complaint about an empty one.
pub(crate) fn validate_selector(spec: &Cursor<'_>, kind: &str) -> bool {
    let selector = spec.at("selector");
    if !selector.is_set() {
        selector.required("");
        return true;
    }
    selector.label_selector();
    if selector.selects_everything() {
        selector.invalid(format!("empty selector is invalid for {kind}"));
    }
    matches(selector.value, &serde_json::Map::new()).is_some()
}

/// A selector that may not change.
pub(crate) fn immutable_selector(spec: &Cursor<'_>, old: &Value) {
    let selector = spec.at("selector");
    if !check::same(Some(selector.value), meta::at(old, &["spec", "selector"])) {
        selector.push(FieldError::invalid_shown(
            &selector.path,
            check::show_in_order(selector.value, ORDER),
            check::IMMUTABLE,
        ));
    }
}

/// Counters in a status: none is negative, and these are at most `status.replicas`.
pub(crate) fn validate_counts(status: &Cursor<'_>, all: &[&str], at_most_replicas: &[&str]) {
    for field in all {
        status.at(field).not_negative();
    }
    let count = |field: &str| status.at(field).int().unwrap_or_default();
    for field in at_most_replicas {
        if count(field) > count("replicas") {
            status.at(field).invalid("cannot be greater than status.replicas");
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        status.at("availableReplicas").invalid("cannot be greater than readyReplicas");
    }
}

/// How often a name was taken already is only counted up.
pub(crate) fn collisions_grow(root: &Cursor<'_>, old: &Value) {
    let count = root.at("status").at("collisionCount");
    let before = meta::at(old, &["status", "collisionCount"]).and_then(Value::as_i64);
    if before.is_some_and(|before| count.int().is_none_or(|count| count < before)) {
        count.invalid_as(count.int().unwrap_or_default().to_string(), "cannot be decremented");
    }
}

/// The warnings about a workload: its name when it is new, its template when it changes.
pub(crate) fn warnings(object: &Value, old: Option<&Value>, path: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    if old.is_none() {
        found.extend(warnings::name(object));
    }
    if old.is_none_or(|old| !check::same(object.get("spec"), old.get("spec"))) {
        found.extend(warnings::all(object, path));
    }
    found
}

/// The strategy of pod templates that are objects by themselves.
#[derive(Clone, Copy, Debug)]
pub struct PodTemplate;

impl Strategy for PodTemplate {
    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        default(object, &["template"]);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| validate(&root.at("template")))
    }
}
