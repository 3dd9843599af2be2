//! Watches.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use steersman_apiserver::http::body::Body;
use steersman_store::{Key, MemoryStore, Options, Store};

use crate::client::Client;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// An open watch.
struct Stream {
    body: Body,
    buffer: Vec<u8>,
}

impl Stream {
    async fn open(client: &Client, query: &str) -> Self {
        let request = http::Request::builder().uri(format!("{CONFIG_MAPS}?watch=true&{query}"));
        let response = client.send(request.body(http_body_util::Full::default()).unwrap()).await;
        assert_eq!(response.status(), 200);
        Self { body: response.into_body(), buffer: Vec::new() }
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.unwrap();
            self.buffer.extend_from_slice(frame.data_ref().unwrap());
        }
    }

    /// Waits for the next event without looking at it.
    async fn skip(&mut self) {
        loop {
            let frame = self.body.frame().await.unwrap().unwrap();
            if frame.data_ref().unwrap().ends_with(b"\n") {
                return;
            }
        }
    }

    /// Type and name of the next event.
    async fn seen(&mut self) -> String {
        let event = self.next().await.unwrap();
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
        format!("{} {name}", event["type"].as_str().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_begins_with_what_is_there_and_goes_on_with_what_changes() {
    let client = Client::new().await;
    client.config_map("a", json!({})).await;
    let mut stream = Stream::open(&client, "").await;
    assert_eq!(stream.seen().await, "ADDED a");
    client.config_map("b", json!({})).await;
    client.patch("merge", &format!("{CONFIG_MAPS}/a"), json!({"data": {"k": "w"}})).await;
    client.delete(&format!("{CONFIG_MAPS}/b"), Value::Null).await;
    for expect in ["ADDED b", "MODIFIED a", "DELETED b"] {
        assert_eq!(stream.seen().await, expect);
    }
}

#[tokio::test(start_paused = true)]
async fn what_leaves_or_enters_the_selection_is_deleted_or_added() {
    let client = Client::new().await;
    let a = client.config_map("a", json!({"tier": "web"})).await;
    let version = a["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut stream = Stream::open(&client, &format!("labelSelector=tier%3Dweb&resourceVersion={version}")).await;
    let label = async |tier: &str| {
        client.patch("merge", &format!("{CONFIG_MAPS}/a"), json!({"metadata": {"labels": {"tier": tier}}})).await
    };
    let left = label("db").await.body;
    label("x").await;
    label("web").await;
    let event = stream.next().await.unwrap();
    assert_eq!(event["type"], "DELETED");
    assert_eq!(event["object"]["metadata"]["labels"]["tier"], "web", "the object as it was last in view");
    assert_eq!(event["object"]["metadata"]["resourceVersion"], left["metadata"]["resourceVersion"]);
    assert_eq!(stream.seen().await, "ADDED a");
}

#[tokio::test(start_paused = true)]
async fn initial_events_end_with_a_bookmark() {
    let client = Client::new().await;
    client.config_map("a", json!({})).await;
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut stream = Stream::open(&client, query).await;
    assert_eq!(stream.seen().await, "ADDED a");
    let bookmark = stream.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let periodic = stream.next().await.unwrap();
    assert_eq!((&periodic["type"], &periodic["object"]["kind"]), (&json!("BOOKMARK"), &json!("ConfigMap")));
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_forgotten_history_says_so_and_ends() {
    let client = Client::new().await;
    for name in ["a", "b", "c", "d"] {
        client.config_map(name, json!({})).await;
    }
    client.compact().await;
    let mut stream = Stream::open(&client, "resourceVersion=1").await;
    let event = stream.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert!(event["object"]["message"].as_str().unwrap().starts_with("too old resource version: 1 ("));
    assert_eq!(stream.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_when_its_time_is_up() {
    let client = Client::new().await;
    let started = tokio::time::Instant::now();
    let mut stream = Stream::open(&client, "timeoutSeconds=30&resourceVersion=0&allowWatchBookmarks=true").await;
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event["type"].clone());
    }
    assert_eq!(started.elapsed(), Duration::from_secs(30));
    assert_eq!(events, ["BOOKMARK", "BOOKMARK"], "one ends the initial events, one comes before the end");
    // Less than no time is over at once.
    while Stream::open(&client, "timeoutSeconds=-1").await.next().await.is_some() {}
    assert_eq!(started.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_watchers_those_that_never_read_cost_nothing_and_slow_nobody() {
    const WATCHERS: usize = 1000;
    const STUCK: usize = 10;
    const WRITES: usize = 40;
    let store = Arc::new(MemoryStore::new(Options { history: 16, ..Options::default() }));
    let client = Client::with_store(store.clone()).await;
    client.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    let from = format!("resourceVersion={}", store.revision());
    let mut streams = Vec::new();
    for _ in 0..WATCHERS {
        streams.push(Stream::open(&client, &from).await);
    }
    let mut stuck = streams.split_off(WATCHERS - STUCK);
    let mut versions = Vec::new();
    for number in 0..WRITES {
        client.patch("merge", &path, json!({"data": {"k": number.to_string()}})).await;
        let entry = store.get(&Key::new("configmaps", "default", "a")).await.unwrap().unwrap();
        versions.push(Arc::downgrade(&entry));
        // Time stands still as long as anybody has something to do: all of them have the event before a tick is over.
        let all = streams.iter_mut().map(|stream| stream.skip());
        tokio::time::timeout(Duration::from_millis(1), futures::future::join_all(all)).await.expect("nobody is slowed");
    }
    // The history holds its sixteen writes and what they superseded; those that never read hold nothing.
    let alive = versions.iter().filter(|version| version.strong_count() > 0).count();
    assert!(alive <= 17, "{alive} of {WRITES} versions are kept for those that do not read");
    for stream in &mut stuck {
        let event = stream.next().await.unwrap();
        assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
        assert!(stream.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_bookmark_has_what_is_always_written_of_its_kind() {
    let client = Client::new().await;
    let pod_template = json!({"metadata": {}, "spec": {"containers": null}});
    for (path, expect) in [
        ("/api/v1/pods", json!({"spec": {"containers": null}, "status": {}})),
        ("/api/v1/services", json!({"spec": {}, "status": {"loadBalancer": {}}})),
        (
            "/apis/apps/v1/deployments",
            json!({"spec": {"replicas": 0, "selector": null, "strategy": {}, "template": pod_template}, "status": {}}),
        ),
        ("/api/v1/configmaps", json!({})),
    ] {
        let query =
            "watch=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1&labelSelector=no";
        let request = http::Request::get(format!("{path}?{query}")).body(http_body_util::Full::default()).unwrap();
        let body = client.send(request).await.into_body();
        let mut stream = Stream { body, buffer: Vec::new() };
        let mut event = stream.next().await.unwrap();
        assert_eq!(event["type"], "BOOKMARK");
        let object = event["object"].as_object_mut().unwrap();
        let metadata = object.remove("metadata").unwrap();
        assert_eq!(metadata["annotations"], json!({"k8s.io/initial-events-end": "true"}));
        object.retain(|name, _| !matches!(name.as_str(), "kind" | "apiVersion"));
        assert_eq!(event["object"], expect, "{path}");
    }
}
