//! PodDisruptionBudgets. Source: `k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget/strategy.go`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::meta;

use super::check::selector::ORDER;
use super::check::{self, Cursor, show_in_order};
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of PodDisruptionBudgets.
#[derive(Clone, Copy, Debug)]
pub struct PodDisruptionBudget;

const COUNTS: &[&str] = &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];

impl Strategy for PodDisruptionBudget {
    fn rules(&self) -> Rules {
        Rules { unconditional_update: false, tracks_generation: true, has_status: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec"], json!({}));
        zero_status(object);
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::remove(object, &["status"]);
        zero_status(object);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| validate(&root.at("spec")))
    }

    fn validate_status_update(&self, object: &Value, _old: &Value) -> ErrorList {
        check::collect(object, |root| {
            COUNTS.iter().for_each(|field| root.at("status").at(field).not_negative());
        })
    }
}

fn zero_status(object: &mut Value) {
    for field in COUNTS {
        meta::set_default(object, &["status", field], 0);
    }
}

fn validate(spec: &Cursor<'_>) {
    let (available, unavailable) = (spec.at("minAvailable"), spec.at("maxUnavailable"));
    if available.is_set() && unavailable.is_set() {
        spec.invalid_as(
            format!(
                "{{\"MinAvailable\":{},\"Selector\":{},\"MaxUnavailable\":{},\"UnhealthyPodEvictionPolicy\":{}}}",
                available.value,
                show_in_order(spec.at("selector").value, ORDER),
                unavailable.value,
                spec.at("unhealthyPodEvictionPolicy").value
            ),
            "minAvailable and maxUnavailable cannot be both set",
        );
    }
    for field in [available, unavailable] {
        if field.is_set() {
            field.int_or_percent();
            field.at_most_100_percent();
        }
    }
    spec.at("selector").label_selector();
    spec.at("unhealthyPodEvictionPolicy").one_of(&["AlwaysAllow", "IfHealthyBudget"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: Value, expect: &[&str]) {
        assert_eq!(check::messages(&PodDisruptionBudget.validate(&json!({"spec": spec}))), expect);
    }

    #[test]
    fn budgets_name_one_bound() {
        check(json!({}), &[]);
        check(
            json!({"minAvailable": 1, "maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}}),
            &[
                r#"spec: Invalid value: {"MinAvailable":1,"Selector":{"matchLabels":{"a":"b"}},"MaxUnavailable":1,"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set"#,
            ],
        );
        check(
            json!({"maxUnavailable": "150%"}),
            &[r#"spec.maxUnavailable: Invalid value: "150%": must not be greater than 100%"#],
        );
        check(
            json!({"minAvailable": -1}),
            &["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"],
        );
    }
}
