//! API services that another server serves.

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use steersman_apiserver::authentication::request_header::FrontProxy;
use steersman_apiserver::tls::Authority;

use crate::client::Client;

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const METRICS: &str = "/apis/metrics.example.com/v1";

async fn register(client: &Client) {
    let service = json!({"name": "metrics", "namespace": "tests"});
    let spec = json!({"group": "metrics.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 15,
                      "service": service, "insecureSkipTLSVerify": true});
    let made = client.post(SERVICES, json!({"metadata": {"name": "v1.metrics.example.com"}, "spec": spec})).await;
    assert_eq!(made.code, 201, "{made:?}");
}

/// Waits for the check that goes on beside the requests.
async fn condition(client: &Client, reason: &str) -> Value {
    for _ in 0..100 {
        let found = client.get(&format!("{SERVICES}/v1.metrics.example.com")).await.body;
        if found["status"]["conditions"][0]["reason"] == reason {
            return found["status"]["conditions"][0].clone();
        }
        tokio::task::yield_now().await;
    }
    panic!("no condition with the reason {reason}");
}

fn groups(list: &Value) -> Vec<&str> {
    list["groups"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn without_a_service_nobody_answers() {
    let client = Client::new().await;
    register(&client).await;
    let condition = condition(&client, "ServiceNotFound").await;
    assert_eq!(condition["message"], "service/metrics in \"tests\" is not present");
    let reply = client.get(METRICS).await;
    assert_eq!((reply.code, reply.body), (503, json!("service unavailable\n")));
    assert!(groups(&client.get("/apis").await.body).contains(&"metrics.example.com"));
}

#[tokio::test]
async fn requests_go_to_the_other_server_with_the_user_in_headers() {
    let client = Client::new().await;
    let handler = |request: Request<Bytes>| {
        let user = request.headers()["x-remote-user"].to_str().unwrap().to_owned();
        let body = match request.uri().path() {
            METRICS => json!({"kind": "APIResourceList", "groupVersion": "metrics.example.com/v1", "resources": [
                {"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get"]}]}),
            path => json!({"path": path, "query": request.uri().query(), "user": user}),
        };
        std::future::ready(Response::new(Bytes::from(body.to_string())))
    };
    let _metrics = client.api_server.server().outbound.register("metrics.tests.svc", handler);
    register(&client).await;
    assert_eq!(condition(&client, "Passed").await["message"], "all checks passed");
    let path = format!("{METRICS}/namespaces/a/pods");
    let reply = client.get(&format!("{path}?limit=5")).await;
    assert_eq!(reply.body, json!({"path": path, "query": "limit=5", "user": "kubernetes-admin"}));
    let list = client.get("/apis").await.body;
    let own = groups(&list);
    assert_eq!(own.last(), Some(&"metrics.example.com"), "{own:?}");
    let group = client.get("/apis/metrics.example.com").await.body;
    assert_eq!(group["preferredVersion"]["groupVersion"], "metrics.example.com/v1", "{group}");
}

#[tokio::test]
async fn other_servers_are_told_whom_to_believe_and_what_somebody_wrote_beside_it_stays() {
    let client = Client::new().await;
    let authority = Authority::generate().unwrap();
    let proxy = FrontProxy::generate(&authority).unwrap();
    let published = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    assert_eq!(client.get(published).await.code, 404);
    client.api_server.be_front_proxy("clients", proxy.clone()).await.unwrap();
    let expect = json!({
        "client-ca-file": "clients",
        "requestheader-allowed-names": "[\"front-proxy-client\"]",
        "requestheader-client-ca-file": authority.certificate(),
        "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
        "requestheader-group-headers": "[\"X-Remote-Group\"]",
        "requestheader-uid-headers": "[\"X-Remote-Uid\"]",
        "requestheader-username-headers": "[\"X-Remote-User\"]",
    });
    assert_eq!(client.get(published).await.body["data"], expect);
    let change = json!({"data": {"client-ca-file": "mine", "other": "kept"}});
    assert_eq!(client.patch("merge", published, change).await.code, 200);
    client.api_server.be_front_proxy("clients", proxy).await.unwrap();
    let data = client.get(published).await.body["data"].clone();
    assert_eq!((&data["client-ca-file"], &data["other"]), (&json!("clients"), &json!("kept")));
}
