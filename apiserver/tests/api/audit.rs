//! Who did what is remembered for those who want to know.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use steersman_apiserver::ApiServer;
use steersman_apiserver::audit::{Log, Policy};
use steersman_apiserver::authentication::UserInfo;
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;
use tower::ServiceExt;

use crate::client::Client;

async fn get(api_server: &ApiServer, user: Option<UserInfo>, path: &str) {
    let request = Request::get(path).header("User-Agent", "tester/1").header("Audit-Id", "a-1");
    let service = match user {
        Some(user) => api_server.service_as(user),
        None => api_server.public_service(),
    };
    service.oneshot(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap();
}

#[tokio::test]
async fn requests_are_remembered_with_their_user_and_their_answer() {
    let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let api_server = ApiServer::builder(clock, Random::seeded(1)).record_requests().build().await.unwrap();
    get(
        &api_server,
        Some(UserInfo::known("jane", &["system:masters"])),
        "/api/v1/namespaces/default/configmaps/no-such",
    )
    .await;
    get(&api_server, None, "/version").await;
    let history = api_server.history().unwrap();
    let shown: Vec<String> = history
        .records()
        .iter()
        .map(|it| {
            let (info, what) = (&it.info, if it.info.is_resource { &it.info.resource } else { &it.info.path });
            format!("{} {} {what} {} {} {}", it.user.name, info.verb, info.name, it.code, it.user_agent)
        })
        .collect();
    assert_eq!(shown, ["jane get configmaps no-such 404 tester/1", "system:anonymous get /version  200 tester/1"]);
    assert_eq!(history.by("jane")[0].audit_id, "a-1");
}

#[tokio::test]
async fn nothing_is_remembered_that_nobody_asked_for() {
    assert!(Client::new().await.api_server.history().is_none());
}

/// A file in memory.
#[derive(Clone, Default)]
struct Shared(Arc<parking_lot::Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- {level: Metadata, resources: [{group: "", resources: [secrets]}], omitStages: [RequestReceived]}
- {level: RequestResponse, resources: [{group: "", resources: [configmaps]}], omitStages: [RequestReceived]}
- {level: Metadata, nonResourceURLs: [/version]}
"#;

#[tokio::test]
async fn the_log_has_what_the_policy_wants_and_nothing_else() {
    let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let file = Shared::default();
    let log = Log::new(Policy::from_yaml(POLICY).unwrap(), Box::new(file.clone()));
    let client =
        Client { api_server: ApiServer::builder(clock, Random::seeded(1)).audit_log(log).build().await.unwrap() };
    let post = async |resource: &str, body: Value| {
        let reply = client.post(&format!("/api/v1/namespaces/default/{resource}"), body).await;
        assert_eq!(reply.code, 201, "{reply:?}");
    };
    post("secrets", json!({"metadata": {"name": "treasure"}, "stringData": {"key": "gold"}})).await;
    post("configmaps", json!({"metadata": {"name": "map"}, "data": {"key": "value"}})).await;
    client.get("/api/v1/namespaces/default/configmaps/none").await;
    client.get("/api/v1/namespaces/default/pods").await;
    get(&client.api_server, None, "/version").await;
    let text = String::from_utf8(file.0.lock().clone()).unwrap();
    assert!(!text.contains("gold") && !text.contains("Z29sZA"), "a secret is in the log");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown: Vec<String> = events
        .iter()
        .map(|it| format!("{} {} {} {}", it["level"], it["stage"], it["requestURI"], it["responseStatus"]["code"]))
        .map(|shown| shown.replace('"', ""))
        .collect();
    assert_eq!(
        shown,
        [
            "Metadata ResponseComplete /api/v1/namespaces/default/secrets 201",
            "RequestResponse ResponseComplete /api/v1/namespaces/default/configmaps 201",
            "RequestResponse ResponseComplete /api/v1/namespaces/default/configmaps/none 404",
            "Metadata RequestReceived /version null",
            "Metadata ResponseComplete /version 200",
        ]
    );
    let made = &events[1];
    assert_eq!(
        made["objectRef"],
        json!({
        "resource": "configmaps", "namespace": "default", "name": "map", "apiVersion": "v1"})
    );
    assert_eq!(made["requestObject"]["data"], json!({"key": "value"}));
    assert_eq!(made["responseObject"]["metadata"]["name"], "map");
    assert!(made["responseObject"]["metadata"].get("managedFields").is_none());
    assert_eq!((&made["user"]["username"], &made["verb"]), (&json!("kubernetes-admin"), &json!("create")));
    assert_eq!(made["annotations"]["authorization.k8s.io/decision"], "allow");
    assert_eq!(events[2]["responseStatus"]["reason"], "NotFound");
    assert_eq!(made["stageTimestamp"], "2026-05-01T10:00:00.000000Z");
}

#[tokio::test]
async fn a_watch_is_logged_when_it_begins_and_when_it_ends() {
    let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let file = Shared::default();
    let policy = "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata, verbs: [watch]}]}";
    let log = Log::new(Policy::from_yaml(policy).unwrap(), Box::new(file.clone()));
    let api_server = ApiServer::builder(clock, Random::seeded(1)).audit_log(log).build().await.unwrap();
    let stages = || {
        let text = String::from_utf8(file.0.lock().clone()).unwrap();
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["stage"].to_string());
        events.collect::<Vec<_>>().join(" ").replace('"', "")
    };
    let request = Request::get("/api/v1/pods?watch").body(Full::new(Bytes::new())).unwrap();
    let response = api_server.service().oneshot(request).await.unwrap();
    assert_eq!(stages(), "RequestReceived ResponseStarted");
    drop(response);
    assert_eq!(stages(), "RequestReceived ResponseStarted ResponseComplete");
}

#[tokio::test]
async fn what_is_deprecated_and_what_policies_find_is_noted() {
    let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let file = Shared::default();
    let policy =
        "{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [RequestReceived], rules: [{level: Metadata}]}";
    let log = Log::new(Policy::from_yaml(policy).unwrap(), Box::new(file.clone()));
    let client =
        Client { api_server: ApiServer::builder(clock, Random::seeded(1)).audit_log(log).build().await.unwrap() };
    let annotations = || {
        let text = String::from_utf8(file.0.lock().clone()).unwrap();
        serde_json::from_str::<Value>(text.lines().last().unwrap()).unwrap()["annotations"].clone()
    };
    client.get("/api/v1/namespaces/default/endpoints").await;
    assert_eq!(annotations()["k8s.io/deprecated"], "true");
    client.get("/api/v1/namespaces/default/configmaps").await;
    assert_eq!(annotations()["k8s.io/deprecated"], Value::Null);

    let group = "/apis/admissionregistration.k8s.io/v1";
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]});
    let validations = json!([{"expression": "size(object.metadata.name) < 2"}]);
    let spec = json!({"matchConstraints": {"resourceRules": [rule]}, "validations": validations});
    client
        .post(&format!("{group}/validatingadmissionpolicies"), json!({"metadata": {"name": "p"}, "spec": spec}))
        .await;
    let spec = json!({"policyName": "p", "validationActions": ["Audit"]});
    let made = client
        .post(&format!("{group}/validatingadmissionpolicybindings"), json!({"metadata": {"name": "b"}, "spec": spec}))
        .await;
    assert_eq!(made.code, 201, "{made:?}");
    assert_eq!(
        client.post("/api/v1/namespaces/default/configmaps", json!({"metadata": {"name": "ab"}})).await.code,
        201
    );
    let failures = r#"[{"message":"failed expression: size(object.metadata.name) \u003c 2","policy":"p","binding":"b","expressionIndex":0,"validationActions":["Audit"]}]"#;
    assert_eq!(annotations()["validation.policy.admission.k8s.io/validation_failure"], failures);
}
