//! Custom resource definitions, from the definition to its instances and back.

use serde_json::{Value, json};

use crate::client::Client;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const NOTES: &str = "/apis/example.com/v1/namespaces/default/notes";

fn definition() -> Value {
    json!({
        "metadata": {"name": "notes.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "notes", "kind": "Note", "shortNames": ["nt"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["text"], "properties": {
                        "text": {"type": "string"}, "size": {"type": "integer", "default": 1}}},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
            }],
        },
    })
}

fn note(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Note", "metadata": {"name": "a"}, "spec": spec})
}

#[tokio::test]
async fn what_a_definition_says_is_served_at_once() {
    let client = Client::new().await;
    assert_eq!(client.get(NOTES).await.code, 404);
    let made = client.post(DEFINITIONS, definition()).await;
    assert_eq!(made.code, 201, "{made:?}");
    assert_eq!(made.body["status"]["conditions"], Value::Null, "the answer is what was written");
    let now = client.get(&format!("{DEFINITIONS}/notes.example.com")).await.body;
    let conditions = now["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|it| it["type"] == "Established" && it["status"] == "True"), "{now:?}");
    let list = client.get("/apis/example.com/v1").await.body;
    assert_eq!(list["resources"][0]["shortNames"], json!(["nt"]), "{list}");
    let made = client.post(NOTES, note(json!({"text": "x", "strange": 1}))).await;
    assert_eq!(made.code, 201, "{made:?}");
    assert_eq!(made.body["spec"], json!({"text": "x", "size": 1}), "defaulted and pruned");
    assert_eq!(made.warnings, [r#"299 - "unknown field \"spec.strange\"""#]);
    let bad = client.post(NOTES, note(json!({"size": 1}))).await;
    let message = "Note.example.com \"a\" is invalid: spec.text: Required value";
    assert_eq!((bad.code, bad.body["message"].as_str().unwrap()), (422, message));
    let document = client.get("/openapi/v3/apis/example.com/v1").await;
    assert!(document.body["components"]["schemas"]["com.example.v1.Note"].is_object());
}

#[tokio::test]
async fn instances_have_a_status_of_their_own_and_can_be_applied() {
    let client = Client::new().await;
    client.post(DEFINITIONS, definition()).await;
    let path = format!("{NOTES}/a");
    let applied = client.patch("apply", &format!("{path}?fieldManager=m"), note(json!({"text": "x"}))).await;
    assert_eq!(applied.code, 201, "{applied:?}");
    let mut status = applied.body;
    status["status"] = json!({"seen": true});
    status["spec"]["text"] = json!("y");
    let written = client.put(&format!("{path}/status"), status).await.body;
    assert_eq!((&written["status"]["seen"], &written["spec"]["text"]), (&json!(true), &json!("x")), "{written}");
    assert_eq!(written["metadata"]["generation"], 1);
    let strategic = client.patch("strategic-merge", &path, json!({})).await;
    assert_eq!(strategic.code, 415, "custom resources know no strategic merge patch");
}

#[tokio::test]
async fn a_definition_takes_its_instances_with_it() {
    let client = Client::new().await;
    client.post(DEFINITIONS, definition()).await;
    let mut held = note(json!({"text": "x"}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    client.post(NOTES, held).await;
    let path = format!("{DEFINITIONS}/notes.example.com");
    let deleting = client.delete(&path, Value::Null).await;
    assert_eq!(deleting.code, 200, "{deleting:?}");
    assert_eq!(client.get(&path).await.code, 200, "an instance still has a finalizer");
    let mut other = note(json!({"text": "x"}));
    other["metadata"]["name"] = json!("b");
    assert_eq!(client.post(NOTES, other).await.code, 403, "nothing new comes while the definition goes");
    let released = client.patch("merge", &format!("{NOTES}/a"), json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(released.code, 200, "{released:?}");
    assert_eq!(client.get(&path).await.code, 404, "with the last instance the definition goes");
    assert_eq!(client.get(NOTES).await.code, 404);
    assert_eq!(client.post(DEFINITIONS, definition()).await.code, 201);
    assert_eq!(client.get(NOTES).await.body["items"], json!([]), "a new definition begins empty");
}

#[tokio::test]
async fn our_own_kinds_are_served() {
    let client = Client::new().await;
    for definition in steersman_crds::definitions() {
        let made = client.post(DEFINITIONS, definition.object).await;
        assert_eq!((made.code, &made.warnings), (201, &Vec::new()), "{made:?}");
    }
    let deployments = "/apis/apps.steersman.dev/v1/namespaces/default/deployments";
    let mut web = crate::client::deployment("web");
    web["apiVersion"] = json!("apps.steersman.dev/v1");
    let made = client.post(deployments, web).await;
    assert_eq!(made.code, 201, "{made:?}");
    assert_eq!((&made.body["spec"]["replicas"], &made.body["metadata"]["generation"]), (&json!(1), &json!(1)));
    let scale = client.get(&format!("{deployments}/web/scale")).await;
    assert_eq!(scale.body["spec"]["replicas"], 1, "{scale:?}");
    let bad = client.patch("merge", &format!("{deployments}/web"), json!({"spec": {"replicas": "x"}})).await;
    assert_eq!(bad.code, 422, "{bad:?}");
}
