//! Label selectors in the form that workloads carry. Source: `metav1.LabelSelector`.
//!
//! ```
//! use serde_json::json;
//! use steersman_framework::meta::StringMap;
//! use steersman_framework::selector::LabelSelector;
//!
//! let selector = json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["db"]}]});
//! let selector: LabelSelector = serde_json::from_value(selector)?;
//! let labels: StringMap = [("tier", "web")].into_iter().collect();
//! assert!(selector.is_valid() && selector.matches(&labels));
//! # Ok::<(), serde_json::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use crate::meta::{StringMap, null_default};

/// `spec.selector` of a workload: all `matchLabels` and all `matchExpressions` have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels with exactly these values.
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub match_labels: StringMap,
    /// Further requirements.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

/// One entry of `matchExpressions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// The values of `In` and `NotIn`.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl LabelSelector {
    /// Whether there is no requirement at all, so that everything would match.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Whether every operator is known.
    pub fn is_valid(&self) -> bool {
        let known = |r: &Requirement| matches!(r.operator.as_str(), "In" | "NotIn" | "Exists" | "DoesNotExist");
        self.match_expressions.iter().all(known)
    }

    /// Whether `labels` meet all requirements; an unknown operator is never met.
    pub fn matches(&self, labels: &StringMap) -> bool {
        let labels_match = self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        labels_match && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: &StringMap) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.iter().any(|v| v == value));
        match self.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(selector: &str, labels: &[(&str, &str)], expect: bool) {
        let parsed: LabelSelector = serde_json::from_str(selector).unwrap();
        let labels: StringMap = labels.iter().copied().collect();
        assert_eq!(parsed.matches(&labels), expect, "{selector} on {labels:?}");
    }

    #[test]
    fn all_requirements_have_to_hold() {
        check(r#"{"matchLabels":{"a":"1"}}"#, &[("a", "1"), ("b", "2")], true);
        check(r#"{"matchLabels":{"a":"1","b":"3"}}"#, &[("a", "1"), ("b", "2")], false);
        check(r#"{}"#, &[], true);
    }

    #[test]
    fn operators_treat_absence_as_upstream_does() {
        let with = |operator: &str| {
            format!(r#"{{"matchExpressions":[{{"key":"a","operator":"{operator}","values":["1","2"]}}]}}"#)
        };
        for (operator, one, three, absent) in [
            ("In", true, false, false),
            ("NotIn", false, true, true),
            ("Exists", true, true, false),
            ("DoesNotExist", false, false, true),
            ("Like", false, false, false),
        ] {
            check(&with(operator), &[("a", "1")], one);
            check(&with(operator), &[("a", "3")], three);
            check(&with(operator), &[], absent);
        }
    }
}
