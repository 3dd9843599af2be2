//! Rules of requests that hold for every kind, as tables.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use crate::client::{Client, deployment};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn message(reply: &crate::client::Reply) -> &str {
    reply.body["message"].as_str().unwrap_or_default()
}

/// Sends a request with one header; the code, the headers that tests ask about, and the body.
async fn raw(client: &Client, (method, path): (&str, &str), header: (&str, &str), body: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path).header(header.0, header.1);
    let response = client.send(request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()).await;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn the_router_refuses_what_it_refuses_upstream() {
    let client = Client::new().await;
    client.config_map("a", json!({})).await;
    let object = format!("{CONFIG_MAPS}/a");
    for (method, path, header, code, text) in [
        ("HEAD", object.as_str(), ("Accept", "*/*"), 405, ""),
        ("GET", &object, ("Accept", "application/*"), 406, "406: Not Acceptable\\n\\nAvailable representations"),
        ("GET", &object, ("Accept", "text/html, application/json"), 200, "ConfigMap"),
        ("PATCH", &object, ("Content-Type", "application/json"), 415, "415: Unsupported Media Type"),
        ("POST", CONFIG_MAPS, ("Content-Type", "text/plain"), 415, "accepted media types include"),
        ("GET", "/api/v1/configmaps?timeout=abc", ("Accept", "*/*"), 400, "invalid duration"),
        ("GET", "/api/v1/watch", ("Accept", "*/*"), 500, "unable to determine kind and namespace from url"),
        ("GET", "/api/v1/proxy/nodes/x", ("Accept", "*/*"), 404, "could not find"),
        ("GET", "//api/v1/configmaps", ("Accept", "*/*"), 404, "404 page not found"),
        (
            "GET",
            &object,
            ("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
            406,
            "(*core.ConfigMap)",
        ),
        (
            "GET",
            &object,
            ("Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1beta1"),
            200,
            "meta.k8s.io/v1beta1",
        ),
    ] {
        let got = raw(&client, (method, path), header, "{}").await;
        assert_eq!(got.0, code, "{method} {path} {header:?}: {}", got.1);
        assert!(method == "HEAD" || got.1.contains(text), "{method} {path}: {}", got.1);
    }
}

#[tokio::test]
async fn options_are_refused_in_upstreams_words() {
    let client = Client::new().await;
    for (query, expect) in [
        ("dryRun=Some", "dryRun: Unsupported value: [\"Some\"]: supported values: \"All\""),
        ("fieldValidation=Loose", "supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""),
        ("fieldManager=a%01b", "fieldManager: Invalid value: \"a\\x01b\": invalid character U+0001 (at position 1)"),
    ] {
        let reply = client.post(&format!("{CONFIG_MAPS}?{query}"), json!({"metadata": {"name": "a"}})).await;
        assert_eq!(reply.code, 422, "{reply:?}");
        assert!(message(&reply).contains(expect), "{reply:?}");
    }
    let reply = client
        .get(&format!("{CONFIG_MAPS}?watch&sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1"))
        .await;
    assert_eq!(reply.body["details"]["causes"].as_array().unwrap().len(), 2, "{reply:?}");
    let bad = |token: &str| format!("{CONFIG_MAPS}?limit=1&continue={token}");
    for (token, expect) in [
        ("not-a-token", "looking for beginning of value"),
        (
            "eyJ2IjoibWV0YS5rOHMuaW8vdjkiLCJydiI6NSwic3RhcnQiOiJhIn0",
            "does not recognize this encoded version meta.k8s.io/v9",
        ),
        ("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiIuLi8uLi9zZWNyZXRzLyJ9", "not valid: ../../secrets/"),
    ] {
        let reply = client.get(&bad(token)).await;
        assert_eq!(reply.code, 400);
        assert!(message(&reply).contains(expect), "{reply:?}");
    }
}

#[tokio::test]
async fn versions_and_uids_of_a_put_are_preconditions_and_of_a_patch_fields() {
    let client = Client::new().await;
    client.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    for (metadata, code, expect) in [
        (json!({"name": "a", "resourceVersion": "0"}), 200, ""),
        (json!({"name": "a", "resourceVersion": "x"}), 500, "strconv.ParseUint: parsing \"x\": invalid syntax"),
        (json!({"name": "a", "uid": "u"}), 409, "ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID"),
        (json!({}), 400, "the name of the object (a based on URL) was undeterminable: name must be provided"),
        (json!({"name": "a", "namespace": "b"}), 400, "does not match the namespace sent on the request"),
    ] {
        let reply = client.put(&path, json!({"metadata": metadata})).await;
        assert_eq!(reply.code, code, "{reply:?}");
        assert!(message(&reply).contains(expect), "{reply:?}");
    }
    let reply = client.patch("merge", &path, json!({"metadata": {"uid": "u"}})).await;
    assert_eq!(message(&reply), "ConfigMap \"a\" is invalid: metadata.uid: Invalid value: \"u\": field is immutable");
    assert_eq!(client.patch("merge", &path, json!({"kind": "Secret"})).await.code, 422);
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    client.post(leases, json!({"metadata": {"name": "l"}})).await;
    let reply = client.put(&format!("{leases}/l"), json!({"metadata": {"name": "l"}})).await;
    assert!(message(&reply).starts_with("leases.coordination.k8s.io \"l\" is invalid"), "{reply:?}");
}

#[tokio::test]
async fn deletes_follow_their_propagation_and_preconditions() {
    let client = Client::new().await;
    let path = "/apis/apps/v1/namespaces/default/deployments/web";
    client.post("/apis/apps/v1/namespaces/default/deployments", deployment("web")).await;
    let reply = client.delete(path, json!({"preconditions": {"uid": "u"}})).await;
    assert!(
        message(&reply)
            .starts_with("Operation cannot be fulfilled on Deployment.apps \"web\": the UID in the precondition (u)")
    );
    for (policy, finalizers) in [("Orphan", json!(["orphan"])), ("Foreground", json!(["foregroundDeletion"]))] {
        let reply = client.delete(path, json!({"propagationPolicy": policy})).await;
        assert_eq!(reply.body["metadata"]["finalizers"], finalizers, "{reply:?}");
    }
    assert_eq!(client.delete(path, json!({"propagationPolicy": "Background"})).await.body["status"], "Success");
    assert_eq!(client.get(path).await.code, 404);
    assert_eq!(client.delete(path, json!({"kind": "Pod", "apiVersion": "v1"})).await.code, 400);
}

#[tokio::test]
async fn a_pod_that_goes_at_once_is_shown_as_it_was_marked() {
    let client = Client::new().await;
    client.post(PODS, json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})).await;
    let gone = client.delete(&format!("{PODS}/p"), Value::Null).await.body;
    assert_eq!(gone["metadata"]["deletionGracePeriodSeconds"], 0, "{gone}");
    assert_eq!(gone["metadata"]["generation"], 2);
}

#[tokio::test]
async fn duplicate_keys_are_told_in_every_form() {
    let client = Client::new().await;
    client.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: one\n  k: two\n";
    let json = r#"{"data": {"k": "x", "k": "y"}}"#;
    for (method, content_type, body, expect) in [
        (
            "PATCH",
            "application/apply-patch+yaml",
            yaml,
            "yaml: unmarshal errors:\\n  line 6: key \\\"k\\\" already set in map",
        ),
        ("PUT", "application/yaml", yaml, "yaml: unmarshal errors:\\n  line 6: key \\\"k\\\" already set in map"),
        ("PATCH", "application/merge-patch+json", json, "duplicate field \\\"data.k\\\""),
        ("PATCH", "application/strategic-merge-patch+json", json, "duplicate field \\\"data.k\\\""),
    ] {
        for (validation, fails) in [("Strict", true), ("Warn", false)] {
            let path = format!("{path}?fieldManager=m&force=true&fieldValidation={validation}");
            let path = if content_type.contains("apply") { path } else { path.replace("&force=true", "") };
            let (code, text) = raw(&client, (method, &path), ("Content-Type", content_type), body).await;
            assert_eq!(code >= 400, fails, "{method} {content_type} {validation}: {text}");
            assert_eq!(text.contains(expect), fails, "{method} {content_type} {validation}: {text}");
        }
    }
}

#[tokio::test]
async fn subresources_write_their_part_only() {
    let client = Client::new().await;
    client.post(PODS, json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})).await;
    let debug =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"ephemeralContainers": [{"name": "d", "image": "i"}]}});
    let pod = client.patch("strategic-merge", &format!("{PODS}/p/ephemeralcontainers"), debug).await.body;
    assert_eq!(pod["spec"]["ephemeralContainers"][0]["name"], "d", "{pod}");
    assert_eq!((&pod["metadata"]["generation"], &pod["metadata"]["labels"]), (&json!(2), &Value::Null));
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    client.post(deployments, deployment("web")).await;
    let labelled = json!({"metadata": {"labels": {"a": "b"}}, "status": {"replicas": 1}});
    let web = client.patch("merge", &format!("{deployments}/web/status"), labelled).await.body;
    assert_eq!((&web["metadata"]["labels"], &web["status"]["replicas"]), (&Value::Null, &json!(1)), "{web}");
}

#[tokio::test]
async fn the_old_watch_path_of_an_object_shows_nothing_else() {
    let client = Client::new().await;
    for name in ["a", "b"] {
        client.config_map(name, json!({})).await;
    }
    let path = "/api/v1/watch/namespaces/default/configmaps/b?timeoutSeconds=1";
    tokio::time::pause();
    let (code, text) = raw(&client, ("GET", path), ("Accept", "*/*"), "").await;
    assert_eq!((code, text.lines().count()), (200, 1), "{text}");
    assert!(text.contains(r#""name":"b""#), "{text}");
}

fn notes() -> Value {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"text": {"type": "string"}}}}});
    json!({
        "metadata": {"name": "notes.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "notes", "kind": "Note"},
            "versions": [{"name": "v1", "served": true, "storage": true, "deprecated": true,
                "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}}}],
        },
    })
}

#[tokio::test]
async fn the_metadata_of_custom_objects_has_its_type() {
    let client = Client::new().await;
    client.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", notes()).await;
    let path = "/apis/example.com/v1/namespaces/default/notes";
    let note = |metadata: Value| json!({"apiVersion": "example.com/v1", "kind": "Note", "metadata": metadata, "spec": {"x": 1}});
    let refused = client.post(path, note(json!({"name": "a", "labels": {"n": 1}}))).await;
    let expect = "Note in version \"v1\" cannot be handled as a Note: json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string";
    assert_eq!((refused.code, message(&refused)), (400, expect));
    let strict = client.post(&format!("{path}?fieldValidation=Strict"), note(json!({"name": "a", "lable": {}}))).await;
    assert!(message(&strict).ends_with("unknown field \"metadata.lable\", unknown field \"spec.x\""), "{strict:?}");
    let made = client.post(path, note(json!({"name": "a", "finalizers": []}))).await;
    assert_eq!((made.code, made.body["metadata"].get("finalizers")), (201, None), "{made:?}");
    assert!(made.warnings.iter().any(|it| it.contains("example.com/v1 Note is deprecated")), "{made:?}");
    let labels = client.patch("merge", &format!("{path}/a"), json!({"metadata": {"labels": "x"}})).await;
    assert_eq!(labels.code, 422, "{labels:?}");
    let mut other = note(json!({"name": "b"}));
    other["kind"] = json!("Memo");
    let refused = client.post(path, other).await;
    assert_eq!(message(&refused), "Memo.example.com \"b\" is invalid: kind: Invalid value: \"Memo\": must be Note");
    let status = json!({"metadata": {"labels": {"a": "b"}}, "status": {"x": 1}});
    let fields =
        client.patch("merge", &format!("{path}/a/status"), status).await.body["metadata"]["managedFields"].to_string();
    assert!(!fields.contains("f:labels"), "{fields}");
    assert_eq!(client.get(path).await.body["metadata"]["continue"], "");
    assert_eq!(message(&client.get(&format!("{path}/a/scale")).await), "notes.example.com \"a\" not found");
    assert_eq!(client.get("/apis/example.com/v2/namespaces/default/notes").await.body, "404 page not found\n");
}

#[tokio::test]
async fn administrators_access_to_devices_needs_a_labelled_namespace() {
    let client = Client::new().await;
    let plain = json!({"name": "a", "exactly": {"deviceClassName": "gpu"}});
    let admin = json!({"name": "b", "exactly": {"deviceClassName": "gpu", "adminAccess": true}});
    let devices = json!({"devices": {"requests": [plain, admin]}});
    let claim = json!({"metadata": {"name": "x"}, "spec": devices});
    let template = json!({"metadata": {"name": "x"}, "spec": {"spec": devices}});
    let label = "resource.kubernetes.io/admin-access";
    let why = format!("admin access to devices requires the `{label}: true` label on the containing namespace");
    let base = "/apis/resource.k8s.io/v1/namespaces/default";
    for (resource, object) in [("resourceclaims", &claim), ("resourceclaimtemplates", &template)] {
        let refused = client.post(&format!("{base}/{resource}"), object.clone()).await;
        assert_eq!(refused.code, 422, "{}", refused.body);
        let expected = format!("spec.devices.requests[1].adminAccess: Forbidden: {why}");
        assert!(message(&refused).contains(&expected), "{}", refused.body);
    }
    let labels = json!({"metadata": {"labels": {label: "true"}}});
    assert_eq!(client.patch("merge", "/api/v1/namespaces/default", labels).await.code, 200);
    for (resource, object) in [("resourceclaims", claim), ("resourceclaimtemplates", template)] {
        let made = client.post(&format!("{base}/{resource}"), object).await;
        assert_eq!(made.code, 201, "{}", made.body);
    }

    let labels = json!({"metadata": {"labels": {label: null}}});
    assert_eq!(client.patch("merge", "/api/v1/namespaces/default", labels).await.code, 200);
    let result = json!({"request": "b", "driver": "d", "pool": "p", "device": "g", "adminAccess": true});
    let status = json!({"status": {"allocation": {"devices": {"results": [result]}}}});
    let refused = client.patch("merge", &format!("{base}/resourceclaims/x/status"), status).await;
    assert_eq!(refused.code, 422, "{}", refused.body);
    let expected = format!("status.allocation.devices.results[0].adminAccess: Forbidden: {why}");
    assert!(message(&refused).contains(&expected), "{}", refused.body);
}
