//! Create and update.

use serde_json::json;

use crate::client::{Client, deployment};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn a_create_defaults_and_an_update_counts_generations() {
    let client = Client::new().await;
    let created = client.post(DEPLOYMENTS, deployment("web")).await;
    assert_eq!(created.code, 201, "{created:?}");
    assert_eq!(created.body["spec"]["progressDeadlineSeconds"], 600);
    assert_eq!(created.body["metadata"]["generation"], 1);
    assert_eq!(created.body["status"], json!({}));
    let path = format!("{DEPLOYMENTS}/web");
    let mut body = created.body;
    body["spec"]["replicas"] = json!(3);
    body["status"] = json!({"replicas": 7});
    let updated = client.put(&path, body.clone()).await;
    assert_eq!((updated.code, &updated.body["metadata"]["generation"]), (200, &json!(2)), "{updated:?}");
    assert_eq!(updated.body["status"], json!({}), "a write to the object leaves the status alone");
    let stale = client.put(&path, body).await;
    assert_eq!((stale.code, &stale.body["reason"]), (409, &json!("Conflict")));
    let mut status = updated.body;
    status["status"] = json!({"replicas": 7, "observedGeneration": 2});
    status["spec"]["replicas"] = json!(9);
    let written = client.put(&format!("{path}/status"), status).await;
    assert_eq!(written.body["status"]["replicas"], 7, "{written:?}");
    assert_eq!(written.body["spec"]["replicas"], 3);
    assert_eq!(written.body["metadata"]["generation"], 2);
}

#[tokio::test]
async fn an_update_that_changes_nothing_writes_nothing() {
    let client = Client::new().await;
    let made = client.config_map("a", json!({"x": "1"})).await;
    let again = client.put(&format!("{CONFIG_MAPS}/a"), made.clone()).await;
    assert_eq!(again.body["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn refusals_are_in_upstreams_words() {
    let client = Client::new().await;
    client.config_map("a", json!({})).await;
    let check = async |path: &str, body, code: u16, message: &str| {
        let reply = client.post(path, body).await;
        assert_eq!((reply.code, reply.body["message"].as_str().unwrap()), (code, message));
    };
    let named = |name: &str| json!({"metadata": {"name": name}});
    check(CONFIG_MAPS, named("a"), 409, "configmaps \"a\" already exists").await;
    check("/api/v1/namespaces/none/configmaps", named("a"), 404, "namespaces \"none\" not found").await;
    let mut other = named("b");
    other["metadata"]["namespace"] = json!("kube-system");
    let message = "the namespace of the provided object does not match the namespace sent on the request";
    check(CONFIG_MAPS, other, 400, message).await;
    let mut versioned = named("b");
    versioned["metadata"]["resourceVersion"] = json!("5");
    check(CONFIG_MAPS, versioned, 500, "resourceVersion should not be set on objects to be created").await;
    let mut strange = deployment("web");
    strange["spec"]["replicas"] = json!("three");
    let message = "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into \
                   Go struct field DeploymentSpec.spec.replicas of type int32";
    check(DEPLOYMENTS, strange, 400, message).await;
}

#[tokio::test]
async fn unknown_fields_are_warned_of_or_refused() {
    let client = Client::new().await;
    let mut body = deployment("web");
    body["spec"]["replcas"] = json!(3);
    let strict = client.post(&format!("{DEPLOYMENTS}?fieldValidation=Strict"), body.clone()).await;
    let message = "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \
                   \"spec.replcas\"";
    assert_eq!((strict.code, strict.body["message"].as_str().unwrap()), (400, message));
    let warned = client.post(DEPLOYMENTS, body).await;
    assert_eq!(warned.code, 201);
    assert_eq!(warned.warnings, [r#"299 - "unknown field \"spec.replcas\"""#]);
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let client = Client::new().await;
    let reply = client.post(&format!("{DEPLOYMENTS}?dryRun=All"), deployment("web")).await;
    assert_eq!(reply.code, 201);
    assert!(reply.body["metadata"]["uid"].is_string() && reply.body["metadata"]["resourceVersion"].is_null());
    assert_eq!(client.get(&format!("{DEPLOYMENTS}/web")).await.code, 404);
}

#[tokio::test]
async fn names_are_generated() {
    let client = Client::new().await;
    let reply = client.post(CONFIG_MAPS, json!({"metadata": {"generateName": "run-"}})).await;
    let name = reply.body["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("run-") && name.len() == 9, "{name}");
}
