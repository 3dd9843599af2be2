//! Admission policies and their bindings, validating and mutating.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_cel::{Environment, Type};
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::{RULES, default_match, expression, match_conditions, rule};
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
            for mutation in mutations.items() {
                let sort = mutation.at("patchType");
                match sort.text() {
                    "ApplyConfiguration" => {
                        let source = mutation.at("applyConfiguration").at("expression");
                        expression(&environment, &source, (NO_EXPRESSION, &[Type::object("Object")]));
                    }
                    "JSONPatch" => {
                        let source = mutation.at("jsonPatch").at("expression");
                        let patch = Type::list(Type::object("JSONPatch"));
                        expression(&environment, &source, (NO_EXPRESSION, &[patch]));
                    }
                    "" => sort.required(""),
                    _ => sort.not_supported(&["ApplyConfiguration", "JSONPatch"]),
                }
            }
            spec.at("reinvocationPolicy").must_be_one_of(&["IfNeeded", "Never"]);
        })
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
    } else {
        constraints.required("");
    }
    let params = spec.at("paramKind").is_set();
    match_conditions(&spec.at("matchConditions"), params);
    let environment = expressions::environment(Scope { params, mutations });
    let mut types = Vec::new();
    let mut seen = BTreeSet::new();
    for variable in spec.at("variables").items() {
        let name = variable.at("name");
        if name.is_empty() {
            name.required("name is not specified");
        } else if !is_identifier(name.text()) {
            name.invalid("must be a valid CEL identifier");
        } else {
            name.once(&mut seen);
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
}

fn param_kind(kind: &Cursor<'_>) {
    if !kind.is_set() {
        return;
    }
    let version = kind.at("apiVersion");
    if version.must_be_set() && version.text().matches('/').count() > 1 {
        version.invalid_text(format!("unexpected GroupVersion string: {}", version.text()));
    }
    kind.at("kind").must_be_set();
}

fn match_resources(resources: &Cursor<'_>) {
    resources.at("matchPolicy").one_of(&["Equivalent", "Exact"]);
    resources.at("namespaceSelector").label_selector();
    resources.at("objectSelector").label_selector();
    for list in ["resourceRules", "excludeResourceRules"] {
        resources.at(list).items().for_each(|item| rule(&item));
    }
}

fn validation(environment: &Environment, validation: &Cursor<'_>) {
    expression(environment, &validation.at("expression"), (NO_EXPRESSION, &[Type::Bool]));
    let message = validation.at("message");
    if message.is_set() && message.text().trim().is_empty() {
        message.invalid_text("message must be non-empty if specified");
    } else if message.text().trim().contains('\n') {
        message.invalid_text("must not contain line breaks");
    }
    let message = validation.at("messageExpression");
    if message.is_set() && message.text().trim().is_empty() {
        message.invalid_text("must be non-empty if specified");
    } else if message.is_set() {
        // Messages do not say who may do what.
        expression(&environment.clone().without_authorizer(), &message, ("", &[Type::String]));
    }
    validation.at("reason").one_of(REASONS);
}

/// The keys are prefixed with the name of the policy.
fn audit_annotations(environment: &Environment, annotations: &Cursor<'_>, policy: &str) {
    let mut seen = BTreeSet::new();
    for annotation in annotations.items() {
        let key = annotation.at("key");
        let full = format!("{policy}/{}", key.text());
        if key.must_be_set() {
            for complaint in names::qualified_name(&full) {
                key.invalid_str(&full, complaint);
            }
            key.once(&mut seen);
        }
        let value = annotation.at("valueExpression");
        expression(environment, &value, ("valueExpression is not specified", &[Type::String, Type::Null]));
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
            match_resources(&spec.at("matchResources"));
            if !self.mutating {
                actions(&spec.at("validationActions"));
            }
        })
    }
}

fn param_ref(reference: &Cursor<'_>) {
    if !reference.is_set() {
        return;
    }
    let (name, selector, action) =
        (reference.at("name"), reference.at("selector"), reference.at("parameterNotFoundAction"));
    match (!name.is_empty(), selector.is_set()) {
        (true, true) => {
            for field in [&name, &selector] {
                field.forbidden("name and selector are mutually exclusive");
            }
        }
        (false, false) => reference.required("one of name or selector must be specified"),
        (true, false) => name.named(names::path_segment),
        (false, true) => selector.label_selector(),
    }
    action.must_be_one_of(&["Deny", "Allow"]);
}

fn actions(actions: &Cursor<'_>) {
    if actions.is_empty() {
        actions.required("at least one validation action is required");
    }
    let mut seen = BTreeSet::new();
    for action in actions.items() {
        action.one_of(&["Audit", "Deny", "Warn"]);
        action.once(&mut seen);
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        actions.invalid("must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(strategy: &dyn Strategy, spec: Value, expect: &[&str]) {
        let mut object = json!({"metadata": {"name": "x"}, "spec": spec});
        strategy.default(&mut object);
        assert_eq!(check::messages(&strategy.validate(&object)), expect);
    }

    fn constraints() -> Value {
        let rule = json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]});
        json!({"resourceRules": [rule]})
    }

    #[test]
    fn policies_check_something() {
        check(
            &ValidatingPolicy,
            json!({"matchConstraints": constraints(), "validations": [{"expression": "true"}]}),
            &[],
        );
        check(
            &ValidatingPolicy,
            json!({}),
            &[
                "spec.matchConstraints: Required value",
                "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
                "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
            ],
        );
        check(
            &ValidatingPolicy,
            json!({"matchConstraints": constraints(), "validations": [{"expression": "", "message": "a\nb", "reason": "Because"}]}),
            &[
                "spec.validations[0].expression: Required value: expression is not specified",
                r#"spec.validations[0].message: Invalid value: "a\nb": must not contain line breaks"#,
                r#"spec.validations[0].reason: Unsupported value: "Because": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge""#,
            ],
        );
    }

    #[test]
    fn bindings_name_a_policy_and_actions() {
        let binding = PolicyBinding { mutating: false };
        check(
            &binding,
            json!({}),
            &[
                "spec.policyName: Required value",
                "spec.validationActions: Required value: at least one validation action is required",
            ],
        );
        check(
            &binding,
            json!({"policyName": "p", "validationActions": ["Deny"], "paramRef": {}}),
            &[
                "spec.paramRef: Required value: one of name or selector must be specified",
                "spec.paramRef.parameterNotFoundAction: Required value",
            ],
        );
        check(&PolicyBinding { mutating: true }, json!({"policyName": "p"}), &[]);
    }
}
