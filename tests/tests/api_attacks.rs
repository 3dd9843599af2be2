//! What somebody tries who does not belong: each attempt is refused clearly and changes nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding};
use kube::Client;
use kube::api::{Api, PostParams};
use kube::client::Body;
use serde_json::{Value, json};
use steersman::Cluster;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// What an attack must leave as it is.
const STATE: [&str; 8] = [
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "/apis/certificates.k8s.io/v1/certificatesigningrequests",
    "/api/v1/configmaps",
    "/api/v1/secrets",
    "/api/v1/pods",
];

/// A cluster, and Mallory, who may do what her role says in the namespace `default`.
struct Site {
    cluster: Cluster,
    mallory: Client,
}

type Headers<'a> = &'a [(&'static str, &'a str)];

async fn send(client: &Client, method: &str, path: &str, headers: Headers<'_>, body: &Value) -> (u16, String) {
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let mut request = Request::builder().method(method.parse::<Method>().unwrap()).uri(path);
    request = request.header("Content-Type", content_type);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
    let response = client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect_bytes().await.unwrap();
    (code, String::from_utf8_lossy(&bytes).into_owned())
}

impl Site {
    async fn new(rules: Value) -> Self {
        Self::with(&[], rules).await
    }

    /// With admission plugins that are off by default.
    async fn with(plugins: &[&str], rules: Value) -> Self {
        let builder = Cluster::builder().without_controllers().without_scheduler();
        let builder = builder.disable_admission(["ServiceAccount"]).enable_admission(plugins.iter().copied());
        let cluster = builder.start().await.unwrap();
        let admin = cluster.client();
        let make = async |path: &str, object: Value| {
            let (code, answer) = send(&admin, "POST", path, &[], &object).await;
            assert_eq!(code, 201, "{answer}");
        };
        make("/api/v1/namespaces/default/configmaps", json!({"metadata": {"name": "mine"}})).await;
        for namespace in ["default", "kube-system"] {
            make(&format!("/api/v1/namespaces/{namespace}/secrets"), json!({"metadata": {"name": "treasure"}})).await;
        }
        let pod = json!({
            "metadata": {"name": "web", "labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        });
        make("/api/v1/namespaces/default/pods", pod).await;
        make("/api/v1/namespaces/default/serviceaccounts", json!({"metadata": {"name": "strong"}})).await;
        let place = format!("{RBAC}/namespaces/default");
        make(&format!("{place}/roles"), json!({"metadata": {"name": "mallory"}, "rules": rules})).await;
        let mallory = json!([{"kind": "User", "name": "mallory"}]);
        let role = json!({"kind": "Role", "name": "mallory"});
        let binding = json!({"metadata": {"name": "mallory"}, "roleRef": role, "subjects": mallory});
        make(&format!("{place}/rolebindings"), binding).await;
        let mallory = cluster.as_user("mallory", &["strangers"]);
        Self { cluster, mallory }
    }

    async fn state(&self) -> Vec<String> {
        let admin = self.cluster.client();
        let mut state = vec![];
        for path in STATE {
            let (_, text) = send(&admin, "GET", path, &[], &Value::Null).await;
            let list: Value = serde_json::from_str(&text).unwrap();
            state.push(list["items"].to_string());
        }
        state
    }

    /// Each attack is refused with that code and a message with that text in it, and nothing changes.
    async fn refuses(&self, attacks: &[(&str, String, Value, u16, &str)]) {
        let before = self.state().await;
        for (method, path, body, code, message) in attacks {
            let (got, text) = send(&self.mallory, method, path, &[], body).await;
            assert_eq!(got, *code, "{method} {path}: {text}");
            assert!(text.contains(message), "{method} {path}: {text}");
        }
        assert_eq!(self.state().await, before);
    }
}

fn manages_roles() -> Value {
    json!([
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"],
         "verbs": ["get", "list", "create", "update", "patch", "delete"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    ])
}

#[tokio::test]
async fn nobody_gives_themselves_rights_by_a_role_or_a_binding() {
    let site = Site::new(manages_roles()).await;
    let place = format!("{RBAC}/namespaces/default");
    let (roles, bindings) = (format!("{place}/roles"), format!("{place}/rolebindings"));
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
    let escalate = json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["escalate"]}]);
    let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let subject = json!([{"kind": "User", "name": "mallory"}]);
    let admin = json!({"kind": "ClusterRole", "name": "cluster-admin"});
    let named = |name: &str, rules: &Value| json!({"metadata": {"name": name}, "rules": rules});
    let held = "is attempting to grant RBAC permissions not currently held";
    site.refuses(&[
        ("POST", roles.clone(), named("new", &rules), 403, held),
        ("POST", roles.clone(), named("new", &escalate), 403, held),
        ("POST", roles.clone(), named("new", &all), 403, held),
        ("PUT", format!("{roles}/new"), named("new", &all), 403, held),
        ("PATCH", format!("{roles}/mallory"), json!({"rules": rules}), 403, held),
        ("PATCH", format!("{roles}/mallory"), json!({"rules": all}), 403, held),
        (
            "POST",
            bindings.clone(),
            json!({"metadata": {"name": "new"}, "roleRef": admin, "subjects": subject}),
            403,
            held,
        ),
        (
            "POST",
            format!("{RBAC}/clusterroles"),
            named("new", &all),
            403,
            "cannot create resource \\\"clusterroles\\\"",
        ),
        ("PATCH", format!("{RBAC}/clusterroles/view"), json!({"rules": all}), 403, "cannot patch resource"),
        ("DELETE", format!("{RBAC}/clusterrolebindings/system:discovery"), Value::Null, 403, "cannot delete resource"),
    ])
    .await;
}

#[tokio::test]
async fn nobody_joins_a_binding_or_an_aggregation_that_gives_more() {
    let site = Site::new(manages_roles()).await;
    let admin = site.cluster.client();
    let strong: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "strong"}, "subjects": [{"kind": "User", "name": "boss", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    }))
    .unwrap();
    Api::<RoleBinding>::default_namespaced(admin.clone()).create(&PostParams::default(), &strong).await.unwrap();
    // She may write ClusterRoles and holds what makes them, but not everything.
    let writes: [Value; 2] = [
        json!({"metadata": {"name": "writes"}, "rules": manages_roles()}),
        json!({"metadata": {"name": "writes"}, "roleRef": {"kind": "ClusterRole", "name": "writes"},
               "subjects": [{"kind": "User", "name": "mallory"}]}),
    ];
    for (path, object) in ["clusterroles", "clusterrolebindings"].iter().zip(writes) {
        assert_eq!(send(&admin, "POST", &format!("{RBAC}/{path}"), &[], &object).await.0, 201);
    }
    let subject = json!([{"kind": "User", "name": "mallory"}]);
    let every = json!({"clusterRoleSelectors": [{"matchLabels": {}}]});
    let label = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    let secrets = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
    let held = "is attempting to grant RBAC permissions not currently held";
    site.refuses(&[
        ("PATCH", format!("{RBAC}/namespaces/default/rolebindings/strong"), json!({"subjects": subject}), 403, held),
        ("PATCH", format!("{RBAC}/clusterrolebindings/cluster-admin"), json!({"subjects": subject}), 403, held),
        (
            "POST",
            format!("{RBAC}/clusterroles"),
            json!({"metadata": {"name": "new"}, "aggregationRule": every}),
            403,
            "must have cluster-admin privileges to use the aggregationRule",
        ),
        (
            "PATCH",
            format!("{RBAC}/clusterroles/view"),
            json!({"aggregationRule": every}),
            403,
            "must have cluster-admin privileges to use the aggregationRule",
        ),
        (
            "POST",
            format!("{RBAC}/clusterroles"),
            json!({"metadata": {"name": "new", "labels": label}, "rules": secrets}),
            403,
            held,
        ),
    ])
    .await;
    let bound = Api::<ClusterRoleBinding>::all(admin).get("cluster-admin").await.unwrap();
    assert_eq!(bound.subjects.unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_becomes_somebody_else_without_the_right() {
    let site = Site::new(json!([{"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["*"]}])).await;
    let before = site.state().await;
    for headers in [
        &[("Impersonate-User", "boss")][..],
        &[("Impersonate-User", "mallory"), ("Impersonate-Group", "system:masters")],
        &[("Impersonate-User", "system:serviceaccount:kube-system:generic-garbage-collector")],
        &[("Impersonate-User", "system:node:node-0")],
        &[("Impersonate-User", "mallory"), ("Impersonate-Uid", "1")],
        &[("Impersonate-User", "mallory"), ("Impersonate-Extra-a%2Fb", "c")],
        &[("Impersonate-User", "system:anonymous")],
    ] {
        let (code, text) = send(&site.mallory, "GET", "/api/v1/namespaces/default/pods", headers, &Value::Null).await;
        assert_eq!(code, 403, "{headers:?}: {text}");
        assert!(text.contains("User \\\"mallory\\\" cannot impersonate"), "{headers:?}: {text}");
    }
    for headers in [&[("Impersonate-Group", "system:masters")][..], &[("Impersonate-Uid", "1")]] {
        let (code, text) = send(&site.mallory, "GET", "/api/v1/namespaces/default/pods", headers, &Value::Null).await;
        assert_eq!(code, 400, "{headers:?}: {text}");
    }
    for (name, value) in [("X-Remote-User", "boss"), ("X-Remote-Group", "system:masters")] {
        let headers = [(name, value)];
        let (code, _) = send(&site.mallory, "GET", "/api/v1/namespaces/default/secrets", &headers, &Value::Null).await;
        assert_eq!(code, 403, "a proxy's header is no proof");
    }
    assert_eq!(site.state().await, before);
}

#[tokio::test]
async fn no_way_around_a_resource_that_is_not_granted() {
    let rules = json!([
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "patch", "create"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["get", "list"]},
    ]);
    let site = Site::new(rules).await;
    let default = |rest: &str| format!("/api/v1/namespaces/default/{rest}");
    let token = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let approval = "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval".to_owned();
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}});
    let owner =
        json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "x"}]}});
    let cannot = "is forbidden: User \\\"mallory\\\" cannot";
    site.refuses(&[
        ("POST", default("serviceaccounts/strong/token"), token, 403, cannot),
        ("PATCH", default("pods/web/status"), json!({"status": {"phase": "Failed"}}), 403, cannot),
        ("POST", default("pods/web/binding"), json!({"target": {"name": "n"}}), 403, cannot),
        ("POST", default("pods/web/eviction"), eviction, 403, cannot),
        ("GET", default("pods/web/exec?command=sh"), Value::Null, 403, cannot),
        ("POST", default("bindings"), json!({"metadata": {"name": "web"}, "target": {"name": "n"}}), 403, cannot),
        ("PATCH", approval, json!({}), 403, cannot),
        ("PATCH", default("configmaps/mine"), owner.clone(), 403, cannot),
        ("PATCH", default("secrets/treasure"), owner, 403, cannot),
        ("DELETE", default("pods"), Value::Null, 403, cannot),
        ("GET", default("configmaps"), Value::Null, 403, cannot),
        ("GET", default("configmaps?fieldSelector=metadata.name!%3Dmine"), Value::Null, 403, cannot),
        (
            "GET",
            default("configmaps?fieldSelector=metadata.namespace!%3Da%5C,metadata.name%3Dmine"),
            Value::Null,
            403,
            cannot,
        ),
        ("GET", "/api/v1/configmaps?fieldSelector=metadata.name%3Dmine".to_owned(), Value::Null, 403, cannot),
        ("GET", "/api/v1/watch/namespaces/default/secrets".to_owned(), Value::Null, 403, cannot),
        ("GET", "/metrics".to_owned(), Value::Null, 403, "cannot get path"),
    ])
    .await;
    // What a patch says of the status is not what it changes.
    let (code, _) =
        send(&site.mallory, "PATCH", &default("pods/web"), &[], &json!({"status": {"phase": "Failed"}})).await;
    let (_, pod) = send(&site.cluster.client(), "GET", &default("pods/web"), &[], &Value::Null).await;
    assert!(code == 200 && pod.contains(r#""phase":"Pending""#), "{code} {pod}");
}

/// A request for a certificate of that subject, as it stands in an object.
fn certificate_request(name: &str, organization: &str) -> String {
    let mut parameters = rcgen::CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    parameters.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
    let key = rcgen::KeyPair::generate().unwrap();
    STANDARD.encode(parameters.serialize_request(&key).unwrap().pem().unwrap())
}

#[tokio::test]
async fn nobody_gets_a_certificate_by_approving_or_signing_what_they_may_not() {
    let site = Site::new(json!([])).await;
    let admin = site.cluster.client();
    let kind = "certificatesigningrequests";
    let resources = [kind.to_owned(), format!("{kind}/approval"), format!("{kind}/status")];
    let rules = json!([{"apiGroups": ["certificates.k8s.io"], "resources": resources, "verbs": ["*"]}]);
    let binding = json!({"metadata": {"name": "asks"}, "roleRef": {"kind": "ClusterRole", "name": "asks"},
        "subjects": [{"kind": "User", "name": "mallory"}]});
    let role = json!({"metadata": {"name": "asks"}, "rules": rules});
    for (path, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        assert_eq!(send(&admin, "POST", &format!("{RBAC}/{path}"), &[], &object).await.0, 201);
    }
    let requests = format!("/apis/certificates.k8s.io/v1/{kind}");
    let wants = |name: &str, signer: &str, organization: &str| {
        json!({"metadata": {"name": name}, "spec": {"signerName": signer, "usages": ["client auth"],
            "request": certificate_request("mallory", organization), "username": "boss", "groups": ["system:masters"]}})
    };
    let signer = "kubernetes.io/kube-apiserver-client";
    let (code, text) = send(&site.mallory, "POST", &requests, &[], &wants("mine", signer, "strangers")).await;
    assert_eq!(code, 201, "{text}");
    let mine: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(mine["spec"]["username"], "mallory", "nobody asks in another's name");
    let decided = |conditions: Value, certificate: Option<&str>| {
        let mut decided = mine.clone();
        decided["status"] = json!({"conditions": conditions});
        if let Some(certificate) = certificate {
            decided["status"]["certificate"] = json!(STANDARD.encode(certificate));
        }
        decided
    };
    let approved = json!([{"type": "Approved", "status": "True", "reason": "Mine", "message": ""}]);
    let key = rcgen::KeyPair::generate().unwrap();
    let forged = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
    site.refuses(&[
        (
            "POST",
            requests.clone(),
            wants("masters", signer, "system:masters"),
            403,
            "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed",
        ),
        (
            "PUT",
            format!("{requests}/mine/approval"),
            decided(approved.clone(), None),
            403,
            "user not permitted to approve requests with signerName \\\"kubernetes.io/kube-apiserver-client\\\"",
        ),
        (
            "PATCH",
            format!("{requests}/mine/approval"),
            json!({"status": {"conditions": approved}}),
            403,
            "user not permitted",
        ),
        (
            "PUT",
            format!("{requests}/mine/status"),
            decided(json!([]), Some(&forged)),
            403,
            "user not permitted to sign requests with signerName \\\"kubernetes.io/kube-apiserver-client\\\"",
        ),
        (
            "POST",
            "/apis/authentication.k8s.io/v1/tokenreviews".to_owned(),
            json!({"spec": {"token": "a"}}),
            403,
            "cannot create",
        ),
    ])
    .await;
}

#[tokio::test]
async fn nobody_has_others_deleted_or_kept_by_owning_them() {
    let rules =
        json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "update", "patch"]}]);
    let site = Site::with(&["OwnerReferencesPermissionEnforcement"], rules).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let owner = |kind: &str, blocks: bool| {
        json!({"metadata": {"name": "mine", "ownerReferences": [
            {"apiVersion": "v1", "kind": kind, "name": "web", "uid": "x", "blockOwnerDeletion": blocks}]}})
    };
    let cannot = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on";
    let delete = "cannot set an ownerRef on a resource you can't delete";
    let two = json!({"metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "x", "controller": true},
        {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "y", "controller": true}]}});
    site.refuses(&[
        ("PATCH", format!("{maps}/mine"), owner("Pod", false), 403, delete),
        ("POST", maps.to_owned(), owner("Pod", true), 403, cannot),
        ("PATCH", format!("{maps}/mine"), two, 422, "Only one reference can have Controller set to true"),
        ("PATCH", "/api/v1/namespaces/kube-system/configmaps/x".to_owned(), owner("Pod", false), 403, "cannot patch"),
        ("DELETE", format!("{maps}/mine"), json!({"propagationPolicy": "Orphan"}), 403, "cannot delete"),
    ])
    .await;
}

#[tokio::test]
async fn a_role_that_stands_for_billions_of_permissions_is_refused_at_once() {
    let site = Site::new(manages_roles()).await;
    let words = |letter: char| (0..300).map(|number| format!("{letter}{number}")).collect::<Vec<_>>();
    let rule =
        json!({"apiGroups": words('g'), "resources": words('r'), "resourceNames": words('n'), "verbs": words('v')});
    let roles = format!("{RBAC}/namespaces/default/roles");
    let held = "is attempting to grant RBAC permissions not currently held:\\n{more than can be listed}";
    let began = tokio::time::Instant::now();
    site.refuses(&[("POST", roles, json!({"metadata": {"name": "new"}, "rules": [rule]}), 403, held)]).await;
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_elsewhere() {
    let site = Site::new(json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}])).await;
    let before = site.state().await;
    let long = "a".repeat(60_000);
    let paths = [
        "/api/v1/namespaces/default/configmaps/../secrets/treasure",
        "/api/v1/namespaces/default/configmaps/%2e%2e/secrets/treasure",
        "/api/v1/namespaces/default/configmaps%2F..%2Fsecrets",
        "/api/v1/namespaces/default/../kube-system/secrets/treasure",
        "/api/v1/namespaces/default%2F..%2Fkube-system/secrets/treasure",
        "/api/v1/namespaces/kube-system%2Fsecrets",
        "/api/v1/namespaces/kube-system%2Fsecrets%2Ftreasure",
        "//api/v1/namespaces/default/secrets/treasure",
        "/api//v1/namespaces/default/secrets/treasure",
        "/api/v1//namespaces/default/secrets/treasure",
        "/api/v1/namespaces//default/secrets/treasure",
        "/api/v1/namespaces/default/secrets//treasure",
        "/api/v1/namespaces/default/secrets/treasure/",
        "/./api/v1/namespaces/default/secrets/treasure",
        "/api/v1/./namespaces/default/secrets/treasure",
        "/API/v1/namespaces/default/secrets/treasure",
        "/api/v1/namespaces/default/Secrets/treasure",
        "/api/v1/namespaces/default/secrets%00/treasure",
        "/api/v1/namespaces/default/secrets%20/treasure",
        "/api/v1/namespaces/default/%73ecrets/treasure",
        "/api/v1/namespaces/default/secrets;a=b/treasure",
        "/api/v1/namespaces/default/%EF%BD%93ecrets/treasure",
        "/api/v1/namespaces/default/secrets/%ff%fe",
        "/api/v1/namespaces/default/configmaps/%zz/../../secrets",
        "/healthz/../api/v1/namespaces/default/secrets/treasure",
        "/version/%2e%2e/metrics",
        "/api/../metrics",
        &format!("/api/v1/namespaces/default/secrets/{long}"),
        &format!("/api/v1/namespaces/{long}/configmaps"),
    ];
    for path in paths {
        for method in ["GET", "DELETE", "POST"] {
            let (code, text) = send(&site.mallory, method, path, &[], &Value::Null).await;
            let shown = &path[..path.len().min(80)];
            assert!(matches!(code, 301 | 400 | 403 | 404 | 405 | 414 | 500), "{method} {shown}: {code} {text}");
            assert!(!text.contains("\"data\"") && !text.contains("\"items\""), "{method} {shown}: {text}");
        }
    }
    assert_eq!(site.state().await, before);
}

#[tokio::test]
async fn a_node_writes_nothing_that_is_not_its_own() {
    let site = Site::new(json!([])).await;
    let before = site.state().await;
    let node = site.cluster.as_user("system:node:one", &["system:nodes"]);
    let lease = |name: &str| json!({"metadata": {"name": name}, "spec": {}});
    let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {"nodeName": "one", "containers": [{"name": "c", "image": "i"}]}});
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let label = json!({"metadata": {"name": "one", "labels": {"node-restriction.kubernetes.io/tier": "gold"}}});
    for (method, path, body, message) in [
        ("POST", "/api/v1/nodes", json!({"metadata": {"name": "two"}}), "is not allowed to modify node \\\"two\\\""),
        (
            "POST",
            "/api/v1/nodes",
            label,
            "is not allowed to set the following labels: node-restriction.kubernetes.io/tier",
        ),
        ("POST", leases, lease("two"), "can only access node lease with the same name as the requesting node"),
        ("POST", "/api/v1/namespaces/default/pods", pod("p"), "can only create mirror pods"),
        (
            "DELETE",
            "/api/v1/namespaces/default/pods/web",
            Value::Null,
            "can only delete pods with spec.nodeName set to itself",
        ),
        (
            "PATCH",
            "/api/v1/namespaces/default/pods/web/status",
            json!({"status": {"phase": "Failed"}}),
            "can only update pod status for pods with spec.nodeName set to itself",
        ),
        (
            "GET",
            "/api/v1/namespaces/default/secrets/treasure",
            Value::Null,
            "no relationship found between node 'one' and this object",
        ),
        (
            "GET",
            "/api/v1/namespaces/default/pods",
            Value::Null,
            "can only list/watch pods with spec.nodeName field selector",
        ),
        ("PATCH", "/api/v1/namespaces/default/configmaps/mine", json!({}), "can only read resources of this type"),
    ] {
        let (code, text) = send(&node, method, path, &[], &body).await;
        assert_eq!(code, 403, "{method} {path}: {text}");
        assert!(text.contains(message), "{method} {path}: {text}");
    }
    assert_eq!(site.state().await, before);
    let own = json!({"metadata": {"name": "one", "labels": {"kubernetes.io/hostname": "one"}}});
    assert_eq!(send(&node, "POST", "/api/v1/nodes", &[], &own).await.0, 201);
    assert_eq!(send(&node, "POST", leases, &[], &lease("one")).await.0, 201);
}
