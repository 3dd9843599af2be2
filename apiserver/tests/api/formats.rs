//! The forms of answers: protobuf, YAML, compressed.

use bytes::{Buf, Bytes};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use steersman_apiserver::http::body::Body;
use steersman_machinery::group::GroupVersion;
use steersman_machinery::protobuf;
use steersman_machinery::schema::{Type, builtin};

use crate::client::Client;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

async fn get(client: &Client, path: &str, accept: &str) -> Response<Body> {
    let request = Request::get(path).header(ACCEPT, accept).header(ACCEPT_ENCODING, "gzip").body(Full::default());
    client.send(request.unwrap()).await
}

async fn bytes(response: Response<Body>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

/// The object of an envelope, with its type.
fn open(body: &[u8]) -> Value {
    let envelope = protobuf::open(body).unwrap();
    let kind = GroupVersion::parse(&envelope.api_version).with_kind(envelope.kind.as_str());
    let Some(Type::Struct(id)) = builtin::type_of(&kind) else { panic!("no type {kind:?}") };
    let mut object = protobuf::decode(envelope.raw, id).unwrap();
    object["kind"] = json!(envelope.kind);
    object
}

#[tokio::test]
async fn objects_lists_and_errors_are_had_in_protobuf() {
    let client = Client::new().await;
    let made = client.config_map("a", json!({"x": "y"})).await;
    let response =
        get(&client, &format!("{CONFIG_MAPS}/a"), "application/vnd.kubernetes.protobuf,application/json").await;
    assert_eq!(response.headers()[CONTENT_TYPE], PROTOBUF);
    let object = open(&bytes(response).await);
    assert_eq!(object["metadata"]["uid"], made["metadata"]["uid"]);
    assert_eq!(object["metadata"]["managedFields"][0]["fieldsV1"], made["metadata"]["managedFields"][0]["fieldsV1"]);
    assert_eq!((&object["kind"], &object["data"]), (&json!("ConfigMap"), &json!({"k": "v"})));

    let list = open(&bytes(get(&client, CONFIG_MAPS, PROTOBUF).await).await);
    assert_eq!((&list["kind"], &list["items"][0]["data"]), (&json!("ConfigMapList"), &json!({"k": "v"})));

    let response = get(&client, &format!("{CONFIG_MAPS}/none"), PROTOBUF).await;
    assert_eq!(response.status(), 404);
    let status = open(&bytes(response).await);
    assert_eq!((&status["reason"], &status["details"]["name"]), (&json!("NotFound"), &json!("none")));
}

#[tokio::test(start_paused = true)]
async fn a_watch_in_protobuf_frames_each_event() {
    let client = Client::new().await;
    client.config_map("a", json!({})).await;
    let path = format!(
        "{CONFIG_MAPS}?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    );
    let response = get(&client, &format!("{path}&timeoutSeconds=1"), PROTOBUF).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/vnd.kubernetes.protobuf;stream=watch");
    let mut stream = bytes(response).await;
    let Type::Struct(event_type) = builtin::type_of(&GroupVersion::parse("v1").with_kind("WatchEvent")).unwrap() else {
        panic!("WatchEvent is a struct")
    };
    let mut seen = Vec::new();
    while stream.has_remaining() {
        let length = stream.get_u32() as usize;
        let event = stream.split_to(length);
        let kind = protobuf::decode(&event, event_type).unwrap()["type"].clone();
        // The object stands in a raw extension, in its own envelope.
        let at = event.windows(4).position(|bytes| bytes == protobuf::MAGIC).unwrap();
        let object = open(&event[at..]);
        seen.push((kind, object["metadata"]["name"].clone(), object["metadata"]["annotations"].clone()));
    }
    let end = json!({"k8s.io/initial-events-end": "true"});
    assert_eq!(seen[..2], [(json!("ADDED"), json!("a"), Value::Null), (json!("BOOKMARK"), json!(""), end)]);
}

#[tokio::test]
async fn what_is_large_is_compressed_whatever_its_form() {
    let client = Client::new().await;
    let body = json!({"metadata": {"name": "large"}, "data": {"k": "x".repeat(200_000)}});
    client.post(CONFIG_MAPS, body).await;
    for accept in ["application/json", "application/yaml", PROTOBUF] {
        let response = get(&client, CONFIG_MAPS, accept).await;
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip", "{accept}");
        assert!(bytes(response).await.len() < 10_000, "{accept}");
    }
    let small = get(&client, &format!("{CONFIG_MAPS}?limit=0&labelSelector=none"), "application/json").await;
    assert!(small.headers().get(CONTENT_ENCODING).is_none());
}
