//! The scopes of quotas: which objects a quota is about at all.

use serde_json::Value;

use super::pods::is_terminating;
use crate::meta;
use crate::pod::qos;

/// One condition.
pub(super) struct Scope<'a> {
    name: &'a str,
    operator: &'a str,
    values: Vec<&'a str>,
}

/// The conditions of a quota; all of them have to hold.
pub(super) fn of(quota: &Value) -> impl Iterator<Item = Scope<'_>> {
    let names = meta::items(quota, &["spec", "scopes"]).iter().filter_map(Value::as_str);
    let named = names.map(|name| Scope { name, operator: "Exists", values: Vec::new() });
    let expressions = meta::items(quota, &["spec", "scopeSelector", "matchExpressions"]);
    named.chain(expressions.iter().map(|expression| Scope {
        name: meta::text(expression, &["scopeName"]),
        operator: meta::text(expression, &["operator"]),
        values: meta::items(expression, &["values"]).iter().filter_map(Value::as_str).collect(),
    }))
}

/// Whether a pod is in a scope.
pub(super) fn pod(scope: &Scope<'_>, pod: &Value) -> bool {
    let best_effort = || {
        let known = meta::text(pod, &["status", "qosClass"]);
        (if known.is_empty() { qos::class(pod) } else { known }) == "BestEffort"
    };
    match scope.name {
        "Terminating" => is_terminating(pod),
        "NotTerminating" => !is_terminating(pod),
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "PriorityClass" => selects(scope, &[meta::text(pod, &["spec", "priorityClassName"])]),
        "CrossNamespacePodAffinity" => looks_into_other_namespaces(pod),
        _ => false,
    }
}

/// Whether a claim is in a scope.
pub(super) fn claim(scope: &Scope<'_>, claim: &Value) -> bool {
    const CLASSES: [&[&str]; 3] = [
        &["spec", "volumeAttributesClassName"],
        &["status", "currentVolumeAttributesClassName"],
        &["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"],
    ];
    scope.name == "VolumeAttributesClass" && selects(scope, &CLASSES.map(|path| meta::text(claim, path)))
}

/// Whether one of the values (those that are not empty) is selected. Nothing is not in any list.
fn selects(scope: &Scope<'_>, values: &[&str]) -> bool {
    let mut present = values.iter().filter(|value| !value.is_empty());
    match scope.operator {
        "Exists" => present.next().is_some(),
        "DoesNotExist" => present.next().is_none(),
        "In" => present.any(|value| scope.values.contains(value)),
        "NotIn" => !present.any(|value| scope.values.contains(value)),
        _ => false,
    }
}

fn looks_into_other_namespaces(pod: &Value) -> bool {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let elsewhere = |term: &Value| {
        !meta::items(term, &["namespaces"]).is_empty()
            || term.get("namespaceSelector").is_some_and(|selector| !selector.is_null())
    };
    ["podAffinity", "podAntiAffinity"].into_iter().any(|kind| {
        let required = meta::items(pod, &["spec", "affinity", kind, REQUIRED]);
        let preferred = meta::items(pod, &["spec", "affinity", kind, PREFERRED]);
        required.iter().any(elsewhere) || preferred.iter().filter_map(|it| it.get("podAffinityTerm")).any(elsewhere)
    })
}
