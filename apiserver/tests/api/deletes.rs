//! Deletes: grace, finalizers, preconditions, collections.

use serde_json::{Value, json};

use crate::client::Client;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(node: &str) -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}})
}

#[tokio::test]
async fn an_object_without_finalizers_is_gone() {
    let client = Client::new().await;
    let made = client.config_map("a", json!({})).await;
    let reply = client.delete(&format!("{CONFIG_MAPS}/a"), Value::Null).await;
    assert_eq!((reply.code, &reply.body["status"]), (200, &json!("Success")), "{reply:?}");
    assert_eq!(reply.body["details"]["uid"], made["metadata"]["uid"]);
    assert_eq!(client.get(&format!("{CONFIG_MAPS}/a")).await.code, 404);
}

#[tokio::test]
async fn finalizers_hold_an_object() {
    let client = Client::new().await;
    let path = format!("{CONFIG_MAPS}/a");
    client.config_map("a", json!({})).await;
    client.patch("merge", &path, json!({"metadata": {"finalizers": ["example.com/hold"]}})).await;
    let held = client.delete(&path, json!({"propagationPolicy": "Foreground"})).await.body;
    assert_eq!(held["metadata"]["finalizers"], json!(["example.com/hold", "foregroundDeletion"]));
    assert_eq!(held["metadata"]["deletionGracePeriodSeconds"], 0);
    let added = client.patch("merge", &path, json!({"metadata": {"finalizers": ["example.com/more"]}})).await;
    assert_eq!(added.code, 422, "no finalizer can be added to an object that is being deleted");
    let last = client.patch("merge", &path, json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(last.code, 200, "{last:?}");
    assert_eq!(client.get(&path).await.code, 404);
}

#[tokio::test]
async fn a_pod_with_a_node_gets_its_grace() {
    let client = Client::new().await;
    let path = format!("{PODS}/p");
    assert_eq!(client.post(PODS, pod("n1")).await.code, 201);
    let marked = client.delete(&path, Value::Null).await.body;
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30, "{marked}");
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-05-01T10:00:30Z");
    let sooner = client.delete(&path, json!({"gracePeriodSeconds": 5})).await.body;
    assert_eq!(sooner["metadata"]["deletionTimestamp"], "2026-05-01T10:00:05Z");
    let later = client.delete(&path, json!({"gracePeriodSeconds": 60})).await.body;
    assert_eq!(later["metadata"]["deletionTimestamp"], "2026-05-01T10:00:05Z");
    assert_eq!(client.delete(&path, json!({"gracePeriodSeconds": 0})).await.code, 200);
    assert_eq!(client.get(&path).await.code, 404);
}

#[tokio::test]
async fn a_pod_without_a_node_goes_at_once() {
    let client = Client::new().await;
    client.post(PODS, pod("")).await;
    assert_eq!(client.delete(&format!("{PODS}/p"), Value::Null).await.code, 200);
    assert_eq!(client.get(&format!("{PODS}/p")).await.code, 404);
}

#[tokio::test]
async fn preconditions_are_checked() {
    let client = Client::new().await;
    client.config_map("a", json!({})).await;
    let reply = client.delete(&format!("{CONFIG_MAPS}/a"), json!({"preconditions": {"uid": "other"}})).await;
    assert_eq!((reply.code, &reply.body["reason"]), (409, &json!("Conflict")));
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let client = Client::new().await;
    for (name, tier) in [("a", "web"), ("b", "db"), ("c", "web")] {
        client.config_map(name, json!({"tier": tier})).await;
    }
    let reply = client.delete(&format!("{CONFIG_MAPS}?labelSelector=tier%3Dweb"), Value::Null).await;
    assert_eq!((reply.code, reply.body["items"].as_array().unwrap().len()), (200, 2));
    assert_eq!(client.get(CONFIG_MAPS).await.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_systems_namespaces_stay() {
    let client = Client::new().await;
    let reply = client.delete("/api/v1/namespaces/default", Value::Null).await;
    let message = "namespaces \"default\" is forbidden: this namespace may not be deleted";
    assert_eq!((reply.code, reply.body["message"].as_str().unwrap()), (403, message));
}

#[tokio::test]
async fn a_namespace_waits_for_its_finalizer_and_takes_nothing_new() {
    let client = Client::new().await;
    client.post("/api/v1/namespaces", json!({"metadata": {"name": "n"}})).await;
    let marked = client.delete("/api/v1/namespaces/n", Value::Null).await.body;
    assert_eq!(marked["status"]["phase"], "Terminating", "{marked}");
    let refused = client.post("/api/v1/namespaces/n/configmaps", json!({"metadata": {"name": "a"}})).await;
    assert_eq!(refused.code, 403);
    assert_eq!(refused.body["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut finalized = marked;
    finalized["spec"]["finalizers"] = json!([]);
    assert_eq!(client.put("/api/v1/namespaces/n/finalize", finalized).await.code, 200);
    assert_eq!(client.get("/api/v1/namespaces/n").await.code, 404);
}

#[tokio::test]
async fn options_that_cannot_be_read_are_told_before_what_is_missing() {
    let client = Client::new().await;
    let path = "/api/v1/namespaces/default/configmaps/missing";
    for (options, code) in [
        (json!({}), 404),
        (json!({"unknown": 1}), 404),
        (json!({"kind": "DeleteOptions", "apiVersion": "any/v7"}), 404),
        (json!({"gracePeriodSeconds": "x"}), 400),
        (json!({"preconditions": []}), 400),
        (json!([]), 400),
        (json!({"kind": "Pod", "apiVersion": "v1"}), 400),
        (json!({"propagationPolicy": ""}), 422),
        (json!({"dryRun": ["Some"]}), 422),
    ] {
        let reply = client.delete(path, options.clone()).await;
        assert_eq!(reply.code, code, "{options}: {reply:?}");
    }
}
