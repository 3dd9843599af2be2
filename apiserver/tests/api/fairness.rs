//! Priority and fairness, as clients see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use steersman_apiserver::ApiServer;
use steersman_apiserver::authentication::UserInfo;
use steersman_apiserver::flowcontrol::Options;
use steersman_apiserver::http::body::Body;
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;
use tower::ServiceExt;

use crate::client::Client;

const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";

async fn client(options: Options) -> Client {
    let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let api_server = ApiServer::builder(clock, Random::seeded(1)).flow_control(options).build().await.unwrap();
    Client { api_server }
}

async fn get_as(client: &Client, user: &str) -> Response<Body> {
    let request = Request::get("/version").body(Full::new(Bytes::new())).unwrap();
    client.api_server.service_as(UserInfo::known(user, &[])).oneshot(request).await.unwrap()
}

fn header(response: &Response<Body>, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

fn schema(name: &str, level: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "matchingPrecedence": 50, "priorityLevelConfiguration": {"name": level},
        "rules": [{
            "subjects": [{"kind": "User", "user": {"name": "jane"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }],
    }})
}

#[tokio::test]
async fn answers_say_where_the_request_belonged() {
    let client = client(Options { priority_and_fairness: true, ..Options::default() }).await;
    let uid = async |path: String| client.get(&path).await.body["metadata"]["uid"].as_str().unwrap().to_owned();
    let response = get_as(&client, "jane").await;
    assert_eq!(header(&response, "X-Kubernetes-PF-FlowSchema-UID"), uid(format!("{SCHEMAS}/global-default")).await);
    assert_eq!(header(&response, "X-Kubernetes-PF-PriorityLevel-UID"), uid(format!("{LEVELS}/global-default")).await);
    let made = client.post(SCHEMAS, schema("mine", "workload-high")).await;
    assert_eq!(made.code, 201, "{made:?}");
    let response = get_as(&client, "jane").await;
    assert_eq!(header(&response, "X-Kubernetes-PF-FlowSchema-UID"), made.body["metadata"]["uid"].as_str().unwrap());
    assert_eq!(header(&response, "X-Kubernetes-PF-PriorityLevel-UID"), uid(format!("{LEVELS}/workload-high")).await);
    assert_ne!(header(&get_as(&client, "joe").await, "X-Kubernetes-PF-FlowSchema-UID"), made.body["metadata"]["uid"]);
    client.delete(&format!("{SCHEMAS}/mine"), Value::Null).await;
    assert_eq!(
        header(&get_as(&client, "jane").await, "X-Kubernetes-PF-FlowSchema-UID"),
        uid(format!("{SCHEMAS}/global-default")).await
    );
}

#[tokio::test(start_paused = true)]
async fn a_schema_that_is_left_alone_tells_whether_its_level_exists() {
    let client = client(Options { priority_and_fairness: true, ..Options::default() }).await;
    let own = client.get(&format!("{SCHEMAS}/exempt")).await.body;
    assert_eq!(own["status"]["conditions"][0]["reason"], "Found", "those of the start tell it at once");
    let made = client.post(SCHEMAS, schema("mine", "none")).await;
    assert_eq!((made.code, &made.body["status"]), (201, &json!({})));
    let status = async || client.get(&format!("{SCHEMAS}/mine")).await.body["status"].clone();
    let later = || tokio::time::sleep(std::time::Duration::from_millis(1500));
    later().await;
    let condition = async || status().await["conditions"][0].clone();
    assert_eq!(condition().await["type"], "Dangling");
    assert_eq!((&condition().await["status"], &condition().await["reason"]), (&json!("True"), &json!("NotFound")));
    let level = json!({"metadata": {"name": "none"}, "spec": {
        "type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}}});
    assert_eq!(client.post(LEVELS, level).await.code, 201);
    later().await;
    assert_eq!((&condition().await["status"], &condition().await["reason"]), (&json!("False"), &json!("Found")));
}

#[tokio::test]
async fn what_the_server_needs_is_restored_and_what_it_suggests_may_be_changed() {
    let client = client(Options::default()).await;
    let list = async || client.get(SCHEMAS).await.body["items"].as_array().unwrap().len();
    assert_eq!(list().await, 11);
    client.delete(&format!("{SCHEMAS}/exempt"), Value::Null).await;
    assert_eq!(list().await, 11);
    let path = format!("{SCHEMAS}/service-accounts");
    let change = json!({"spec": {"matchingPrecedence": 8000}});
    client.patch("merge", &path, change.clone()).await;
    assert_eq!(client.get(&path).await.body["spec"]["matchingPrecedence"], 9000);
    let annotation = json!({"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": "false"}}});
    client.patch("merge", &path, annotation).await;
    client.patch("merge", &path, change).await;
    assert_eq!(client.get(&path).await.body["spec"]["matchingPrecedence"], 8000);
    // Without priority and fairness nobody says what dangles, and no answer says where it belonged.
    assert!(client.get(&path).await.body["status"].as_object().unwrap().is_empty());
    assert_eq!(header(&get_as(&client, "jane").await, "X-Kubernetes-PF-FlowSchema-UID"), "");
}

#[tokio::test]
async fn too_many_requests_at_a_time_are_told_to_come_again() {
    // Nobody is served before the other has asked: each waits for a body that has not come.
    let client = client(Options { max_mutating_requests_inflight: 1, ..Options::default() }).await;
    let service = client.api_server.service_as(UserInfo::known("jane", &[]));
    let (sender, body) = tokio::sync::mpsc::channel::<Bytes>(1);
    let stream = futures::stream::unfold(body, |mut body| async {
        body.recv().await.map(|bytes| (Ok::<_, std::io::Error>(http_body::Frame::data(bytes)), body))
    });
    let slow = Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .body(http_body_util::StreamBody::new(Box::pin(stream)))
        .unwrap();
    let mut slow = Box::pin(service.clone().oneshot(slow));
    assert!(futures::poll!(&mut slow).is_pending());
    let second =
        Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews").body(Full::new(Bytes::new())).unwrap();
    let refused = service.oneshot(second).await.unwrap();
    assert_eq!((refused.status().as_u16(), header(&refused, "Retry-After")), (429, "1".to_owned()));
    drop(sender);
    assert_ne!(slow.await.unwrap().status(), 429);
}

#[tokio::test]
async fn a_list_keeps_its_place_until_it_was_sent() {
    let client = client(Options { max_requests_inflight: 1, ..Options::default() }).await;
    let binding = json!({
        "metadata": {"name": "jane"}, "subjects": [{"kind": "User", "name": "jane"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    });
    let bound = client.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await;
    assert_eq!(bound.code, 201, "{bound:?}");
    let service = client.api_server.service_as(UserInfo::known("jane", &[]));
    let list = || Request::get("/api/v1/namespaces").body(Full::new(Bytes::new())).unwrap();
    let unread = service.clone().oneshot(list()).await.unwrap();
    assert_eq!(unread.status(), 200);
    assert_eq!(service.clone().oneshot(list()).await.unwrap().status(), 429);
    drop(unread);
    // Whoever gives the place back needs a turn.
    tokio::task::yield_now().await;
    assert_eq!(service.oneshot(list()).await.unwrap().status(), 200);
}

/// A client and a user who may read everything, besides `count` config maps of a kilobyte.
async fn filled(count: usize, options: Options) -> Client {
    let client = client(options).await;
    let binding = json!({
        "metadata": {"name": "readers"},
        "subjects": [{"kind": "User", "name": "robot"}, {"kind": "User", "name": "person"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    });
    assert_eq!(client.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await.code, 201);
    for number in 0..count {
        let map = json!({"metadata": {"name": format!("map-{number}")}, "data": {"a": "x".repeat(1000)}});
        assert_eq!(client.post("/api/v1/namespaces/default/configmaps", map).await.code, 201);
    }
    client
}

/// Lists config maps again and again, and counts the steps: pieces, and answers that were made.
async fn flood(client: Client, accept: &'static str, steps: Arc<AtomicUsize>) {
    let service = client.api_server.service_as(UserInfo::known("robot", &[]));
    loop {
        let request = Request::get("/api/v1/configmaps").header("Accept", accept).body(Full::new(Bytes::new()));
        let mut answer = service.clone().oneshot(request.unwrap()).await.unwrap();
        while let Some(frame) = answer.body_mut().frame().await {
            frame.unwrap();
            steps.fetch_add(1, Ordering::Relaxed);
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_small_get_is_served_before_more_than_a_few_steps_of_all_lists_that_are_under_way() {
    let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
    for (accept, fair) in [("application/json", false), ("application/json", true), (table, true), (table, false)] {
        let options = Options { priority_and_fairness: fair, ..Options::default() };
        let client = filled(200, options).await;
        let steps = Arc::new(AtomicUsize::new(0));
        let mut lists = tokio::task::JoinSet::new();
        for _ in 0..100 {
            lists.spawn(flood(Client { api_server: client.api_server.clone() }, accept, steps.clone()));
        }
        while steps.load(Ordering::Relaxed) < 200 {
            tokio::task::yield_now().await;
        }
        for _ in 0..5 {
            let before = steps.load(Ordering::Relaxed);
            let person = client.api_server.service_as(UserInfo::known("person", &[]));
            let get = Request::get("/api/v1/namespaces/default/configmaps/map-7").body(Full::new(Bytes::new()));
            let answer = person.oneshot(get.unwrap()).await.unwrap();
            assert_eq!(answer.status(), 200);
            let between = steps.load(Ordering::Relaxed) - before;
            assert!(
                between <= 3,
                "{between} steps of lists ({accept}, fairness {fair}) were made before a get was served"
            );
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn levels_and_queues_can_be_looked_at() {
    let unfair = self::client(Options::default()).await;
    let client = client(Options { priority_and_fairness: true, ..Options::default() }).await;
    get_as(&client, "somebody").await;
    let shown = async |endpoint: &str| {
        let path = format!("/debug/api_priority_and_fairness/{endpoint}");
        let request = Request::get(path).body(Full::new(Bytes::new())).unwrap();
        let response = client.send(request).await;
        let code = response.status().as_u16();
        (code, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    };
    let (code, levels) = shown("dump_priority_levels").await;
    assert_eq!((code, levels.lines().count()), (200, 9), "{levels}");
    let line = levels.lines().find(|line| line.starts_with("global-default,")).unwrap();
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    assert_eq!(cells[1..], ["0", "true", "false", "0", "0", "1", "0", "0", "0"], "{levels}");
    let (_, queues) = shown("dump_queues").await;
    assert_eq!(queues.lines().filter(|line| line.starts_with("leader-election,")).count(), 16, "{queues}");
    assert_eq!(shown("dump_nothing").await.0, 404);
    let request = Request::get("/debug/api_priority_and_fairness/dump_queues").body(Full::new(Bytes::new()));
    assert_eq!(unfair.send(request.unwrap()).await.status(), 404);
}
