//! Label selectors on maps of labels.

use crate::wire::{LabelSelector, Map, Requirement};

/// Whether the labels satisfy the selector. An empty selector matches everything; so callers that hold `None` must
/// decide themselves that it matches nothing.
pub fn matches(selector: &LabelSelector, labels: &Map) -> bool {
    selector.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
        && selector
            .match_expressions
            .iter()
            .all(|requirement| satisfies(requirement, labels.get(&requirement.key).map(String::as_str)))
}

/// Whether a selector was given and the labels satisfy it.
pub fn given_and_matches(selector: Option<&LabelSelector>, labels: &Map) -> bool {
    selector.is_some_and(|selector| matches(selector, labels))
}

/// Whether a label's value (`None` if the label is absent) satisfies a requirement. Unknown operators match nothing.
pub fn satisfies(requirement: &Requirement, value: Option<&str>) -> bool {
    let listed = || value.is_some_and(|value| requirement.values.iter().any(|listed| listed == value));
    let number = |text: &str| text.parse::<i64>().ok();
    let compare = |holds: fn(&i64, &i64) -> bool| {
        let bound = match requirement.values.as_slice() {
            [bound] => number(bound),
            _ => None,
        };
        matches!((value.and_then(number), bound), (Some(value), Some(bound)) if holds(&value, &bound))
    };
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(i64::gt),
        "Lt" => compare(i64::lt),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_hold_as_upstreams_do() {
        let check = |operator: &str, values: &[&str], value: Option<&str>, expect: bool| {
            let requirement = Requirement {
                key: "k".to_owned(),
                operator: operator.to_owned(),
                values: values.iter().map(|&value| value.to_owned()).collect(),
            };
            assert_eq!(satisfies(&requirement, value), expect, "{operator} {values:?} {value:?}");
        };
        check("In", &["a", "b"], Some("b"), true);
        check("In", &["a", "b"], None, false);
        check("NotIn", &["a"], Some("a"), false);
        check("NotIn", &["a"], None, true);
        check("Exists", &[], Some(""), true);
        check("DoesNotExist", &[], Some("x"), false);
        check("Gt", &["5"], Some("6"), true);
        check("Gt", &["5"], Some("5"), false);
        check("Lt", &["5"], Some("4"), true);
        check("Lt", &["5"], Some("four"), false);
        check("Lt", &["5"], None, false);
        check("Near", &["5"], Some("5"), false);
    }
}
