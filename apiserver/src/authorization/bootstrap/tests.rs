use std::collections::BTreeSet;

use super::*;
use crate::authentication::UserInfo;
use crate::authorization::{Attributes, Target};
use crate::http::query::Query;
use crate::http::request_info::RequestInfo;

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

/// The rules of a role as they are in a cluster where the aggregation has taken place.
fn effective(name: &str) -> Vec<PolicyRule> {
    let role = policy().roles.iter().find(|role| role.namespace.is_empty() && role.name == name).unwrap();
    let gathered = policy().roles.iter().filter(|other| role.aggregates.is_some_and(|to| other.labels.contains(&to)));
    gathered.flat_map(|other| effective(&other.name)).chain(role.rules.iter().cloned()).collect()
}

/// What `VERB RESOURCE[.GROUP][/SUBRESOURCE] [NAME]` or `VERB /PATH` asks for.
fn target(request: &str) -> (&str, Target<'_>) {
    let (verb, what) = request.split_once(' ').unwrap();
    if what.starts_with('/') {
        return (verb, Target::Path(what));
    }
    let (what, name) = what.split_once(' ').unwrap_or((what, ""));
    let (what, subresource) = what.split_once('/').unwrap_or((what, ""));
    let (resource, group) = what.split_once('.').unwrap_or((what, ""));
    (verb, Target::Resource { group, resource, subresource, namespace: "a", name })
}

fn requests(line: &str, sign: &str) -> Vec<&'static str> {
    let list = line.trim().strip_prefix(sign).unwrap_or_else(|| panic!("{line} begins with {sign}"));
    let list = list.trim().split(", ").filter(|request| !request.is_empty());
    list.map(|request| &*request.to_owned().leak()).collect()
}

#[test]
fn each_role_allows_what_it_is_for_and_nothing_beside() {
    let lines = include_str!("requests.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    let mut asked = BTreeSet::new();
    for group in lines.chunks(3) {
        let [role, allowed, denied] = group else { panic!("{group:?} are three lines") };
        let (allowed, denied) = (requests(allowed, "+"), requests(denied, "-"));
        assert!(allowed.len() + denied.len() >= 3 && asked.insert(*role), "{role}");
        let (user, rules) = (UserInfo::default(), effective(role));
        for (requests, expect) in [(allowed, true), (denied, false)] {
            for request in requests {
                let (verb, target) = target(request);
                let attributes = Attributes { user: &user, verb, target, field_selector: "" };
                assert_eq!(rules.iter().any(|rule| rule.allows(&attributes)), expect, "{role}: {request}");
            }
        }
    }
    let all = policy().roles.iter().filter(|role| role.namespace.is_empty()).map(|role| role.name.as_str());
    assert_eq!(asked, all.collect(), "every built-in cluster role is asked");
}

#[track_caller]
fn check(role: &str, allowed: &[&str], denied: &[&str]) {
    let (user, rules) = (UserInfo::default(), effective(role));
    for (requests, expect) in [(allowed, true), (denied, false)] {
        for request in requests {
            let (method, path) = request.split_once(' ').unwrap();
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let info = RequestInfo::new(&method.parse().unwrap(), path, &Query::parse(query));
            let attributes = Attributes::of(&user, &info);
            assert_eq!(rules.iter().any(|rule| rule.allows(&attributes)), expect, "{role}: {request}");
        }
    }
}

const NS: &str = "/api/v1/namespaces/a";

/// Source: Kubernetes doc "Using RBAC Authorization", "Default roles and role bindings".
#[test]
fn roles_for_people_allow_what_the_documentation_says() {
    let on = |method: &str, path: &str| format!("{method} {NS}/{path}");
    let texts = |list: &[(&str, &str)]| list.iter().map(|(method, path)| on(method, path)).collect::<Vec<_>>();
    let reads = texts(&[("GET", "pods"), ("GET", "pods/x/log"), ("GET", "configmaps/x"), ("GET", "services?watch=1")]);
    let writes = texts(&[("POST", "pods"), ("DELETE", "services/x"), ("PATCH", "configmaps/x"), ("PUT", "secrets/x")]);
    let enters = texts(&[("GET", "secrets/x"), ("POST", "pods/x/exec"), ("POST", "serviceaccounts/x/token")]);
    let quota = texts(&[("POST", "resourcequotas"), ("DELETE", "resourcequotas/x"), ("PUT", "limitranges/x")]);
    let cluster = ["GET /api/v1/nodes", "GET /api/v1/persistentvolumes", "DELETE /api/v1/namespaces/a"];
    let roles = ["POST", "DELETE", "GET"].map(|method| match method {
        "POST" => "POST /apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings".to_owned(),
        method => format!("{method} /apis/rbac.authorization.k8s.io/v1/namespaces/a/roles/x"),
    });
    let deployments = "POST /apis/apps/v1/namespaces/a/deployments";
    let refs = |lists: &[&[String]], more: &[&'static str]| -> Vec<String> {
        lists.iter().flat_map(|list| list.iter().cloned()).chain(more.iter().map(|&it| it.to_owned())).collect()
    };
    let check = |role: &str, allowed: Vec<String>, denied: Vec<String>| {
        let (allowed, denied): (Vec<&str>, Vec<&str>) =
            (allowed.iter().map(String::as_str).collect(), denied.iter().map(String::as_str).collect());
        check(role, &allowed, &denied);
    };
    check(
        "view",
        refs(&[&reads], &["GET /apis/apps/v1/deployments"]),
        refs(&[&writes, &enters, &roles, &quota], &cluster),
    );
    check("edit", refs(&[&reads, &writes, &enters], &[deployments]), refs(&[&roles, &quota], &cluster));
    check("admin", refs(&[&reads, &writes, &enters, &roles], &[deployments]), refs(&[&quota], &cluster));
    check("cluster-admin", refs(&[&reads, &writes, &enters, &roles, &quota], &cluster), vec![]);
    check("cluster-admin", refs(&[], &["GET /metrics", "POST /anything"]), vec![]);
}

#[test]
fn roles_for_everybody_allow_what_the_documentation_says() {
    check(
        "system:discovery",
        &["GET /apis", "GET /api/v1", "GET /openapi/v3", "GET /version/"],
        &["GET /metrics", "POST /apis"],
    );
    check(
        "system:public-info-viewer",
        &["GET /version", "GET /healthz", "GET /livez", "GET /readyz"],
        &["GET /apis", "GET /healthz/ping"],
    );
    check(
        "system:basic-user",
        &[
            "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            "POST /apis/authentication.k8s.io/v1/selfsubjectreviews",
        ],
        &["POST /apis/authorization.k8s.io/v1/subjectaccessreviews"],
    );
    check("system:auth-delegator", &["POST /apis/authentication.k8s.io/v1/tokenreviews"], &["GET /api/v1/pods"]);
    check("system:monitoring", &["GET /metrics", "GET /livez/ping"], &["GET /version"]);
}

#[test]
fn roles_for_components_allow_what_these_do() {
    check(
        "system:kube-scheduler",
        &["POST /api/v1/namespaces/a/pods/x/binding", "PATCH /api/v1/namespaces/a/pods/x/status", "GET /api/v1/nodes"],
        &["POST /api/v1/namespaces/a/pods", "GET /api/v1/namespaces/a/secrets/x"],
    );
    check(
        "system:kube-controller-manager",
        &["GET /apis/apps/v1/deployments", "POST /api/v1/namespaces/a/serviceaccounts/x/token"],
        &["POST /api/v1/namespaces/a/pods"],
    );
    check(
        "system:controller:deployment-controller",
        &["POST /apis/apps/v1/namespaces/a/replicasets", "PUT /apis/apps/v1/namespaces/a/deployments/x/status"],
        &["POST /api/v1/namespaces/a/pods", "DELETE /apis/apps/v1/namespaces/a/deployments/x"],
    );
    check(
        "system:controller:generic-garbage-collector",
        &["DELETE /apis/anything/v1/namespaces/a/things/x", "PATCH /api/v1/namespaces/a/pods/x"],
        &["POST /api/v1/namespaces/a/pods"],
    );
    check(
        "system:controller:horizontal-pod-autoscaler",
        &["PUT /apis/apps/v1/namespaces/a/deployments/x/scale"],
        &["PUT /apis/apps/v1/namespaces/a/deployments/x"],
    );
    check(
        "system:controller:namespace-controller",
        &["PUT /api/v1/namespaces/a/finalize", "DELETE /api/v1/namespaces/a/secrets"],
        &["POST /api/v1/namespaces"],
    );
    check("system:node-proxier", &["GET /apis/discovery.k8s.io/v1/endpointslices?watch"], &["GET /api/v1/pods"]);
    check(
        "system:node-bootstrapper",
        &["POST /apis/certificates.k8s.io/v1/certificatesigningrequests"],
        &["GET /api/v1/nodes"],
    );
}
