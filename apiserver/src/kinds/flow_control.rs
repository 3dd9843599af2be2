//! FlowSchemas and PriorityLevelConfigurations. Source: `k8s.io/kubernetes/pkg/apis/flowcontrol/{v1,validation}`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::check::{self, Cursor};
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of flow schemas.
#[derive(Clone, Copy, Debug)]
pub struct FlowSchema;

/// The strategy of priority levels.
#[derive(Clone, Copy, Debug)]
pub struct PriorityLevelConfiguration;

const RULES: Rules = Rules { tracks_generation: true, has_status: true, ..Rules::DEFAULT };
const VERBS: &[&str] =
    &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "proxy", "*"];
const MAX_PRECEDENCE: i64 = 10000;

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
            let method = spec.at("distinguisherMethod");
            if method.is_set() {
                method.at("type").must_be_one_of(&["ByNamespace", "ByUser"]);
            }
            let level = spec.at("priorityLevelConfiguration").at("name");
            if level.is_empty() {
                level.required("must reference a priority level");
            } else {
                level.named(names::dns1123_subdomain);
            }
            spec.at("rules").items().for_each(|rule| flow_rule(&rule));
        })
    }
}

fn flow_rule(rule: &Cursor<'_>) {
    let subjects = rule.at("subjects");
    if subjects.is_empty() {
        subjects.required("subjects must contain at least one value");
    }
    for subject in subjects.items() {
        match subject.at("kind").text() {
            "User" => drop(subject.at("user").at("name").must_be_set()),
            "Group" => drop(subject.at("group").at("name").must_be_set()),
            "ServiceAccount" => {
                subject.at("serviceAccount").at("namespace").must_be_set();
                subject.at("serviceAccount").at("name").must_be_set();
            }
            _ => subject.at("kind").not_supported(&["Group", "ServiceAccount", "User"]),
        }
    }
    if rule.at("resourceRules").is_empty() && rule.at("nonResourceRules").is_empty() {
        rule.required("at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    for resource in rule.at("resourceRules").items() {
        verbs(&resource.at("verbs"));
        for field in ["apiGroups", "resources"] {
            resource.at(field).must_be_set();
        }
        if resource.at("namespaces").is_empty() && !resource.at("clusterScope").is_true() {
            resource
                .at("namespaces")
                .required("resource rules that are not cluster scoped must supply at least one namespace");
        }
    }
    for path in rule.at("nonResourceRules").items() {
        verbs(&path.at("verbs"));
        path.at("nonResourceURLs").must_be_set();
    }
}

fn verbs(verbs: &Cursor<'_>) {
    if verbs.is_empty() {
        verbs.required("verbs must contain at least one value");
    }
    for verb in verbs.items() {
        verb.one_of(VERBS);
    }
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
            match spec.at("type").text() {
                "Exempt" => {
                    if limited.is_set() {
                        limited.forbidden("must be nil if the type is not Limited");
                    }
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
        })
    }
}

fn limited_level(level: &Cursor<'_>) {
    level.at("nominalConcurrencyShares").not_negative();
    percentage(&level.at("lendablePercent"));
    let response = level.at("limitResponse");
    let queuing = response.at("queuing");
    match response.at("type").text() {
        "Reject" => {
            if queuing.is_set() {
                queuing.forbidden("must be nil if limited.limitResponse.type is not Limited");
            }
        }
        "Queue" => {
            if !queuing.is_set() {
                queuing.required("must not be empty if limited.limitResponse.type is Limited");
                return;
            }
            for field in ["queueLengthLimit", "queues", "handSize"] {
                let field = queuing.at(field);
                if field.int().unwrap_or_default() <= 0 {
                    field.invalid_as(field.int().unwrap_or_default().to_string(), "must be positive");
                }
            }
            let (hand, queues) = (queuing.at("handSize"), queuing.at("queues"));
            if hand.int() > queues.int() {
                hand.invalid("should not be greater than queues (".to_owned() + &queues.value.to_string() + ")");
            }
        }
        _ => response.at("type").not_supported(&["Queue", "Reject"]),
    }
}

fn percentage(percent: &Cursor<'_>) {
    if percent.is_set() && !(0..=100).contains(&percent.int().unwrap_or_default()) {
        percent.invalid("must be between 0 and 100, inclusive");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(strategy: &dyn Strategy, spec: Value, expect: &[&str]) {
        let mut object = json!({"spec": spec});
        strategy.default(&mut object);
        assert_eq!(check::messages(&strategy.validate(&object)), expect);
    }

    #[test]
    fn schemas_and_levels_are_checked() {
        check(
            &FlowSchema,
            json!({}),
            &["spec.priorityLevelConfiguration.name: Required value: must reference a priority level"],
        );
        check(
            &PriorityLevelConfiguration,
            json!({}),
            &[r#"spec.type: Unsupported value: "": supported values: "Exempt", "Limited""#],
        );
        check(
            &PriorityLevelConfiguration,
            json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}),
            &[],
        );
    }
}
