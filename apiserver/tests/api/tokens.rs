//! Tokens of service accounts, from the request for one to the day on which it is worth nothing.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman_apiserver::ApiServer;
use steersman_apiserver::authentication::Options;
use steersman_apiserver::http::body::Body;
use steersman_machinery::clock::Clock;
use steersman_machinery::random::Random;
use tower::ServiceExt;

use crate::client::Client;

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const TOKEN: &str = "/api/v1/namespaces/default/serviceaccounts/robot/token";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// A clock that is put forward by hand.
struct HandClock(Mutex<Timestamp>);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

struct World {
    client: Client,
    clock: Arc<HandClock>,
}

impl World {
    async fn new(options: Options) -> Self {
        let clock = Arc::new(HandClock(Mutex::new("2026-05-01T10:00:00Z".parse().unwrap())));
        let builder = ApiServer::builder(clock.clone(), Random::seeded(1)).authentication(options);
        let api_server = builder.disable_admission(["ServiceAccount".to_owned()]).build().await.unwrap();
        let client = Client { api_server };
        client.post(ACCOUNTS, json!({"metadata": {"name": "robot"}})).await;
        Self { client, clock }
    }

    fn pass(&self, seconds: i64) {
        let mut now = self.clock.0.lock();
        *now = now.saturating_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    async fn token(&self, spec: Value) -> String {
        let reply = self.client.post(TOKEN, json!({"spec": spec})).await;
        assert_eq!(reply.code, 201, "{reply:?}");
        reply.body["status"]["token"].as_str().unwrap().to_owned()
    }

    /// The status of a review of the token.
    async fn review(&self, token: &str) -> Value {
        self.client.post(REVIEWS, json!({"spec": {"token": token}})).await.body["status"].clone()
    }

    /// The status code of a request with the token.
    async fn knock(&self, token: &str) -> u16 {
        let request = Request::get("/version").header("Authorization", format!("Bearer {token}"));
        self.send(request.body(Full::new(Bytes::new())).unwrap()).await.status().as_u16()
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Response<Body> {
        self.client.api_server.public_service().oneshot(request).await.unwrap()
    }
}

fn pod(name: &str, account: &str) -> Value {
    let containers = json!([{"name": "a", "image": "a"}]);
    json!({"metadata": {"name": name}, "spec": {"serviceAccountName": account, "containers": containers}})
}

#[tokio::test]
async fn a_token_says_who_its_account_is() {
    let world = World::new(Options::default()).await;
    let token = world.token(json!({})).await;
    let status = world.review(&token).await;
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:robot");
    let groups = json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]);
    assert_eq!(status["user"]["groups"], groups);
    assert_eq!(status["audiences"], json!(["https://localhost"]));
    assert_eq!(world.knock(&token).await, 200);
}

#[tokio::test]
async fn a_token_dies_with_its_time_its_account_and_what_it_is_bound_to() {
    let world = World::new(Options::default()).await;
    let pods = "/api/v1/namespaces/default/pods";
    world.client.post(pods, pod("a", "robot")).await;
    let bound = world.token(json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "a"}})).await;
    let free = world.token(json!({"expirationSeconds": 600})).await;
    assert_eq!(world.review(&bound).await["user"]["extra"]["authentication.kubernetes.io/pod-name"], json!(["a"]));
    world.client.delete(&format!("{pods}/a"), json!({"gracePeriodSeconds": 0})).await;
    assert_eq!(
        world.review(&bound).await["error"],
        "[invalid bearer token, service account token has been invalidated]"
    );
    // Another pod of that name is not that pod.
    world.client.post(pods, pod("a", "robot")).await;
    let error = world.review(&bound).await["error"].as_str().unwrap().to_owned();
    assert!(error.contains("does not match service account pod ref claim"), "{error}");
    assert_eq!((world.knock(&bound).await, world.knock(&free).await), (401, 200));
    world.pass(661);
    assert_eq!(world.review(&free).await["error"], "[invalid bearer token, service account token has expired]");
    assert_eq!(world.knock(&free).await, 401);
    let fresh = world.token(json!({})).await;
    world.client.delete(&format!("{ACCOUNTS}/robot"), Value::Null).await;
    assert_eq!(world.knock(&fresh).await, 401);
    world.client.post(ACCOUNTS, json!({"metadata": {"name": "robot"}})).await;
    let error = world.review(&fresh).await["error"].as_str().unwrap().to_owned();
    assert!(error.contains("does not match claim"), "{error}");
}

#[tokio::test]
async fn a_mounted_token_outlives_its_time_for_old_clients() {
    let world = World::new(Options::default()).await;
    world.client.post("/api/v1/namespaces/default/pods", pod("a", "robot")).await;
    let reference = json!({"kind": "Pod", "apiVersion": "v1", "name": "a"});
    let mounted = world.token(json!({"expirationSeconds": 3607, "boundObjectRef": reference})).await;
    let other =
        json!({"expirationSeconds": 3607, "boundObjectRef": reference, "audiences": ["https://localhost", "x"]});
    let for_others_too = world.token(other).await;
    world.pass(24 * 3600);
    assert_eq!((world.knock(&mounted).await, world.knock(&for_others_too).await), (200, 401));
}

#[tokio::test]
async fn requests_for_tokens_are_checked() {
    let world = World::new(Options { max_token_seconds: Some(7200), ..Options::default() }).await;
    let check = async |body: Value, code: u16, message: &str| {
        let reply = world.client.post(TOKEN, body).await;
        let got = reply.body["message"].as_str().unwrap_or_default();
        assert!(reply.code == code && got.contains(message), "{reply:?}");
        reply
    };
    let name = json!({"metadata": {"name": "other"}, "spec": {}});
    check(name, 422, "metadata.name: Invalid value: \"other\": must match the service account name if specified").await;
    let namespace = json!({"metadata": {"namespace": "other"}, "spec": {}});
    check(namespace, 400, "the namespace of the provided object does not match the namespace sent on the request")
        .await;
    let uid = json!({"metadata": {"uid": "u"}, "spec": {}});
    check(uid, 409, "the UID in the token request (u) does not match the UID of the service account (").await;
    let secret = json!({"spec": {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "none"}}});
    check(secret, 404, "secrets \"none\" not found").await;
    let long = check(json!({"spec": {"expirationSeconds": 9000}}), 201, "").await;
    assert_eq!(long.warnings, ["299 - \"requested expiration of 9000 seconds shortened to 7200 seconds\""]);
    assert_eq!(long.body["spec"]["expirationSeconds"], 7200);
    assert_eq!(long.body["status"]["expirationTimestamp"], "2026-05-01T12:00:00Z");
}

#[tokio::test]
async fn others_can_verify_tokens_by_the_keys_that_are_published() {
    let world = World::new(Options { issuers: vec!["https://one.example".to_owned()], ..Options::default() }).await;
    let get = |path: &'static str| world.client.get(path);
    let configuration = get("/.well-known/openid-configuration").await.body;
    assert_eq!(configuration["issuer"], "https://one.example");
    let keys = get("/openid/v1/jwks").await.body;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    // Another server that knows the keys and the name accepts the token if it knows the account.
    let keys = steersman_apiserver::authentication::keys::PublicKey::read_set(&keys.to_string()).unwrap();
    let issuers = vec!["https://two.example".to_owned(), "https://one.example".to_owned()];
    let other = World::new(Options { issuers, keys, ..Options::default() }).await;
    let token = world.token(json!({"audiences": ["https://two.example"]})).await;
    let error = other.review(&token).await["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.is_empty() || error.contains("does not match claim"), "{error}");
    assert_eq!(world.knock(&token).await, 401, "it is meant for the other one");
}

#[tokio::test]
async fn a_websocket_brings_its_token_among_the_subprotocols() {
    use base64::Engine;
    let world = World::new(Options::default()).await;
    let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(world.token(json!({})).await);
    let knock = async |protocols: String| {
        let request = Request::get("/version").header("Upgrade", "websocket").header("Connection", "Upgrade");
        let request = request.header("Sec-WebSocket-Protocol", protocols).body(Full::new(Bytes::new())).unwrap();
        world.send(request).await.status().as_u16()
    };
    assert_eq!(knock(format!("v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{token}")).await, 200);
    assert_eq!(knock(format!("base64url.bearer.authorization.k8s.io.{token}")).await, 401);
    assert_eq!(knock("x, base64url.bearer.authorization.k8s.io.AAAA".to_owned()).await, 401);
}

#[tokio::test]
async fn anonymous_requests_may_be_refused() {
    let world = World::new(Options { refuse_anonymous: true, ..Options::default() }).await;
    let request = Request::get("/version").body(Full::new(Bytes::new())).unwrap();
    let response = world.send(request).await;
    assert_eq!(response.status(), 401);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["message"], "Unauthorized");
}

#[tokio::test]
async fn a_node_that_is_to_join_says_who_it_is_by_a_secret_if_that_is_wanted() {
    let secret = json!({
        "metadata": {"name": "bootstrap-token-abcdef"}, "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
            "expiration": "2026-05-01T11:00:00Z", "auth-extra-groups": "system:bootstrappers:kubeadm",
        },
    });
    const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
    let token = "abcdef.0123456789abcdef";
    let unwanted = World::new(Options::default()).await;
    unwanted.client.post(SECRETS, secret.clone()).await;
    assert_eq!(unwanted.review(token).await["authenticated"], Value::Null);
    let world = World::new(Options { bootstrap_tokens: true, ..Options::default() }).await;
    assert_eq!(world.review(token).await["authenticated"], Value::Null);
    assert_eq!(world.client.post(SECRETS, secret).await.code, 201);
    let status = world.review(token).await;
    assert_eq!(status["authenticated"], true, "{status}");
    assert_eq!(status["user"]["username"], "system:bootstrap:abcdef");
    let groups = json!(["system:bootstrappers", "system:bootstrappers:kubeadm", "system:authenticated"]);
    assert_eq!(status["user"]["groups"], groups);
    world.pass(3601);
    assert_eq!(world.review(token).await["authenticated"], Value::Null);
}

#[tokio::test]
async fn the_use_of_a_token_in_a_secret_is_noted_and_such_a_token_may_be_marked_as_invalid() {
    use base64::Engine;
    const SECRETS: &str = "/api/v1/namespaces/default/secrets";
    let world = World::new(Options::default()).await;
    let account = world.client.get(&format!("{ACCOUNTS}/robot")).await.body;
    let token = world.client.api_server.sign_for_secret(&account, "kept").await.unwrap();
    let annotations = json!({"kubernetes.io/service-account.name": "robot"});
    let data = json!({"token": base64::engine::general_purpose::STANDARD.encode(&token)});
    let metadata = json!({"name": "kept", "annotations": annotations});
    let secret = json!({"metadata": metadata, "type": "kubernetes.io/service-account-token", "data": data});
    assert_eq!(world.client.post(SECRETS, secret).await.code, 201);
    let path = format!("{SECRETS}/kept");
    let labels = async || world.client.get(&path).await.body["metadata"]["labels"].clone();
    assert_eq!((labels().await, world.knock(&token).await), (Value::Null, 200));
    assert_eq!(labels().await, json!({"kubernetes.io/legacy-token-last-used": "2026-05-01"}));
    let version = async || world.client.get(&path).await.body["metadata"]["resourceVersion"].clone();
    let before = version().await;
    assert_eq!((world.knock(&token).await, version().await), (200, before), "once a day");
    world.pass(24 * 3600);
    assert_eq!(world.knock(&token).await, 200);
    assert_eq!(labels().await["kubernetes.io/legacy-token-last-used"], "2026-05-02");

    // One that was made for the account by itself is warned of.
    let warnings = async || {
        let request = Request::get("/version").header("Authorization", format!("Bearer {token}"));
        let response = world.send(request.body(Full::new(Bytes::new())).unwrap()).await;
        crate::client::read(response).await.warnings
    };
    assert_eq!(warnings().await, [""; 0]);
    let knows = json!({"secrets": [{"name": "kept"}]});
    assert_eq!(world.client.patch("merge", &format!("{ACCOUNTS}/robot"), knows).await.code, 200);
    let warned = warnings().await;
    assert!(
        warned[0].contains("Use tokens from the TokenRequest API or manually created secret-based tokens"),
        "{warned:?}"
    );

    world.pass(24 * 3600);
    let invalid = json!({"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": "2026-05-02"}}});
    assert_eq!(world.client.patch("merge", &path, invalid).await.code, 200);
    assert_eq!(world.knock(&token).await, 401);
    let error = world.review(&token).await["error"].as_str().unwrap().to_owned();
    let why =
        "the token in secret default/kept for service account default/robot has been marked invalid. Use tokens from";
    assert!(error.contains(why), "{error}");
    assert_eq!(labels().await["kubernetes.io/legacy-token-last-used"], "2026-05-03", "its use is noted all the same");
    let tracking = "/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking";
    assert_eq!(world.client.get(tracking).await.body["data"], json!({"since": "2026-05-01"}));
}

#[tokio::test]
async fn a_token_out_of_its_time_changes_nothing() {
    let world = World::new(Options::default()).await;
    let token = world.token(json!({"expirationSeconds": 600})).await;
    let before = world.client.api_server.server().store.revision();
    // Long after it has expired, and long before it was issued.
    for seconds in [661, -1000] {
        world.pass(seconds);
        let request = Request::post("/api/v1/namespaces/default/configmaps").header("Content-Type", "application/json");
        let request = request.header("Authorization", format!("Bearer {token}"));
        let body = Full::new(Bytes::from_static(br#"{"metadata":{"name":"stolen"}}"#));
        assert_eq!(world.send(request.body(body).unwrap()).await.status(), 401);
    }
    assert_eq!(world.client.api_server.server().store.revision(), before);
}
