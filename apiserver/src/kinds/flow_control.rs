//! FlowSchemas and PriorityLevelConfigurations. Source: `k8s.io/kubernetes/pkg/apis/flowcontrol/{v1,validation}`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::{meta, names};

use super::check::{self, Cursor};
use crate::flowcontrol::bootstrap;
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of flow schemas.
#[derive(Clone, Copy, Debug)]
pub struct FlowSchema;

/// The strategy of priority levels.
#[derive(Clone, Copy, Debug)]
pub struct PriorityLevelConfiguration;

const RULES: Rules = Rules { tracks_generation: true, has_status: true, ..Rules::DEFAULT };
const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const MAX_QUEUES: i64 = 10_000_000;
/// The bits of the hash that deals a hand of queues.
const HASH_BITS: f64 = 60.0;
const MAX_PRECEDENCE: i64 = 10000;
const METHODS: &[&str] = &["ByNamespace", "ByUser"];

impl Strategy for FlowSchema {
    fn rules(&self) -> Rules {
        RULES
    }

    fn default(&self, object: &mut Value) {
        let precedence = meta::at(object, &["spec", "matchingPrecedence"]).and_then(Value::as_i64);
        if precedence.unwrap_or_default() == 0 {
            meta::set(object, &["spec", "matchingPrecedence"], 1000);
        }
        meta::set_default(object, &["status"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            let precedence = spec.at("matchingPrecedence");
            if precedence.int().is_some_and(|number| number <= 0) {
                precedence.invalid("must be a positive value");
            } else if precedence.int().is_some_and(|number| number > MAX_PRECEDENCE) {
                precedence.invalid(format!("must not be greater than {MAX_PRECEDENCE}"));
            }
            if precedence.int() == Some(1) && meta::name(object) != "exempt" {
                precedence.invalid("only the schema named 'exempt' may have matchingPrecedence 1");
            }
            let method = spec.at("distinguisherMethod");
            if method.is_set() && !METHODS.contains(&method.at("type").text()) {
                // Upstream shows the object around the type.
                let shown = json!({"Type": method.at("type").text()});
                method.at("type").push(FieldError {
                    value: shown.to_string(),
                    ..FieldError::not_supported(&method.at("type").path, "", METHODS)
                });
            }
            let level = spec.at("priorityLevelConfiguration").at("name");
            if level.is_empty() {
                level.required("must reference a priority level");
            } else {
                level.named(names::dns1123_subdomain);
            }
            spec.at("rules").items().for_each(|rule| flow_rule(&rule));
            fixed(&spec, bootstrap::schemas(), meta::name(object));
            conditions(&root.down(&["status", "conditions"]));
        })
    }

    fn validate_status_update(&self, object: &Value, _old: &Value) -> ErrorList {
        check::collect(object, |root| conditions(&root.down(&["status", "conditions"])))
    }
}

/// What the server cannot do without stays as it is; only the shares of the exempt level may be others.
fn fixed(spec: &Cursor<'_>, all: Vec<Value>, name: &str) {
    let Some(wanted) = all.iter().find(|it| meta::name(it) == name && bootstrap::MANDATORY.contains(&name)) else {
        return;
    };
    let level = meta::text(wanted, &["kind"]) == "PriorityLevelConfiguration";
    let (mut wanted, mut found) = (wanted["spec"].clone(), spec.value.clone());
    let mut but = "";
    if level && name == "exempt" {
        meta::remove(&mut wanted, &["exempt"]);
        meta::remove(&mut found, &["exempt"]);
        but = " except the 'spec.exempt' field";
    }
    if !check::same(Some(&wanted), Some(&found)) {
        let shown = spec.value.to_string();
        spec.invalid_as(shown, format!("spec of '{name}'{but} must equal the fixed value"));
    }
}

fn conditions(conditions: &Cursor<'_>) {
    let mut seen = BTreeSet::new();
    for condition in conditions.items() {
        let sort = condition.at("type");
        if !seen.insert(sort.text()) {
            sort.push(FieldError::duplicate(&sort.path, &json!(sort.text())));
        }
        if sort.is_empty() {
            sort.required("must not be empty");
        }
    }
}

fn flow_rule(rule: &Cursor<'_>) {
    let subjects = rule.at("subjects");
    if subjects.is_empty() {
        subjects.required("subjects must contain at least one value");
    }
    subjects.items().for_each(|it| subject(&it));
    if rule.at("resourceRules").is_empty() && rule.at("nonResourceRules").is_empty() {
        rule.required("at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    rule.at("resourceRules").items().for_each(|it| resource_rule(&it));
    for path in rule.at("nonResourceRules").items() {
        verbs(&path.at("verbs"));
        let urls = path.at("nonResourceURLs");
        if urls.is_empty() {
            urls.required("nonResourceURLs must contain at least one value");
        } else if !star(&urls, "non-resource URLs") {
            urls.items().for_each(|url| non_resource_url(&url));
        }
    }
}

/// Whom a rule is about: of the three ways to say it the one that the kind names.
fn subject(subject: &Cursor<'_>) {
    const WAYS: [(&str, &str); 3] = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = subject.at("kind").text();
    let Some((_, field)) = WAYS.into_iter().find(|(name, _)| *name == kind) else {
        return subject.at("kind").not_supported(&["Group", "ServiceAccount", "User"]);
    };
    let who = subject.at(field);
    if who.is_set() {
        let name = who.at("name");
        if name.must_be_set() && kind == "ServiceAccount" && name.text() != "*" {
            name.named(names::dns1123_subdomain);
        }
    } else {
        who.required(&format!("{field} is required when subject kind is '{kind}'"));
    }
    if who.is_set() && kind == "ServiceAccount" {
        let namespace = who.at("namespace");
        if namespace.is_empty() {
            namespace.required("must specify namespace for service account");
        } else {
            namespace.named(names::dns1123_label);
        }
    }
    for (other, field) in WAYS.into_iter().filter(|(name, _)| *name != kind) {
        if subject.at(field).is_set() {
            subject.at(field).forbidden(format!("{field} is forbidden when subject kind is not '{other}'"));
        }
    }
}

fn resource_rule(rule: &Cursor<'_>) {
    verbs(&rule.at("verbs"));
    for (field, one, many) in [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")] {
        let list = rule.at(field);
        if list.is_empty() {
            list.required(&format!("resource rules must supply at least one {one}"));
        } else {
            star(&list, many);
        }
    }
    let namespaces = rule.at("namespaces");
    if namespaces.is_empty() && !rule.at("clusterScope").is_true() {
        namespaces.required("resource rules that are not cluster scoped must supply at least one namespace");
    } else if !star(&namespaces, "namespaces") {
        for namespace in namespaces.items() {
            for complaint in names::dns1123_label(namespace.text()) {
                let form = "each member of this list must be '*' or a DNS-1123 label; ";
                namespace.invalid_text(format!("{form}{complaint}"));
            }
        }
    }
}

fn verbs(verbs: &Cursor<'_>) {
    if verbs.is_empty() {
        verbs.required("verbs must contain at least one value");
    } else if !star(verbs, "verbs") && verbs.items().any(|verb| !VERBS.contains(&verb.text())) {
        // Upstream shows the list of verbs, not the one that it does not know.
        verbs.push(FieldError { value: verbs.value.to_string(), ..FieldError::not_supported(&verbs.path, "", VERBS) });
    }
}

/// Whether a list has a star, which then stands alone.
fn star(list: &Cursor<'_>, others: &str) -> bool {
    let found = list.items().any(|item| item.text() == "*");
    if found && list.len() > 1 {
        list.invalid(format!("if '*' is present, must not specify other {others}"));
    }
    found
}

fn non_resource_url(url: &Cursor<'_>) {
    let text = url.text();
    let stars = text.matches('*').count();
    let why = match text {
        "" => "must not be empty",
        "/" => return,
        _ if !text.starts_with('/') => "must start with slash",
        _ if text.contains(' ') => "must not contain white-space",
        _ if text.contains("//") => "must not contain double slash",
        _ if stars > 1 || (stars == 1 && !text.ends_with("/*")) => "wildcard can only do suffix matching",
        _ => return,
    };
    url.invalid_text(why);
}

impl Strategy for PriorityLevelConfiguration {
    fn rules(&self) -> Rules {
        RULES
    }

    fn default(&self, object: &mut Value) {
        for sort in ["limited", "exempt"] {
            if !meta::at(object, &["spec", sort]).is_some_and(Value::is_object) {
                continue;
            }
            let shares = if sort == "limited" { 30 } else { 0 };
            meta::set_default(object, &["spec", sort, "nominalConcurrencyShares"], shares);
            meta::set_default(object, &["spec", sort, "lendablePercent"], 0);
        }
        let queuing = ["spec", "limited", "limitResponse", "queuing"];
        if meta::at(object, &queuing).is_some_and(Value::is_object) {
            for (field, value) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
                let path = [&queuing[..], &[field]].concat();
                if meta::at(object, &path).and_then(Value::as_i64).unwrap_or_default() == 0 {
                    meta::set(object, &path, value);
                }
            }
        }
        meta::set_default(object, &["status"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            let (limited, exempt) = (spec.at("limited"), spec.at("exempt"));
            let is_exempt = spec.at("type").text() == "Exempt";
            if is_exempt != (meta::name(object) == "exempt") {
                spec.at("type").invalid_text("type must be 'Exempt' if and only if name is 'exempt'");
            }
            match spec.at("type").text() {
                "Exempt" => {
                    if limited.is_set() {
                        limited.forbidden("must be nil if the type is not Limited");
                    }
                    shares(&exempt);
                    percentage(&exempt.at("lendablePercent"));
                }
                "Limited" => {
                    if exempt.is_set() {
                        exempt.forbidden("must be nil if the type is Limited");
                    }
                    if limited.is_set() {
                        limited_level(&limited);
                    } else {
                        limited.required("must not be empty when type is Limited");
                    }
                }
                _ => spec.at("type").not_supported(&["Exempt", "Limited"]),
            }
            fixed(&spec, bootstrap::levels(), meta::name(object));
            conditions(&root.down(&["status", "conditions"]));
        })
    }

    fn validate_status_update(&self, object: &Value, _old: &Value) -> ErrorList {
        check::collect(object, |root| conditions(&root.down(&["status", "conditions"])))
    }
}

fn shares(level: &Cursor<'_>) {
    let shares = level.at("nominalConcurrencyShares");
    if shares.int().is_some_and(|shares| shares < 0) {
        shares.invalid("must be a non-negative integer");
    }
}

fn limited_level(level: &Cursor<'_>) {
    shares(level);
    let response = level.at("limitResponse");
    let queuing = response.at("queuing");
    match response.at("type").text() {
        "Reject" => {
            if queuing.is_set() {
                queuing.forbidden("must be nil if limited.limitResponse.type is not Limited");
            }
        }
        "Queue" if queuing.is_set() => queues(&queuing),
        "Queue" => queuing.required("must not be empty if limited.limitResponse.type is Limited"),
        _ => response.at("type").not_supported(&["Queue", "Reject"]),
    }
    percentage(&level.at("lendablePercent"));
    let borrowed = level.at("borrowingLimitPercent");
    if borrowed.int().is_some_and(|percent| percent < 0) {
        borrowed.invalid("if specified, must be a non-negative integer");
    }
}

fn queues(queuing: &Cursor<'_>) {
    let number = |field: &str| queuing.at(field).int().unwrap_or_default();
    let wrong = |field: &str, why: String| queuing.at(field).invalid_as(number(field).to_string(), why);
    let (queues, hand) = (number("queues"), number("handSize"));
    if number("queueLengthLimit") <= 0 {
        wrong("queueLengthLimit", "must be positive".to_owned());
    }
    if queues <= 0 {
        wrong("queues", "must be positive".to_owned());
    } else if queues > MAX_QUEUES {
        wrong("queues", format!("must not be greater than {MAX_QUEUES}"));
    }
    if hand <= 0 {
        wrong("handSize", "must be positive".to_owned());
    } else if hand > queues {
        wrong("handSize", format!("should not be greater than queues ({queues})"));
    } else if entropy_bits(queues, hand) > HASH_BITS {
        let why = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        );
        wrong("handSize", why);
    }
}

/// The bits that it takes to deal a hand: the logarithm of the number of hands, in their order.
fn entropy_bits(deck: i64, hand: i64) -> f64 {
    let sides = (0..hand.min(deck)).map(|dealt| u32::try_from(deck - dealt).map_or(f64::MAX, f64::from));
    sides.map(f64::log2).sum::<f64>().ceil()
}

fn percentage(percent: &Cursor<'_>) {
    if percent.is_set() && !(0..=100).contains(&percent.int().unwrap_or_default()) {
        percent.invalid("must be between 0 and 100, inclusive");
    }
}

#[cfg(test)]
mod tests;
