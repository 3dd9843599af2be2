//! The Workload API: groups of pods, and what they are made from. KEP-4671.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use steersman_apiserver::ApiServer;
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;

use crate::client::Client;

const WORKLOADS: &str = "/apis/scheduling.k8s.io/v1alpha2/namespaces/default/workloads";
const GROUPS: &str = "/apis/scheduling.k8s.io/v1alpha2/namespaces/default/podgroups";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// A server with these gates and versions.
async fn with(gates: &str, config: &str) -> Client {
    let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let builder = ApiServer::builder(clock, Random::seeded(1)).disable_admission(["ServiceAccount".to_owned()]);
    let builder = builder.features(gates.parse().unwrap()).runtime_config(config.parse().unwrap());
    Client { api_server: builder.build().await.unwrap() }
}

async fn on() -> Client {
    with("GenericWorkload=true", "scheduling.k8s.io/v1alpha2=true").await
}

async fn versions(client: &Client) -> Value {
    let group = client.get("/apis/scheduling.k8s.io").await.body;
    group["versions"].as_array().unwrap().iter().map(|version| version["version"].clone()).collect()
}

fn workload(templates: Value) -> Value {
    json!({"apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "Workload", "metadata": {"name": "w"},
        "spec": {"podGroupTemplates": templates}})
}

fn group(spec: Value) -> Value {
    json!({"apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", "metadata": {"name": "g"}, "spec": spec})
}

fn gang(count: i64) -> Value {
    json!({"gang": {"minCount": count}})
}

#[tokio::test]
async fn it_is_served_if_its_gate_is_on_and_its_version_enabled() {
    for (gates, config, served) in [
        ("", "", false),
        ("GenericWorkload=true", "", false),
        ("", "scheduling.k8s.io/v1alpha2=true", false),
        ("GenericWorkload=true", "scheduling.k8s.io/v1alpha2=true", true),
        ("AllAlpha=true", "api/alpha=true", true),
    ] {
        let client = with(gates, config).await;
        let expect = if served { json!(["v1", "v1alpha2"]) } else { json!(["v1"]) };
        assert_eq!(versions(&client).await, expect, "{gates} {config}");
        assert_eq!(client.get(WORKLOADS).await.code, if served { 200 } else { 404 }, "{gates} {config}");
        let documents = client.get("/openapi/v3").await.body;
        assert_eq!(documents["paths"].get("apis/scheduling.k8s.io/v1alpha2").is_some(), served, "{gates} {config}");
    }
    let resources = on().await.get("/apis/scheduling.k8s.io/v1alpha2").await.body;
    let names: Vec<&str> =
        resources["resources"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["podgroups", "podgroups/status", "workloads"]);
}

#[tokio::test]
async fn versions_that_are_on_by_default_can_be_left_out() {
    let client = with("", "batch/v1/cronjobs=false,node.k8s.io/v1=false").await;
    assert_eq!(client.get("/apis/batch/v1/cronjobs").await.code, 404);
    assert_eq!(client.get("/apis/batch/v1/jobs").await.code, 200);
    assert_eq!(client.get("/apis/node.k8s.io").await.code, 404);
}

#[tokio::test]
async fn a_group_is_made_from_a_template_that_there_is() {
    let client = on().await;
    let from = |template: &str| {
        let workload = json!({"workloadName": "w", "podGroupTemplateName": template});
        group(json!({"podGroupTemplateRef": {"workload": workload}, "schedulingPolicy": gang(2)}))
    };
    let refused = client.post(GROUPS, from("t")).await;
    assert_eq!(refused.code, 403);
    let why = r#"podgroups.scheduling.k8s.io "g" is forbidden: PodGroup rejected: Workload "w" not found"#;
    assert_eq!(refused.body["message"], why);
    let templates = json!([{"name": "t", "schedulingPolicy": gang(2), "priority": 7}]);
    let made = client.post(WORKLOADS, workload(templates)).await;
    assert_eq!(made.code, 201, "{:?}", made.body);
    let template = &made.body["spec"]["podGroupTemplates"][0];
    assert_eq!(*template, json!({"name": "t", "schedulingPolicy": gang(2)}), "priorities belong to another gate");
    let refused = client.post(GROUPS, from("u")).await;
    let why = r#"podgroups.scheduling.k8s.io "g" is forbidden: PodGroup rejected: PodGroupTemplate "u" not found in Workload "w""#;
    assert_eq!(refused.body["message"], why);
    assert_eq!(client.post(GROUPS, from("t")).await.code, 201);
}

#[tokio::test]
async fn groups_and_workloads_stay_as_they_are_but_for_the_status() {
    let client = on().await;
    let invalid = client.post(GROUPS, group(json!({"schedulingPolicy": {}}))).await;
    assert_eq!(invalid.code, 422);
    let why = "PodGroup.scheduling.k8s.io \"g\" is invalid: spec.schedulingPolicy: Invalid value: \"\": \
               must specify one of: `basic`, `gang`";
    assert_eq!(invalid.body["message"], why);
    assert_eq!(client.post(GROUPS, group(json!({"schedulingPolicy": gang(2)}))).await.code, 201);
    let path = format!("{GROUPS}/g");
    let changed = client.patch("merge", &path, json!({"spec": {"schedulingPolicy": gang(3)}})).await;
    assert_eq!(changed.code, 422);
    assert!(changed.body["message"].as_str().unwrap().ends_with("field is immutable"), "{:?}", changed.body);
    let condition = json!({"type": "PodGroupScheduled", "status": "True", "reason": "Scheduled", "message": "",
        "lastTransitionTime": "2026-05-01T10:00:00Z"});
    let status = json!({"status": {"conditions": [condition]}});
    let written = client.patch("merge", &format!("{path}/status"), status.clone()).await;
    assert_eq!((written.code, &written.body["status"]), (200, &status["status"]));
    assert_eq!(client.patch("merge", &path, json!({"metadata": {"labels": {"a": "b"}}})).await.code, 200);
}

#[tokio::test]
async fn a_group_is_held_while_pods_may_belong_to_it() {
    let client = on().await;
    let made = client.post(GROUPS, group(json!({"schedulingPolicy": gang(2)}))).await;
    assert_eq!(made.body["metadata"]["finalizers"], json!(["scheduling.k8s.io/podgroup-protection"]));
    let path = format!("{GROUPS}/g");
    assert_eq!(client.request(Method::DELETE, &path, "application/json", &json!({})).await.code, 200);
    assert!(client.get(&path).await.body["metadata"]["deletionTimestamp"].is_string());
    let freed = client.patch("merge", &path, json!({"metadata": {"finalizers": null}})).await;
    assert_eq!((freed.code, client.get(&path).await.code), (200, 404));
}

#[tokio::test]
async fn they_are_printed_with_their_age() {
    let client = on().await;
    client.post(GROUPS, group(json!({"schedulingPolicy": gang(2)}))).await;
    let request = http::Request::get(GROUPS).header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let response = client.send(request.body(http_body_util::Full::default()).unwrap()).await;
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    let table: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(table["rows"][0]["cells"], json!(["g", "0s"]));
}

#[tokio::test]
async fn pods_name_their_group_if_the_gate_is_on() {
    let container = json!({"name": "c", "image": "i"});
    let pod = |group: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"containers": [container], "schedulingGroup": {"podGroupName": group}}})
    };
    let off = with("", "").await.post(PODS, pod("g")).await;
    assert_eq!((off.code, off.body["spec"].get("schedulingGroup")), (201, None));
    let client = on().await;
    let made = client.post(PODS, pod("g")).await;
    assert_eq!((made.code, &made.body["spec"]["schedulingGroup"]), (201, &json!({"podGroupName": "g"})));
    // In protobuf it is field 43, with the name as field 1.
    let request = http::Request::get(format!("{PODS}/p")).header("Accept", "application/vnd.kubernetes.protobuf");
    let response = client.send(request.body(http_body_util::Full::default()).unwrap()).await;
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert!(body.windows(6).any(|bytes| bytes == [0xda, 2, 3, 0x0a, 1, b'g']), "{body:?}");
    let invalid = client.request(Method::POST, PODS, "application/json", &pod("")).await;
    assert_eq!(invalid.code, 422, "{:?}", invalid.body);
    assert!(invalid.body["message"].as_str().unwrap().contains("spec.schedulingGroup.podGroupName: Required value"));
}

/// Besides the Workload API: another gate of the scheduler's realm.
#[tokio::test]
async fn tolerations_compare_numbers_if_their_gate_is_on() {
    let template = |operator: &str, value: &str| {
        let toleration = json!({"key": "k", "operator": operator, "value": value});
        json!({"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}], "tolerations": [toleration]}})
    };
    let pod = |operator: &str, value: &str| {
        let mut pod = template(operator, value);
        pod["metadata"]["name"] = json!("p");
        pod
    };
    let deployment = |operator: &str, value: &str| {
        json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
            "template": template(operator, value)}})
    };
    const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
    for (gates, codes) in [("", [422, 422]), ("TaintTolerationComparisonOperators=true", [201, 422])] {
        let client = with(gates, "").await;
        for (value, code) in [("5", codes[0]), ("05", codes[1])] {
            for (path, object) in [(PODS, pod("Gt", value)), (DEPLOYMENTS, deployment("Lt", value))] {
                let reply = client.post(path, object).await;
                assert_eq!(reply.code, code, "{gates} {value} {:?}", reply.body["message"]);
            }
        }
    }
    let client = with("TaintTolerationComparisonOperators=true", "").await;
    let refused = client.post(DEPLOYMENTS, deployment("Lt", "05")).await;
    let why = "Deployment.apps \"d\" is invalid: spec.template.spec.tolerations[0].value: Invalid value: \"05\": must be a \
               valid decimal integer in canonical form";
    assert_eq!(refused.body["message"], why);
}
