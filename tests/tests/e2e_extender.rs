//! The scheduler and programs beside it that have a say, over real connections: after TestSchedulerExtender of
//! upstream's integration tests.

#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

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

/// An extender that likes odd nodes, prefers `node-3`, and binds through the API.
#[derive(Clone)]
struct Extender {
    url: String,
    /// What it was asked, verb by verb.
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    /// Where it binds.
    client: Arc<OnceLock<Client>>,
}

async fn extender() -> Extender {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}/scheduler");
    let extender = Extender { url, asked: Arc::default(), client: Arc::default() };
    let serving = extender.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let serving = serving.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(request, serving.clone()));
                // A connection ends when the client likes.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    extender
}

async fn answer(request: Request<Incoming>, extender: Extender) -> Result<Response<Full<Bytes>>, Infallible> {
    let verb = request.uri().path().rsplit('/').next().unwrap().to_owned();
    let body: Value = serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
    extender.asked.lock().push((verb.clone(), body.clone()));
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
            let failed: serde_json::Map<String, Value> =
                names.iter().map(|it| (it.clone(), json!("too loud"))).collect();
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
            let client = extender.client.get().unwrap();
            client.request_text(request.body(binding.to_string().into_bytes()).unwrap()).await.unwrap();
            json!({"Error": ""})
        }
        other => json!({"Error": format!("what is {other}?")}),
    };
    Ok(Response::new(Full::new(Bytes::from(answer.to_string()))))
}

async fn scheduled_with(extender: &Extender, extenders: Value, pod: Value) -> Pod {
    let configuration = json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "extenders": extenders,
    });
    let configuration = Configuration::from_yaml(&configuration.to_string()).unwrap();
    let builder = Cluster::builder().nodes(4).without_controllers().disable_admission(["ServiceAccount"]);
    let cluster = builder.scheduler(Options { configuration, ..Options::default() }).start().await.unwrap();
    extender.client.set(cluster.client()).ok();
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

#[tokio::test]
async fn extenders_filter_and_score_whole_nodes_or_names() {
    let extender = extender().await;
    let (url, asked) = (&extender.url, &extender.asked);
    let plain = json!({"urlPrefix": url, "filterVerb": "filter", "prioritizeVerb": "prioritize", "weight": 5});
    let mut capable = plain.clone();
    capable["nodeCacheCapable"] = json!(true);
    let found = scheduled_with(&extender, json!([plain, capable]), pod()).await;
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
    let extender = extender().await;
    let url = &extender.url;
    let away = json!({"urlPrefix": "http://127.0.0.1:9/", "filterVerb": "filter", "ignorable": true});
    let refuses = json!({"urlPrefix": url, "filterVerb": "refuse", "nodeCacheCapable": true});
    let found = scheduled_with(&extender, json!([away, refuses]), pod()).await;
    let conditions = found.status.unwrap().conditions.unwrap();
    let message = conditions[0].message.clone().unwrap();
    assert!(message.starts_with("0/4 nodes are available: 4 too loud."), "{message}");

    let away = json!({"urlPrefix": "http://127.0.0.1:9/", "filterVerb": "filter"});
    let conditions = scheduled_with(&extender, json!([away]), pod()).await.status.unwrap().conditions.unwrap();
    assert_eq!(conditions[0].reason.as_deref(), Some("SchedulerError"));
}

#[tokio::test]
async fn an_extender_that_is_not_concerned_is_not_asked_and_its_resources_are_left_to_it() {
    let extender = extender().await;
    let (url, asked) = (&extender.url, &extender.asked);
    let managed = json!([{"name": "example.com/gpu", "ignoredByScheduler": true}]);
    let extenders = json!([{"urlPrefix": url, "filterVerb": "filter", "managedResources": managed}]);
    assert!(node(&scheduled_with(&extender, extenders.clone(), pod()).await).is_some());
    assert_eq!(asked.lock().len(), 0);
    let mut wants = pod();
    wants["spec"]["containers"][0]["resources"] = json!({"limits": {"example.com/gpu": "1"}});
    let found = scheduled_with(&extender, extenders, wants).await;
    assert!(["node-1", "node-3"].contains(&node(&found).unwrap()));
    assert_eq!(asked.lock().len(), 1);
}

#[tokio::test]
async fn an_extender_binds() {
    let extender = extender().await;
    let binder = json!({"urlPrefix": extender.url, "bindVerb": "bind"});
    let found = scheduled_with(&extender, json!([binder]), pod()).await;
    assert!(node(&found).is_some());
    let asked = extender.asked.lock();
    assert_eq!(asked.len(), 1);
    assert_eq!((&asked[0].1["PodName"], &asked[0].1["PodUID"]), (&json!("p"), &json!(found.metadata.uid)));
}
