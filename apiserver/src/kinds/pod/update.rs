//! What an update may change of a pod. Source: `ValidatePodUpdate` of `k8s.io/kubernetes/pkg/apis/core/validation`.

use serde_json::{Value, json};
use steersman_machinery::meta;

use super::validation;
use crate::kinds::check::{self, Cursor, same};

const ONLY_THESE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// What is wrong with the change from the pod `old` to the pod at `object`.
pub(super) fn pod(object: &Cursor<'_>, old: &Value) {
    validation::pod(object);
    let spec = object.at("spec");
    for field in ["containers", "initContainers"] {
        if spec.at(field).len() != meta::items(old, &["spec", field]).len() {
            spec.at(field).forbidden("pod updates may not add or remove containers");
            return;
        }
    }
    if !active_deadline(&spec, old) {
        return;
    }
    tolerations(&spec.at("tolerations"), old);
    scheduling_gates(&spec.at("schedulingGates"), old);
    let gated = !meta::items(old, &["spec", "schedulingGates"]).is_empty();
    let mut munged = spec.value.clone();
    let old_spec = old.get("spec").cloned().unwrap_or_default();
    munge(&mut munged, &old_spec);
    if gated {
        node_selector(&spec.at("nodeSelector"), old);
        node_affinity(&spec, old);
        for path in [&["nodeSelector"][..], &["affinity", "nodeAffinity"]] {
            crate::registry::strategy::restore(&mut munged, &old_spec, path);
        }
    }
    let mut before = old_spec.clone();
    drop_empty_affinity(&mut before);
    drop_empty_affinity(&mut munged);
    if !same(Some(&munged), Some(&before)) {
        let difference = difference(&before, &munged);
        spec.forbidden(format!("{ONLY_THESE}\n{difference}"));
    }
}

/// Puts back what an update may change, so that what is left must be equal.
fn munge(spec: &mut Value, old: &Value) {
    for field in ["containers", "initContainers"] {
        let images: Vec<Option<Value>> =
            meta::items(old, &[field]).iter().map(|container| container.get("image").cloned()).collect();
        let containers = spec.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten();
        for (container, image) in containers.zip(images) {
            match image {
                Some(image) => meta::set(container, &["image"], image),
                None => drop(meta::remove(container, &["image"])),
            }
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        crate::registry::strategy::restore(spec, old, &[field]);
    }
    let grace = |spec: &Value| spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64);
    if grace(old).is_some_and(|seconds| seconds < 0) && grace(spec) == Some(1) {
        crate::registry::strategy::restore(spec, old, &["terminationGracePeriodSeconds"]);
    }
}

fn drop_empty_affinity(spec: &mut Value) {
    if spec.get("affinity") == Some(&json!({})) {
        meta::remove(spec, &["affinity"]);
    }
}

/// Whether the deadline changed as it may: set, or lowered.
fn active_deadline(spec: &Cursor<'_>, old: &Value) -> bool {
    let deadline = spec.at("activeDeadlineSeconds");
    let before = meta::at(old, &["spec", "activeDeadlineSeconds"]).and_then(Value::as_i64);
    match (before, deadline.int()) {
        (Some(before), Some(after)) if after > before => {
            deadline.invalid("must be less than or equal to previous value");
            false
        }
        (Some(_), None) => {
            deadline.invalid("must not update from a positive integer to nil value");
            false
        }
        _ => true,
    }
}

fn tolerations(tolerations: &Cursor<'_>, old: &Value) {
    let key = |toleration: &Value| {
        let mut toleration = toleration.clone();
        meta::remove(&mut toleration, &["tolerationSeconds"]);
        toleration
    };
    let kept = meta::items(old, &["spec", "tolerations"])
        .iter()
        .all(|before| tolerations.items().any(|after| same(Some(&key(before)), Some(&key(after.value)))));
    if !kept {
        tolerations.forbidden("existing toleration can not be modified except its tolerationSeconds");
    }
}

fn scheduling_gates(gates: &Cursor<'_>, old: &Value) {
    let before: Vec<&str> =
        meta::items(old, &["spec", "schedulingGates"]).iter().map(|gate| meta::text(gate, &["name"])).collect();
    for gate in gates.items() {
        let name = gate.at("name");
        if !before.contains(&name.text()) {
            name.forbidden(format!("only deletion is allowed, but found new scheduling gate '{}'", name.text()));
        }
    }
}

/// A gated pod may be given more node labels to insist on.
fn node_selector(selector: &Cursor<'_>, old: &Value) {
    let kept = meta::pairs(old, &["spec", "nodeSelector"]).all(|(key, value)| selector.key(key).value == value);
    if !kept {
        selector.invalid("only additions to spec.nodeSelector are allowed (no mutations or deletions)");
    }
}

/// A gated pod may be given more requirements in each of its required terms.
fn node_affinity(spec: &Cursor<'_>, old: &Value) {
    let path = ["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];
    let terms = spec.down(&path);
    let mut old_path = vec!["spec"];
    old_path.extend(path);
    let before = meta::items(old, &old_path);
    if before.is_empty() {
        return;
    }
    if terms.len() != before.len() {
        terms.invalid("no additions/deletions to non-empty NodeSelectorTerms list are allowed");
        return;
    }
    for (term, before) in terms.items().zip(before) {
        for (field, kept) in [("matchExpressions", true), ("matchFields", true)] {
            let all = meta::items(before, &[field])
                .iter()
                .enumerate()
                .all(|(index, old)| term.at(field).items().nth(index).is_some_and(|new| new.value == old));
            if all != kept {
                term.invalid("only additions are allowed (no mutations or deletions)");
                return;
            }
        }
    }
}

/// The lines in which two specifications differ.
pub(super) fn difference(old: &Value, new: &Value) -> String {
    let lines = |value: &Value| -> Vec<String> {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        text.lines().map(|line| line.trim_end_matches(',').to_owned()).collect()
    };
    let (old, new) = (lines(old), lines(new));
    let prefix = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = |lines: &[String]| lines.len() - prefix;
    let suffix = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(rest(&old).min(rest(&new)))
        .take_while(|(old, new)| old == new)
        .count();
    let part = |sign: char, lines: &[String]| -> Vec<String> {
        lines[prefix..lines.len() - suffix].iter().map(|line| format!("{sign}{line}\n")).collect()
    };
    format!("{}{}", part('-', &old).concat(), part('+', &new).concat())
}

/// What is wrong with a change of the status of a pod.
pub(super) fn status(object: &Value, old: &Value) -> steersman_machinery::field::ErrorList {
    check::collect(object, |root| {
        let status = root.at("status");
        let nominated = status.at("nominatedNodeName");
        if !nominated.is_empty() {
            nominated.named(steersman_machinery::names::dns1123_subdomain);
        }
        let policy = meta::text(old, &["spec", "restartPolicy"]);
        for field in ["containerStatuses", "initContainerStatuses"] {
            container_states(&status.at(field), meta::items(old, &["status", field]), policy);
        }
        let class = status.at("qosClass");
        let before = meta::text(old, &["status", "qosClass"]);
        if !before.is_empty() && class.text() != before {
            class.invalid_text(check::IMMUTABLE);
        }
        validation::pod_addresses(&status);
    })
}

/// A container that ended for good stays ended.
fn container_states(statuses: &Cursor<'_>, old: &[Value], policy: &str) {
    if policy == "Always" || policy.is_empty() {
        return;
    }
    for before in old {
        let Some(terminated) = meta::at(before, &["state", "terminated"]) else {
            continue;
        };
        let failed = terminated.get("exitCode").and_then(Value::as_i64).unwrap_or_default() != 0;
        if policy == "OnFailure" && failed {
            continue;
        }
        for status in statuses.items() {
            let state = status.at("state");
            if status.at("name").text() == meta::text(before, &["name"]) && !state.at("terminated").is_set() {
                state.forbidden("may not be transitioned to non-terminated state");
            }
        }
    }
}
