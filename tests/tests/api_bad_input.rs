//! Bad input gets a clear answer and loses nothing.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::client::Body;
use serde_json::{Value, json};
use steersman::{Cluster, Error};

/// An API server and nothing else.
async fn bare() -> Cluster {
    Cluster::builder().without_controllers().without_scheduler().virtual_time().start().await.unwrap()
}

/// Sends `body` and returns the status code and the message of the Status.
async fn send(cluster: &Cluster, request: (Method, &str, &str), body: impl Into<Vec<u8>>) -> (StatusCode, Value) {
    let (method, path, content_type) = request;
    let request = Request::builder().method(method).uri(path).header(http::header::CONTENT_TYPE, content_type);
    let request = request.body(Body::from(body.into())).unwrap();
    let response = cluster.client().send(request).await.unwrap();
    let code = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let status: Value = serde_json::from_slice(&body).expect("every answer is a Status in JSON");
    assert_eq!(status["kind"], "Status", "{status}");
    assert_eq!(status["code"], code.as_u16());
    (code, status)
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Creates a ConfigMap from `body` and compares code and reason; the message has to contain `part`.
async fn check(content_type: &str, body: impl Into<Vec<u8>>, expect: (u16, &str), part: &str) {
    let cluster = bare().await;
    let (code, status) = send(&cluster, (Method::POST, CONFIG_MAPS, content_type), body).await;
    assert_eq!((code.as_u16(), status["reason"].as_str().unwrap()), expect, "{status}");
    let message = status["message"].as_str().unwrap();
    assert!(message.contains(part), "{message}");
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    let names: Vec<_> = maps.list(&Default::default()).await.unwrap().into_iter().collect();
    assert!(names.iter().all(|map| map.metadata.name.as_deref() == Some("kube-root-ca.crt")), "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_is_refused() {
    let body =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "x".repeat(3 << 20)}});
    check("application/json", body.to_string(), (413, "RequestEntityTooLarge"), "limit is 3145728").await;
}

#[tokio::test(start_paused = true)]
async fn bodies_that_cannot_be_read_are_refused() {
    check("application/json", "{\"apiVersion\": ", (400, "BadRequest"), "").await;
    check("application/yaml", "apiVersion: v1\nkind: [ConfigMap\n", (400, "BadRequest"), "").await;
    check("application/json", "[]", (400, "BadRequest"), "").await;
    check("application/json", [0xff, 0xfe], (400, "BadRequest"), "").await;
    check("text/plain", "{}", (415, "UnsupportedMediaType"), "").await;
    let other = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}});
    check(
        "application/json",
        other.to_string(),
        (400, "BadRequest"),
        "Secret in version \"v1\" cannot be handled as a ConfigMap",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn deeply_nested_bodies_do_not_break_the_server() {
    let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    let body = format!("{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"a\"}},\"x\":{deep}}}");
    check("application/json", body, (400, "BadRequest"), "").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_served_is_not_found() {
    let cluster = bare().await;
    for path in ["/apis/apps/v1/namespaces/default/deploiments", "/apis/apps/v9/deployments", "/api/v1/nosuch"] {
        let (code, status) = send(&cluster, (Method::GET, path, "application/json"), "").await;
        assert_eq!(code, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(status["message"], "the server could not find the requested resource");
    }
    let (code, status) = send(&cluster, (Method::GET, &format!("{CONFIG_MAPS}/a"), "application/json"), "").await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    assert_eq!(status["message"], "configmaps \"a\" not found");
    // A group that nobody serves is no resource at all.
    let request = Request::get("/apis/nosuch.example.com/v1/things").body(Body::empty()).unwrap();
    let response = cluster.client().send(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "404 page not found\n");
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_the_future_waits_for_it() {
    let cluster = bare().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    let revision = maps.list(&Default::default()).await.unwrap().metadata.resource_version.unwrap();
    let future: u64 = revision.parse::<u64>().unwrap() + 2;
    let mut events = maps.watch(&WatchParams::default(), &future.to_string()).await.unwrap().boxed();
    for name in ["one", "two", "three", "four"] {
        let mut map = ConfigMap::default();
        map.metadata.name = Some(name.to_owned());
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    // The writes up to that revision are not shown: they happened before it.
    match events.try_next().await.unwrap().unwrap() {
        WatchEvent::Added(map) => assert_eq!(map.metadata.name.as_deref(), Some("three")),
        event => panic!("{event:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_hinders_nobody_and_is_told() {
    let cluster = bare().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    let mut map = ConfigMap::default();
    map.metadata.name = Some("big".to_owned());
    let created = maps.create(&PostParams::default(), &map).await.unwrap();
    let revision = created.metadata.resource_version.unwrap();
    let stuck = maps.watch(&WatchParams::default(), &revision).await.unwrap();

    // Far more than the history holds; nobody reads meanwhile.
    const WRITES: usize = 100;
    for number in 0..WRITES {
        let patch = Patch::Merge(json!({"data": {"number": number.to_string(), "filler": "x".repeat(200_000)}}));
        let params = PatchParams::default();
        let write = maps.patch("big", &params, &patch);
        tokio::time::timeout(Duration::from_secs(5), write).await.expect("writers do not wait").unwrap();
    }
    let mut events = stuck.boxed();
    let mut seen = 0;
    let told = loop {
        match events.try_next().await.unwrap() {
            Some(WatchEvent::Error(status)) => break status,
            Some(_) => seen += 1,
            None => panic!("the watch ended without a word after {seen} events"),
        }
    };
    assert_eq!((told.code, told.reason.as_str()), (410, "Expired"));
    assert!(seen < WRITES, "everything was kept for a client that does not read");
}

#[tokio::test]
async fn a_taken_port_is_named_and_the_cluster_lives_on() {
    let cluster = bare_in_real_time().await;
    let first = cluster.serve(([127, 0, 0, 1], 0)).await.unwrap();
    let address = first.address();
    let error = cluster.serve(address).await.unwrap_err();
    assert!(matches!(error, Error::AddressInUse(taken) if taken == address), "{error}");
    let expect =
        format!("port {} of 127.0.0.1 is taken: stop what listens there, or choose another port", address.port());
    assert_eq!(error.to_string(), expect);
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    maps.list(&Default::default()).await.unwrap();
    // And the port is free again as soon as nobody is served there.
    first.stop().await;
    cluster.serve(address).await.unwrap();
}

async fn bare_in_real_time() -> Cluster {
    Cluster::builder().without_controllers().without_scheduler().start().await.unwrap()
}
