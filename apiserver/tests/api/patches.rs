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
