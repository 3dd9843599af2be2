//! Deployments. Source: `k8s.io/kubernetes/pkg/registry/apps/deployment/strategy.go`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::meta;

use super::check::{self, Cursor, text};
use super::pod_template;
use crate::registry::strategy::{Rules, Strategy, restore};

/// The strategy of Deployments.
#[derive(Clone, Copy, Debug)]
pub struct Deployment;

const COUNTS: &[&str] = &[
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "terminatingReplicas",
    "collisionCount",
];

impl Strategy for Deployment {
    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, has_status: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec", "replicas"], 1);
        pod_template::default(object, &["spec", "template"]);
        if meta::text(object, &["spec", "strategy", "type"]).is_empty() {
            meta::set(object, &["spec", "strategy", "type"], "RollingUpdate");
        }
        if meta::text(object, &["spec", "strategy", "type"]) == "RollingUpdate" {
            for field in ["maxUnavailable", "maxSurge"] {
                meta::set_default(object, &["spec", "strategy", "rollingUpdate", field], "25%");
            }
        }
        meta::set_default(object, &["spec", "revisionHistoryLimit"], 10);
        meta::set_default(object, &["spec", "progressDeadlineSeconds"], 600);
        meta::set_default(object, &["status"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({}));
    }

    fn status_keeps(&self) -> &'static [&'static [&'static str]] {
        &[&["metadata", "labels"]]
    }

    fn prepare_for_status_update(&self, object: &mut Value, old: &Value) {
        restore(object, old, &["metadata", "labels"]);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            validate(&root.at("spec"));
            rollback(&root);
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            validate(&root.at("spec"));
            rollback(&root);
            pod_template::immutable_selector(&root.at("spec"), old);
        })
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let limited = ["updatedReplicas", "readyReplicas", "availableReplicas"];
            let status = root.at("status");
            pod_template::validate_counts(&status, COUNTS, &limited);
            pod_template::collisions_grow(&root, old);
        })
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        pod_template::warnings(object, old, &["spec", "template"])
    }

    /// Annotations count as well: the controller copies them to its ReplicaSets.
    fn spec_changed(&self, object: &Value, old: &Value) -> bool {
        !check::same(object.get("spec"), old.get("spec"))
            || !check::same(meta::at(object, &["metadata", "annotations"]), meta::at(old, &["metadata", "annotations"]))
    }
}

fn validate(spec: &Cursor<'_>) {
    spec.at("replicas").not_negative();
    if pod_template::validate_selector(spec, "deployment") {
        pod_template::validate_running(spec);
    } else {
        spec.at("selector").invalid_selector("invalid label selector");
    }
    strategy(&spec.at("strategy"));
    spec.at("minReadySeconds").not_negative();
    spec.at("revisionHistoryLimit").not_negative();
    let deadline = spec.at("progressDeadlineSeconds");
    deadline.not_negative();
    let ready = spec.at("minReadySeconds").int().unwrap_or_default();
    if deadline.int().is_some_and(|seconds| seconds <= ready) {
        deadline.invalid("must be greater than minReadySeconds");
    }
}

/// Complains about a revision to roll back to that cannot be: it is asked for by an annotation since there is no field for
/// it any more, and complained about as if there were.
fn rollback(root: &Cursor<'_>) {
    let Some(revision) = meta::annotation(root.value, "deprecated.deployment.rollback.to") else { return };
    if let Ok(revision) = revision.parse::<i64>() {
        let path = root.at("spec").path.child("rollback").child("version");
        let revision = json!(revision);
        root.with(Some(&revision), path).not_negative();
    }
}

fn strategy(strategy: &Cursor<'_>) {
    let rolling = strategy.at("rollingUpdate");
    match strategy.at("type").text() {
        "Recreate" if rolling.is_set() => {
            rolling.forbidden("may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" if rolling.is_set() => rolling_update(&rolling),
        "RollingUpdate" => rolling.required("this should be defaulted and never be nil"),
        other => {
            let mut error = FieldError::not_supported(&strategy.path, other, &["Recreate", "RollingUpdate"]);
            error.value = format!("{{\"Type\":{},\"RollingUpdate\":{}}}", json!(other), rolling.value);
            strategy.push(error);
        }
    }
}

/// How many pods an update may add and take away: not neither.
fn rolling_update(rolling: &Cursor<'_>) {
    let (unavailable, surge) = (rolling.at("maxUnavailable"), rolling.at("maxSurge"));
    unavailable.int_or_percent();
    surge.int_or_percent();
    if is_zero(unavailable.value) && is_zero(surge.value) {
        unavailable.invalid("may not be 0 when `maxSurge` is 0");
    }
    unavailable.at_most_100_percent();
}

/// Whether a number or a percentage is zero.
pub(crate) fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text::percent(text) == Some(0),
        other => other.as_i64() == Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: Value, expect: &[&str]) {
        let mut object = json!({"metadata": {"name": "web"}, "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
        }});
        for (field, value) in spec.as_object().expect("an object") {
            object["spec"][field] = value.clone();
        }
        Deployment.default(&mut object);
        let once = object.clone();
        Deployment.default(&mut object);
        assert_eq!(object, once, "defaulting is not idempotent");
        assert_eq!(check::messages(&Deployment.validate(&object)), expect);
    }

    #[test]
    fn defaults_are_those_of_apps_v1() {
        let mut object = json!({"spec": {}});
        Deployment.default(&mut object);
        assert_eq!(
            object["spec"]["strategy"],
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
        );
        assert_eq!(object["spec"]["progressDeadlineSeconds"], 600);
        assert_eq!(object["spec"]["revisionHistoryLimit"], 10);
        let mut recreate = json!({"spec": {"strategy": {"type": "Recreate"}}});
        Deployment.default(&mut recreate);
        assert_eq!(recreate["spec"]["strategy"], json!({"type": "Recreate"}));
    }

    #[test]
    fn strategies_are_checked() {
        let path = "spec.strategy.rollingUpdate";
        check(json!({}), &[]);
        check(
            json!({"strategy": {"type": "Canary"}}),
            &[
                r#"spec.strategy: Unsupported value: {"Type":"Canary","RollingUpdate":null}: supported values: "Recreate", "RollingUpdate""#,
            ],
        );
        check(
            json!({"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}),
            &[&format!("{path}: Forbidden: may not be specified when strategy `type` is 'Recreate'")],
        );
        check(
            json!({"strategy": {"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": 0}}}),
            &[&format!("{path}.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0")],
        );
        check(
            json!({"strategy": {"rollingUpdate": {"maxSurge": "50", "maxUnavailable": "150%"}}}),
            &[
                &format!("{path}.maxSurge: Invalid value: \"50\": {}", text::PERCENT_RULE),
                &format!("{path}.maxUnavailable: Invalid value: \"150%\": must not be greater than 100%"),
            ],
        );
        check(
            json!({"minReadySeconds": 600}),
            &["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
        );
    }

    #[test]
    fn selectors_are_checked_and_stay() {
        check(json!({"selector": {}}), &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]);
        let object = |selector: Value| json!({"spec": {"selector": selector}});
        let errors = Deployment.validate_update(
            &object(json!({"matchLabels": {"app": "new"}})),
            &object(json!({"matchLabels": {"app": "web"}})),
        );
        assert_eq!(
            check::messages(&errors).last().map(String::as_str),
            Some(r#"spec.selector: Invalid value: {"matchLabels":{"app":"new"}}: field is immutable"#)
        );
    }

    #[test]
    fn nobody_rolls_back_to_before_the_beginning() {
        for (revision, expect) in [
            ("0", vec![]),
            ("-1", vec!["spec.rollback.version: Invalid value: -1: must be greater than or equal to 0"]),
        ] {
            let object = json!({"metadata": {"annotations": {"deprecated.deployment.rollback.to": revision}}});
            assert_eq!(check::messages(&check::collect(&object, |root| rollback(&root))), expect);
        }
    }

    #[test]
    fn annotations_bump_the_generation() {
        let old = json!({"metadata": {"annotations": {"a": "1"}}, "spec": {}});
        let new = json!({"metadata": {"annotations": {"a": "2"}, "labels": {"x": "y"}}, "spec": {}});
        assert!(Deployment.spec_changed(&new, &old));
        assert!(!Deployment.spec_changed(&old, &old));
    }
}
