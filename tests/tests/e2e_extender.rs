//! The scheduler and programs beside it that have a say, over real connections: after TestSchedulerExtender of
//! upstream's integration tests.

#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, PostParams};
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_scheduler_plugin::{Configuration, Options};
use steersman_tests::wait::until;
use tokio::net::TcpListener;

/// What an extender was asked, verb by verb.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// An extender that likes odd nodes, prefers `node-3`, and binds through the API. Returns its URL.
async fn extender(client: Client) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (seen, client) = (Arc::clone(&seen), client.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(request, Arc::clone(&seen), client.clone()));
                // A connection ends when the client likes.
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (format!("http://{address}/scheduler"), asked)
}

async fn answer(request: Request<Incoming>, asked: Asked, client: Client) -> Result<Response<Full<Bytes>>, Infallible> {
    let verb = request.uri().path().rsplit('/').next().unwrap().to_owned();
    let body: Value = serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
    asked.lock().push((verb.clone(), body.clone()));
    let odd = |name: &str| name.ends_with('1') || name.ends_with('3');
    let nodes = body["Nodes"]["items"].as_array().cloned().unwrap_or_default();
    let names: Vec<String> = match body["NodeNames"].as_array() {
        Some(names) => names.iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
        None => nodes.iter().map(|node| node["metadata"]["name"].as_str().unwrap().to_owned()).collect(),
    };
    let answer = match verb.as_str() {
        "filter" if body["NodeNames"].is_null() => {
            let liked = nodes.iter().filter(|node| odd(node["metadata"]["name"].as_str().unwrap()));
            json!({"Nodes": {"items": liked.collect::<Vec<_>>()}})
        }
        "filter" => json!({"NodeNames": names.iter().filter(|name| odd(name)).collect::<Vec<_>>()}),
        "refuse" => {
            let failed: serde_json::Map<String, Value> = names.iter().map(|it| (it.clone(), json!("too loud"))).collect();
            json!({"NodeNames": [], "FailedNodes": failed})
        }
        "prioritize" => {
            let score = |name: &String| json!({"Host": name, "Score": if name == "node-3" { 10 } else { 0 }});
            json!(names.iter().map(score).collect::<Vec<_>>())
        }
        "bind" => {
            let (namespace, name) = (body["PodNamespace"].as_str().unwrap(), body["PodName"].as_str().unwrap());
            let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                "target": {"kind": "Node", "name": body["Node"]}});
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/binding");
            let request = http::Request::post(path).header("content-type", "application/json");
            client.request_text(request.body(binding.to_string().into_bytes()).unwrap()).await.unwrap();
            json!({"Error": ""})
        }
        other => json!({"Error": format!("what is {other}?")}),
    };
    Ok(Response::new(Full::new(Bytes::from(answer.to_string()))))
}

async fn scheduled_with(extenders: Value, pod: Value) -> Pod {
    let configuration = json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "extenders": extenders,
    });
    let configuration = Configuration::from_yaml(&configuration.to_string()).unwrap();
    let builder = Cluster::builder().nodes(4).without_controllers().disable_admission(["ServiceAccount"]);
    let cluster = builder.scheduler(Options { configuration, ..Options::default() }).start().await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let settled = |pod: Option<&Pod>| {
        let conditions = pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
        conditions.into_iter().flatten().any(|condition| condition.type_ == "PodScheduled")
    };
    let pod = until(&pods, "p", "decided", settled).await.unwrap();
    cluster.stop().await;
    pod
}

fn pod() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "app:1"}]}})
}

fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref().unwrap().node_name.as_deref()
}

async fn outside() -> Client {
    // Where the extender itself binds is the cluster under test; these tests bind only through the default binder or
    // not at all, and this one is never written to.
    Client::new(tower::service_fn(|_: Request<kube::client::Body>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    }), "default")
}

#[tokio::test]
async fn extenders_filter_and_score_whole_nodes_or_names() {
    let (url, asked) = extender(outside().await).await;
    let plain = json!({"urlPrefix": url, "filterVerb": "filter", "prioritizeVerb": "prioritize", "weight": 5});
    let mut capable = plain.clone();
    capable["nodeCacheCapable"] = json!(true);
    let found = scheduled_with(json!([plain, capable]), pod()).await;
    assert_eq!(node(&found), Some("node-3"));
    let asked = asked.lock();
    let verbs: Vec<&str> = asked.iter().map(|(verb, _)| verb.as_str()).collect();
    assert_eq!(verbs, ["filter", "filter", "prioritize", "prioritize"]);
    assert_eq!(asked[0].1["Nodes"]["items"].as_array().unwrap().len(), 4);
    assert_eq!(asked[0].1["Pod"]["metadata"]["name"], "p");
    assert_eq!(asked[1].1["NodeNames"].as_array().unwrap().len(), 2, "{:?}", asked[1].1["NodeNames"]);
}

#[tokio::test]
async fn extenders_say_why_and_one_that_is_not_there_may_be_ignored() {
    let (url, _) = extender(outside().await).await;
    let away = json!({"urlPrefix": "http://127.0.0.1:9/", "filterVerb": "filter", "ignorable": true});
    let refuses = json!({"urlPrefix": url, "filterVerb": "refuse", "nodeCacheCapable": true});
    let found = scheduled_with(json!([away, refuses]), pod()).await;
    let conditions = found.status.unwrap().conditions.unwrap();
    let message = conditions[0].message.clone().unwrap();
    assert!(message.starts_with("0/4 nodes are available: 4 too loud."), "{message}");

    let away = json!({"urlPrefix": "http://127.0.0.1:9/", "filterVerb": "filter"});
    let conditions = scheduled_with(json!([away]), pod()).await.status.unwrap().conditions.unwrap();
    assert_eq!(conditions[0].reason.as_deref(), Some("SchedulerError"));
}

#[tokio::test]
async fn an_extender_that_is_not_concerned_is_not_asked_and_its_resources_are_left_to_it() {
    let (url, asked) = extender(outside().await).await;
    let managed = json!([{"name": "example.com/gpu", "ignoredByScheduler": true}]);
    let extenders = json!([{"urlPrefix": url, "filterVerb": "filter", "managedResources": managed}]);
    assert!(node(&scheduled_with(extenders.clone(), pod()).await).is_some());
    assert_eq!(asked.lock().len(), 0);
    let mut wants = pod();
    wants["spec"]["containers"][0]["resources"] = json!({"limits": {"example.com/gpu": "1"}});
    let found = scheduled_with(extenders, wants).await;
    assert!(["node-1", "node-3"].contains(&node(&found).unwrap()));
    assert_eq!(asked.lock().len(), 1);
}
