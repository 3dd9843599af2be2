//! What somebody sends who does not belong, or who means harm: each attempt is refused clearly, in bounded time and
//! memory, and changes nothing.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use steersman_apiserver::http::body::Body;
use tower::ServiceExt;

use crate::client::Client;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
/// The most bytes of a body.
const MAX: usize = 3 * 1024 * 1024;

async fn message(response: Response<Body>) -> (u16, String) {
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let status: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    (code, status["message"].as_str().map_or_else(|| String::from_utf8_lossy(&bytes).into_owned(), str::to_owned))
}

/// A valid token of a service account of its own.
async fn token(client: &Client) -> String {
    client.post(ACCOUNTS, json!({"metadata": {"name": "robot"}})).await;
    let reply = client.post(&format!("{ACCOUNTS}/robot/token"), json!({"spec": {}})).await;
    reply.body["status"]["token"].as_str().unwrap().to_owned()
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn forged_tokens_let_nobody_in() {
    let (client, other) = (Client::new().await, Client::new().await);
    let good = token(&client).await;
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let read = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let with = |part: &str, field: &str, value: Value| {
        let mut part = read(part);
        part[field] = value;
        encoded(&part)
    };
    let keys = client.get("/openid/v1/jwks").await.body["keys"][0].clone();
    let none = encoded(&json!({"alg": "none"}));
    let flipped = signature.replacen(|_| true, if signature.starts_with('A') { "B" } else { "A" }, 1);
    let before = client.api_server.server().store.revision();
    let attempts = [
        ("alg none", format!("{none}.{claims}.")),
        ("alg none with a signature", format!("{none}.{claims}.{signature}")),
        ("alg NoNe", format!("{}.{claims}.", with(header, "alg", json!("NoNe")))),
        ("hmac with what is public", format!("{}.{claims}.{signature}", with(header, "alg", json!("HS256")))),
        ("a key that the token brings", format!("{}.{claims}.{signature}", with(header, "jwk", keys))),
        ("no key named", format!("{}.{claims}.{flipped}", encoded(&json!({"alg": "ES256"})))),
        ("another signature", format!("{header}.{claims}.{flipped}")),
        ("no signature", format!("{header}.{claims}.")),
        ("another account", format!("{header}.{}.{signature}", with(claims, "sub", json!("system:masters")))),
        ("a longer life", format!("{header}.{}.{signature}", with(claims, "exp", json!(9_999_999_999_u64)))),
        ("signed by another server", token(&other).await),
        ("too many parts", format!("{good}.{good}")),
        ("no token at all", "..".to_owned()),
        ("a long one", format!("{header}.{}.{signature}", "A".repeat(1 << 20))),
    ];
    let knock = async |token: &str| {
        let request = Request::post(MAPS).header("Content-Type", "application/json");
        let request = request.header("Authorization", format!("Bearer {token}"));
        let body = Full::new(Bytes::from_static(br#"{"metadata":{"name":"stolen"}}"#));
        message(client.api_server.public_service().oneshot(request.body(body).unwrap()).await.unwrap()).await
    };
    for (what, token) in attempts {
        assert_eq!(knock(&token).await, (401, "Unauthorized".to_owned()), "{what}");
    }
    let elsewhere = json!({"spec": {"audiences": ["elsewhere"]}});
    let reply = client.post(&format!("{ACCOUNTS}/robot/token"), elsewhere).await;
    let elsewhere = reply.body["status"]["token"].as_str().unwrap();
    assert_eq!(knock(elsewhere).await.0, 401, "a token for another audience");
    assert_eq!(client.api_server.server().store.revision(), before);
}

/// Posts a body and expects a refusal that names the reason and changes nothing.
async fn refused(client: &Client, (content_type, body): (&str, Vec<u8>), code: u16, expect: &str) {
    let before = client.api_server.server().store.revision();
    let request = Request::post(MAPS).header("Content-Type", content_type).body(Full::new(body.into())).unwrap();
    let (got, message) = message(client.send(request).await).await;
    let start: String = message.chars().take(200).collect();
    assert!(got == code && message.contains(expect), "{got} {start}");
    assert_eq!(client.api_server.server().store.revision(), before);
}

#[tokio::test]
async fn bodies_that_blow_up_are_refused() {
    let client = Client::new().await;
    let json = "application/json";
    let deep = |open: &str, close: &str, levels: usize| format!("{}{}", open.repeat(levels), close.repeat(levels));
    refused(&client, (json, deep("[", "]", 1_000_000).into_bytes()), 400, "").await;
    refused(&client, (json, deep("{\"a\":", "}", 100_000).into_bytes()), 400, "").await;
    let inside = format!("{{\"metadata\":{{\"name\":\"a\"}},\"data\":{}}}", deep("[", "]", 500_000));
    refused(&client, (json, inside.into_bytes()), 400, "").await;
    refused(&client, (json, vec![b' '; MAX + 1]), 413, "Request entity too large: limit is 3145728").await;
    refused(&client, (json, b"{\"metadata\":{\"name\":\"a\"".to_vec()), 400, "").await;
    refused(&client, (json, vec![0xff; 1000]), 400, "").await;
    let yaml = "application/yaml";
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    refused(&client, (yaml, bomb.into_bytes()), 400, "").await;
    refused(&client, (yaml, deep("[", "]", 100_000).into_bytes()), 400, "").await;
    refused(&client, (yaml, deep("a: {", "}", 100_000).into_bytes()), 400, "").await;
    // Nobody unpacks what is sent: compressed bytes are no JSON.
    refused(&client, (json, vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0]), 400, "").await;
    refused(&client, ("application/vnd.kubernetes.protobuf", vec![0x6b, 0x38, 0x73, 0, 0xff, 0xff, 0xff]), 400, "")
        .await;
}

#[tokio::test]
async fn nobody_unpacks_what_is_sent() {
    use std::io::Write;
    let client = Client::new().await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(br#"{"metadata":{"name":"a"},"data":{"a":""#).unwrap();
    for _ in 0..100 {
        packed.write_all(&[b'a'; 1 << 20]).unwrap();
    }
    packed.write_all(br#""}}"#).unwrap();
    let bomb = Bytes::from(packed.finish().unwrap());
    assert!(bomb.len() < 1 << 20);
    let before = client.api_server.server().store.revision();
    for encoding in ["gzip", "deflate", "identity"] {
        let request =
            Request::post(MAPS).header("Content-Type", "application/json").header("Content-Encoding", encoding);
        let request = request.body(Full::new(bomb.clone())).unwrap();
        let (code, text) = message(client.send(request).await).await;
        assert!(code == 400 && text.contains("invalid character"), "{encoding}: {code} {text}");
    }
    assert_eq!(client.api_server.server().store.revision(), before);
}

#[tokio::test]
async fn patches_that_blow_up_are_refused() {
    let client = Client::new().await;
    client.config_map("a", json!({})).await;
    let before = client.api_server.server().store.revision();
    let deep = |levels: usize| format!("{}0{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    let value = r#"{"a":"b"},"#.repeat(100_000);
    let operations = r#"{"op":"test","path":"","value":0},"#.repeat(20_000);
    for (kind, body, code) in [
        ("merge-patch+json", deep(100_000), 400),
        ("strategic-merge-patch+json", deep(100_000), 400),
        ("json-patch+json", format!(r#"[{{"op":"add","path":"/data","value":{}}}]"#, deep(100_000)), 400),
        ("apply-patch+yaml", deep(100_000), 400),
        ("apply-patch+yaml", "a: {".repeat(100_000), 400),
        ("json-patch+json", format!(r#"[{{"op":"add","path":"/data","value":[{}0]}}]"#, value), 400),
        ("merge-patch+json", format!(r#"{{"data":[{value}0]}}"#), 400),
        ("json-patch+json", format!("[{}]", operations.trim_end_matches(',')), 413),
    ] {
        let request = Request::patch(format!("{MAPS}/a?fieldManager=m"));
        let request = request.header("Content-Type", format!("application/{kind}"));
        let (got, text) = message(client.send(request.body(Full::new(Bytes::from(body))).unwrap()).await).await;
        assert_eq!(got, code, "{kind}: {}", text.chars().take(200).collect::<String>());
    }
    assert_eq!(client.api_server.server().store.revision(), before);
}

/// What would take minutes if each item were compared with each other takes as long as it takes to read it.
#[tokio::test]
async fn requests_that_are_made_to_take_long_do_not() {
    let client = Client::new().await;
    let config_map = json!({"metadata": {"name": "a", "finalizers": ["example.com/a"]}});
    assert_eq!(client.post(MAPS, config_map).await.code, 201);
    let before = client.api_server.server().store.revision();
    let (map, pods) = (format!("{MAPS}/a"), "/api/v1/namespaces/default/pods?dryRun=All".to_owned());
    let many = |make: &dyn Fn(usize) -> Value| Value::from((0..20_000).map(make).collect::<Vec<_>>());
    let pod = |field: &str, value: Value| {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "a"}]}});
        pod["spec"][field] = value;
        pod
    };
    let spread = |number: usize| json!({"topologyKey": format!("k{number}"), "whenUnsatisfiable": "x", "maxSkew": 0});
    let insert = |_| json!({"op": "add", "path": "/data/0", "value": 0});
    let mut shifts = vec![json!({"op": "add", "path": "/data", "value": many(&|_| json!(0))})];
    shifts.extend((0..9_000).map(insert));
    let labels: serde_json::Map<_, _> = (0..15_000).map(|number| (format!("l{number}"), json!("x"))).collect();
    let keys: Vec<&String> = labels.keys().collect();
    let mut chosen = pod(
        "topologySpreadConstraints",
        json!([
        {"topologyKey": "k", "whenUnsatisfiable": "x", "maxSkew": 1, "labelSelector": {}, "matchLabelKeys": keys}]),
    );
    chosen["metadata"]["labels"] = labels.clone().into();
    let delete = |number: usize| json!({"$patch": "delete", "name": format!("c{number}")});
    let env = |number: usize| json!({"name": format!("E{number}"), "value": 1});
    for (what, method, path, kind, body) in [
        (
            "finalizers",
            "PATCH",
            &map,
            "strategic-merge-patch+json",
            json!({"metadata": {"finalizers": many(&|number| json!(format!("not fine {number}")))}}),
        ),
        (
            "owners",
            "PATCH",
            &map,
            "strategic-merge-patch+json",
            json!({"metadata": {"ownerReferences": many(&|number| json!({"uid": format!("{number}")}))}}),
        ),
        (
            "deletions",
            "PATCH",
            &map,
            "strategic-merge-patch+json",
            json!({"metadata": {"name": 1, "ownerReferences": many(&delete)}}),
        ),
        ("shifts", "PATCH", &map, "json-patch+json", Value::from(shifts)),
        ("constraints", "POST", &pods, "json", pod("topologySpreadConstraints", many(&spread))),
        ("keys", "POST", &pods, "json", chosen),
        (
            "tolerations",
            "POST",
            &pods,
            "json",
            pod("tolerations", many(&|number| json!({"key": format!("/{number}")}))),
        ),
        ("aliases", "POST", &pods, "json", pod("hostAliases", many(&|number| json!({"ip": format!("x{number}")})))),
        (
            "pull secrets",
            "POST",
            &pods,
            "json",
            pod("imagePullSecrets", many(&|number| json!({"name": format!("{number}")}))),
        ),
        (
            "variables",
            "POST",
            &pods,
            "json",
            pod("containers", json!([{"name": "a", "image": "a", "env": many(&env)}])),
        ),
        ("volumes", "POST", &pods, "json", pod("volumes", many(&|number| json!({"name": format!("V{number}")})))),
        ("containers", "POST", &pods, "json", pod("containers", many(&|number| json!({"name": format!("C{number}")})))),
    ] {
        let began = tokio::time::Instant::now();
        let request = Request::builder().method(method).uri(path).header("Content-Type", format!("application/{kind}"));
        let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        let (code, text) = message(client.send(request).await).await;
        println!("{what}: {code} {:?} {}", began.elapsed(), text.chars().take(120).collect::<String>());
        let shown: String = text.chars().take(200).collect();
        assert!(matches!(code, 201 | 400 | 422), "{what}: {code} {shown}");
        assert!(began.elapsed().as_secs() < 20, "{what} takes {:?}", began.elapsed());
    }
    assert_eq!(client.api_server.server().store.revision(), before);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_not_waited_for() {
    let client = Client::new().await;
    let started = tokio::time::Instant::now();
    let never = futures::stream::pending::<Result<http_body::Frame<Bytes>, std::io::Error>>();
    let request = Request::post(MAPS).body(http_body_util::StreamBody::new(never)).unwrap();
    let answer = client.api_server.service().oneshot(request).await.unwrap();
    assert_eq!(message(answer).await.0, 504);
    assert_eq!(started.elapsed().as_secs(), 60);
}

#[tokio::test]
async fn who_is_refused_has_cost_nothing_and_is_remembered() {
    let clock = Arc::new(steersman_machinery::clock::FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let random = steersman_machinery::random::Random::seeded(1);
    let builder = steersman_apiserver::ApiServer::builder(clock, random).record_requests();
    let api_server = builder.build().await.unwrap();
    let request = Request::delete("/api/v1/namespaces/default").header("Authorization", "Bearer wrong");
    api_server.public_service().oneshot(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap();
    let [record] = api_server.history().unwrap().records().try_into().unwrap();
    assert_eq!(
        (record.code, record.user.name.as_str(), record.info.verb.as_str()),
        (401, "system:anonymous", "delete")
    );
}
