//! PriorityClasses. Source: `k8s.io/kubernetes/pkg/apis/scheduling/validation`.

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::meta;

use super::check;
use crate::registry::strategy::{Rules, Strategy};

/// The most that a class of a user may be worth.
const MAX_USER_VALUE: i64 = 1_000_000_000;
/// The classes that the server itself makes, and their values.
pub const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

/// The strategy of priority classes.
#[derive(Clone, Copy, Debug)]
pub struct PriorityClass;

impl Strategy for PriorityClass {
    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["preemptionPolicy"], "PreemptLowerPriority");
        meta::set_default(object, &["value"], 0);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        let name = meta::name(object);
        let value = object.get("value").and_then(Value::as_i64).unwrap_or_default();
        check::collect(object, |root| {
            if name.starts_with("system-") {
                if let Some(why) = reserved(name, value, root.at("globalDefault").is_true()) {
                    let why = format!(
                        "priority class names with 'system-' prefix are reserved for system use only. error: {why}"
                    );
                    root.push(FieldError::forbidden(&Path::from("metadata.name"), why));
                }
            } else if value > MAX_USER_VALUE {
                root.at("value")
                    .forbidden(format!("maximum allowed value of a user defined priority is {MAX_USER_VALUE}"));
            }
            root.at("preemptionPolicy").one_of(&["PreemptLowerPriority", "Never"]);
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            if root.at("value").int() != old.get("value").and_then(Value::as_i64) {
                root.at("value").forbidden("may not be changed in an update.");
            }
            root.at("preemptionPolicy").immutable(old.get("preemptionPolicy"));
        })
    }

    /// What may change is a description: the generation stays.
    fn spec_changed(&self, _object: &Value, _old: &Value) -> bool {
        false
    }
}

/// Why a class that is called as those of the system is none of them.
fn reserved(name: &str, value: i64, default: bool) -> Option<String> {
    match SYSTEM_CLASSES.iter().find(|(system, _)| *system == name) {
        None => Some(format!("{name} is not a known system priority class")),
        Some((_, wanted)) if *wanted != value => Some(format!("value of {name} PriorityClass must be {wanted}")),
        Some(_) if default => Some(format!("globalDefault of {name} PriorityClass must be false")),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn classes_of_the_system_are_what_they_are() {
        for (value, default, why) in [
            (1, false, "value of system-cluster-critical PriorityClass must be 2000000000"),
            (2_000_000_000, true, "globalDefault of system-cluster-critical PriorityClass must be false"),
        ] {
            assert_eq!(reserved("system-cluster-critical", value, default).as_deref(), Some(why));
        }
        assert_eq!(reserved("system-cluster-critical", 2_000_000_000, false), None);
    }

    #[test]
    fn users_may_not_outrank_the_system() {
        let check = |name: &str, value: i64| {
            let object = json!({"metadata": {"name": name}, "value": value, "preemptionPolicy": "Never"});
            check::messages(&PriorityClass.validate(&object))
        };
        assert!(check("high", MAX_USER_VALUE).is_empty());
        assert!(check("system-node-critical", 2_000_001_000).is_empty());
        assert_eq!(
            check("high", MAX_USER_VALUE + 1),
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]
        );
        assert_eq!(
            check("system-x", 1),
            [
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class"
            ]
        );
    }
}
