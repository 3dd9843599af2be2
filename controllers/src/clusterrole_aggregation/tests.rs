use steersman_framework::reflector::{Change, Sink};

use super::*;
use crate::testing::{Fake, refusal};

fn role(name: &str, label: &str, gathers: &str, rules: &[&str]) -> ClusterRole {
    let selectors = json!({"clusterRoleSelectors": [{"matchLabels": {gathers: "true"}}]});
    let role = json!({
        "metadata": {"name": name, "resourceVersion": "1", "labels": {label: "true"}},
        "aggregationRule": if gathers.is_empty() { Value::Null } else { selectors },
        "rules": rules.iter().map(|verb| json!({"verbs": [verb]})).collect::<Vec<_>>(),
    });
    serde_json::from_value(role).unwrap()
}

#[track_caller]
fn check(role: &ClusterRole, all: &[ClusterRole], expect: Option<&[&str]>) {
    let rules = plan(role, all);
    let verbs =
        rules.as_ref().map(|rules| rules.iter().filter_map(|rule| rule["verbs"][0].as_str()).collect::<Vec<_>>());
    assert_eq!(verbs.as_deref(), expect);
}

#[test]
fn a_role_gathers_the_rules_of_the_selected_by_name_and_each_once() {
    let all = [
        role("z", "to-view", "", &["one", "two"]),
        role("a", "to-view", "", &["two", "three"]),
        role("other", "to-edit", "", &["four"]),
    ];
    check(&role("view", "to-view", "to-view", &[]), &all, Some(&["two", "three", "one"]));
    check(&role("view", "", "to-view", &["two", "three", "one"]), &all, None);
    check(&role("view", "", "to-view", &["two", "three", "one", "forged"]), &all, Some(&["two", "three", "one"]));
    check(&role("nothing", "", "to-nobody", &["left"]), &all, Some(&[]));
    check(&role("usual", "", "", &["own"]), &all, None);
    let own = [role("view", "to-view", "to-view", &["own"])];
    check(&own[0], &own, Some(&[]));
}

#[tokio::test]
async fn what_is_gathered_is_applied_and_a_role_that_went_away_is_no_failure() {
    for answer in [(200, json!({})), refusal(404, "NotFound", "gone")] {
        let fake = Fake::new(move |_| answer.clone());
        let controller = ClusterRoleAggregation::new(&fake.shared);
        let roles = vec![role("view", "", "to-view", &[]), role("a", "to-view", "", &["get"])];
        controller.roles.take(Change::Replaced(roles), "1");
        for name in ["view", "a", "gone"] {
            assert_eq!(controller.sync(name.to_owned()).await.unwrap(), Outcome::Done);
        }
        assert_eq!(fake.log(), ["PATCH /apis/rbac.authorization.k8s.io/v1/clusterroles/view"]);
        assert_eq!(fake.last_body()["rules"], json!([{"verbs": ["get"]}]));
    }
}
