//! Label selectors inside objects: their syntax, whether they match, and how an error shows them.
//! Source: `k8s.io/apimachinery/pkg/apis/meta/v1/validation`.

use serde_json::{Map, Value};
use steersman_machinery::labels::Selector;
use steersman_machinery::names;

use super::{Cursor, show_in_order};

/// The order in which Go prints the fields of a label selector.
pub(crate) const ORDER: &[&str] = &["matchLabels", "matchExpressions", "key", "operator", "values"];

impl Cursor<'_> {
    /// The syntax of a label selector, if one is there.
    pub(crate) fn label_selector(&self) {
        self.at("matchLabels").labels();
        for requirement in self.at("matchExpressions").items() {
            let values = requirement.at("values");
            match requirement.at("operator").text() {
                "In" | "NotIn" if values.is_empty() => {
                    values.required("must be specified when `operator` is 'In' or 'NotIn'");
                }
                "Exists" | "DoesNotExist" if !values.is_empty() => {
                    values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
                _ => requirement.at("operator").invalid_text("not a valid selector operator"),
            }
            requirement.at("key").named(names::qualified_name);
            for value in values.items() {
                value.named(names::label_value);
            }
        }
    }

    /// Whether the selector that is here selects everything: it is there and has no requirement.
    pub(crate) fn selects_everything(&self) -> bool {
        self.is_set() && self.at("matchLabels").is_empty() && self.at("matchExpressions").is_empty()
    }

    /// `Invalid value` with a selector.
    pub(crate) fn invalid_selector(&self, detail: &str) {
        self.invalid_as(show_in_order(self.value, ORDER), detail);
    }
}

/// Whether a label selector matches; an absent one matches nothing, an empty one everything. `None`: it is no selector.
pub(crate) fn matches(selector: &Value, labels: &Map<String, Value>) -> Option<bool> {
    let selector = Selector::from_label_selector(selector).ok()?;
    Some(selector.matches(|key| labels.get(key).and_then(Value::as_str)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_match_labels() {
        let labels = json!({"app": "web", "tier": "front"});
        let labels = labels.as_object().expect("an object");
        let cases = [
            (json!(null), Some(false)),
            (json!({}), Some(true)),
            (json!({"matchLabels": {"app": "web"}}), Some(true)),
            (json!({"matchLabels": {"app": "db"}}), Some(false)),
            (json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["front"]}]}), Some(true)),
            (json!({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["y"]}]}), Some(true)),
            (json!({"matchExpressions": [{"key": "x", "operator": "Near"}]}), None),
            (json!({"matchLabels": {"app": "not valid"}}), None),
        ];
        for (selector, expect) in cases {
            assert_eq!(matches(&selector, labels), expect, "{selector}");
        }
    }
}
