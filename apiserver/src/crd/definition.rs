//! What a CustomResourceDefinition must be.
//! Source: `k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/{v1,validation}`, `pkg/registry/customresourcedefinition`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::clock::parse_time;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::meta;

use super::names::stored_versions;
use super::values;
use crate::registry::strategy::{Rules, Strategy};

mod columns;
mod schema;
mod spec;

/// The finalizer that keeps a definition until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The behaviour of CustomResourceDefinitions.
#[derive(Clone, Copy, Debug)]
pub struct Definition;

impl Strategy for Definition {
    fn rules(&self) -> Rules {
        Rules {
            unconditional_update: false,
            tracks_generation: true,
            has_status: true,
            returns_deleted_object: true,
            ..Rules::DEFAULT
        }
    }

    fn default(&self, object: &mut Value) {
        default(object);
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        let status = json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null});
        meta::set(object, &["status"], status);
        let stored = stored_versions(object);
        meta::set(object, &["status", "storedVersions"], stored);
    }

    fn prepare_for_update(&self, object: &mut Value, _old: &Value) {
        let stored = stored_versions(object);
        meta::set(object, &["status", "storedVersions"], stored);
    }

    fn prepare_for_delete(&self, object: &mut Value) {
        // Definitions have no grace period, not even one of no seconds.
        meta::remove(object, &["metadata", "deletionGracePeriodSeconds"]);
        let mut finalizers: Vec<Value> = meta::items(object, &["metadata", "finalizers"]).to_vec();
        if !finalizers.iter().any(|it| it == CLEANUP_FINALIZER) {
            finalizers.push(Value::from(CLEANUP_FINALIZER));
            meta::set(object, &["metadata", "finalizers"], finalizers);
        }
        let marked = meta::deletion_timestamp(object).and_then(parse_time);
        if let (Some(marked), false) = (marked, super::condition_is_true(object, "Terminating")) {
            super::names::mark_terminating(object, marked);
        }
    }

    fn may_be_removed(&self, _object: &Value) -> bool {
        // Its objects go first; whoever sees to that removes it.
        false
    }

    fn validate(&self, object: &Value) -> ErrorList {
        validate(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        validate_update(object, old)
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        warnings(object)
    }

    fn validate_name(&self, _name: &str) -> Vec<String> {
        // The name follows from group and plural name, see `validate`.
        Vec::new()
    }
}

/// Fills in the names that follow from the kind, and how objects are converted.
pub fn default(object: &mut Value) {
    let kind = meta::text(object, &["spec", "names", "kind"]).to_owned();
    if !kind.is_empty() {
        let names = [("singular", kind.to_lowercase()), ("listKind", format!("{kind}List"))];
        for (name, default) in names {
            if meta::text(object, &["spec", "names", name]).is_empty() {
                meta::set(object, &["spec", "names", name], default);
            }
        }
    }
    if object.get("spec").is_some_and(Value::is_object) {
        meta::set_default(object, &["spec", "conversion"], json!({"strategy": "None"}));
        if meta::text(object, &["spec", "conversion", "strategy"]).is_empty() {
            meta::set(object, &["spec", "conversion", "strategy"], "None");
        }
    }
    let service = ["spec", "conversion", "webhook", "clientConfig", "service"];
    if meta::at(object, &service).is_some_and(Value::is_object) {
        let port: Vec<&str> = service.into_iter().chain(["port"]).collect();
        meta::set_default(object, &port, 443);
    }
}

/// What is wrong with a new definition.
pub fn validate(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let text = |path: &[&str]| meta::text(object, path);
    let wanted = format!("{}.{}", text(&["spec", "names", "plural"]), text(&["spec", "group"]));
    if meta::name(object) != wanted {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid_str(&Path::from("metadata.name"), meta::name(object), detail));
    }
    spec::check(object, &mut errors);
    check_stored_versions(object, &mut errors);
    check_approval(object, &mut errors);
    check_pruning(object, &mut errors);
    errors
}

/// What is wrong with a change of a definition. Group and plural name never change, scope and kind not once it is
/// established.
pub fn validate_update(object: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    spec::check(object, &mut errors);
    let established = super::condition_is_true(old, "Established");
    let immutable: [(&[&str], bool); 4] = [
        (&["spec", "scope"], established),
        (&["spec", "names", "kind"], established),
        (&["spec", "group"], true),
        (&["spec", "names", "plural"], true),
    ];
    for (path, holds) in immutable {
        let value = meta::text(object, path);
        if holds && value != meta::text(old, path) {
            errors.push(FieldError::invalid_str(&Path::from(path.join(".").as_str()), value, "field is immutable"));
        }
    }
    check_stored_versions(object, &mut errors);
    if super::names::approval(old).is_none_or(|(state, ..)| state == "True") {
        check_approval(object, &mut errors);
    }
    if !keeps_unknown(old) {
        check_pruning(object, &mut errors);
    }
    errors
}

fn keeps_unknown(object: &Value) -> bool {
    meta::at(object, &["spec", "preserveUnknownFields"]) == Some(&Value::Bool(true))
}

fn check_pruning(object: &Value, errors: &mut ErrorList) {
    if keeps_unknown(object) {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                      spec.versions[*].schema instead";
        let path = Path::from("spec.preserveUnknownFields");
        errors.push(FieldError::invalid(&path, &Value::Bool(true), detail));
    }
}

fn check_stored_versions(object: &Value, errors: &mut ErrorList) {
    let versions = meta::items(object, &["spec", "versions"]);
    let path = Path::from("status.storedVersions");
    if meta::items(object, &["status", "storedVersions"]).is_empty() {
        errors.push(FieldError::invalid(&path, &Value::Null, "must have at least one stored version"));
    }
    for (index, stored) in meta::items(object, &["status", "storedVersions"]).iter().enumerate() {
        let stored = stored.as_str().unwrap_or_default();
        if !versions.iter().any(|version| meta::text(version, &["name"]) == stored) {
            let detail = format!(
                "missing from spec.versions; {stored} was previously a storage version, and must remain in \
                 spec.versions until a storage migration ensures no data remains persisted in {stored} and removes \
                 {stored} from status.storedVersions"
            );
            errors.push(FieldError::invalid_str(&path.index(index), stored, detail));
        }
    }
}

fn check_approval(object: &Value, errors: &mut ErrorList) {
    let path = Path::from("metadata.annotations").key("api-approved.kubernetes.io");
    match super::names::approval(object) {
        Some(("False", "MissingAnnotation", message)) => errors.push(FieldError::required(&path, message)),
        Some(("False", "InvalidAnnotation", message)) => {
            let value = meta::annotation(object, "api-approved.kubernetes.io").unwrap_or_default();
            errors.push(FieldError::invalid_str(&path, value, message));
        }
        _ => {}
    }
}

/// What the author of a definition should know: formats that nothing checks.
pub fn warnings(object: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for version in meta::items(object, &["spec", "versions"]) {
        let Some(schema) = meta::at(version, &["schema", "openAPIV3Schema"]) else {
            continue;
        };
        for format in formats(schema) {
            let warning = format!("unrecognized format {}", steersman_machinery::field::go_quote(&format));
            if !values::is_known_format(&format) && !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    warnings
}

fn formats(schema: &Value) -> Vec<String> {
    let mut formats = Vec::new();
    schema::walk(schema, &mut |schema| {
        let format = meta::text(schema, &["format"]);
        if !format.is_empty() {
            formats.push(format.to_owned());
        }
    });
    formats
}

#[cfg(test)]
mod tests;
