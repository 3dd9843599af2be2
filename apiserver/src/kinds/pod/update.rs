//! What an update may change of a pod. Source: `ValidatePodUpdate` of `k8s.io/kubernetes/pkg/apis/core/validation`.

use serde_json::{Value, json};
use steersman_machinery::field::Path;
use steersman_machinery::meta;

use super::scheduling::TERM;
use super::{annotations, containers, scheduling, validation};
use crate::kinds::check::dump;
use crate::kinds::check::{Cursor, same};

const ONLY_THESE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// What is wrong with the change from the pod `old` to the pod at `object`.
pub(super) fn pod(object: &Cursor<'_>, old: &Value) {
    validation::pod(object);
    let spec = object.at("spec");
    let annotations = object.at("metadata").at("annotations");
    annotations::update(
        &annotations,
        &annotations.with(meta::at(old, &["metadata", "annotations"]), Path::default()),
        &spec,
    );
    for field in ["containers", "initContainers"] {
        if spec.at(field).len() != meta::items(old, &["spec", field]).len() {
            spec.at(field).forbidden("pod updates may not add or remove containers");
            return;
        }
        for container in spec.at(field).items() {
            container.at("image").must_be_set();
            containers::unpadded_image(&container);
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
        (_, Some(after)) if !(0..=i64::from(i32::MAX)).contains(&after) => {
            deadline.in_range(0, i64::from(i32::MAX));
            false
        }
        (Some(before), Some(after)) if after > before => {
            deadline.invalid("must be less than or equal to previous value");
            false
        }
        (Some(_), None) => {
            deadline.invalid("must not update from a positive integer to nil value");
            true
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
        return;
    }
    // Upstream judges them twice; so do we.
    scheduling::tolerations(tolerations);
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
    let shown = |terms: &[Value]| dump::internal_list(terms, TERM);
    if terms.len() != before.len() {
        let terms_shown = terms.value.as_array().map_or_else(|| "null".to_owned(), |terms| shown(terms));
        terms.invalid_as(terms_shown, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
        return;
    }
    for (term, before) in terms.items().zip(before) {
        let empty = ["matchExpressions", "matchFields"].iter().all(|field| meta::items(before, &[field]).is_empty());
        let grown = ["matchExpressions", "matchFields"].iter().any(|field| !term.at(field).is_empty());
        let kept = ["matchExpressions", "matchFields"].iter().all(|field| {
            let mut new = term.at(field).items();
            meta::items(before, &[field]).iter().all(|old| new.next().is_some_and(|new| new.value == old))
        });
        if !kept || (empty && grown) {
            term.invalid_as(dump::internal(term.value, TERM), "only additions are allowed (no mutations or deletions)");
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
