//! `autoscaling/v1` and `v2`: what v1 lacks stands in annotations of its objects, metrics and conditions as v1 would
//! have written them, the behavior as Kubernetes has it inside.
//! Source: `k8s.io/kubernetes/pkg/apis/autoscaling/v1/conversion.go`.

use serde_json::{Map, Value, json};
use steersman_machinery::meta;

use crate::kinds::check::show_in_order;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// The order in which Go writes the fields of metrics and conditions.
const ORDER: &[&str] = &[
    "type",
    "status",
    "lastTransitionTime",
    "reason",
    "message",
    "object",
    "pods",
    "resource",
    "containerResource",
    "external",
    "target",
    "kind",
    "metricName",
    "metricSelector",
    "name",
    "apiVersion",
    "targetAverageUtilization",
    "currentAverageUtilization",
    "targetValue",
    "currentValue",
    "targetAverageValue",
    "currentAverageValue",
    "container",
    "selector",
    "averageValue",
    "matchLabels",
    "matchExpressions",
    "key",
    "operator",
    "values",
];
/// The fields of a behavior: in JSON, and inside Kubernetes.
const RULES: [(&str, &str); 4] = [
    ("stabilizationWindowSeconds", "StabilizationWindowSeconds"),
    ("selectPolicy", "SelectPolicy"),
    ("policies", "Policies"),
    ("tolerance", "Tolerance"),
];
const POLICY: [(&str, &str); 3] = [("type", "Type"), ("value", "Value"), ("periodSeconds", "PeriodSeconds")];
const DIRECTIONS: [(&str, &str); 2] = [("scaleUp", "ScaleUp"), ("scaleDown", "ScaleDown")];

/// What differs between the metrics of a specification and those of a status.
struct Side {
    part: &'static str,
    utilization: &'static str,
    value: &'static str,
    average: &'static str,
}

const TARGET: Side = Side {
    part: "target",
    utilization: "targetAverageUtilization",
    value: "targetValue",
    average: "targetAverageValue",
};
const CURRENT: Side = Side {
    part: "current",
    utilization: "currentAverageUtilization",
    value: "currentValue",
    average: "currentAverageValue",
};

/// Turns the v2 form into the v1 form. `apiVersion` stays as it is.
pub fn to_v1(object: &mut Value) {
    let mut metrics = list(object, &["spec", "metrics"]);
    let utilization = |metric: &Value, part: &str| {
        let cpu = meta::text(metric, &["type"]) == "Resource" && meta::text(metric, &["resource", "name"]) == "cpu";
        meta::at(metric, &["resource", part, "averageUtilization"]).filter(|_| cpu).cloned()
    };
    let of_cpu = metrics.iter().position(|metric| utilization(metric, "target").is_some());
    if let Some(percent) = of_cpu.and_then(|index| utilization(&metrics.remove(index), "target")) {
        meta::set(object, &["spec", "targetCPUUtilizationPercentage"], percent);
    }
    annotate(object, METRICS, metrics.iter().map(|metric| flat(metric, &TARGET)).collect());
    let current = list(object, &["status", "currentMetrics"]);
    if let Some(percent) = current.iter().find_map(|metric| utilization(metric, "current")) {
        meta::set(object, &["status", "currentCPUUtilizationPercentage"], percent);
    }
    annotate(object, CURRENT_METRICS, current.iter().map(|metric| flat(metric, &CURRENT)).collect());
    let conditions = list(object, &["status", "conditions"]);
    annotate(object, CONDITIONS, conditions);
    if let Some(behavior) = meta::remove(object, &["spec", "behavior"]).filter(Value::is_object) {
        meta::set(object, &["metadata", "annotations", BEHAVIOR], behavior_text(&behavior));
    }
    meta::set_default(object, &["status", "currentReplicas"], 0);
}

/// Turns the v1 form into the v2 form. `apiVersion` stays as it is.
pub fn to_v2(object: &mut Value) {
    let mut metrics = Vec::new();
    if let Some(percent) = meta::remove(object, &["spec", "targetCPUUtilizationPercentage"]).filter(Value::is_number) {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        metrics.push(json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    metrics.extend(annotated(object, METRICS).iter().map(|metric| deep(metric, &TARGET)));
    if !metrics.is_empty() {
        meta::set(object, &["spec", "metrics"], metrics);
    }
    meta::remove(object, &["status", "currentCPUUtilizationPercentage"]);
    let current = annotated(object, CURRENT_METRICS);
    if !current.is_empty() {
        let current: Vec<Value> = current.iter().map(|metric| deep(metric, &CURRENT)).collect();
        meta::set(object, &["status", "currentMetrics"], current);
    }
    let conditions = annotated(object, CONDITIONS);
    if !conditions.is_empty() {
        meta::set(object, &["status", "conditions"], conditions);
    }
    if let Some(behavior) = take(object, BEHAVIOR).filter(Value::is_object) {
        meta::set(object, &["spec", "behavior"], behavior_value(&behavior));
    }
    if meta::annotations(object).next().is_none() {
        meta::remove(object, &["metadata", "annotations"]);
    }
    if meta::at(object, &["status", "currentReplicas"]) == Some(&json!(0)) {
        meta::remove(object, &["status", "currentReplicas"]);
    }
}

/// The name of the field in which a metric of this type describes its source.
fn source_of(metric: &Value) -> Option<&'static str> {
    let sort = meta::text(metric, &["type"]);
    super::METRICS.iter().find(|(name, _)| *name == sort).map(|(_, field)| *field)
}

/// A metric of v2 in the form of v1, in which source and target lie side by side.
fn flat(metric: &Value, side: &Side) -> Value {
    let Some(field) = source_of(metric) else {
        return metric.clone();
    };
    let source = metric.get(field).unwrap_or(&Value::Null);
    let amount = source.get(side.part).unwrap_or(&Value::Null);
    let mut out = Map::new();
    let mut put = |name: &str, value: Option<&Value>| {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            out.insert(name.to_owned(), value.clone());
        }
    };
    let selector = if field == "external" { "metricSelector" } else { "selector" };
    put("name", source.get("name"));
    put("container", source.get("container"));
    put("target", source.get("describedObject"));
    put("metricName", meta::at(source, &["metric", "name"]));
    put(selector, meta::at(source, &["metric", "selector"]));
    put(side.utilization, amount.get("averageUtilization"));
    put(side.value, amount.get("value"));
    put(if field == "object" { "averageValue" } else { side.average }, amount.get("averageValue"));
    json!({"type": metric["type"], field: out})
}

/// The reverse of [`flat`].
fn deep(metric: &Value, side: &Side) -> Value {
    let Some(field) = source_of(metric) else {
        return metric.clone();
    };
    let source = metric.get(field).unwrap_or(&Value::Null);
    let mut out = json!({});
    let selector = if field == "external" { "metricSelector" } else { "selector" };
    let average = if field == "object" { "averageValue" } else { side.average };
    let moves: [(&str, &[&str]); 8] = [
        ("name", &["name"]),
        ("container", &["container"]),
        ("target", &["describedObject"]),
        ("metricName", &["metric", "name"]),
        (selector, &["metric", "selector"]),
        (side.utilization, &[side.part, "averageUtilization"]),
        (side.value, &[side.part, "value"]),
        (average, &[side.part, "averageValue"]),
    ];
    for (name, path) in moves {
        if let Some(value) = source.get(name).filter(|value| !value.is_null()) {
            meta::set(&mut out, path, value.clone());
        }
    }
    if side.part == "target" {
        let has = |name: &str| source.get(name).is_some_and(|value| !value.is_null());
        let sort = match (has(side.utilization), has(side.value)) {
            (true, _) => "Utilization",
            (false, true) => "Value",
            (false, false) => "AverageValue",
        };
        meta::set(&mut out, &["target", "type"], sort);
    }
    json!({"type": metric["type"], field: out})
}

fn behavior_text(behavior: &Value) -> String {
    let object = |fields: Vec<String>| format!("{{{}}}", fields.join(","));
    let plain = |value: &Value, names: &[(&str, &str)]| {
        object(names.iter().map(|(from, to)| format!("{to:?}:{}", value.get(from).unwrap_or(&Value::Null))).collect())
    };
    let rules = |rules: &Value| {
        let field = |(from, to): &(&str, &str)| match rules.get(from).and_then(Value::as_array) {
            Some(policies) => {
                let policies: Vec<String> = policies.iter().map(|policy| plain(policy, &POLICY)).collect();
                format!("{to:?}:[{}]", policies.join(","))
            }
            None => format!("{to:?}:{}", rules.get(from).unwrap_or(&Value::Null)),
        };
        object(RULES.iter().map(field).collect())
    };
    let direction = |(from, to): &(&str, &str)| match behavior.get(from).filter(|value| value.is_object()) {
        Some(value) => format!("{to:?}:{}", rules(value)),
        None => format!("{to:?}:null"),
    };
    object(DIRECTIONS.iter().map(direction).collect())
}

fn behavior_value(behavior: &Value) -> Value {
    let renamed = |value: &Value, names: &[(&str, &str)]| -> Value {
        let fields = names.iter().filter_map(|(to, from)| {
            let value = value.get(from).filter(|value| !value.is_null())?;
            Some(((*to).to_owned(), value.clone()))
        });
        Value::Object(fields.collect())
    };
    let mut behavior = renamed(behavior, &DIRECTIONS);
    for rules in behavior.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
        *rules = renamed(rules, &RULES);
        for policy in rules.get_mut("policies").and_then(Value::as_array_mut).into_iter().flatten() {
            *policy = renamed(policy, &POLICY);
        }
    }
    behavior
}

fn list(object: &mut Value, path: &[&str]) -> Vec<Value> {
    match meta::remove(object, path) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn annotate(object: &mut Value, name: &str, items: Vec<Value>) {
    if !items.is_empty() {
        let text = show_in_order(&Value::from(items), ORDER);
        meta::set(object, &["metadata", "annotations", name], text);
    }
}

/// The value of an annotation, which is taken away.
fn take(object: &mut Value, name: &str) -> Option<Value> {
    let text = meta::remove(object, &["metadata", "annotations", name])?;
    serde_json::from_str(text.as_str()?).ok()
}

fn annotated(object: &mut Value, name: &str) -> Vec<Value> {
    match take(object, name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_convert_into_each_other() {
        let v2 = json!({
            "metadata": {"name": "web"},
            "spec": {
                "maxReplicas": 5,
                "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}},
                    {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "1"}}},
                    {"type": "External", "external": {"metric": {"name": "queue", "selector": {"matchLabels": {"q": "a"}}},
                        "target": {"type": "Value", "value": "30"}}},
                ],
                "behavior": {"scaleUp": {"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}},
            },
            "status": {"desiredReplicas": 1, "conditions": [{"type": "AbleToScale", "status": "True"}]},
        });
        let mut object = v2.clone();
        to_v1(&mut object);
        assert_eq!(object["spec"], json!({"maxReplicas": 5, "targetCPUUtilizationPercentage": 70}));
        assert_eq!(object["status"], json!({"desiredReplicas": 1, "currentReplicas": 0}));
        assert_eq!(
            meta::annotation(&object, METRICS),
            Some(
                r#"[{"type":"Pods","pods":{"metricName":"rps","targetAverageValue":"1"}},{"type":"External","external":{"metricName":"queue","metricSelector":{"matchLabels":{"q":"a"}},"targetValue":"30"}}]"#
            )
        );
        assert_eq!(
            meta::annotation(&object, BEHAVIOR),
            Some(
                r#"{"ScaleUp":{"StabilizationWindowSeconds":null,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}],"Tolerance":null},"ScaleDown":null}"#
            )
        );
        to_v2(&mut object);
        assert_eq!(object, v2);
    }
}
