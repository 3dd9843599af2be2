//! Lists: selectors, pages, snapshots.

use serde_json::{Value, json};

use crate::client::Client;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn selectors_choose() {
    let client = Client::new().await;
    for (name, tier) in [("a", "web"), ("b", "db"), ("c", "web")] {
        client.config_map(name, json!({"tier": tier})).await;
    }
    let check = async |query: &str, expect: &[&str]| {
        assert_eq!(names(&client.get(&format!("{CONFIG_MAPS}?{query}")).await.body), expect, "{query}");
    };
    check("labelSelector=tier%3Dweb", &["a", "c"]).await;
    check("labelSelector=tier+notin+(web)", &["b"]).await;
    check("labelSelector=!tier", &[]).await;
    check("fieldSelector=metadata.name%3Db", &["b"]).await;
    check("fieldSelector=metadata.name!%3Db", &["a", "c"]).await;
    let bad = client.get(&format!("{CONFIG_MAPS}?fieldSelector=spec.x%3D1")).await;
    assert_eq!(bad.code, 400);
    let elsewhere = client.get("/api/v1/configmaps?fieldSelector=metadata.namespace%3Dkube-system").await;
    assert_eq!(names(&elsewhere.body), ["kube-apiserver-legacy-service-account-token-tracking"]);
}

#[tokio::test]
async fn pages_show_one_revision() {
    let client = Client::new().await;
    for name in ["a", "b", "c", "d"] {
        client.config_map(name, json!({})).await;
    }
    let first = client.get(&format!("{CONFIG_MAPS}?limit=2")).await.body;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 2);
    client.delete(&format!("{CONFIG_MAPS}/c"), Value::Null).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = client.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.body;
    assert_eq!(names(&second), ["c", "d"], "the page shows the state in which the list began");
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert!(second["metadata"]["continue"].is_null());
}

#[tokio::test]
async fn an_expired_page_comes_with_a_fresh_token() {
    let client = Client::new().await;
    for name in ["a", "b", "c"] {
        client.config_map(name, json!({})).await;
    }
    let first = client.get(&format!("{CONFIG_MAPS}?limit=1")).await.body;
    for name in ["x", "y", "z"] {
        client.config_map(name, json!({})).await;
    }
    client.compact().await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let expired = client.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}")).await;
    assert_eq!((expired.code, &expired.body["reason"]), (410, &json!("Expired")));
    let token = expired.body["metadata"]["continue"].as_str().unwrap();
    let rest = client.get(&format!("{CONFIG_MAPS}?continue={token}")).await.body;
    assert_eq!(names(&rest), ["b", "c", "x", "y", "z"]);
}

#[tokio::test]
async fn the_resource_version_says_how_fresh() {
    let client = Client::new().await;
    let a = client.config_map("a", json!({})).await;
    let version = a["metadata"]["resourceVersion"].as_str().unwrap();
    client.config_map("b", json!({})).await;
    let exact = format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=Exact");
    assert_eq!(names(&client.get(&exact).await.body), ["a"]);
    let newer = format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=NotOlderThan");
    assert_eq!(names(&client.get(&newer).await.body), ["a", "b"]);
    let future = client.get(&format!("{CONFIG_MAPS}?resourceVersion=100000")).await;
    assert_eq!(future.code, 504);
    assert_eq!(future.body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}

#[tokio::test]
async fn items_of_built_in_lists_do_not_repeat_their_type() {
    let client = Client::new().await;
    client.config_map("a", json!({})).await;
    let list = client.get(CONFIG_MAPS).await.body;
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    assert!(list["items"][0]["kind"].is_null());
    let pretty = client.get(&format!("{CONFIG_MAPS}?pretty=true")).await.body;
    assert_eq!(pretty, list, "the spliced and the decoded way give the same");
}

#[tokio::test]
async fn the_length_of_a_list_is_known_before_it_is_put_together() {
    let client = Client::new().await;
    for count in 0..3 {
        let request = http::Request::get("/api/v1/namespaces/default/configmaps").body(Default::default()).unwrap();
        let body = client.send(request).await.into_body();
        let length = http_body::Body::size_hint(&body).exact().unwrap();
        let bytes = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        assert_eq!(bytes.len() as u64, length);
        let list: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(list["items"].as_array().unwrap().len(), count);
        // More than a piece each.
        let body = json!({"metadata": {"name": count.to_string()}, "data": {"k": "x".repeat(100_000)}});
        client.post("/api/v1/namespaces/default/configmaps", body).await;
    }
}

#[tokio::test]
async fn a_token_that_is_none_is_refused_in_upstreams_words() {
    use base64::Engine;
    let client = Client::new().await;
    let config_map = client.config_map("m", json!({})).await;
    client.config_map("n", json!({})).await;
    let version = config_map["metadata"]["resourceVersion"].as_str().unwrap().parse::<i64>().unwrap() + 1;
    let token = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let list = async |token: &str, more: &str| client.get(&format!("{CONFIG_MAPS}?continue={token}{more}")).await;
    let start = |rv: i64, start: &str| token(json!({"v": "meta.k8s.io/v1", "rv": rv, "start": start}));
    let why = "invalid continue token: continue key is not valid: ";
    for (token, expect) in [
        ("a*".to_owned(), "illegal base64 data at input byte 1"),
        (start(0, "a"), "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        (start(5, ""), "encoded start key empty (version meta.k8s.io/v1)"),
        (start(5, "../a"), "../a"),
        (start(5, "a//b"), "a//b"),
        (token(json!({"v": "v9", "rv": 5, "start": "a"})), "server does not recognize this encoded version v9"),
    ] {
        // What is said of the token comes before what is said of the version.
        let reply = list(&token, "&resourceVersion=5").await;
        assert_eq!((reply.code, reply.body["message"].as_str()), (400, Some(format!("{why}{expect}").as_str())));
    }
    let reply = list(&start(version, "a"), "&resourceVersion=5").await;
    assert_eq!(reply.body["message"], "specifying resource version is not allowed when using continue");
    assert_eq!(names(&list(&start(version, "m\0"), "").await.body), ["n"]);
    assert_eq!(names(&list(&start(version, "m/x\0"), "").await.body), ["n"], "a key of another collection is a name");
    assert_eq!(names(&list(&start(-7, "m"), "").await.body), ["n"], "any negative revision is the latest");
}

#[tokio::test]
async fn rows_of_flow_schemas_stand_in_the_order_of_their_precedence() {
    let client = Client::new().await;
    let flow_schemas = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
    for (name, precedence) in [("zz", 2), ("aa", 9999)] {
        let spec = json!({"matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": "exempt"}});
        assert_eq!(client.post(flow_schemas, json!({"metadata": {"name": name}, "spec": spec})).await.code, 201);
    }
    let request = http::Request::get(flow_schemas).header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table = crate::client::read(client.send(request.body(Default::default()).unwrap()).await).await.body;
    let rows = table["rows"].as_array().unwrap().iter().map(|row| (row["cells"][2].as_i64(), row["cells"][0].as_str()));
    let rows: Vec<_> = rows.collect();
    assert!(rows.is_sorted(), "{rows:?}");
    assert!(rows.iter().any(|row| row.1 == Some("zz")) && rows.iter().any(|row| row.1 == Some("aa")));
    let list = client.get(flow_schemas).await.body;
    assert!(names(&list).is_sorted());
}
