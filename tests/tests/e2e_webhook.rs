//! A webhook server of somebody else's: a process of its own with TLS, installed by a chart; and one that does everything
//! wrong.

#[path = "e2e_webhook/installed.rs"]
mod installed;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use steersman::Cluster;
use steersman_tests::webhooks::WebhookServer;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

const SERVER: &str = env!("CARGO_BIN_EXE_webhook_server");

/// What goes wrong with each path of the server, and what the client is told.
const ATTACKS: [(&str, u16, &str); 7] = [
    ("garbage", 500, "invalid character '<' looking for beginning of value"),
    ("hang", 500, "context deadline exceeded"),
    ("huge", 500, "the answer is larger than 16777216 bytes"),
    ("outside", 500, "add operation does not apply: doc is missing path: \"/../../../x\": missing value"),
    ("rename", 400, "the namespace of the provided object does not match the namespace sent on the request"),
    ("other-uid", 500, "received invalid webhook response: expected response.uid="),
    ("redirect", 500, "the server responded with the status code 307 but did not return more information"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_misbehaves_is_refused_in_bounded_time_and_changes_nothing() {
    let server = WebhookServer::start(SERVER, &["localhost", "127.0.0.1"]).await;
    let cluster = Cluster::builder().without_controllers().without_scheduler().start().await.unwrap();
    let hooks: Api<MutatingWebhookConfiguration> = Api::all(cluster.client());
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    let configuration = |path: &str, authority: &str| {
        serde_json::from_value(json!({
            "metadata": {"name": "attack"},
            "webhooks": [{
                "name": "attack.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "timeoutSeconds": 2,
                "clientConfig": {"url": format!("https://127.0.0.1:{}/{path}", server.port),
                                 "caBundle": STANDARD.encode(authority)},
                "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
            }],
        }))
        .unwrap()
    };
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "victim"}})).unwrap();
    let stranger = WebhookServer::start(SERVER, &["127.0.0.1"]).await.authority;
    let unknown = ("validate", 500, "tls: failed to verify certificate: x509: certificate signed by unknown authority");
    let attacks = ATTACKS.iter().map(|it| (it, &server.authority)).chain([(&unknown, &stranger)]);
    for ((path, code, message), authority) in attacks {
        hooks.create(&PostParams::default(), &configuration(path, authority)).await.unwrap();
        let began = Instant::now();
        let created = timeout(Duration::from_secs(30), maps.create(&PostParams::default(), &map)).await;
        let error = created.expect("the server answers in bounded time").expect_err(path);
        let kube::Error::Api(status) = error else { panic!("{path}: {error}") };
        assert_eq!(status.code, *code, "{path}: {status}");
        assert!(status.message.contains(message), "{path}: {status}");
        assert!(began.elapsed() < Duration::from_secs(20), "{path} took {:?}", began.elapsed());
        assert!(maps.get_opt("victim").await.unwrap().is_none(), "{path}");
        hooks.delete("attack", &DeleteParams::default()).await.unwrap();
    }
}

/// Passes connections on to a port of this machine, and counts them.
async fn counted(port: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (own, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut there = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
    (own, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_used_again_until_the_configuration_changes() {
    let server = WebhookServer::start(SERVER, &["127.0.0.1"]).await;
    let (port, connections) = counted(server.port).await;
    let cluster = Cluster::builder().without_controllers().without_scheduler().start().await.unwrap();
    let hooks: Api<MutatingWebhookConfiguration> = Api::all(cluster.client());
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    let configuration = serde_json::from_value(json!({
        "metadata": {"name": "seen"},
        "webhooks": [{
            "name": "seen.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"url": format!("https://127.0.0.1:{port}/validate"), "caBundle": STANDARD.encode(&server.authority)},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
        }],
    }));
    hooks.create(&PostParams::default(), &configuration.unwrap()).await.unwrap();
    let make = async |name: String| {
        let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        maps.create(&PostParams::default(), &map).await.unwrap();
    };
    for number in 0..10 {
        make(format!("map-{number}")).await;
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1, "one call after the other needs one connection");
    futures::future::join_all((10..20).map(|number| make(format!("map-{number}")))).await;
    let several = connections.load(Ordering::Relaxed);
    assert!(several <= 10, "{several}");
    let label = json!({"metadata": {"labels": {"changed": "yes"}}});
    hooks.patch("seen", &PatchParams::default(), &Patch::Merge(&label)).await.unwrap();
    make("map-20".to_owned()).await;
    assert_eq!(connections.load(Ordering::Relaxed), several + 1, "those of before are closed");
}
