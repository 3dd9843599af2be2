//! What webhook configurations and admission policies share: rules that say which requests they are about.
//! Source: `k8s.io/kubernetes/pkg/apis/admissionregistration/{v1,validation}`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use steersman_cel::{Environment, Type};
use steersman_machinery::{meta, names};

use super::check::Cursor;
use super::pod::defaults::each;
use crate::admission::expressions::{self, Scope};
use crate::registry::strategy::Rules;

mod policy;
mod webhook;

pub use policy::{MutatingPolicy, PolicyBinding, ValidatingPolicy};
pub use webhook::WebhookConfiguration;

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
/// A name that ends so is kept for what a server reads from files.
const STATIC_SUFFIX: &str = ".static.k8s.io";
const SCOPES: &[&str] = &["*", "Cluster", "Namespaced"];
const MAX_CONDITIONS: usize = 64;

/// Every kind here counts its changes and insists on a resource version.
const RULES: Rules = Rules { unconditional_update: false, tracks_generation: true, ..Rules::DEFAULT };

/// Fills in what says which requests are matched.
fn default_match(object: &mut Value, rules: &str) {
    meta::set_default(object, &["matchPolicy"], "Equivalent");
    meta::set_default(object, &["namespaceSelector"], json!({}));
    meta::set_default(object, &["objectSelector"], json!({}));
    for list in [rules, "excludeResourceRules"] {
        each(object, list, |rule| meta::set_default(rule, &["scope"], "*"));
    }
}

/// What is said about names that are kept for what a server reads from files.
fn warn_of_name(object: &Value) -> Vec<String> {
    let reserved = meta::name(object).ends_with(STATIC_SUFFIX);
    let warning = || {
        format!(
            "metadata.name: names ending with {STATIC_SUFFIX:?} are reserved for static manifest-based configurations \
             and cannot be managed via the API"
        )
    };
    reserved.then(warning).into_iter().collect()
}

/// An expression that has to be there (or `missing` is said) and to compile, with a result of one of these types.
fn expression(environment: &Environment, expression: &Cursor<'_>, (missing, results): (&str, &[Type])) {
    let source = expression.text();
    if source.trim().is_empty() {
        expression.required(missing);
    } else if let Err(fault) = expressions::compile(environment, source, results) {
        expression.invalid(fault);
    }
}

/// The same, but without the white space around it.
fn trimmed_expression(environment: &Environment, expression: &Cursor<'_>, (missing, results): (&str, &[Type])) {
    let trimmed = Value::from(expression.text().trim());
    self::expression(environment, &expression.with_local(&trimmed), (missing, results));
}

/// One rule of a policy: the names of objects, and what webhooks have as well.
fn named_rule(rule: &Cursor<'_>) {
    let mut seen = BTreeSet::new();
    for name in rule.at("resourceNames").items() {
        name.named(names::path_segment);
        name.once(&mut seen);
    }
    self::rule(rule);
}

/// One rule: operations, groups, versions, resources, scope.
fn rule(rule: &Cursor<'_>) {
    let operations = rule.at("operations");
    operations.must_be_set();
    if operations.len() > 1 && has_star(&operations) {
        operations.invalid("if '*' is present, must not specify other operations");
    }
    for operation in operations.items() {
        operation.one_of(OPERATIONS);
    }
    for (field, name) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let list = rule.at(field);
        list.must_be_set();
        if list.len() > 1 && has_star(&list) {
            list.invalid(format!("if '*' is present, must not specify other {name}"));
        }
        for version in list.items().filter(|_| field == "apiVersions") {
            version.must_be_set();
        }
    }
    resources(&rule.at("resources"));
    rule.at("scope").one_of(SCOPES);
}

fn has_star(list: &Cursor<'_>) -> bool {
    list.items().any(|item| item.text() == "*")
}

fn resources(resources: &Cursor<'_>) {
    resources.must_be_set();
    let (mut with_any_part, mut parts_of_any) = (BTreeSet::new(), BTreeSet::new());
    // Upstream remembers of the resources without a part only whether the last of them was a star.
    let mut last_is_no_star = false;
    for entry in resources.items().filter(Cursor::must_be_set) {
        let text = entry.text();
        let Some((resource, part)) = text.split_once('/') else {
            last_is_no_star = text != "*";
            continue;
        };
        if with_any_part.contains(resource) {
            entry.invalid(format!("if '{resource}/*' is present, must not specify {text}"));
        }
        if parts_of_any.contains(part) {
            entry.invalid(format!("if '*/{part}' is present, must not specify {text}"));
        }
        if part == "*" {
            with_any_part.insert(resource);
        }
        if resource == "*" {
            parts_of_any.insert(part);
        }
    }
    let has = |wanted: &str| resources.items().any(|entry| entry.text() == wanted);
    if resources.len() > 1 && has("*/*") {
        resources.invalid("if '*/*' is present, must not specify other resources");
    }
    if has("*") && last_is_no_star {
        resources.invalid("if '*' is present, must not specify other resources without subresources");
    }
}

/// `matchConditions`: named expressions, each name once.
fn match_conditions(conditions: &Cursor<'_>, params: bool) {
    let environment = expressions::environment(Scope { params, mutations: false });
    if conditions.len() > MAX_CONDITIONS {
        conditions.push(steersman_machinery::field::FieldError::too_many(
            &conditions.path,
            conditions.len(),
            MAX_CONDITIONS,
        ));
    }
    let mut seen = BTreeSet::new();
    for condition in conditions.items() {
        trimmed_expression(&environment, &condition.at("expression"), ("", &[Type::Bool]));
        let name = condition.at("name");
        if name.must_be_set() {
            name.named(names::qualified_name);
            name.once(&mut seen);
        }
    }
}
