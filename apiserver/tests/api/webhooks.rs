//! Admission webhooks that answer in this process, and those that cannot be reached.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman_apiserver::outbound::Registration;

use crate::client::{Client, Reply, deployment};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const HOST: &str = "hook.tests.svc";

/// A webhook in this process, and what it was sent.
struct Hook {
    sent: Arc<Mutex<Vec<(String, Value)>>>,
    _registration: Registration,
}

impl Hook {
    /// Answers each request with a response, to which the uid is added.
    fn new(client: &Client, answer: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Self {
        Self::raw(client, move |review| {
            let mut response = answer(&review["request"]);
            response["uid"] = review["request"]["uid"].clone();
            let (kind, version) = (&review["kind"], &review["apiVersion"]);
            json!({"kind": kind, "apiVersion": version, "response": response}).to_string()
        })
    }

    fn raw(client: &Client, answer: impl Fn(&Value) -> String + Send + Sync + 'static) -> Self {
        let sent: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let log = sent.clone();
        let handler = move |request: Request<Bytes>| {
            let review: Value = serde_json::from_slice(request.body()).unwrap();
            let body = answer(&review);
            log.lock().push((request.uri().to_string(), review["request"].clone()));
            std::future::ready(Response::new(Bytes::from(body)))
        };
        let registration = client.api_server.server().outbound.register(HOST, handler);
        Self { sent, _registration: registration }
    }

    fn operations(&self) -> Vec<String> {
        let sent = self.sent.lock();
        sent.iter()
            .map(|(_, it)| format!("{} {}", it["operation"].as_str().unwrap(), it["resource"]["resource"]))
            .collect()
    }
}

fn patch(operations: &Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())})
}

fn webhook(name: &str, resources: &str, change: &Value) -> Value {
    let mut webhook = json!({
        "name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"name": "hook", "namespace": "tests", "path": "/check"}},
        "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": [resources]}],
    });
    for (field, value) in change.as_object().unwrap() {
        webhook[field] = value.clone();
    }
    webhook
}

async fn configure(client: &Client, kind: &str, name: &str, webhooks: Vec<Value>) {
    let path = format!("/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations");
    let made = client.post(&path, json!({"metadata": {"name": name}, "webhooks": webhooks})).await;
    assert_eq!(made.code, 201, "{made:?}");
}

async fn make(client: &Client, name: &str) -> Reply {
    client.post(MAPS, json!({"metadata": {"name": name, "labels": {"app": "x"}}, "data": {"k": "v"}})).await
}

#[track_caller]
fn refused(reply: &Reply, code: u16, message: &str) {
    assert_eq!((reply.code, reply.body["message"].as_str().unwrap_or_default()), (code, message));
}

#[tokio::test]
async fn a_validating_webhook_sees_every_write_and_may_refuse_it() {
    let client = Client::new().await;
    let hook = Hook::new(&client, |request| match request["name"].as_str() {
        Some("bad") => json!({"allowed": false, "status": {"code": 403, "message": "not so"}}),
        _ => json!({"allowed": true, "warnings": ["mind"]}),
    });
    configure(&client, "validating", "v", vec![webhook("v.example.com", "configmaps", &json!({}))]).await;
    refused(&make(&client, "bad").await, 403, r#"admission webhook "v.example.com" denied the request: not so"#);
    let made = make(&client, "good").await;
    assert_eq!((made.code, made.warnings.as_slice()), (201, &[r#"299 - "mind""#.to_owned()][..]));
    client.patch("merge", &format!("{MAPS}/good?fieldManager=me"), json!({"data": {"k": "w"}})).await;
    client.delete(&format!("{MAPS}/good"), json!({"propagationPolicy": "Background"})).await;
    let sent = hook.sent.lock();
    let seen = |at: usize| -> Value {
        let request = &sent[at].1;
        json!([
            request["operation"],
            request["object"]["data"]["k"],
            request["oldObject"]["data"]["k"],
            request["options"]
        ])
    };
    let options = |kind: &str| json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    assert_eq!(sent[0].0, "https://hook.tests.svc:443/check?timeout=10s");
    assert_eq!(seen(1), json!(["CREATE", "v", null, options("CreateOptions")]));
    let mut update = options("UpdateOptions");
    update["fieldManager"] = json!("me");
    assert_eq!(seen(2), json!(["UPDATE", "w", "v", update]));
    let mut delete = options("DeleteOptions");
    delete["propagationPolicy"] = json!("Background");
    assert_eq!(seen(3), json!(["DELETE", null, "w", delete]));
    let request = &sent[1].1;
    assert_eq!(request["userInfo"]["username"], "kubernetes-admin");
    assert_eq!(request["kind"], json!({"group": "", "version": "v1", "kind": "ConfigMap"}));
    assert_eq!((&request["namespace"], &request["dryRun"]), (&json!("default"), &json!(false)));
}

#[tokio::test]
async fn a_mutating_webhook_changes_what_is_stored() {
    let client = Client::new().await;
    let _hook = Hook::new(&client, |_| {
        let container = json!({"name": "side", "image": "side:1"});
        patch(&json!([{"op": "add", "path": "/spec/template/spec/initContainers", "value": [container]}]))
    });
    configure(&client, "mutating", "m", vec![webhook("m.example.com", "deployments", &json!({}))]).await;
    let made = client.post("/apis/apps/v1/namespaces/default/deployments", deployment("web")).await;
    let container = &made.body["spec"]["template"]["spec"]["initContainers"][0];
    assert_eq!(container["terminationMessagePolicy"], "File", "defaulted after the patch: {made:?}");
}

#[tokio::test]
async fn webhooks_are_asked_again_if_later_ones_change_the_object() {
    let client = Client::new().await;
    let hook = Hook::new(&client, |request| {
        let count = request["object"]["data"].as_object().unwrap().len();
        let first = request["object"]["data"].get("first").is_none();
        let key = if first { "first".to_owned() } else { format!("k{count}") };
        let full = count >= 4;
        if full {
            json!({"allowed": true})
        } else {
            patch(&json!([{"op": "add", "path": format!("/data/{key}"), "value": "x"}]))
        }
    });
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    let webhooks =
        vec![webhook("a.m.example.com", "configmaps", &again), webhook("b.m.example.com", "configmaps", &json!({}))];
    configure(&client, "mutating", "m", webhooks).await;
    let made = make(&client, "a").await;
    assert_eq!(made.body["data"], json!({"k": "v", "first": "x", "k2": "x", "k3": "x"}), "{made:?}");
    assert_eq!(hook.sent.lock().len(), 3, "the second does not want to be asked again");
}

#[tokio::test]
async fn failures_refuse_or_are_ignored() {
    let client = Client::new().await;
    configure(&client, "validating", "v", vec![webhook("v.example.com", "configmaps", &json!({}))]).await;
    let prefix = r#"Internal error occurred: failed calling webhook "v.example.com": "#;
    let url = r#"failed to call webhook: Post "https://hook.tests.svc:443/check?timeout=10s": "#;
    refused(&make(&client, "a").await, 500, &format!(r#"{prefix}{url}service "hook" not found"#));
    let garbage = Hook::raw(&client, |_| "garbage".to_owned());
    let why = "failed to call webhook: couldn't get version/kind; json parse error: invalid character 'g' looking for \
               beginning of value";
    refused(&make(&client, "a").await, 500, &format!("{prefix}{why}"));
    drop(garbage);
    let absent = Hook::raw(&client, |_| "{}".to_owned());
    let why = "received invalid webhook response: webhook response was absent";
    refused(&make(&client, "a").await, 500, &format!("{prefix}{why}"));
    drop(absent);
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/v";
    let ignore = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]);
    assert_eq!(client.patch("json", path, ignore).await.code, 200, "its own configuration is never sent");
    assert_eq!(make(&client, "a").await.code, 201);
}

#[tokio::test]
async fn a_patch_changes_nothing_but_the_object() {
    let client = Client::new().await;
    let operations = Arc::new(Mutex::new(Value::Null));
    let current = operations.clone();
    let _hook = Hook::new(&client, move |_| patch(&current.lock()));
    configure(&client, "mutating", "m", vec![webhook("m.example.com", "configmaps", &json!({}))]).await;
    for (change, code, message) in [
        (
            json!([{"op": "add", "path": "/a/b", "value": 1}]),
            500,
            r#"Internal error occurred: add operation does not apply: doc is missing path: "/a/b": missing value"#,
        ),
        (
            json!([{"op": "remove", "path": "/nothing"}]),
            500,
            "Internal error occurred: error in remove for path: '/nothing': Unable to remove nonexistent key: nothing: missing value",
        ),
        (
            json!([{"op": "replace", "path": "/metadata/namespace", "value": "kube-system"}]),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            json!([{"op": "add", "path": "/data", "value": "text"}]),
            500,
            "Internal error occurred: json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string",
        ),
    ] {
        *operations.lock() = change;
        refused(&make(&client, "a").await, code, message);
    }
    *operations.lock() = json!([]);
    make(&client, "a").await;
    *operations.lock() = json!([{"op": "add", "path": "/data/x", "value": "1"}]);
    let message = r#"Internal error occurred: admission webhook "m.example.com" attempted to modify the object, which is not supported for this operation"#;
    refused(&client.delete(&format!("{MAPS}/a"), Value::Null).await, 500, message);
}

#[tokio::test]
async fn selectors_and_rules_choose_the_requests() {
    let client = Client::new().await;
    let hook = Hook::new(&client, |_| json!({"allowed": true}));
    let scale = json!({
        "rules": [{"operations": ["UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["*/scale"]}],
    });
    let selected = json!({"objectSelector": {"matchLabels": {"app": "y"}}});
    let elsewhere = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}});
    let webhooks = vec![
        webhook("a.v.example.com", "*", &scale),
        webhook("b.v.example.com", "configmaps", &selected),
        webhook("c.v.example.com", "configmaps", &elsewhere),
    ];
    configure(&client, "validating", "v", webhooks).await;
    make(&client, "a").await;
    assert_eq!(hook.operations(), Vec::<String>::new());
    client.patch("merge", &format!("{MAPS}/a"), json!({"metadata": {"labels": {"app": "y"}}})).await;
    client.patch("merge", &format!("{MAPS}/a"), json!({"metadata": {"labels": {"app": "z"}}})).await;
    client.post("/apis/apps/v1/namespaces/default/deployments", deployment("web")).await;
    let path = "/apis/apps/v1/namespaces/default/deployments/web/scale";
    client.patch("merge", path, json!({"spec": {"replicas": 3}})).await;
    assert_eq!(hook.operations(), ["UPDATE \"configmaps\"", "UPDATE \"configmaps\"", "UPDATE \"deployments\""]);
    let sent = hook.sent.lock();
    let request = &sent[2].1;
    assert_eq!((&request["subResource"], &request["kind"]["kind"]), (&json!("scale"), &json!("Scale")));
    assert_eq!(
        (&request["object"]["spec"]["replicas"], &request["oldObject"]["spec"]["replicas"]),
        (&json!(3), &json!(1))
    );
}

#[tokio::test]
async fn another_version_of_the_resource_matches_as_well() {
    let client = Client::new().await;
    let hook = Hook::new(&client, |request| {
        assert_eq!(request["object"]["apiVersion"], "autoscaling/v1");
        patch(&json!([{"op": "replace", "path": "/spec/targetCPUUtilizationPercentage", "value": 70}]))
    });
    let old = json!({
        "rules": [{"operations": ["CREATE"], "apiGroups": ["autoscaling"], "apiVersions": ["v1"],
                   "resources": ["horizontalpodautoscalers"]}],
    });
    configure(&client, "mutating", "m", vec![webhook("m.example.com", "*", &old)]).await;
    let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}});
    let scaler = json!({"metadata": {"name": "h"}, "spec": {
        "maxReplicas": 3, "metrics": [metric], "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}});
    let made = client.post("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", scaler).await;
    assert_eq!(made.body["apiVersion"], "autoscaling/v2", "{made:?}");
    assert_eq!(made.body["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 70, "{made:?}");
    let sent = hook.sent.lock();
    assert_eq!((&sent[0].1["kind"]["version"], &sent[0].1["requestKind"]["version"]), (&json!("v1"), &json!("v2")));
}

#[tokio::test]
async fn a_dry_run_is_shown_only_to_those_who_know_it() {
    let client = Client::new().await;
    let hook = Hook::new(&client, |_| json!({"allowed": true}));
    configure(&client, "validating", "v", vec![webhook("v.example.com", "configmaps", &json!({}))]).await;
    let body = json!({"metadata": {"name": "a"}});
    assert_eq!(client.post(&format!("{MAPS}?dryRun=All"), body).await.code, 201);
    let sent = hook.sent.lock();
    assert_eq!((&sent[0].1["dryRun"], &sent[0].1["options"]["dryRun"]), (&json!(true), &json!(["All"])));
}

#[tokio::test]
async fn conditions_choose_among_the_requests_that_match() {
    let client = Client::new().await;
    let hook = Hook::new(&client, |_| json!({"allowed": true}));
    let condition = |expression: &str| json!({"matchConditions": [{"name": "c", "expression": expression}]});
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let bad = webhook("v.example.com", "configmaps", &condition("request.name"));
    let refusal = client.post(path, json!({"metadata": {"name": "v"}, "webhooks": [bad]})).await;
    let why = "webhooks[0].matchConditions[0].expression: Invalid value: \"request.name\": must evaluate to bool but got string";
    assert!(refusal.body["message"].as_str().unwrap().ends_with(why), "{refusal:?}");
    let skip = webhook("v.example.com", "configmaps", &condition("object.metadata.name != 'skip-me'"));
    configure(&client, "validating", "v", vec![skip]).await;
    make(&client, "skip-me").await;
    make(&client, "a").await;
    assert_eq!(hook.operations().len(), 1);
    let failing = webhook("w.example.com", "configmaps", &condition("object.data.nothing == 'x'"));
    configure(&client, "validating", "w", vec![failing]).await;
    let message = "configmaps \"b\" is forbidden: expression 'object.data.nothing == 'x'' resulted in error: no such key: nothing";
    refused(&make(&client, "b").await, 403, message);
}
