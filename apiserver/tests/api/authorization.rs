//! Who may do what, over the whole way of a request.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use steersman_apiserver::authentication::UserInfo;
use tower::ServiceExt;

use crate::client::{Client, Reply, read};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1";

/// A request of somebody, with headers.
struct As<'a> {
    client: &'a Client,
    user: UserInfo,
    headers: Vec<(&'static str, &'static str)>,
}

impl<'a> As<'a> {
    fn new(client: &'a Client, name: &str) -> Self {
        Self { client, user: UserInfo::known(name, &["dev"]), headers: vec![] }
    }

    fn with(mut self, headers: &[(&'static str, &'static str)]) -> Self {
        self.headers = headers.to_vec();
        self
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Reply {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let content_type = if method == "PATCH" { "application/apply-patch+yaml" } else { "application/json" };
        let mut request = Request::builder().method(method.parse::<Method>().unwrap()).uri(path);
        for (name, value) in self.headers.iter().chain(&[("Content-Type", content_type)]) {
            request = request.header(*name, *value);
        }
        let service = self.client.api_server.service_as(self.user.clone());
        read(service.oneshot(request.body(Full::new(body)).unwrap()).await.unwrap()).await
    }

    async fn message(&self, method: &str, path: &str, body: Value) -> String {
        let reply = self.ask(method, path, body).await;
        format!("{} {}", reply.code, reply.body["message"].as_str().unwrap_or_default())
    }
}

/// Gives `user` rules in a namespace, or in the whole cluster.
async fn grant(client: &Client, user: &str, namespace: &str, rules: Value) {
    let (place, role, binding) = match namespace {
        "" => (RBAC.to_owned(), "ClusterRole", "ClusterRoleBinding"),
        namespace => (format!("{RBAC}/namespaces/{namespace}"), "Role", "RoleBinding"),
    };
    let object =
        |kind: &str| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": user}});
    let mut granted = object(role);
    granted["rules"] = rules;
    let made = client.post(&format!("{place}/{}s", role.to_lowercase()), granted).await;
    assert_eq!(made.code, 201, "{made:?}");
    let mut bound = object(binding);
    bound["roleRef"] = json!({"kind": role, "name": user});
    bound["subjects"] = json!([{"kind": "User", "name": user}]);
    let made = client.post(&format!("{place}/{}s", binding.to_lowercase()), bound).await;
    assert_eq!(made.code, 201, "{made:?}");
}

fn review(kind: &str, spec: Value) -> Value {
    json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec})
}

#[tokio::test]
async fn a_refused_request_is_not_read() {
    let client = Client::new().await;
    let reply = As::new(&client, "jane").ask("POST", "/api/v1/namespaces/default/configmaps", json!("no object")).await;
    let why = "configmaps is forbidden: User \"jane\" cannot create resource \"configmaps\" in API group \"\" in the namespace \"default\"";
    assert_eq!((reply.code, reply.body["message"].as_str()), (403, Some(why)));
}

#[tokio::test]
async fn what_makes_an_object_needs_create() {
    let client = Client::new().await;
    let rules = |verbs: Value| json!([{"apiGroups": ["", "coordination.k8s.io"], "resources": ["*"], "verbs": verbs}]);
    grant(&client, "jane", "default", rules(json!(["patch", "update"]))).await;
    let jane = As::new(&client, "jane");
    let map = "/api/v1/namespaces/default/configmaps/new?fieldManager=m";
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}});
    let why = "configmaps \"new\" is forbidden: User \"jane\" cannot create resource \"configmaps\" in API group \"\" in the namespace \"default\"";
    assert_eq!(jane.message("PATCH", map, body.clone()).await, format!("403 {why}"));
    assert_eq!(client.get("/api/v1/namespaces/default/configmaps/new").await.code, 404);
    let lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases/new";
    let body = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "new"}});
    assert!(
        jane.message("PUT", lease, body.clone())
            .await
            .starts_with("403 leases.coordination.k8s.io \"new\" is forbidden")
    );
    grant(&client, "joe", "default", rules(json!(["patch", "update", "create"]))).await;
    assert_eq!(As::new(&client, "joe").ask("PUT", lease, body.clone()).await.code, 201);
    assert_ne!(jane.ask("PUT", lease, body).await.code, 403, "it is there now");
}

#[tokio::test]
async fn a_role_may_be_confined_to_names_even_of_lists() {
    let client = Client::new().await;
    let rules =
        json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["list", "get"]}]);
    grant(&client, "jane", "default", rules).await;
    let jane = As::new(&client, "jane");
    for name in ["mine", "other"] {
        client
            .post(
                "/api/v1/namespaces/default/configmaps",
                json!({"metadata": {"name": name}, "apiVersion": "v1", "kind": "ConfigMap"}),
            )
            .await;
    }
    let list = async |selector: &str| {
        let reply = jane.ask("GET", &format!("/api/v1/namespaces/default/configmaps{selector}"), Value::Null).await;
        (reply.code, reply.body["items"].as_array().map(Vec::len))
    };
    assert_eq!(list("").await, (403, None));
    assert_eq!(list("?fieldSelector=metadata.name%3Dmine").await, (200, Some(1)));
    assert_eq!(list("?fieldSelector=metadata.name%3Dother").await, (403, None));
    assert_eq!(list("?fieldSelector=metadata.namespace!%3Dx%5C,metadata.name%3Dmine").await, (403, None), "one value");
}

#[tokio::test]
async fn reviews_tell_what_somebody_may_do_and_why() {
    let client = Client::new().await;
    grant(&client, "jane", "default", json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])).await;
    let jane = As::new(&client, "jane");
    let get_pods = json!({"verb": "get", "resource": "pods", "namespace": "default"});
    let own = |attributes: &Value| review("SelfSubjectAccessReview", json!({"resourceAttributes": attributes}));
    let reply = jane.ask("POST", &format!("{REVIEWS}/selfsubjectaccessreviews"), own(&get_pods)).await;
    let why = "RBAC: allowed by RoleBinding \"jane/default\" of Role \"jane\" to User \"jane\"";
    assert_eq!((reply.code, &reply.body["status"]), (201, &json!({"allowed": true, "reason": why})));
    let list = json!({"verb": "list", "resource": "pods", "namespace": "default"});
    let reply = jane.ask("POST", &format!("{REVIEWS}/selfsubjectaccessreviews"), own(&list)).await;
    assert_eq!(reply.body["status"], json!({"allowed": false}));

    let of_jane = json!({"user": "jane", "resourceAttributes": get_pods});
    let reviews = format!("{REVIEWS}/subjectaccessreviews");
    let refused = jane.ask("POST", &reviews, review("SubjectAccessReview", of_jane.clone())).await;
    assert_eq!(refused.code, 403);
    let reply =
        client.post(&format!("{REVIEWS}/subjectaccessreviews"), review("SubjectAccessReview", of_jane.clone())).await;
    assert_eq!(reply.body["status"], json!({"allowed": true, "reason": why}));
    let local = format!("{REVIEWS}/namespaces/default/localsubjectaccessreviews");
    let reply = client.post(&local, review("LocalSubjectAccessReview", of_jane)).await;
    assert_eq!((reply.code, &reply.body["status"]["allowed"]), (201, &json!(true)));
    let path = json!({"groups": ["system:authenticated"], "nonResourceAttributes": {"verb": "get", "path": "/apis"}});
    let reply = client.post(&format!("{REVIEWS}/subjectaccessreviews"), review("SubjectAccessReview", path)).await;
    assert_eq!(reply.body["status"]["allowed"], true);
    let nobody = json!({"user": "nobody", "nonResourceAttributes": {"verb": "get", "path": "/apis"}});
    let reply = client.post(&format!("{REVIEWS}/subjectaccessreviews"), review("SubjectAccessReview", nobody)).await;
    assert_eq!(reply.body["status"], json!({"allowed": false}), "no group is added");
}

#[tokio::test]
async fn reviews_that_make_no_sense_are_refused() {
    let client = Client::new().await;
    let check = async |resource: &str, kind: &str, spec: Value, expect: &str| {
        let reply = client.post(&format!("{REVIEWS}/{resource}"), review(kind, spec)).await;
        let got = format!("{} {}", reply.code, reply.body["message"].as_str().unwrap_or_default());
        assert_eq!(got, expect);
    };
    let both = json!({"user": "a", "resourceAttributes": {}, "nonResourceAttributes": {"path": "/x", "verb": "get"}});
    check(
        "subjectaccessreviews",
        "SubjectAccessReview",
        both,
        "422 .authorization.k8s.io \"\" is invalid: spec.nonResourceAttributes: Invalid value: {\"Path\":\"/x\",\"Verb\":\"get\"}: cannot be specified in combination with resourceAttributes",
    )
    .await;
    check(
        "subjectaccessreviews",
        "SubjectAccessReview",
        json!({}),
        "422 .authorization.k8s.io \"\" is invalid: [spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified, spec.user: Invalid value: \"\": at least one of user or group must be specified]",
    )
    .await;
    let elsewhere = json!({"user": "a", "resourceAttributes": {"namespace": "b"}});
    check(
        "namespaces/default/localsubjectaccessreviews",
        "LocalSubjectAccessReview",
        elsewhere,
        "422 .authorization.k8s.io \"\" is invalid: spec.resourceAttributes.namespace: Invalid value: \"b\": must match metadata.namespace",
    )
    .await;
    check("selfsubjectrulesreviews", "SelfSubjectRulesReview", json!({}), "400 no namespace on request").await;
}

#[tokio::test]
async fn selectors_of_reviews_that_cannot_be_read_are_refused_or_told_to_be_ignored() {
    let client = Client::new().await;
    let ask = async |selector: &str, value: Value| {
        let spec = json!({"user": "a", "resourceAttributes": {"verb": "list", "resource": "pods", selector: value}});
        client.post(&format!("{REVIEWS}/subjectaccessreviews"), review("SubjectAccessReview", spec)).await
    };
    let invalid = ".authorization.k8s.io \"\" is invalid: spec.resourceAttributes";
    for (selector, requirement, why) in [
        ("fieldSelector", json!({"operator": "In", "values": ["a"]}), ".key: Required value: must be specified"),
        (
            "fieldSelector",
            json!({"key": "a", "operator": "In"}),
            ".values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ),
        (
            "labelSelector",
            json!({"key": "a", "operator": "Exists", "values": ["b"]}),
            ".values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
        (
            "labelSelector",
            json!({"key": "a", "operator": "In", "values": ["b", "-"]}),
            ".values[1]: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
    ] {
        let reply = ask(selector, json!({"requirements": [requirement]})).await;
        let expect = format!("{invalid}.{selector}.requirements[0]{why}");
        assert_eq!((reply.code, reply.body["message"].as_str()), (422, Some(expect.as_str())));
    }
    for (selector, value) in [
        ("fieldSelector", json!({"requirements": [{"key": "a", "operator": "Since"}]})),
        ("fieldSelector", json!({"rawSelector": "a in"})),
        ("labelSelector", json!({"requirements": [{"key": "a", "operator": "Since"}]})),
        ("labelSelector", json!({"rawSelector": "a in"})),
    ] {
        let reply = ask(selector, value).await;
        let expect = format!("spec.resourceAttributes.{selector} ignored due to parse error");
        assert_eq!((reply.code, &reply.body["status"]["evaluationError"]), (201, &json!(expect)));
    }
    let reply = ask("labelSelector", json!({"rawSelector": "a in (b)"})).await;
    assert_eq!(reply.body["status"], json!({"allowed": false}));
}

#[tokio::test]
async fn a_user_may_ask_for_all_their_rules() {
    let client = Client::new().await;
    let rule = json!({"apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"], "verbs": ["get"]});
    grant(&client, "jane", "default", json!([rule])).await;
    let path = format!("{REVIEWS}/selfsubjectrulesreviews");
    let asked = review("SelfSubjectRulesReview", json!({"namespace": "default"}));
    let reply = As::new(&client, "jane").ask("POST", &path, asked.clone()).await;
    let status = &reply.body["status"];
    assert_eq!((reply.code, &status["incomplete"], &reply.body["spec"]), (201, &json!(false), &json!({})));
    assert!(status["resourceRules"].as_array().unwrap().contains(&rule), "{status}");
    assert!(status["nonResourceRules"][0]["nonResourceURLs"].as_array().unwrap().contains(&json!("/api/*")));
    let mut node = As::new(&client, "system:node:one");
    node.user.groups.push("system:nodes".to_owned());
    let status = node.ask("POST", &path, asked).await.body["status"].clone();
    assert_eq!(status["incomplete"], true);
    assert_eq!(status["evaluationError"], "node authorizer does not support user rule resolution");
}

#[tokio::test]
async fn nobody_acts_as_somebody_else_without_the_right() {
    let client = Client::new().await;
    let rules = json!([
        {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["joe"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["users"], "verbs": ["impersonate:user-info"], "resourceNames": ["ann"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["impersonate-on:user-info:list"]},
    ]);
    grant(&client, "jane", "", rules).await;
    grant(&client, "ann", "default", json!([{"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["list"]}]))
        .await;
    let list = async |headers: &[(&'static str, &'static str)], resource: &str| {
        let jane = As::new(&client, "jane").with(headers);
        jane.message("GET", &format!("/api/v1/namespaces/default/{resource}"), Value::Null).await
    };
    let refused = list(&[("Impersonate-User", "joe")], "pods").await;
    assert!(refused.contains("User \"joe\" cannot list resource \"pods\""), "{refused}");
    assert_eq!(list(&[("Impersonate-User", "ann")], "pods").await, "200 ");
    let refused = list(&[("Impersonate-User", "ann")], "secrets").await;
    assert!(refused.contains("User \"jane\" cannot impersonate-on:user-info:list resource \"secrets\""), "{refused}");
    let masters = [("Impersonate-User", "joe"), ("Impersonate-Group", "system:masters")];
    assert!(list(&masters, "pods").await.starts_with("403 "));
    let masters = [("Impersonate-User", "ann"), ("Impersonate-Group", "system:masters")];
    assert!(list(&masters, "pods").await.contains("impersonating the system:masters group is not allowed"));
    assert!(list(&[("Impersonate-Group", "a")], "pods").await.starts_with("400 "));
}

#[tokio::test]
async fn a_binding_to_another_role_is_put_right_at_the_next_start_unless_it_is_to_be_left_alone() {
    const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let store = std::sync::Arc::new(steersman_store::MemoryStore::default());
    let client = Client::with_store(store.clone()).await;
    let (changed, left) = ("system:discovery", "system:basic-user");
    for (name, keep) in [(changed, "true"), (left, "false")] {
        let path = format!("{BINDINGS}/{name}");
        let mut binding = client.get(&path).await.body;
        assert_eq!(client.delete(&path, Value::Null).await.code, 200);
        binding["metadata"] =
            json!({"name": name, "annotations": {"rbac.authorization.kubernetes.io/autoupdate": keep}});
        binding["roleRef"]["name"] = json!("cluster-admin");
        assert_eq!(client.post(BINDINGS, binding).await.code, 201);
    }
    let wrong = client.get(&format!("{BINDINGS}/{changed}")).await.body["metadata"]["uid"].clone();
    drop(client);
    let client = Client::with_store(store).await;
    let right = client.get(&format!("{BINDINGS}/{changed}")).await.body;
    assert_eq!(right["roleRef"]["name"], changed);
    assert_ne!(right["metadata"]["uid"], wrong);
    assert_eq!(client.get(&format!("{BINDINGS}/{left}")).await.body["roleRef"]["name"], "cluster-admin");
}

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1";

fn policy(name: &str, kind: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "paramKind": {"apiVersion": "v1", "kind": kind},
        "matchConstraints": {"resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]},
        "validations": [{"expression": "true"}],
    }})
}

#[tokio::test]
async fn who_writes_a_policy_may_read_its_parameters() {
    let client = Client::new().await;
    let own = json!({"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]});
    let reading = |verbs: &[&str]| json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs});
    for (user, rules) in [
        ("alice", json!([own])),
        ("bob", json!([own, reading(&["get", "list"])])),
        ("carol", json!([own, reading(&["get"])])),
    ] {
        grant(&client, user, "", rules).await;
    }
    let path = |kind: &str| format!("{POLICIES}/validatingadmissionpolic{kind}");
    let policies = path("ies");
    let shown = |user: &str| format!("&{{{user}  [dev system:authenticated] map[]}}");
    let refused = As::new(&client, "alice").ask("POST", &policies, policy("p", "ConfigMap")).await;
    assert_eq!(refused.code, 422);
    assert_eq!(
        refused.body["details"]["causes"],
        json!([{"reason": "FieldValueForbidden", "field": "spec.paramKind", "message": format!(
            "Forbidden: user {} must have \"get\" permission on all objects of the referenced paramKind \
             (kind=ConfigMap, apiVersion=v1)", shown("alice"))}])
    );
    for (name, kind, user) in [("p", "ConfigMap", "bob"), ("strange", "Thing", "")] {
        let made = match user {
            "" => client.post(&policies, policy(name, kind)).await,
            user => As::new(&client, user).ask("POST", &policies, policy(name, kind)).await,
        };
        assert_eq!(made.code, 201, "{made:?}");
    }
    let unread = |verb: &str, user: &str| {
        format!("user {} does not have \"{verb}\" permission on the object referenced by paramRef", shown(user))
    };
    let unknown = |what: &str, verb: &str, user: &str| {
        format!(
            "unable to {what} to determine minimum required permissions and user {} does not have \"{verb}\" permission \
             for all groups, versions and resources",
            shown(user)
        )
    };
    let named = json!({"name": "c", "namespace": "default", "parameterNotFoundAction": "Deny"});
    let selected = json!({"selector": {}, "parameterNotFoundAction": "Deny"});
    let bindings = path("ybindings");
    for (user, to, reference, why) in [
        ("alice", "p", &named, unread("get", "alice")),
        ("carol", "p", &named, String::new()),
        ("carol", "p", &selected, unread("list", "carol")),
        ("bob", "p", &selected, String::new()),
        ("bob", "missing", &named, unknown("get policy missing", "get", "bob")),
        ("bob", "strange", &named, unknown("resolve paramKind &{v1 Thing}", "get", "bob")),
        ("alice", "p", &Value::Null, String::new()),
    ] {
        let spec = json!({"policyName": to, "validationActions": ["Deny"], "paramRef": reference});
        let reply = As::new(&client, user)
            .ask("POST", &bindings, json!({"metadata": {"generateName": "b-"}, "spec": spec}))
            .await;
        if why.is_empty() {
            assert_eq!(reply.code, 201, "{reply:?}");
            continue;
        }
        assert_eq!(reply.code, 422, "{reply:?}");
        assert_eq!(reply.body["details"]["causes"][0]["message"], format!("Forbidden: {why}"));
    }
}
