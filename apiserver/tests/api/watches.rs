//! Watches.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use steersman_apiserver::http::body::Body;

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
}
