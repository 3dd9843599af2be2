//! Subresources that connect to what pods and services serve.

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

use crate::client::Client;

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn running_pod(client: &Client, name: &str, annotations: Value) {
    let container = json!({"name": "main", "image": "app:1"});
    let pod = json!({"metadata": {"name": name, "annotations": annotations}, "spec": {"nodeName": "n", "containers": [container]}});
    assert_eq!(client.post(PODS, pod).await.code, 201);
    let state = json!({"running": {"startedAt": "2026-05-01T09:00:00Z"}});
    let status =
        json!({"name": "main", "state": state, "ready": true, "restartCount": 0, "image": "app:1", "imageID": ""});
    let status = json!({"status": {"phase": "Running", "containerStatuses": [status]}});
    assert_eq!(client.patch("merge", &format!("{PODS}/{name}/status"), status).await.code, 200);
}

#[tokio::test]
async fn a_simulated_container_has_the_log_that_its_pod_says() {
    let client = Client::new().await;
    running_pod(&client, "a", json!({"steersman.dev/logs": "one\ntwo\nthree"})).await;
    running_pod(&client, "b", json!({})).await;
    let check = |path: &'static str, code: u16, expect: &'static str| {
        let client = &client;
        async move {
            let reply = client.get(&format!("{PODS}/{path}")).await;
            let text = reply.body.as_str().or_else(|| reply.body["message"].as_str()).unwrap_or_default();
            assert_eq!((reply.code, text), (code, expect), "{path}");
        }
    };
    check("a/log", 200, "one\ntwo\nthree\n").await;
    check("a/log?tailLines=1&timestamps=true", 200, "2026-05-01T09:00:00Z three\n").await;
    check("a/log?limitBytes=5", 200, "one\nt").await;
    check("a/log?container=x", 400, "container x is not valid for pod a").await;
    check("missing/log", 404, "pods \"missing\" not found").await;
    let why = "PodLogOptions \"a\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0";
    check("a/log?tailLines=-1", 422, why).await;
    let why = "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"";
    check("a/log?sinceTime=x", 400, why).await;
    let why = "PodLogOptions \"a\" is invalid: stream: Forbidden: may not be specified";
    check("a/log?stream=All", 422, why).await;
    let why =
        "PodLogOptions \"a\" is invalid: : Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
    check("a/log?sinceSeconds=1&sinceTime=2026-05-01T10:00:00Z", 422, why).await;
    let line = "simulated container main of image app:1 started; the annotation steersman.dev/logs sets its log\n";
    check("b/log", 200, line).await;
}

#[tokio::test]
async fn commands_want_another_protocol_and_a_node() {
    let client = Client::new().await;
    running_pod(&client, "a", json!({})).await;
    let pod = json!({"metadata": {"name": "free"}, "spec": {"containers": [{"name": "main", "image": "app:1"}]}});
    client.post(PODS, pod).await;
    for (path, code, message) in [
        ("a/exec?command=ls", 400, "Upgrade request required"),
        ("free/exec?command=ls", 400, "pod free does not have a host assigned"),
        ("free/portforward", 400, "pod free does not have a host assigned"),
        ("a/attach?container=x", 400, "container x is not valid for pod a"),
        ("a/exec?dryRun=All", 400, "dryRun is not supported"),
    ] {
        let reply = client.post(&format!("{PODS}/{path}"), Value::Null).await;
        assert_eq!((reply.code, reply.body["message"].as_str().unwrap()), (code, message), "{path}");
    }
}

#[tokio::test]
async fn a_webhook_may_forbid_to_connect() {
    let client = Client::new().await;
    running_pod(&client, "a", json!({})).await;
    let handler = |request: Request<Bytes>| {
        let review: Value = serde_json::from_slice(request.body()).unwrap();
        let request = &review["request"];
        let message = format!("no {} of {}", request["operation"].as_str().unwrap(), request["object"]);
        let response = json!({"uid": request["uid"], "allowed": false, "status": {"message": message}});
        let answer = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response});
        std::future::ready(Response::new(Bytes::from(answer.to_string())))
    };
    let _hook = client.api_server.server().outbound.register("hook.example.com", handler);
    let rule = json!({"operations": ["CONNECT"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/exec"]});
    let webhook = json!({
        "name": "exec.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": [rule],
        "clientConfig": {"url": "https://hook.example.com/exec"},
    });
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    client.post(path, json!({"metadata": {"name": "v"}, "webhooks": [webhook]})).await;
    let reply = client.post(&format!("{PODS}/a/exec?command=ls&stdout=true"), Value::Null).await;
    let object = r#"{"apiVersion":"v1","command":["ls"],"kind":"PodExecOptions","stdout":true}"#;
    let message = format!("admission webhook \"exec.example.com\" denied the request: no CONNECT of {object}");
    assert_eq!((reply.code, reply.body["message"].as_str().unwrap()), (400, message.as_str()));
}

#[tokio::test]
async fn a_service_in_this_process_is_proxied() {
    let client = Client::new().await;
    let handler = |request: Request<Bytes>| {
        std::future::ready(Response::new(Bytes::from(format!("{} {}", request.method(), request.uri()))))
    };
    let _service = client.api_server.server().outbound.register("web.default.svc", handler);
    let path = "/api/v1/namespaces/default/services/web:http/proxy";
    let reply = client.get(&format!("{path}/a/b?c=d")).await;
    assert_eq!(reply.body, json!("GET http://web.default.svc/a/b?c=d"));
    assert_eq!(client.get(path).await.code, 301, "to the same with a slash");
}
