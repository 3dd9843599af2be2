//! DaemonSets. Source: `k8s.io/kubernetes/pkg/registry/apps/daemonset/strategy.go`, `pkg/apis/apps/validation`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::meta;

use super::check::selector::matches;
use super::check::{self, Cursor};
use super::deployment::is_zero;
use super::pod_template;
use crate::registry::strategy::{Rules, Strategy};

/// The annotation that counts the changes of the template, from 1.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
const REQUIRED_COUNTS: &[&str] =
    &["currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"];
const COUNTS: &[&str] = &[
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
];

/// The strategy of DaemonSets.
#[derive(Clone, Copy, Debug)]
pub struct DaemonSet;

impl Strategy for DaemonSet {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, has_status: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        pod_template::default(object, &["spec", "template"]);
        if meta::text(object, &["spec", "updateStrategy", "type"]).is_empty() {
            meta::set(object, &["spec", "updateStrategy", "type"], "RollingUpdate");
        }
        if meta::text(object, &["spec", "updateStrategy", "type"]) == "RollingUpdate" {
            let rolling = ["spec", "updateStrategy", "rollingUpdate"];
            meta::set_default(object, &[&rolling[..], &["maxUnavailable"]].concat(), 1);
            meta::set_default(object, &[&rolling[..], &["maxSurge"]].concat(), 0);
        }
        meta::set_default(object, &["spec", "revisionHistoryLimit"], 10);
        meta::set_default(object, &["metadata", "annotations", TEMPLATE_GENERATION], "0");
        zero_status(object);
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::remove(object, &["status"]);
        zero_status(object);
        meta::set(object, &["metadata", "annotations", TEMPLATE_GENERATION], "1");
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        let before: i64 =
            meta::annotation(old, TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or_default();
        let template = |object| meta::at(object, &["spec", "template"]);
        let grown = i64::from(!check::same(template(object), template(old)));
        let generation = (before + grown).to_string();
        meta::set(object, &["metadata", "annotations", TEMPLATE_GENERATION], generation);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| validate(&root.at("spec")))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            validate(&root.at("spec"));
            pod_template::immutable_selector(&root.at("spec"), old);
        })
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        pod_template::warnings(object, old, &["spec", "template"])
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            COUNTS.iter().for_each(|field| root.at("status").at(field).not_negative());
            pod_template::collisions_grow(&root, old);
        })
    }
}

fn zero_status(object: &mut Value) {
    for field in REQUIRED_COUNTS {
        meta::set_default(object, &["status", field], 0);
    }
}

fn validate(spec: &Cursor<'_>) {
    let selector = spec.at("selector");
    selector.label_selector();
    if matches(selector.value, &serde_json::Map::new()).is_some() {
        pod_template::match_selector(spec, "template");
    }
    if selector.selects_everything() {
        selector.invalid("empty selector is invalid for daemonset");
    }
    pod_template::validate(&spec.at("template"));
    pod_template::always(&spec.at("template"), "DaemonSet");
    spec.at("minReadySeconds").not_negative();
    update_strategy(&spec.at("updateStrategy"));
    spec.at("revisionHistoryLimit").not_negative();
}

fn update_strategy(strategy: &Cursor<'_>) {
    let rolling = strategy.at("rollingUpdate");
    match strategy.at("type").text() {
        "OnDelete" => {}
        "RollingUpdate" if !rolling.is_set() => rolling.required(""),
        "RollingUpdate" => rolling_update(&rolling),
        other => {
            let mut error = FieldError::not_supported(&strategy.path, other, &["RollingUpdate", "OnDelete"]);
            error.value = format!("{{\"Type\":{},\"RollingUpdate\":{}}}", json!(other), rolling.value);
            strategy.push(error);
        }
    }
}

/// Pods are replaced after the old one is gone, or before: one of the two.
fn rolling_update(rolling: &Cursor<'_>) {
    let (unavailable, surge) = (rolling.at("maxUnavailable"), rolling.at("maxSurge"));
    for field in [&unavailable, &surge] {
        field.int_or_percent();
        field.at_most_100_percent();
    }
    match (is_zero(unavailable.value), is_zero(surge.value)) {
        (false, false) => surge.invalid("may not be set when maxUnavailable is non-zero"),
        (true, true) => unavailable.required("cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon_set(change: &Value) -> Value {
        let mut object = json!({"metadata": {"name": "agent"}, "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
        }});
        for (field, value) in change.as_object().expect("an object") {
            object["spec"][field] = value.clone();
        }
        DaemonSet.default(&mut object);
        object
    }

    #[track_caller]
    fn check(change: &Value, expect: &[&str]) {
        assert_eq!(check::messages(&DaemonSet.validate(&daemon_set(change))), expect);
    }

    #[test]
    fn update_strategies_are_checked() {
        let rolling = "spec.updateStrategy.rollingUpdate";
        check(&json!({}), &[]);
        check(
            &json!({"updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}}),
            &[&format!("{rolling}.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero")],
        );
        check(
            &json!({"updateStrategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}),
            &[&format!("{rolling}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0")],
        );
        check(
            &json!({"updateStrategy": {"type": "Weird"}}),
            &[
                r#"spec.updateStrategy: Unsupported value: {"Type":"Weird","RollingUpdate":null}: supported values: "RollingUpdate", "OnDelete""#,
            ],
        );
    }

    #[test]
    fn changes_of_the_template_are_counted() {
        let mut old = daemon_set(&json!({}));
        DaemonSet.prepare_for_create(&mut old, Timestamp::UNIX_EPOCH);
        assert_eq!(meta::annotation(&old, TEMPLATE_GENERATION), Some("1"));
        let mut new = old.clone();
        new["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
        DaemonSet.prepare_for_update(&mut new, &old);
        assert_eq!(meta::annotation(&new, TEMPLATE_GENERATION), Some("2"));
    }
}
