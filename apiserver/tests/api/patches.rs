//! The four kinds of patch, scale and binding.

use serde_json::{Value, json};

use crate::client::{Client, deployment};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";

#[tokio::test]
async fn three_kinds_of_patch_change_an_object() {
    let client = Client::new().await;
    client.post(DEPLOYMENTS, deployment("web")).await;
    let merged = client.patch("merge", WEB, json!({"spec": {"replicas": 2}})).await;
    assert_eq!(merged.body["spec"]["replicas"], 2, "{merged:?}");
    let operations = json!([{"op": "test", "path": "/spec/replicas", "value": 2},
                            {"op": "replace", "path": "/spec/replicas", "value": 3}]);
    assert_eq!(client.patch("json", WEB, operations.clone()).await.body["spec"]["replicas"], 3);
    let failed = client.patch("json", WEB, operations).await;
    assert_eq!((failed.code, &failed.body["reason"]), (422, &json!("Invalid")));
    let containers = json!([{"name": "web", "image": "nginx:2"}, {"name": "side", "image": "s"}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let strategic = client.patch("strategic-merge", WEB, patch).await.body;
    let images: Vec<&Value> = strategic["spec"]["template"]["spec"]["containers"].as_array().unwrap().iter().collect();
    assert_eq!(images.len(), 2);
    assert_eq!(images[0]["image"], "nginx:2");
    assert_eq!(client.patch("strange", WEB, json!({})).await.code, 415);
    assert_eq!(client.patch("merge", &format!("{DEPLOYMENTS}/none"), json!({})).await.code, 404);
}

#[tokio::test]
async fn apply_makes_owns_and_conflicts() {
    let client = Client::new().await;
    let mut config = deployment("web");
    config["spec"]["replicas"] = json!(1);
    let path = |manager: &str| format!("{WEB}?fieldManager={manager}");
    let made = client.patch("apply", &path("one"), config.clone()).await;
    assert_eq!(made.code, 201, "{made:?}");
    let again = client.patch("apply", &path("one"), config.clone()).await;
    assert_eq!(again.code, 200);
    assert_eq!(again.body["metadata"]["resourceVersion"], made.body["metadata"]["resourceVersion"]);
    let scale = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                       "spec": {"replicas": 5}});
    let conflict = client.patch("apply", &path("two"), scale.clone()).await;
    assert_eq!(
        (conflict.code, conflict.body["message"].as_str().unwrap()),
        (409, "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas")
    );
    let forced = client.patch("apply", &format!("{}&force=true", path("two")), scale).await;
    assert_eq!(forced.body["spec"]["replicas"], 5);
    let nobody = client.patch("apply", WEB, config).await;
    assert_eq!(nobody.code, 422, "an apply needs a field manager");
}

#[tokio::test]
async fn the_scale_is_read_and_written() {
    let client = Client::new().await;
    client.post(DEPLOYMENTS, deployment("web")).await;
    let path = format!("{WEB}/scale");
    let scale = client.get(&path).await.body;
    assert_eq!(scale["kind"], "Scale");
    assert_eq!(scale["status"], json!({"replicas": 0, "selector": "app=web"}));
    let scaled = client.patch("merge", &path, json!({"spec": {"replicas": 4}})).await;
    assert_eq!(scaled.body["spec"]["replicas"], 4, "{scaled:?}");
    assert_eq!(client.get(WEB).await.body["metadata"]["generation"], 2);
    let negative = client.put(&path, json!({"metadata": {"name": "web"}, "spec": {"replicas": -1}})).await;
    assert_eq!(negative.code, 422);
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let client = Client::new().await;
    let pods = "/api/v1/namespaces/default/pods";
    client.post(pods, json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})).await;
    let binding = |node: &str| json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": node}});
    assert_eq!(client.post(&format!("{pods}/p/binding"), binding("n1")).await.code, 201);
    let bound = client.get(&format!("{pods}/p")).await.body;
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
    let again = client.post(&format!("{pods}/p/binding"), binding("n2")).await;
    let message = "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\"";
    assert_eq!((again.code, again.body["message"].as_str().unwrap()), (409, message));
}

#[tokio::test]
async fn what_is_no_patch_is_told_once_there_is_an_object() {
    let client = Client::new().await;
    client.config_map("a", json!({})).await;
    let path = "/api/v1/namespaces/default/configmaps";
    let map = "json: cannot unmarshal array into Go value of type map[string]interface {}";
    for (kind, body, code, message) in [
        ("merge", json!([]), 400, format!("error decoding patch: {map}")),
        ("strategic-merge", json!([]), 400, map.to_owned()),
        (
            "json",
            json!({}),
            400,
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
                .to_owned(),
        ),
    ] {
        let reply = client.patch(kind, &format!("{path}/a"), body.clone()).await;
        assert_eq!((reply.code, reply.body["message"].as_str()), (code, Some(message.as_str())), "{kind}");
        assert_eq!(client.patch(kind, &format!("{path}/missing"), body).await.code, 404, "{kind}");
    }
    // Of a JSON patch the types of the members are looked at unless fields are not to be validated.
    let odd = json!([{"op": 5}]);
    assert_eq!(client.patch("json", &format!("{path}/a"), odd.clone()).await.code, 400);
    assert_eq!(client.patch("json", &format!("{path}/a?fieldValidation=Ignore"), odd).await.code, 422);
}

#[tokio::test]
async fn a_scale_is_read_as_strictly_as_any_object() {
    let client = Client::new().await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    assert_eq!(client.post(deployments, crate::client::deployment("web")).await.code, 201);
    let scale = format!("{deployments}/web/scale");
    let unknown = json!({"spec": {"replicas": 2, "foo": 1}});
    let reply = client.patch("merge", &scale, unknown.clone()).await;
    assert_eq!((reply.code, reply.warnings), (200, vec![r#"299 - "unknown field \"spec.foo\"""#.to_owned()]));
    let check = async |kind: &str, query: &str, body: Value, code: u16, part: &str| {
        let reply = client.patch(kind, &format!("{scale}?{query}"), body.clone()).await;
        let message = reply.body["message"].as_str().unwrap_or_default();
        assert!(reply.code == code && message.contains(part), "{body}: {reply:?}");
    };
    let strict = "strict decoding error: unknown field \"spec.foo\"";
    check("merge", "fieldValidation=Strict", unknown, 422, strict).await;
    check("merge", "", json!({"spec": {"replicas": "x"}}), 422, "cannot unmarshal string into Go struct field").await;
    check("merge", "", json!({"kind": "X"}), 422, "no conversion from X to Scale exists").await;
    check("merge", "", json!({"metadata": null}), 400, "(web based on URL) was undeterminable").await;
    let uid = json!({"metadata": {"uid": "x"}});
    check("merge", "", uid, 409, "deployments/scale.apps \"web\": Precondition failed: UID in precondition: x").await;
    let config = |spec: Value| json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": spec});
    let other = json!({"apiVersion": "apps/v1", "kind": "Deployment"});
    check("apply", "fieldManager=m", other, 400, "invalid object type: apps/v1, Kind=Deployment").await;
    let undeclared = "autoscaling/v1, Kind=Scale): .spec.foo: field not declared in schema";
    check("apply", "fieldManager=m", config(json!({"foo": 1})), 500, undeclared).await;
    check("apply", "fieldManager=m&force=true", config(json!({"replicas": 7})), 200, "").await;
    assert_eq!(client.get(&scale).await.body["spec"]["replicas"], 7);
    for (body, code) in [(json!({}), 400), (json!({"metadata": {"name": "web", "namespace": "x"}}), 400)] {
        assert_eq!(client.put(&scale, body).await.code, code);
    }
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let request = http::Request::get(&scale).header("Accept", accept).body(Default::default()).unwrap();
    assert_eq!(crate::client::read(client.send(request).await).await.body["kind"], "PartialObjectMetadata");
}
