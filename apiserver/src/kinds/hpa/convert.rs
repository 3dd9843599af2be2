//! `autoscaling/v1` and `v2`: what v1 lacks stands in annotations of its objects.
//! Source: `k8s.io/kubernetes/pkg/apis/autoscaling/v1/conversion.go`.

use serde_json::{Value, json};
use steersman_machinery::meta;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Turns the v2 form into the v1 form. `apiVersion` stays as it is.
pub fn to_v1(object: &mut Value) {
    let metrics = list(object, &["spec", "metrics"]);
    let current = list(object, &["status", "currentMetrics"]);
    let of_cpu = |metric: &Value| {
        meta::text(metric, &["type"]) == "Resource" && meta::text(metric, &["resource", "name"]) == "cpu"
    };
    let utilization = |metric: &Value, part: &str| meta::at(metric, &["resource", part, "averageUtilization"]).cloned();
    let mut others = metrics;
    let target = others
        .iter()
        .position(|metric| of_cpu(metric) && utilization(metric, "target").is_some())
        .map(|index| others.remove(index));
    if let Some(percent) = target.and_then(|metric| utilization(&metric, "target")) {
        meta::set(object, &["spec", "targetCPUUtilizationPercentage"], percent);
    }
    annotate(object, METRICS, others);
    let now = current.iter().find(|metric| of_cpu(metric));
    if let Some(percent) = now.and_then(|metric| utilization(metric, "current")) {
        meta::set(object, &["status", "currentCPUUtilizationPercentage"], percent);
    }
    annotate(object, CURRENT_METRICS, current);
    let conditions = list(object, &["status", "conditions"]);
    annotate(object, CONDITIONS, conditions);
    if let Some(behavior) = meta::remove(object, &["spec", "behavior"]).filter(Value::is_object) {
        meta::set(object, &["metadata", "annotations", BEHAVIOR], behavior.to_string());
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
    metrics.extend(annotated(object, METRICS));
    if !metrics.is_empty() {
        meta::set(object, &["spec", "metrics"], metrics);
    }
    meta::remove(object, &["status", "currentCPUUtilizationPercentage"]);
    for (annotation, field) in [(CURRENT_METRICS, "currentMetrics"), (CONDITIONS, "conditions")] {
        let items = annotated(object, annotation);
        if !items.is_empty() {
            meta::set(object, &["status", field], items);
        }
    }
    if let Some(behavior) = take(object, BEHAVIOR).filter(Value::is_object) {
        meta::set(object, &["spec", "behavior"], behavior);
    }
    if meta::annotations(object).next().is_none() {
        meta::remove(object, &["metadata", "annotations"]);
    }
    if meta::at(object, &["status", "currentReplicas"]) == Some(&json!(0)) {
        meta::remove(object, &["status", "currentReplicas"]);
    }
}

fn list(object: &mut Value, path: &[&str]) -> Vec<Value> {
    match meta::remove(object, path) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn annotate(object: &mut Value, name: &str, items: Vec<Value>) {
    if !items.is_empty() {
        meta::set(object, &["metadata", "annotations", name], Value::from(items).to_string());
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
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}});
        let pods = json!({"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "1"}}});
        let v2 = json!({
            "metadata": {"name": "web"},
            "spec": {"maxReplicas": 5, "metrics": [cpu, pods], "behavior": {"scaleUp": {"selectPolicy": "Max"}}},
            "status": {"desiredReplicas": 1, "conditions": [{"type": "AbleToScale", "status": "True"}]},
        });
        let mut object = v2.clone();
        to_v1(&mut object);
        assert_eq!(object["spec"], json!({"maxReplicas": 5, "targetCPUUtilizationPercentage": 70}));
        assert_eq!(object["status"], json!({"desiredReplicas": 1, "currentReplicas": 0}));
        assert_eq!(meta::annotations(&object).count(), 3);
        to_v2(&mut object);
        assert_eq!(object, v2);
    }
}
