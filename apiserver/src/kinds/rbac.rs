//! Roles and bindings. Source: `k8s.io/kubernetes/pkg/apis/rbac/{v1,validation}`.

use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::check::{self, Cursor};
use super::pod::defaults::each;
use crate::registry::strategy::{Rules, Strategy};

const GROUP: &str = "rbac.authorization.k8s.io";
const RULES: Rules = Rules { create_on_update: true, ..Rules::DEFAULT };

/// The strategy of roles: of namespaces, or of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// Whether it is a ClusterRole.
    pub cluster: bool,
}

/// The strategy of role bindings: in namespaces, or in the whole cluster.
#[derive(Clone, Copy, Debug)]
pub struct RoleBinding {
    /// Whether it is a ClusterRoleBinding.
    pub cluster: bool,
}

impl Strategy for Role {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        RULES
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["rules"], Value::Null);
        if meta::items(object, &["rules"]).is_empty() {
            meta::set(object, &["rules"], Value::Null);
        }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            for rule in root.at("rules").items() {
                policy_rule(&rule, !self.cluster);
            }
            let aggregation = root.at("aggregationRule");
            if self.cluster && aggregation.is_set() {
                let selectors = aggregation.at("clusterRoleSelectors");
                if selectors.is_empty() {
                    selectors.required("at least one clusterRoleSelector required if aggregationRule is non-nil");
                }
                selectors.items().for_each(|selector| selector.label_selector());
            }
        })
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::path_segment(name)
    }
}

/// A rule is about resources or, in the whole cluster, about paths that are none.
fn policy_rule(rule: &Cursor<'_>, namespaced: bool) {
    let (resources, urls) = (rule.at("resources"), rule.at("nonResourceURLs"));
    if rule.at("verbs").is_empty() {
        rule.at("verbs").required("verbs must contain at least one value");
    }
    if !urls.is_empty() {
        if namespaced {
            urls.invalid("namespaced rules cannot apply to non-resource URLs");
        }
        if !rule.at("apiGroups").is_empty() || !resources.is_empty() || !rule.at("resourceNames").is_empty() {
            urls.invalid("rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    if rule.at("apiGroups").is_empty() {
        rule.at("apiGroups").required("resource rules must supply at least one api group");
    }
    if resources.is_empty() {
        resources.required("resource rules must supply at least one resource");
    }
}

impl Strategy for RoleBinding {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        RULES
    }

    fn default(&self, object: &mut Value) {
        if meta::text(object, &["roleRef", "apiGroup"]).is_empty() {
            meta::set(object, &["roleRef", "apiGroup"], GROUP);
        }
        each(object, "subjects", |subject| {
            let person = matches!(meta::text(subject, &["kind"]), "User" | "Group");
            if person && meta::text(subject, &["apiGroup"]).is_empty() {
                meta::set(subject, &["apiGroup"], GROUP);
            }
        });
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| binding(&root, self.cluster))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            binding(&root, self.cluster);
            let role = root.at("roleRef");
            if !check::same(Some(role.value), old.get("roleRef")) {
                let text = |field: &str| json!(role.at(field).text());
                let shown = format!(
                    "{{\"APIGroup\":{},\"Kind\":{},\"Name\":{}}}",
                    text("apiGroup"),
                    text("kind"),
                    text("name")
                );
                role.invalid_as(shown, "cannot change roleRef");
            }
        })
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::path_segment(name)
    }
}

fn binding(root: &Cursor<'_>, cluster: bool) {
    let role = root.at("roleRef");
    if role.at("apiGroup").text() != GROUP {
        role.at("apiGroup").not_supported(&[GROUP]);
    }
    let kinds: &[&str] = if cluster { &["ClusterRole"] } else { &["Role", "ClusterRole"] };
    if !kinds.contains(&role.at("kind").text()) {
        role.at("kind").not_supported(kinds);
    }
    let name = role.at("name");
    if name.must_be_set() {
        name.named(names::path_segment);
    }
    for subject in root.at("subjects").items() {
        validate_subject(&subject, cluster);
    }
}

fn validate_subject(subject: &Cursor<'_>, cluster: bool) {
    let (name, group) = (subject.at("name"), subject.at("apiGroup"));
    let named = name.must_be_set();
    match subject.at("kind").text() {
        "ServiceAccount" => {
            if named {
                name.named(names::dns1123_subdomain);
            }
            if !group.is_empty() {
                group.not_supported(&[""]);
            }
            if cluster && subject.at("namespace").is_empty() {
                subject.at("namespace").required("");
            }
        }
        "User" | "Group" => {
            if group.text() != GROUP {
                group.not_supported(&[GROUP]);
            }
        }
        _ => subject.at("kind").not_supported(&["ServiceAccount", "User", "Group"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(strategy: &dyn Strategy, object: Value, expect: &[&str]) {
        let mut object = object;
        strategy.default(&mut object);
        assert_eq!(check::messages(&strategy.validate(&object)), expect);
    }

    #[test]
    fn rules_are_about_resources_or_paths() {
        let role = Role { cluster: false };
        check(&role, json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}), &[]);
        check(
            &role,
            json!({"rules": [{}]}),
            &[
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
            ],
        );
        let paths = json!({"rules": [{"nonResourceURLs": ["/healthz"], "verbs": ["get"]}]});
        check(&Role { cluster: true }, paths.clone(), &[]);
        check(
            &role,
            paths,
            &[
                r#"rules[0].nonResourceURLs: Invalid value: ["/healthz"]: namespaced rules cannot apply to non-resource URLs"#,
            ],
        );
    }

    #[test]
    fn bindings_name_a_role_and_subjects() {
        let binding = RoleBinding { cluster: false };
        let role = json!({"kind": "Role", "name": "r"});
        check(&binding, json!({"roleRef": role, "subjects": [{"kind": "User", "name": "alice"}]}), &[]);
        check(
            &binding,
            json!({"roleRef": {}, "subjects": [{"kind": "Robot", "name": "x"}]}),
            &[
                r#"roleRef.kind: Unsupported value: "": supported values: "Role", "ClusterRole""#,
                "roleRef.name: Required value",
                r#"subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group""#,
            ],
        );
        check(
            &RoleBinding { cluster: true },
            json!({"roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "a"}]}),
            &["subjects[0].namespace: Required value"],
        );
    }

    #[test]
    fn the_role_of_a_binding_stays() {
        let object = |name: &str| json!({"roleRef": {"apiGroup": GROUP, "kind": "Role", "name": name}});
        assert_eq!(
            check::messages(&RoleBinding { cluster: false }.validate_update(&object("b"), &object("a"))),
            [
                r#"roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"b"}: cannot change roleRef"#
            ]
        );
    }
}
