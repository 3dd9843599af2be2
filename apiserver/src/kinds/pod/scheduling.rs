//! What is wrong with the fields that the scheduler reads: affinity, tolerations, spreading, gates.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use steersman_machinery::field::FieldError;
use steersman_machinery::{meta, names};

use crate::kinds::check::Cursor;

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
const POLICIES: &[&str] = &["Honor", "Ignore"];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// `affinity` of a pod specification.
pub(super) fn affinity(affinity: &Cursor<'_>) {
    let node = affinity.at("nodeAffinity");
    let required = node.at(REQUIRED);
    if required.is_set() {
        node_selector(&required);
    }
    for preferred in node.at(PREFERRED).items() {
        weight(&preferred.at("weight"));
        node_term(&preferred.at("preference"));
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
        node_term(&term);
    }
}

fn node_term(term: &Cursor<'_>) {
    for requirement in term.at("matchExpressions").items() {
        node_requirement(&requirement);
        requirement.at("key").named(names::qualified_name);
        if matches!(requirement.at("operator").text(), "In" | "NotIn") {
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
    match_label_keys(term, "matchLabelKeys");
    match_label_keys(term, "mismatchLabelKeys");
    let key = term.at("topologyKey");
    if key.is_empty() {
        key.required("can not be empty");
    }
    key.named(names::qualified_name);
}

fn match_label_keys(term: &Cursor<'_>, field: &str) {
    let keys = term.at(field);
    if !keys.is_empty() && !term.at("labelSelector").is_set() {
        keys.forbidden("must not be specified when labelSelector is not set");
    }
    for key in keys.items() {
        key.named(names::qualified_name);
    }
}

/// Turns `matchLabelKeys` and `mismatchLabelKeys` of a new pod into requirements on the labels that the pod has.
pub(super) fn merge_label_keys(pod: &mut Value) {
    let labels: Vec<(String, String)> =
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

fn merge_keys(term: &mut Value, field: &str, operator: &str, labels: &[(String, String)]) {
    if !term.get("labelSelector").is_some_and(Value::is_object) {
        return;
    }
    let keys: Vec<String> =
        meta::items(term, &[field]).iter().filter_map(|key| key.as_str().map(str::to_owned)).collect();
    for key in keys {
        let Some((_, value)) = labels.iter().find(|(label, _)| *label == key) else {
            continue;
        };
        let requirement = json!({"key": key, "operator": operator, "values": [value]});
        let selector = meta::object_at(term, &["labelSelector"]);
        let requirements = selector.entry("matchExpressions").or_insert_with(|| json!([]));
        if let Some(requirements) = requirements.as_array_mut()
            && !requirements.contains(&requirement)
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
    let mut pairs = BTreeSet::new();
    for constraint in constraints.items() {
        let skew = constraint.at("maxSkew");
        if skew.int().unwrap_or_default() <= 0 {
            skew.invalid_as(skew.int().unwrap_or_default().to_string(), "must be greater than zero");
        }
        let key = constraint.at("topologyKey");
        if key.is_empty() {
            key.required("can not be empty");
        } else {
            key.named(names::qualified_name);
        }
        let action = constraint.at("whenUnsatisfiable");
        if !matches!(action.text(), "DoNotSchedule" | "ScheduleAnyway") {
            action.not_supported(&["DoNotSchedule", "ScheduleAnyway"]);
        }
        let pair = format!("{{{}, {}}}", key.text(), action.text());
        if !pairs.insert(pair.clone()) {
            let path = constraint.path.child("{topologyKey, whenUnsatisfiable}");
            constraint.push(FieldError::duplicate(&path, &pair.into()));
        }
        let domains = constraint.at("minDomains");
        if domains.is_set() {
            if domains.int().unwrap_or_default() <= 0 {
                domains.invalid("must be greater than zero");
            }
            if action.text() != "DoNotSchedule" {
                domains.invalid("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway");
            }
        }
        constraint.at("nodeAffinityPolicy").one_of(POLICIES);
        constraint.at("nodeTaintsPolicy").one_of(POLICIES);
        match_label_keys(&constraint, "matchLabelKeys");
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
