//! Custom resources whose versions a webhook converts.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman_apiserver::outbound::Registration;

use crate::client::Client;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn path(version: &str, name: &str) -> String {
    format!("/apis/example.com/{version}/namespaces/default/servers/{name}").trim_end_matches('/').to_owned()
}

fn version(name: &str, storage: bool, spec: Value) -> Value {
    let scale = json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"});
    json!({
        "name": name, "served": true, "storage": storage, "subresources": {"status": {}, "scale": scale},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": spec},
            "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}}}}},
    })
}

/// `v1` has `hostPort`, `v2` has `host` and `port`.
fn definition() -> Value {
    let text = || json!({"type": "string"});
    json!({
        "metadata": {"name": "servers.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "servers", "kind": "Server"},
            "versions": [
                version("v1", true, json!({"hostPort": text(), "replicas": {"type": "integer", "default": 1}})),
                version("v2", false, json!({"host": text(), "port": text(), "replicas": {"type": "integer"},
                                            "scheme": {"type": "string", "default": "https"}})),
            ],
            "conversion": {"strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"],
                "clientConfig": {"service": {"name": "convert", "namespace": "tests", "path": "/convert"}}}},
        },
    })
}

fn convert(object: &Value, version: &str) -> Value {
    let mut object = object.clone();
    let spec = object["spec"].as_object_mut().unwrap();
    if version.ends_with("/v2") {
        let both = spec.remove("hostPort").unwrap();
        let (host, port) = both.as_str().unwrap().split_once(':').unwrap();
        spec.extend([("host".to_owned(), json!(host)), ("port".to_owned(), json!(port))]);
    } else {
        let (host, port) = (spec.remove("host").unwrap(), spec.remove("port").unwrap());
        spec.insert("hostPort".to_owned(), json!(format!("{}:{}", host.as_str().unwrap(), port.as_str().unwrap())));
    }
    object["apiVersion"] = json!(version);
    object["stray"] = json!("to be pruned");
    object
}

/// Converts, and counts how many objects each call had.
fn converter(client: &Client) -> (Arc<Mutex<Vec<usize>>>, Registration) {
    let calls: Arc<Mutex<Vec<usize>>> = Arc::default();
    let log = calls.clone();
    let handler = move |request: Request<Bytes>| {
        let review: Value = serde_json::from_slice(request.body()).unwrap();
        let request = &review["request"];
        let version = request["desiredAPIVersion"].as_str().unwrap();
        let objects = request["objects"].as_array().unwrap();
        log.lock().push(objects.len());
        let converted: Vec<Value> = objects.iter().map(|object| convert(object, version)).collect();
        let response = json!({"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": converted});
        let answer = json!({"kind": review["kind"], "apiVersion": review["apiVersion"], "response": response});
        std::future::ready(Response::new(Bytes::from(answer.to_string())))
    };
    let registration = client.api_server.server().outbound.register("convert.tests.svc", handler);
    (calls, registration)
}

fn server(version: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("example.com/{version}"), "kind": "Server", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn each_version_sees_every_object_in_its_own_form() {
    let client = Client::new().await;
    let (calls, _converter) = converter(&client);
    client.post(DEFINITIONS, definition()).await;
    let made = client.post(&path("v1", ""), server("v1", "a", json!({"hostPort": "h:1"}))).await;
    assert_eq!((made.code, calls.lock().len()), (201, 0), "{made:?}");
    let made = client.post(&path("v2", ""), server("v2", "b", json!({"host": "i", "port": "2"}))).await;
    assert_eq!((made.code, calls.lock().len()), (201, 1), "{made:?}");
    let a = client.get(&path("v2", "a")).await.body;
    assert_eq!(a["spec"], json!({"host": "h", "port": "1", "replicas": 1, "scheme": "https"}), "{a}");
    assert_eq!((a.get("stray"), &a["apiVersion"]), (None, &json!("example.com/v2")));
    let b = client.get(&path("v1", "b")).await.body;
    assert_eq!(b["spec"], json!({"hostPort": "i:2", "replicas": 1}), "{b}");
    calls.lock().clear();
    let list = client.get(&path("v2", "")).await.body;
    assert_eq!(
        (list["items"].as_array().unwrap().len(), &list["items"][1]["spec"]["host"]),
        (2, &json!("i")),
        "{list}"
    );
    assert_eq!(*calls.lock(), [2], "one call for the whole list");
}

#[tokio::test]
async fn objects_are_changed_and_deleted_in_any_version() {
    let client = Client::new().await;
    let (_calls, _converter) = converter(&client);
    client.post(DEFINITIONS, definition()).await;
    client.post(&path("v1", ""), server("v1", "a", json!({"hostPort": "h:1"}))).await;
    let patched = client.patch("merge", &path("v2", "a"), json!({"spec": {"port": "9"}})).await;
    assert_eq!((patched.code, &patched.body["spec"]["port"]), (200, &json!("9")), "{patched:?}");
    let scaled = client.patch("merge", &path("v2", "a/scale"), json!({"spec": {"replicas": 4}})).await;
    assert_eq!((scaled.code, &scaled.body["spec"]["replicas"]), (200, &json!(4)), "{scaled:?}");
    let status = client.patch("merge", &path("v2", "a/status"), json!({"status": {"replicas": 2}})).await;
    assert_eq!(status.code, 200, "{status:?}");
    let stored = client.get(&path("v1", "a")).await.body;
    assert_eq!(stored["spec"], json!({"hostPort": "h:9", "replicas": 4}), "{stored}");
    assert_eq!(stored["status"]["replicas"], 2);
    assert_eq!(client.delete(&path("v2", "a"), Value::Null).await.code, 200);
    assert_eq!(client.get(&path("v1", "a")).await.code, 404);
}

#[tokio::test]
async fn a_watch_shows_events_in_its_version() {
    let client = Client::new().await;
    let (_calls, _converter) = converter(&client);
    client.post(DEFINITIONS, definition()).await;
    client.post(&path("v1", ""), server("v1", "a", json!({"hostPort": "h:1"}))).await;
    let request = Request::get(format!("{}?watch=1", path("v2", ""))).body(Full::new(Bytes::new())).unwrap();
    let mut body = client.send(request).await.into_body();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let event: Value = serde_json::from_slice(&frame).unwrap();
    assert_eq!((&event["type"], &event["object"]["spec"]["host"]), (&json!("ADDED"), &json!("h")), "{event}");
}

#[tokio::test]
async fn what_cannot_be_converted_is_an_error() {
    let client = Client::new().await;
    client.post(DEFINITIONS, definition()).await;
    client.post(&path("v1", ""), server("v1", "a", json!({"hostPort": "h:1"}))).await;
    let prefix = "conversion webhook for example.com/v1, Kind=Server failed: ";
    let got = client.get(&path("v2", "a")).await;
    let why = r#"Post "https://convert.tests.svc:443/convert?timeout=30s": service "convert" not found"#;
    assert_eq!((got.code, got.body["message"].as_str().unwrap()), (500, format!("{prefix}{why}").as_str()));
    let answer = |_| {
        let response = json!({"result": {"status": "Failed", "message": "cannot"}});
        let answer = json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response});
        std::future::ready(Response::new(Bytes::from(answer.to_string())))
    };
    let _failing = client.api_server.server().outbound.register("convert.tests.svc", answer);
    let got = client.get(&path("v2", "a")).await;
    assert!(got.body["message"].as_str().unwrap().starts_with(&format!("{prefix}expected response.uid=")), "{got:?}");
    assert_eq!(client.get(&path("v1", "a")).await.code, 200, "nothing has to be converted");
    assert_eq!(client.delete(&format!("{DEFINITIONS}/servers.example.com"), Value::Null).await.code, 200);
    assert_eq!(client.get(&format!("{DEFINITIONS}/servers.example.com")).await.code, 404);
}
