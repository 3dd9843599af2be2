//! Quotas under many hands.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::client::Client;

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn quota(client: &Client, name: &str, hard: Value) {
    let body = json!({"metadata": {"name": name}, "spec": {"hard": hard}});
    assert_eq!(client.post(QUOTAS, body).await.code, 201);
    let used: BTreeMap<&String, &str> = hard.as_object().unwrap().keys().map(|name| (name, "0")).collect();
    let status = json!({"status": {"hard": hard, "used": used}});
    assert_eq!(client.patch("merge", &format!("{QUOTAS}/{name}/status"), status).await.code, 200);
}

async fn used(client: &Client, name: &str) -> Value {
    client.get(&format!("{QUOTAS}/{name}")).await.body["status"]["used"].clone()
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "a", "image": "a", "resources": {"requests": {"cpu": cpu}}}]},
    })
}

#[tokio::test]
async fn concurrent_creates_never_exceed_a_quota_and_are_all_counted() {
    let client = &Client::new().await;
    quota(client, "pods", json!({"pods": "20", "requests.cpu": "1500m"})).await;
    quota(client, "all", json!({"count/pods": "25"})).await;
    // Every name is taken twice, so that half of what passes the quotas is refused by the store.
    let create = |number: usize| async move { client.post(PODS, pod(&format!("pod-{}", number % 40), "100m")).await };
    let replies: Vec<_> = std::thread::scope(|scope| {
        let worker = |thread: usize| {
            let some = join_all((0..20).map(move |number| create(thread * 20 + number)));
            move || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(some)
        };
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(worker(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut codes: BTreeMap<u16, usize> = BTreeMap::new();
    for reply in replies {
        let why = reply.body["message"].as_str().unwrap_or_default();
        assert!(matches!(reply.code, 201 | 409) || why.contains("exceeded quota: pods"), "{reply:?}");
        *codes.entry(reply.code).or_default() += 1;
    }
    assert_eq!(codes[&201], 15, "{codes:?}");
    let stored = client.get(PODS).await.body["items"].as_array().unwrap().len();
    assert_eq!(stored, 15);
    assert_eq!(used(client, "pods").await, json!({"pods": "15", "requests.cpu": "1500m"}));
    assert_eq!(used(client, "all").await, json!({"count/pods": "15"}));
}

#[tokio::test]
async fn what_is_not_stored_is_not_charged() {
    let client = Client::new().await;
    quota(&client, "q", json!({"configmaps": "3"})).await;
    let path = "/api/v1/namespaces/default/configmaps";
    let body = |name: &str| json!({"metadata": {"name": name}});
    assert_eq!(client.post(path, body("a")).await.code, 201);
    assert_eq!(client.post(path, body("a")).await.code, 409);
    assert_eq!(client.post(&format!("{path}?dryRun=All"), body("b")).await.code, 201);
    assert_eq!(client.post(path, body("B_")).await.code, 422);
    assert_eq!(used(&client, "q").await, json!({"configmaps": "1"}));
    assert_eq!(client.delete(&format!("{path}/a"), Value::Null).await.code, 200);
    assert_eq!(used(&client, "q").await, json!({"configmaps": "1"}), "what is deleted is the controller's affair");
    let managers = client.get(&format!("{QUOTAS}/q")).await.body["metadata"]["managedFields"].clone();
    let server = managers.as_array().unwrap().iter().find(|it| it["manager"] == "kube-apiserver").unwrap();
    assert_eq!(server["fieldsV1"], json!({"f:status": {"f:used": {"f:configmaps": {}}}}));
}

#[tokio::test]
async fn an_update_is_charged_what_it_adds() {
    let client = Client::new().await;
    quota(&client, "q", json!({"services.nodeports": "1"})).await;
    let path = "/api/v1/namespaces/default/services";
    let body =
        json!({"metadata": {"name": "a"}, "spec": {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}});
    assert_eq!(client.post(path, body).await.code, 201);
    let object = format!("{path}/a");
    let patch = |spec: Value| client.patch("merge", &object, json!({"spec": spec}));
    let reply = patch(json!({"type": "NodePort"})).await;
    assert_eq!(
        reply.body["message"],
        "services \"a\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1"
    );
    let one = json!({"type": "NodePort", "ports": [{"name": "a", "port": 1}]});
    assert_eq!(patch(one).await.code, 200);
    assert_eq!(used(&client, "q").await, json!({"services.nodeports": "1"}));
}
