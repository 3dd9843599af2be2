//! What is wrong with the fields that the scheduler reads: affinity, tolerations, spreading, gates.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use steersman_machinery::field::FieldError;
use steersman_machinery::{meta, names};

use crate::kinds::check::Cursor;
use crate::kinds::check::dump::{Fields, Shape};

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
const POLICIES: &[&str] = &["Honor", "Ignore"];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

const REQUIREMENT: Fields =
    &[("Key", "key", Shape::Text), ("Operator", "operator", Shape::Text), ("Values", "values", Shape::Same)];
/// `core.NodeSelectorTerm`.
pub(crate) const TERM: Fields = &[
    ("MatchExpressions", "matchExpressions", Shape::List(REQUIREMENT)),
    ("MatchFields", "matchFields", Shape::List(REQUIREMENT)),
];

/// `affinity` of a pod specification.
pub(super) fn affinity(affinity: &Cursor<'_>) {
    let node = affinity.at("nodeAffinity");
    let required = node.at(REQUIRED);
    if required.is_set() {
        node_selector(&required);
    }
    for preferred in node.at(PREFERRED).items() {
        weight(&preferred.at("weight"));
        node_term(&preferred.at("preference"), false);
    }
    for sort in ["podAffinity", "podAntiAffinity"] {
        let pod = affinity.at(sort);
        for term in pod.at(REQUIRED).items() {
            pod_term(&term);
        }
        for preferred in pod.at(PREFERRED).items() {
            weight(&preferred.at("weight"));
            pod_term(&preferred.at("podAffinityTerm"));
        }
    }
}

fn weight(weight: &Cursor<'_>) {
    let number = weight.int().unwrap_or_default();
    if !(1..=100).contains(&number) {
        weight.invalid_as(number.to_string(), "must be in the range 1-100");
    }
}

/// A node selector: at least one term.
pub(crate) fn node_selector(selector: &Cursor<'_>) {
    let terms = selector.at("nodeSelectorTerms");
    if terms.is_empty() {
        terms.required("must have at least one node selector term");
    }
    for term in terms.items() {
        node_term(&term, true);
    }
}

/// A term of a node selector. What is only preferred may name values that no label has.
fn node_term(term: &Cursor<'_>, of_labels: bool) {
    for requirement in term.at("matchExpressions").items() {
        node_requirement(&requirement);
        requirement.at("key").named(names::qualified_name);
        if of_labels {
            for value in requirement.at("values").items() {
                value.named(names::label_value);
            }
        }
    }
    for requirement in term.at("matchFields").items() {
        let (values, operator, key) = (requirement.at("values"), requirement.at("operator"), requirement.at("key"));
        match operator.text() {
            "In" | "NotIn" if values.len() != 1 => {
                values.required("must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
            }
            "In" | "NotIn" => {}
            _ => operator.invalid_text("not a valid selector operator"),
        }
        if key.text() == "metadata.name" {
            for value in values.items() {
                value.named(names::dns1123_subdomain);
            }
        } else {
            key.invalid_text("not a valid field selector key");
        }
    }
}

fn node_requirement(requirement: &Cursor<'_>) {
    let values = requirement.at("values");
    match requirement.at("operator").text() {
        "In" | "NotIn" if values.is_empty() => {
            values.required("must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if values.len() != 1 => {
            values.required("must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        _ => requirement.at("operator").invalid_text("not a valid selector operator"),
    }
}

fn pod_term(term: &Cursor<'_>) {
    term.at("labelSelector").label_selector();
    term.at("namespaceSelector").label_selector();
    for namespace in term.at("namespaces").items() {
        for complaint in names::dns1123_label(namespace.text()) {
            term.at("namespace").invalid_str(namespace.text(), complaint);
        }
    }
    label_keys(term);
    let key = term.at("topologyKey");
    if key.is_empty() {
        key.required("can not be empty");
    }
    key.named(names::qualified_name);
}

/// `matchLabelKeys` and `mismatchLabelKeys`: names of labels that the selector beside them does not have yet. The
/// requirements that were made of them are in the selector already.
fn label_keys(term: &Cursor<'_>) {
    let (matched, mismatched) = (term.at("matchLabelKeys"), term.at("mismatchLabelKeys"));
    let selector = term.at("labelSelector");
    for keys in [&matched, &mismatched] {
        if !keys.is_empty() && !selector.is_set() {
            keys.forbidden("must not be specified when labelSelector is not set");
            continue;
        }
        for key in keys.items() {
            key.named(names::qualified_name);
        }
    }
    let mut seen: BTreeSet<&str> = selector.at("matchLabels").entries().map(|(key, _)| key).collect();
    let places = matched.items().enumerate().map(|(index, item)| (item.text(), (index, item.value)));
    let places: BTreeMap<&str, (usize, &Value)> = places.collect();
    for requirement in selector.at("matchExpressions").items() {
        let key = requirement.at("key").text();
        if let Some((index, value)) = places.get(key)
            && seen.contains(key)
        {
            let item = term.with(Some(*value), term.path.index(*index));
            item.invalid_text("exists in both matchLabelKeys and labelSelector");
        }
        seen.insert(key);
    }
    let mismatched: BTreeSet<&str> = mismatched.items().map(|key| key.text()).collect();
    for key in matched.items() {
        if mismatched.contains(key.text()) {
            key.invalid_text("exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}

/// Turns `matchLabelKeys` and `mismatchLabelKeys` of a new pod into requirements on the labels that the pod has.
pub(super) fn merge_label_keys(pod: &mut Value) {
    let labels: BTreeMap<String, String> =
        meta::labels(pod).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    for sort in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = meta::at_mut(pod, &["spec", "affinity", sort]) else {
            continue;
        };
        let mut merge = |term: &mut Value| {
            merge_keys(term, "matchLabelKeys", "In", &labels);
            merge_keys(term, "mismatchLabelKeys", "NotIn", &labels);
        };
        super::defaults::each(affinity, REQUIRED, &mut merge);
        super::defaults::each(affinity, PREFERRED, |preferred| {
            if let Some(term) = preferred.get_mut("podAffinityTerm") {
                merge(term);
            }
        });
    }
    if let Some(spec) = pod.get_mut("spec") {
        super::defaults::each(spec, "topologySpreadConstraints", |constraint| {
            merge_keys(constraint, "matchLabelKeys", "In", &labels);
        });
    }
}

fn merge_keys(term: &mut Value, field: &str, operator: &str, labels: &BTreeMap<String, String>) {
    if !term.get("labelSelector").is_some_and(Value::is_object) {
        return;
    }
    let keys: Vec<String> =
        meta::items(term, &[field]).iter().filter_map(|key| key.as_str().map(str::to_owned)).collect();
    let present = meta::items(term, &["labelSelector", "matchExpressions"]).iter().map(Value::to_string);
    let mut present: BTreeSet<String> = present.collect();
    for key in keys {
        let Some(value) = labels.get(&key) else {
            continue;
        };
        let requirement = json!({"key": key, "operator": operator, "values": [value]});
        let selector = meta::object_at(term, &["labelSelector"]);
        let requirements = selector.entry("matchExpressions").or_insert_with(|| json!([]));
        if let Some(requirements) = requirements.as_array_mut()
            && present.insert(requirement.to_string())
        {
            requirements.push(requirement);
        }
    }
}

/// `tolerations` of a pod specification.
pub(crate) fn tolerations(tolerations: &Cursor<'_>) {
    for toleration in tolerations.items() {
        let (key, operator) = (toleration.at("key"), toleration.at("operator"));
        let (value, effect) = (toleration.at("value"), toleration.at("effect"));
        if !key.is_empty() {
            key.named(names::qualified_name);
        } else if operator.text() != "Exists" {
            operator.invalid_text(
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            );
        }
        if toleration.at("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
            effect.invalid_text("effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        match operator.text() {
            "Equal" | "" => value_of_operator(&operator, &value),
            "Exists" if !value.is_empty() => {
                operator.invalid_as(value_shown(&value), "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            // Comparing numbers is an alpha feature; its operators are listed to those who use them.
            "Gt" | "Lt" => operator.not_supported(&["Equal", "Exists", "Lt", "Gt"]),
            _ => operator.not_supported(&["Equal", "Exists"]),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect.text()) {
            effect.not_supported(EFFECTS);
        }
    }
}

fn value_shown(value: &Cursor<'_>) -> String {
    steersman_machinery::field::go_quote(value.text())
}

fn value_of_operator(operator: &Cursor<'_>, value: &Cursor<'_>) {
    let complaints = names::label_value(value.text());
    if !complaints.is_empty() {
        operator.invalid_str(value.text(), complaints.join(";"));
    }
}

/// `topologySpreadConstraints` of a pod specification.
pub(super) fn topology_spread(constraints: &Cursor<'_>) {
    let pair = |constraint: &Cursor<'_>| {
        format!("{{{}, {}}}", constraint.at("topologyKey").text(), constraint.at("whenUnsatisfiable").text())
    };
    let pairs: Vec<String> = constraints.items().map(|constraint| pair(&constraint)).collect();
    let last: BTreeMap<&str, usize> = pairs.iter().enumerate().map(|(index, pair)| (pair.as_str(), index)).collect();
    for (index, constraint) in constraints.items().enumerate() {
        constraint.at("maxSkew").greater_than_zero();
        let key = constraint.at("topologyKey");
        if key.is_empty() {
            key.required("can not be empty");
        }
        let action = constraint.at("whenUnsatisfiable");
        if !matches!(action.text(), "DoNotSchedule" | "ScheduleAnyway") {
            action.not_supported(&["DoNotSchedule", "ScheduleAnyway"]);
        }
        if last[pairs[index].as_str()] > index {
            let path = constraint.path.child("{topologyKey, whenUnsatisfiable}");
            constraint.push(FieldError::duplicate(&path, &pairs[index].as_str().into()));
        }
        let domains = constraint.at("minDomains");
        if domains.is_set() {
            domains.greater_than_zero();
            if action.text() != "DoNotSchedule" {
                let rule = "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not";
                domains.invalid(format!("{rule} {}", action.text()));
            }
        }
        constraint.at("nodeAffinityPolicy").one_of(POLICIES);
        constraint.at("nodeTaintsPolicy").one_of(POLICIES);
        label_keys(&constraint);
        constraint.at("labelSelector").label_selector();
    }
}

/// `readinessGates` and `schedulingGates` of the pod specification at `spec`.
pub(super) fn gates(spec: &Cursor<'_>) {
    for gate in spec.at("readinessGates").items() {
        gate.at("conditionType").named(names::qualified_name);
    }
    let mut seen = BTreeSet::new();
    for gate in spec.at("schedulingGates").items() {
        let name = gate.at("name");
        name.named(names::qualified_name);
        if !seen.insert(name.text()) {
            gate.push(FieldError::duplicate(&gate.path, name.value));
        }
    }
}
