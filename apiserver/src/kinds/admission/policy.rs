//! Admission policies and their bindings, validating and mutating.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_cel::{Environment, Type};
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::{meta, names};

use super::{RULES, default_match, expression, match_conditions, named_rule, trimmed_expression, warn_of_name};
use crate::admission::expressions::{self, Scope};
use crate::kinds::check::{self, Cursor};
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of validating admission policies.
#[derive(Clone, Copy, Debug)]
pub struct ValidatingPolicy;

/// The strategy of mutating admission policies.
#[derive(Clone, Copy, Debug)]
pub struct MutatingPolicy;

/// The strategy of bindings of policies.
#[derive(Clone, Copy, Debug)]
pub struct PolicyBinding {
    /// Whether the policy may change objects.
    pub mutating: bool,
}

const NOTHING_TO_CHECK: &str = "validations or auditAnnotations must contain at least one item";
const REASONS: &[&str] = &["Forbidden", "Invalid", "RequestEntityTooLarge"];
const NO_EXPRESSION: &str = "expression is not specified";
const MAX_AUDIT_ANNOTATIONS: usize = 20;
/// The most bytes of the expression of an audit annotation: less than those of its value, which it makes.
const MAX_AUDIT_EXPRESSION: usize = 5 * 1024;
/// What a mutating policy may be about: there is nothing to change in what is deleted.
const MUTABLE: &[&str] = &["*", "CONNECT", "CREATE", "UPDATE"];

fn default_policy(object: &mut Value) {
    meta::set_default(object, &["spec", "failurePolicy"], "Fail");
    if let Some(constraints) = meta::at_mut(object, &["spec", "matchConstraints"]).filter(|value| value.is_object()) {
        default_match(constraints, "resourceRules");
    }
}

impl Strategy for ValidatingPolicy {
    fn rules(&self) -> Rules {
        Rules { has_status: true, ..RULES }
    }

    fn default(&self, object: &mut Value) {
        default_policy(object);
        meta::set_default(object, &["status"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            let environment = common(&spec, false);
            let (validations, annotations) = (spec.at("validations"), spec.at("auditAnnotations"));
            if validations.is_empty() && annotations.is_empty() {
                validations.required(NOTHING_TO_CHECK);
                annotations.required(NOTHING_TO_CHECK);
            }
            validations.items().for_each(|item| validation(&environment, &item));
            audit_annotations(&environment, &annotations, meta::name(object));
        })
    }

    fn validate_status_update(&self, object: &Value, _old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let status = root.at("status");
            for warning in status.down(&["typeChecking", "expressionWarnings"]).items() {
                warning.at("warning").must_be_set();
                if warning.at("fieldRef").text().trim().is_empty() {
                    warning.at("fieldRef").required("");
                }
            }
            check::conditions::validate(&status.at("conditions"));
        })
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        warn_of_name(object)
    }
}

impl Strategy for MutatingPolicy {
    fn rules(&self) -> Rules {
        RULES
    }

    fn default(&self, object: &mut Value) {
        default_policy(object);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            let environment = common(&spec, true);
            let mutations = spec.at("mutations");
            if mutations.is_empty() {
                mutations.required("mutations must contain at least one item");
            }
            mutations.items().for_each(|item| mutation(&environment, &item));
            spec.at("reinvocationPolicy").must_be_one_of(&["IfNeeded", "Never"]);
        })
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        warn_of_name(object)
    }
}

fn mutation(environment: &Environment, mutation: &Cursor<'_>) {
    let sort = mutation.at("patchType");
    let (apply, patch) = (mutation.at("applyConfiguration"), mutation.at("jsonPatch"));
    let (wanted, other, result) = match sort.text() {
        "ApplyConfiguration" => (apply, patch, Type::object("Object")),
        "JSONPatch" => (patch, apply, Type::list(Type::object("JSONPatch"))),
        "" => return sort.required(""),
        _ => return sort.not_supported(&["ApplyConfiguration", "JSONPatch"]),
    };
    if wanted.is_set() {
        trimmed_expression(environment, &wanted.at("expression"), ("", &[result]));
    } else {
        wanted.required(&format!("must be specified when patchType is {}", sort.text()));
    }
    if other.is_set() {
        let field = if sort.text() == "JSONPatch" { "{applyConfiguration}" } else { "{jsonPatch}" };
        other.invalid_str(field, format!("must not be specified when patchType is {}", sort.text()));
    }
}

/// Operations in which there is nothing to change. Upstream does not say which rule they stand in.
fn only_mutable(resources: &Cursor<'_>) {
    let operations = resources.at("resourceRules").items().flat_map(|rule| rule.at("operations").items());
    let place = resources.at("resourceRules").at("operations").path;
    for operation in operations.filter(|operation| !MUTABLE.contains(&operation.text())) {
        operation.with(Some(operation.value), place.clone()).not_supported(MUTABLE);
    }
}

/// What policies of both sorts have. Gives what their other expressions may refer to.
fn common(spec: &Cursor<'_>, mutations: bool) -> Environment {
    spec.at("failurePolicy").one_of(&["Fail", "Ignore"]);
    param_kind(&spec.at("paramKind"));
    let constraints = spec.at("matchConstraints");
    if constraints.is_set() {
        match_resources(&constraints);
        let rules = constraints.at("resourceRules");
        if rules.is_empty() {
            rules.required("");
        }
        if mutations {
            only_mutable(&constraints);
        }
    } else {
        constraints.required("");
    }
    let params = spec.at("paramKind").is_set();
    match_conditions(&spec.at("matchConditions"), params);
    let environment = expressions::environment(Scope { params, mutations });
    let mut types = Vec::new();
    for variable in spec.at("variables").items() {
        let name = variable.at("name");
        if name.text().trim().is_empty() {
            name.required("name is not specified");
        } else if !is_identifier(name.text()) {
            name.invalid("must be a valid CEL identifier");
        }
        let source = variable.at("expression");
        let so_far = environment.clone().variable("variables", expressions::variables_type(&types));
        expression(&so_far, &source, (NO_EXPRESSION, &[]));
        let compiled = so_far.compile(source.text());
        types.push((name.text().to_owned(), compiled.map_or(Type::Dyn, |program| program.result_type().clone())));
    }
    environment.variable("variables", expressions::variables_type(&types))
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !steersman_cel::is_reserved(name)
}

fn param_kind(kind: &Cursor<'_>) {
    if !kind.is_set() {
        return;
    }
    let version = kind.at("apiVersion");
    if version.must_be_set() {
        group_version(&version);
    }
    let name = kind.at("kind");
    let complaints = names::dns1035_label(&name.text().to_lowercase());
    if name.must_be_set() && !complaints.is_empty() {
        name.invalid(format!("may have mixed case, but should otherwise match: {}", complaints.join(",")));
    }
}

/// A group and a version, or a version alone.
fn group_version(cursor: &Cursor<'_>) {
    let text = cursor.text();
    let (group, version) = match text.matches('/').count() {
        0 => ("", text),
        1 => text.split_once('/').unwrap_or_default(),
        _ => return cursor.invalid(format!("unexpected GroupVersion string: {text}")),
    };
    let complaints = names::dns1123_subdomain(group);
    if !group.is_empty() && !complaints.is_empty() {
        cursor.invalid_str(group, complaints.join(","));
    }
    let complaints = names::dns1035_label(version);
    if version.is_empty() {
        cursor.invalid("version must be specified");
    } else if !complaints.is_empty() {
        cursor.invalid_str(version, complaints.join(","));
    }
}

fn match_resources(resources: &Cursor<'_>) {
    resources.at("matchPolicy").one_of(&["Equivalent", "Exact"]);
    resources.at("namespaceSelector").label_selector();
    resources.at("objectSelector").label_selector();
    for list in ["resourceRules", "excludeResourceRules"] {
        resources.at(list).items().for_each(|item| named_rule(&item));
    }
}

fn validation(environment: &Environment, validation: &Cursor<'_>) {
    expression(environment, &validation.at("expression"), (NO_EXPRESSION, &[Type::Bool]));
    let message = validation.at("messageExpression");
    if !message.is_empty() && message.text().trim().is_empty() {
        message.invalid("must be non-empty if specified");
    } else if !message.is_empty() {
        // Messages do not say who may do what.
        expression(&environment.clone().without_authorizer(), &message, ("", &[Type::String]));
    }
    let message = validation.at("message");
    let text = message.text().trim();
    if !message.is_empty() && text.is_empty() {
        message.invalid("must be non-empty if specified");
    } else if text.contains(['\n', '\r']) {
        message.invalid("must not contain line breaks");
    }
    validation.at("reason").one_of(REASONS);
}

/// The keys are prefixed with the name of the policy.
fn audit_annotations(environment: &Environment, annotations: &Cursor<'_>, policy: &str) {
    if annotations.len() > MAX_AUDIT_ANNOTATIONS {
        let shown = annotations.items().map(|annotation| {
            let text = |field: &str| json!(annotation.at(field).text());
            format!("{{\"Key\":{},\"ValueExpression\":{}}}", text("key"), text("valueExpression"))
        });
        let shown = shown.collect::<Vec<_>>().join(",");
        let why = format!("must not have more than {MAX_AUDIT_ANNOTATIONS} auditAnnotations");
        annotations.invalid_as(format!("[{shown}]"), why);
    }
    let mut seen = BTreeSet::new();
    for annotation in annotations.items() {
        let key = annotation.at("key");
        let full = format!("{policy}/{}", key.text());
        if policy.is_empty() {
            key.invalid_text("requires metadata.name be non-empty");
        } else {
            names::qualified_name(&full).into_iter().for_each(|complaint| key.invalid_str(&full, complaint));
        }
        audit_value(environment, &annotation.at("valueExpression"));
        if !seen.insert(key.text()) {
            key.push(FieldError::duplicate(&key.path, &json!(key.text())));
        }
    }
}

fn audit_value(environment: &Environment, value: &Cursor<'_>) {
    let trimmed = value.text().trim();
    if trimmed.is_empty() {
        value.required("valueExpression is not specified");
    } else if trimmed.len() > MAX_AUDIT_EXPRESSION {
        value.required(&format!("must not exceed {MAX_AUDIT_EXPRESSION} bytes in length"));
    } else if let Err(fault) = expressions::compile(environment, trimmed, &[Type::String, Type::Null]) {
        value.invalid(fault);
    }
}

impl Strategy for PolicyBinding {
    fn rules(&self) -> Rules {
        RULES
    }

    fn default(&self, object: &mut Value) {
        if let Some(resources) = meta::at_mut(object, &["spec", "matchResources"]).filter(|value| value.is_object()) {
            default_match(resources, "resourceRules");
        }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            let policy = spec.at("policyName");
            if policy.must_be_set() {
                policy.named(names::dns1123_subdomain);
            }
            param_ref(&spec.at("paramRef"));
            let resources = spec.at("matchResources");
            match_resources(&resources);
            if self.mutating {
                only_mutable(&resources);
            } else {
                actions(&spec.at("validationActions"));
            }
        })
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        warn_of_name(object)
    }
}

fn param_ref(reference: &Cursor<'_>) {
    if !reference.is_set() {
        return;
    }
    let (name, selector, action) =
        (reference.at("name"), reference.at("selector"), reference.at("parameterNotFoundAction"));
    const EXCLUSIVE: &str = "name and selector are mutually exclusive";
    let both = !name.is_empty() && selector.is_set();
    name.named(names::path_segment);
    if both {
        name.forbidden(EXCLUSIVE);
    }
    selector.label_selector();
    if both {
        selector.forbidden(EXCLUSIVE);
    }
    if name.is_empty() && !selector.is_set() {
        reference.required("one of name or selector must be specified");
    }
    action.must_be_one_of(&["Deny", "Allow"]);
}

fn actions(actions: &Cursor<'_>) {
    let mut seen = BTreeSet::new();
    for action in actions.items() {
        action.one_of(&["Audit", "Deny", "Warn"]);
        action.once(&mut seen);
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        actions.invalid("must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)");
    }
    if actions.is_empty() {
        actions.required("at least one validation action is required");
    }
}

#[cfg(test)]
mod tests;
