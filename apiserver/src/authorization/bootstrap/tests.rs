use std::collections::BTreeSet;

use super::*;

#[test]
fn the_table_is_complete_and_well_formed() {
    let policy = policy();
    let cluster = policy.roles.iter().filter(|role| role.namespace.is_empty());
    let bindings = policy.bindings.iter().filter(|binding| binding.namespace.is_empty());
    assert_eq!((cluster.count(), bindings.count()), (70, 51), "what kubernetes 1.36 has from the start");
    assert_eq!((policy.roles.len(), policy.bindings.len()), (77, 58));
    let names: BTreeSet<(&str, &str)> = policy.roles.iter().map(|role| (role.namespace, role.name.as_str())).collect();
    assert_eq!(names.len(), policy.roles.len(), "no name comes twice");
    for binding in &policy.bindings {
        assert!(names.contains(&(binding.namespace, binding.role.as_str())), "{} has a role", binding.name);
    }
}

#[test]
fn lines_that_make_no_sense_are_named() {
    for line in ["role", "  -{pods}:g", "bind x y", "role x color=red", "role x\n  -{pods}:z", "role x\n  -pods:g"] {
        assert!(table::parse(line).is_err(), "{line}");
    }
}

#[test]
fn roles_are_as_upstream_writes_them() {
    let role = |name: &str| policy().roles.iter().find(|role| role.name == name).unwrap().to_json();
    let view = role("view");
    assert_eq!(
        view["aggregationRule"],
        json!({"clusterRoleSelectors": [{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}]})
    );
    assert_eq!(
        view["metadata"]["labels"],
        json!({"kubernetes.io/bootstrapping": "rbac-defaults", "rbac.authorization.k8s.io/aggregate-to-edit": "true"})
    );
    assert_eq!(view["rules"], Value::Null);
    assert_eq!(
        role("system:controller:clusterrole-aggregation-controller")["rules"],
        json!([{
            "apiGroups": [GROUP], "resources": ["clusterroles"],
            "verbs": ["escalate", "get", "list", "patch", "update", "watch"],
        }])
    );
}
