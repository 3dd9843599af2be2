//! A component as a process of its own, whose traces arrive at a collector.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, PostParams};
use serde_json::Value;
use steersman::Cluster;
use steersman_tests::manifests::deployment;
use steersman_tests::processes::Process;
use steersman_tests::site::Site;
use steersman_tests::wait::until_rolled_out;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const CONTROLLERS: &str = env!("CARGO_BIN_EXE_controllers_process");

/// Answers each request on a connection, and passes on where it went and what it brought.
async fn collect(connection: TcpStream, requests: mpsc::UnboundedSender<(String, Value)>) {
    let mut stream = BufReader::new(connection);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let before = head.len();
            if stream.read_line(&mut head).await.unwrap() == 0 {
                return;
            }
            let line = head[before..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let first = head.lines().next().unwrap().to_owned();
        let _ = requests.send((first, serde_json::from_slice(&body).unwrap()));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    }
}

#[tokio::test]
async fn a_rollout_is_traced_down_to_its_requests() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(collect(connection, sender.clone()));
        }
    });
    let site = Site::of(Cluster::builder().nodes(1).without_controllers()).await;
    let mut controllers = Process::start(&site, CONTROLLERS, &format!("--otlp-endpoint {endpoint}"));
    let deployments: Api<Deployment> = Api::namespaced(site.cluster.client(), "default");
    deployments.create(&PostParams::default(), &deployment("web", 1)).await.unwrap();
    until_rolled_out(&deployments, "web").await;
    controllers.signal("TERM").await;
    assert_eq!(controllers.end().await.code(), Some(0), "{}", controllers.log());

    let mut spans: Vec<Value> = Vec::new();
    while let Ok((first, body)) = requests.try_recv() {
        assert_eq!(first, "POST /v1/traces HTTP/1.1");
        spans.extend(body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().iter().cloned());
    }
    let has = |span: &Value, key: &str, text: &str| {
        let mut all = span["attributes"].as_array().unwrap().iter();
        all.any(|it| it["key"] == key && it["value"]["stringValue"] == text)
    };
    let made =
        spans.iter().find(|span| has(span, "method", "POST") && has(span, "path", "/api/v1/namespaces/default/pods"));
    let made = made.unwrap_or_else(|| panic!("the pod was made: {spans:#?}"));
    let sync = spans.iter().find(|span| span["spanId"] == made["parentSpanId"]).unwrap();
    assert_eq!((&sync["name"], &sync["traceId"]), (&"reconcile".into(), &made["traceId"]));
    assert!(has(sync, "controller", "replicaset-controller"), "{sync:#?}");
}
