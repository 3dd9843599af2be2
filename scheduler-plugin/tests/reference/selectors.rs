//! Label selectors and node selectors.

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{Map, NodeInfo};

fn holds(operator: &str, values: &[String], value: Option<&String>) -> bool {
    match operator {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" | "Lt" => {
            let [bound] = values else { return false };
            let (Some(Ok(value)), Ok(bound)) = (value.map(|value| value.parse::<i64>()), bound.parse::<i64>()) else {
                return false;
            };
            if operator == "Gt" { value > bound } else { value < bound }
        }
        _ => false,
    }
}

pub fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(Map::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// No selector matches nothing, an empty one everything.
pub fn matches(selector: Option<&LabelSelector>, labels: &Map) -> bool {
    let Some(selector) = selector else { return false };
    let pairs = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let expressions = selector.match_expressions.iter().flatten();
    pairs
        && expressions
            .into_iter()
            .all(|one| holds(&one.operator, one.values.as_deref().unwrap_or_default(), labels.get(&one.key)))
}

fn requirement(one: &NodeSelectorRequirement, labels: &Map) -> bool {
    holds(&one.operator, one.values.as_deref().unwrap_or_default(), labels.get(&one.key))
}

fn field(one: &NodeSelectorRequirement, name: &str) -> bool {
    let [value] = one.values.as_deref().unwrap_or_default() else { return false };
    match (one.key.as_str(), one.operator.as_str()) {
        ("metadata.name", "In") => value == name,
        ("metadata.name", "NotIn") => value != name,
        _ => false,
    }
}

/// A term without any requirement matches nothing.
pub fn term_matches(term: &NodeSelectorTerm, info: &NodeInfo) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|one| requirement(one, &info.labels()))
        && fields.iter().all(|one| field(one, info.name()))
}

/// The same for volumes, whose terms about the node's name are not heeded as long as they could be.
pub fn labels_match(selector: &NodeSelector, info: &NodeInfo) -> bool {
    selector.node_selector_terms.iter().any(|term| {
        let expressions = term.match_expressions.as_deref().unwrap_or_default();
        let fields = term.match_fields.as_deref().unwrap_or_default();
        let is_valid = |one: &NodeSelectorRequirement| {
            let values = one.values.as_deref().unwrap_or_default();
            one.key == "metadata.name" && matches!(&*one.operator, "In" | "NotIn") && values.len() == 1
        };
        !(expressions.is_empty() && fields.is_empty())
            && expressions.iter().all(|one| requirement(one, &info.labels()))
            && fields.iter().all(is_valid)
    })
}

pub fn selector_matches(selector: &NodeSelector, info: &NodeInfo) -> bool {
    selector.node_selector_terms.iter().any(|term| term_matches(term, info))
}
