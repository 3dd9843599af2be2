//! What makes no sense in node selectors, in upstream's words. Source: `k8s.io/component-helpers/scheduling/corev1/nodeaffinity`,
//! `k8s.io/apimachinery/pkg/labels.NewRequirement`.

use serde_json::json;
use steersman_machinery::names::label_value;

use crate::wire::{NodeSelectorTerm, PreferredSchedulingTerm, Requirement};

/// The faults of terms; `path` is that of their list. `None` if there are none.
pub(crate) fn faults<'a>(path: &str, terms: impl Iterator<Item = &'a NodeSelectorTerm>) -> Option<String> {
    let of_term = |(place, term): (usize, &NodeSelectorTerm)| term_faults(&format!("{path}[{place}]"), term);
    joined(terms.enumerate().flat_map(of_term).collect())
}

/// The same for preferences; those that count nothing are not looked at. A pod with such a preference cannot be scored, whereas
/// required terms of that kind just match no node.
pub(crate) fn preference_faults(path: &str, preferred: &[PreferredSchedulingTerm]) -> Option<String> {
    let of_term = |(place, term): (usize, &PreferredSchedulingTerm)| match term.weight {
        0 => Vec::new(),
        _ => term_faults(&format!("{path}[{place}]"), &term.preference),
    };
    joined(preferred.iter().enumerate().flat_map(of_term).collect())
}

/// As several errors are told together.
fn joined(found: Vec<String>) -> Option<String> {
    match found.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("[{}]", several.join(", "))),
    }
}

fn term_faults(path: &str, term: &NodeSelectorTerm) -> Vec<String> {
    let labels = term.match_expressions.iter().enumerate();
    let labels = labels.flat_map(|(place, it)| label_faults(&format!("{path}.matchExpressions[{place}]"), it));
    let fields = term.match_fields.iter().enumerate();
    let fields = fields.filter_map(|(place, it)| field_fault(&format!("{path}.matchFields[{place}]"), it));
    labels.chain(fields).collect()
}

fn label_faults(path: &str, requirement: &Requirement) -> Vec<String> {
    let values = &requirement.values;
    let all = |why: &str| vec![format!("{path}.values: Invalid value: {}: {why}", json!(values))];
    let mut found = match requirement.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => all("for 'in', 'notin' operators, values set can't be empty"),
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            all("values set must be empty for exists and does not exist")
        }
        "Gt" | "Lt" if values.len() != 1 => all("for 'Gt', 'Lt' operators, exactly one value is required"),
        "Gt" | "Lt" if values.iter().any(|value| value.parse::<i64>().is_err()) => {
            let why = "for 'Gt', 'Lt' operators, the value must be an integer";
            vec![format!("{path}.values[0]: Invalid value: {:?}: {why}", values[0])]
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => Vec::new(),
        other => {
            let known = r#""In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt""#;
            return vec![format!("{path}.operator: Unsupported value: {other:?}: supported values: {known}")];
        }
    };
    for (index, value) in values.iter().enumerate() {
        let why = label_value(value).join("; ");
        if !why.is_empty() {
            found.push(format!("{path}.values[{index}][{}]: Invalid value: {value:?}: {why}", requirement.key));
        }
    }
    found
}

fn field_fault(path: &str, requirement: &Requirement) -> Option<String> {
    let operator = &requirement.operator;
    if !matches!(operator.as_str(), "In" | "NotIn") {
        let known = r#""In", "NotIn""#;
        return Some(format!("{path}.operator: Unsupported value: {operator:?}: supported values: {known}"));
    }
    let count = requirement.values.len();
    (count != 1).then(|| format!("{path}.values: Invalid value: {count}: must have one element"))
}
