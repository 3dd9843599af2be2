use super::*;

const CHART: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: operator}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: operator}
rules:
- {apiGroups: [""], resources: [nodes], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: in-shop}
rules:
- {apiGroups: [apps], resources: ["*"], verbs: [get, create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: in-shop, namespace: shop}
roleRef: {kind: ClusterRole, name: in-shop}
subjects: [{kind: ServiceAccount, name: operator, namespace: system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: others}
rules:
- {apiGroups: [""], resources: [secrets], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: others}
roleRef: {kind: ClusterRole, name: others}
subjects: [{kind: ServiceAccount, name: somebody, namespace: system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: own}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, update]}
"#;

/// `verb group resource[/subresource] namespace name`; `-` is empty.
fn access(text: &str) -> Access {
    let words: Vec<&str> = text.split(' ').map(|word| if word == "-" { "" } else { word }).collect();
    if let [verb, path] = words[..] {
        let empty = Access::of(&RequestInfo::default());
        return Access { verb: verb.to_owned(), path: path.to_owned(), ..empty };
    }
    let (resource, subresource) = words[2].split_once('/').unwrap_or((words[2], ""));
    Access {
        namespace: words[3].to_owned(),
        group: words[1].to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        name: words[4].to_owned(),
        path: String::new(),
        verb: words[0].to_owned(),
    }
}

#[test]
fn roles_hold_where_they_are_bound() {
    let roles = Roles::parse(CHART, "system", "operator");
    for (text, expect) in [
        ("list - nodes - -", true),
        ("get apps deployments shop web", true),
        ("get apps deployments/status shop web", true),
        ("get apps deployments other web", false),
        ("get - secrets shop x", false),
        ("get coordination.k8s.io leases system lock", true),
        ("get coordination.k8s.io leases shop lock", false),
        ("get /metrics", false),
    ] {
        assert_eq!(roles.allow(&access(text)), expect, "{text}");
    }
}

#[test]
fn what_is_too_much_is_told() {
    let done = ["get apps deployments shop web", "update coordination.k8s.io leases system lock"].map(access).into();
    let excess: Vec<String> = Roles::parse(CHART, "system", "operator").excess(&done).into_iter().collect();
    assert_eq!(
        excess,
        [
            "ClusterRole in-shop: create * (apps)",
            "ClusterRole in-shop: get * (apps), of which was used: get deployments (apps) in namespace shop",
            "ClusterRole operator: list nodes",
            "Role own in namespace system: get leases (coordination.k8s.io)",
        ]
    );
}

#[test]
fn the_smallest_role_is_grouped_and_sorted() {
    let done = [
        "watch - nodes - -",
        "list - nodes - -",
        "get - nodes shop -",
        "list - nodes shop -",
        "get /metrics",
        "patch apps deployments shop web",
        "get apps deployments shop web",
        "get apps statefulsets shop db",
        "patch apps statefulsets shop db",
        "update apps deployments/status shop web",
        "use example.com things shop -",
    ];
    let role = MinimalRole::of("operator", &done.map(access).into());
    assert_eq!(
        role.to_yaml(),
        r#"apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: operator
rules:
- apiGroups: [""]
  resources: ["nodes"]
  verbs: ["list", "watch"]
- nonResourceURLs: ["/metrics"]
  verbs: ["get"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: operator
  namespace: shop
rules:
- apiGroups: [""]
  resources: ["nodes"]
  verbs: ["get"]
- apiGroups: ["apps"]
  resources: ["deployments", "statefulsets"]
  verbs: ["get", "patch"]
- apiGroups: ["apps"]
  resources: ["deployments/status"]
  verbs: ["update"]
- apiGroups: ["example.com"]
  resources: ["things"]
  verbs: ["use"]
"#
    );
    let again = Roles::parse(&role.to_yaml(), "system", "operator");
    assert!(done.iter().all(|text| again.allow(&access(text))), "it allows what it was made from");
    assert!(again.excess(&done.map(access).into()).is_empty(), "and nothing else");
}
