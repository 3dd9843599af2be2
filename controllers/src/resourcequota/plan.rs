//! What the status of a quota is to be.

use serde_json::{Value, json};
use steersman_machinery::meta;
use steersman_machinery::resource_list::{self, ResourceList};

/// The status of a quota whose resources have this usage; `None` if that is its status already. What could not be
/// counted keeps the last figure.
pub fn plan_status(quota: &Value, usage: &ResourceList) -> Option<Value> {
    let list = |path: &[&str]| resource_list::parse(meta::at(quota, path));
    let (hard, known) = (list(&["spec", "hard"]), list(&["status", "used"]));
    let mut used = known.clone();
    used.extend(usage.iter().map(|(name, amount)| (name.clone(), *amount)));
    used.retain(|name, _| hard.contains_key(name));
    let is_there = |field: &str| meta::at(quota, &["status", field]).is_some_and(Value::is_object);
    let same = is_there("hard") && is_there("used") && list(&["status", "hard"]) == hard && known == used;
    let hard = meta::at(quota, &["spec", "hard"]).cloned().unwrap_or_else(|| json!({}));
    (!same).then(|| json!({"hard": hard, "used": resource_list::to_value(&used)}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hard: Value, status: Value, usage: Value, expect: Option<Value>) {
        let quota = json!({"spec": {"hard": hard}, "status": status});
        assert_eq!(plan_status(&quota, &resource_list::parse(Some(&usage))), expect);
    }

    #[test]
    fn the_status_is_the_spec_and_the_count() {
        let hard = json!({"pods": "2", "cpu": "1"});
        let status = |hard: Value, used: Value| json!({"hard": hard, "used": used});
        let used = json!({"pods": "1", "cpu": "500m"});
        let expect = Some(status(hard.clone(), used.clone()));
        check(hard.clone(), json!({}), used.clone(), expect.clone());
        check(hard.clone(), status(json!({"pods": "9"}), used.clone()), used.clone(), expect.clone());
        check(hard.clone(), status(hard.clone(), json!({"pods": "2", "cpu": "1"})), used.clone(), expect);
        check(hard.clone(), status(hard.clone(), used.clone()), json!({"pods": "1", "cpu": "0.5"}), None);
        check(json!({}), status(json!({}), json!({})), json!({}), None);
    }

    #[test]
    fn what_is_not_counted_stays_and_what_is_not_limited_goes() {
        let hard = json!({"pods": "2", "count/gone.example.com": "1"});
        let status = json!({"hard": hard, "used": {"count/gone.example.com": "1", "cpu": "1"}});
        let expect = json!({"hard": hard, "used": {"count/gone.example.com": "1", "pods": "1"}});
        check(hard.clone(), status, json!({"pods": "1"}), Some(expect));
    }
}
