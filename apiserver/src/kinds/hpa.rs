//! HorizontalPodAutoscalers, stored as `autoscaling/v2`. Source: `k8s.io/kubernetes/pkg/apis/autoscaling/{v1,v2,
//! validation}`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::check::{self, Cursor, amount};
use crate::registry::strategy::{Rules, Strategy};

mod convert;

pub use convert::{to_v1, to_v2};

/// The strategy of autoscalers in `autoscaling/v2`.
#[derive(Clone, Copy, Debug)]
pub struct HorizontalPodAutoscaler;

/// The strategy of autoscalers in `autoscaling/v1`: what that version lacks is kept in annotations.
#[derive(Clone, Copy, Debug)]
pub struct HorizontalPodAutoscalerV1;

const RULES: Rules = Rules { has_status: true, ..Rules::DEFAULT };
/// The types of metrics and the fields that describe them.
const METRICS: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];
/// The fields that describe metrics, in the order in which upstream looks at them.
const SOURCES: [&str; 5] = ["object", "external", "pods", "resource", "containerResource"];
const MAX_WINDOW_SECONDS: i64 = 3600;
const MAX_PERIOD_SECONDS: i64 = 1800;

impl Strategy for HorizontalPodAutoscaler {
    fn rules(&self) -> Rules {
        RULES
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec", "minReplicas"], 1);
        if meta::items(object, &["spec", "metrics"]).is_empty() {
            let target = json!({"type": "Utilization", "averageUtilization": 80});
            let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
            meta::set(object, &["spec", "metrics"], json!([metric]));
        }
        if let Some(behavior) = meta::at_mut(object, &["spec", "behavior"]).filter(|behavior| behavior.is_object()) {
            default_behavior(behavior);
        }
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
            for field in ["currentReplicas", "desiredReplicas"] {
                root.at("status").at(field).not_negative();
            }
        })
    }
}

impl Strategy for HorizontalPodAutoscalerV1 {
    fn rules(&self) -> Rules {
        RULES
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec", "minReplicas"], 1);
        for field in ["currentReplicas", "desiredReplicas"] {
            meta::set_default(object, &["status", field], 0);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({"currentReplicas": 0, "desiredReplicas": 0}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        let mut stored = object.clone();
        to_v2(&mut stored);
        HorizontalPodAutoscaler.validate(&stored)
    }

    fn to_served(&self, object: &mut Value) {
        to_v1(object);
    }

    fn to_stored(&self, object: &mut Value) {
        to_v2(object);
        HorizontalPodAutoscaler.default(object);
    }

    fn converts(&self) -> bool {
        true
    }
}

fn zero_status(object: &mut Value) {
    meta::set_default(object, &["status", "desiredReplicas"], 0);
    meta::set_default(object, &["status", "currentMetrics"], Value::Null);
}

fn default_behavior(behavior: &mut Value) {
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    for (direction, policies) in [("scaleUp", json!([pods, percent])), ("scaleDown", json!([percent]))] {
        meta::set_default(behavior, &[direction, "selectPolicy"], "Max");
        meta::set_default(behavior, &[direction, "policies"], policies);
    }
    meta::set_default(behavior, &["scaleUp", "stabilizationWindowSeconds"], 0);
}

fn validate(spec: &Cursor<'_>) {
    let (least, most) = (spec.at("minReplicas"), spec.at("maxReplicas"));
    let number = most.int().unwrap_or_default();
    if least.int().is_some_and(|count| count < 1) {
        least.invalid("must be greater than or equal to 1");
    }
    if number < 1 {
        most.required("must be set and greater than 0");
    }
    if least.int().is_some_and(|least| number < least) {
        most.invalid_as(number.to_string(), "must be greater than or equal to `minReplicas`");
    }
    target_reference(&spec.at("scaleTargetRef"));
    metrics(&spec.at("metrics"), least.int());
    let behavior = spec.at("behavior");
    for direction in ["scaleUp", "scaleDown"] {
        scaling_rules(&behavior.at(direction));
    }
}

fn target_reference(reference: &Cursor<'_>) {
    for field in ["kind", "name"] {
        let field = reference.at(field);
        if field.must_be_set() {
            field.named(names::path_segment);
        }
    }
    let version = reference.at("apiVersion");
    if version.text().matches('/').count() > 1 {
        version.invalid_text(format!("unexpected GroupVersion string: {}", version.text()));
    } else if !version.text().contains('/') && version.text() != "v1" {
        version.invalid_text("apiVersion must specify API group");
    }
}

fn metrics(metrics: &Cursor<'_>, least: Option<i64>) {
    let mut from_outside = false;
    for metric in metrics.items() {
        from_outside |= matches!(metric.at("type").text(), "Object" | "External");
        validate_metric(&metric);
    }
    if least == Some(0) && !from_outside {
        metrics.forbidden("must specify at least one Object or External metric to support scaling to zero replicas");
    }
}

/// A metric has the one source that its type names. Upstream looks at the type before and after it looks at the sources.
fn validate_metric(metric: &Cursor<'_>) {
    let sort = metric.at("type");
    if sort.is_empty() {
        sort.required("must specify a metric source type");
    }
    let known = METRICS.map(|(name, _)| name);
    let expected = METRICS.iter().find(|(name, _)| *name == sort.text()).map(|(_, field)| *field);
    if expected.is_none() {
        sort.not_supported(&known);
    }
    let present: Vec<_> = SOURCES.into_iter().filter(|field| metric.at(field).is_set()).collect();
    if let Some(first) = present.first() {
        metric_source(first, &metric.at(first));
    }
    match expected {
        Some(expected) if !present.contains(&expected) => {
            metric.at(expected).required("must populate information for the given metric source");
        }
        Some(_) => {}
        None => sort.not_supported(&known),
    }
    if present.len() > 1 {
        for field in present.into_iter().filter(|field| Some(*field) != expected) {
            metric.at(field).forbidden("must populate the given metric source only");
        }
    }
}

fn metric_source(sort: &str, source: &Cursor<'_>) {
    let target = source.at("target");
    match sort {
        "resource" | "containerResource" => {
            let name = source.at("name");
            if name.is_empty() {
                name.required("must specify a resource name");
            }
            if sort == "containerResource" && source.at("container").is_empty() {
                source.at("container").required("must specify a container");
            }
        }
        _ => {
            let name = source.at("metric").at("name");
            if name.must_be_set() {
                name.named(names::path_segment);
            }
            source.at("metric").at("selector").label_selector();
        }
    }
    if sort == "object" {
        target_reference(&source.at("describedObject"));
    }
    metric_target(sort, &target);
}

fn metric_target(sort: &str, target: &Cursor<'_>) {
    let kind = target.at("type");
    kind.must_be_one_of(&["Utilization", "Value", "AverageValue"]);
    let (utilization, value, average) =
        (target.at("averageUtilization"), target.at("value"), target.at("averageValue"));
    utilization.positive();
    for field in [&value, &average] {
        if field.is_set() && amount::of(field.value) <= amount::of(&json!(0)) {
            field.invalid("must be positive");
        }
    }
    let missing = |field: &Cursor<'_>| !field.is_set();
    match sort {
        "resource" | "containerResource" => match (missing(&utilization), missing(&average)) {
            (true, true) => utilization.required("must set either a target raw value or a target utilization"),
            (false, false) => average.forbidden("may not set both a target raw value and a target utilization"),
            _ => {}
        },
        "pods" if missing(&average) => average.required("must specify a positive target averageValue"),
        "object" | "external" if missing(&value) && missing(&average) => {
            average.required("must set either a target value or averageValue");
        }
        "external" if !missing(&value) && !missing(&average) => {
            value.forbidden("may not set both a target value for metric and a per-pod target");
        }
        _ => {}
    }
}

fn scaling_rules(rules: &Cursor<'_>) {
    if !rules.is_set() {
        return;
    }
    let window = rules.at("stabilizationWindowSeconds");
    if window.int().is_some_and(|seconds| seconds < 0) {
        window.invalid("must be greater than or equal to zero");
    }
    if window.int().is_some_and(|seconds| seconds > MAX_WINDOW_SECONDS) {
        window.invalid(format!("must be less than or equal to {MAX_WINDOW_SECONDS}"));
    }
    rules.at("selectPolicy").one_of(&["Disabled", "Max", "Min"]);
    let policies = rules.at("policies");
    if policies.is_empty() {
        policies.required("must specify at least one Policy");
    }
    for policy in policies.items() {
        policy.at("type").one_of(&["Percent", "Pods"]);
        for field in ["value", "periodSeconds"] {
            let field = policy.at(field);
            if field.int().unwrap_or_default() <= 0 {
                field.invalid_as(field.int().unwrap_or_default().to_string(), "must be greater than zero");
            }
        }
        let period = policy.at("periodSeconds");
        if period.int().is_some_and(|seconds| seconds > MAX_PERIOD_SECONDS) {
            period.invalid(format!("must be less than or equal to {MAX_PERIOD_SECONDS}"));
        }
    }
    let tolerance = rules.at("tolerance");
    if tolerance.is_set() && amount::of(tolerance.value).is_negative() {
        tolerance.invalid("must be greater than or equal to 0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: &Value, expect: &[&str]) {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        let mut object = json!({"metadata": {"name": "web"}, "spec": {"maxReplicas": 10, "scaleTargetRef": target}});
        for (field, value) in change.as_object().expect("an object") {
            object["spec"][field] = value.clone();
        }
        HorizontalPodAutoscaler.default(&mut object);
        assert_eq!(check::messages(&HorizontalPodAutoscaler.validate(&object)), expect);
    }

    #[test]
    fn bounds_and_metrics_are_checked() {
        check(&json!({}), &[]);
        check(
            &json!({"maxReplicas": 0}),
            &[
                "spec.maxReplicas: Required value: must be set and greater than 0",
                "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
            ],
        );
        check(
            &json!({"metrics": [{"type": "Resource"}]}),
            &["spec.metrics[0].resource: Required value: must populate information for the given metric source"],
        );
        check(
            &json!({"metrics": [{"type": "Weird"}]}),
            &[
                r#"spec.metrics[0].type: Unsupported value: "Weird": supported values: "ContainerResource", "External", "Object", "Pods", "Resource""#,
                r#"spec.metrics[0].type: Unsupported value: "Weird": supported values: "ContainerResource", "External", "Object", "Pods", "Resource""#,
            ],
        );
        check(
            &json!({"behavior": {"scaleUp": {"selectPolicy": "Sometimes", "policies": []}}}),
            &[
                r#"spec.behavior.scaleUp.selectPolicy: Unsupported value: "Sometimes": supported values: "Disabled", "Max", "Min""#,
                "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy",
            ],
        );
    }
}
