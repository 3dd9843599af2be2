//! What is said about the pods of a namespace that gets a stricter standard: they stay, but they would not be made again.

use std::collections::BTreeMap;

use serde_json::Value;
use steersman_machinery::meta;

use super::checks::{Pod, evaluate};
use super::policy::Standard;

/// How many pods are looked at.
const MOST: usize = 3000;

/// The warnings about the pods of a namespace.
pub(super) fn warnings(namespace: &str, pods: &[Value], standard: Standard) -> Vec<String> {
    // The names of the pods that have the same faults.
    let mut faults: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for pod in pods.iter().take(MOST) {
        let subject = Pod { metadata: pod.get("metadata"), spec: pod.get("spec").unwrap_or(&Value::Null) };
        let violations = evaluate(standard, subject);
        if !violations.is_empty() {
            faults.entry(violations.reasons()).or_default().push(meta::name(pod));
        }
    }
    let mut warnings = Vec::new();
    if pods.len() > MOST {
        let all = pods.len();
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {MOST} of {all} existing pods"
        ));
    }
    if !faults.is_empty() {
        warnings.push(format!(
            "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{standard}\""
        ));
    }
    let mut lines: Vec<String> = faults.iter().map(|(faults, names)| line(names, faults)).collect();
    lines.sort();
    warnings.extend(lines);
    warnings
}

fn line(names: &[&str], faults: &str) -> String {
    let first = names.iter().min().copied().unwrap_or_default();
    match names.len() {
        0 | 1 => format!("{first}: {faults}"),
        2 => format!("{first} (and 1 other pod): {faults}"),
        count => format!("{first} (and {} other pods): {faults}", count - 1),
    }
}
