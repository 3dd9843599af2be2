//! What the controllers that need the server's keys and schemas do: tokens in secrets, and types of policies.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_machinery::clock::Clock;

async fn send(cluster: &Cluster, method: &str, path: &str, body: Value) -> Value {
    let request = Request::builder().method(method).uri(path).header("Content-Type", "application/json");
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    cluster.client().request(request.body(body).unwrap()).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The object at `path` as soon as it is as it should be; null as soon as there is none.
async fn wait(cluster: &Cluster, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let request = Request::get(path).body(Vec::new()).unwrap();
        let found = cluster.client().request::<Value>(request).await.unwrap_or_default();
        if is_so(&found) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} does not come to be so in a minute of virtual time")
}

#[tokio::test(start_paused = true)]
async fn a_secret_gets_the_token_of_its_account_and_goes_with_it() {
    let cluster = Cluster::builder().virtual_time().without_scheduler().start().await.unwrap();
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let secrets = "/api/v1/namespaces/default/secrets";
    let account = send(&cluster, "POST", accounts, json!({"metadata": {"name": "robot"}})).await;
    let secret = |name: &str, account: &str| {
        let annotations = json!({"kubernetes.io/service-account.name": account});
        json!({"metadata": {"name": name, "annotations": annotations}, "type": "kubernetes.io/service-account-token"})
    };
    send(&cluster, "POST", secrets, secret("robot-token", "robot")).await;
    let path = format!("{secrets}/robot-token");
    let filled = wait(&cluster, &path, |it| it["data"]["token"].is_string()).await;
    assert_eq!(filled["metadata"]["annotations"]["kubernetes.io/service-account.uid"], account["metadata"]["uid"]);
    let decoded =
        |key: &str| String::from_utf8(STANDARD.decode(filled["data"][key].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(decoded("namespace"), "default");
    assert!(decoded("ca.crt").starts_with("-----BEGIN CERTIFICATE-----"));
    let review = json!({"spec": {"token": decoded("token")}});
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let status = send(&cluster, "POST", reviews, review.clone()).await["status"].clone();
    assert_eq!(
        (&status["authenticated"], &status["user"]["username"]),
        (&json!(true), &json!("system:serviceaccount:default:robot")),
        "{status}"
    );

    let used = wait(&cluster, &path, |it| it["metadata"]["labels"].is_object()).await;
    let day = used["metadata"]["labels"]["kubernetes.io/legacy-token-last-used"].as_str().unwrap().to_owned();
    let tracking = "/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking";
    assert_eq!(send(&cluster, "GET", tracking, Value::Null).await["data"]["since"], day);

    // What somebody has filled in stays, but for whom to trust; an account forgets a secret that goes.
    let mut own = secret("own-token", "robot");
    own["data"] = json!({"namespace": STANDARD.encode("elsewhere"), "token": STANDARD.encode("t"), "ca.crt": ""});
    send(&cluster, "POST", secrets, own).await;
    let own = format!("{secrets}/own-token");
    let data = wait(&cluster, &own, |it| it["data"]["ca.crt"] == filled["data"]["ca.crt"]).await["data"].clone();
    assert_eq!(
        (&data["namespace"], &data["token"]),
        (&json!(STANDARD.encode("elsewhere")), &json!(STANDARD.encode("t")))
    );
    let robot = format!("{accounts}/robot");
    let mut referring = send(&cluster, "GET", &robot, Value::Null).await;
    referring["secrets"] = json!([{"name": "own-token"}, {"name": "robot-token"}]);
    send(&cluster, "PUT", &robot, referring).await;
    send(&cluster, "DELETE", &own, Value::Null).await;
    wait(&cluster, &robot, |it| it["secrets"] == json!([{"name": "robot-token"}])).await;

    // A secret that names nobody goes; so does one whose account goes, and its token with it.
    send(&cluster, "POST", secrets, secret("nobody-token", "nobody")).await;
    wait(&cluster, &format!("{secrets}/nobody-token"), Value::is_null).await;
    send(&cluster, "DELETE", &format!("{accounts}/robot"), Value::Null).await;
    wait(&cluster, &path, Value::is_null).await;
    let status = send(&cluster, "POST", reviews, review).await["status"].clone();
    assert_eq!(status["authenticated"], Value::Null, "{status}");
}

#[tokio::test(start_paused = true)]
async fn a_policy_tells_what_its_expressions_get_wrong_about_types() {
    let cluster = Cluster::builder().virtual_time().without_scheduler().start().await.unwrap();
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    let policy = |expression: &str| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "few"},
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}]},
                "validations": [{"expression": expression, "messageExpression": "'has replicas: ' + object.spec.replicas"}],
            },
        })
    };
    send(&cluster, "POST", policies, policy("object.spec.replicas > '1'")).await;
    let path = format!("{policies}/few");
    let told = wait(&cluster, &path, |it| it["status"]["observedGeneration"] == 1).await;
    let warnings = told["status"]["typeChecking"]["expressionWarnings"].as_array().unwrap();
    let fields: Vec<&Value> = warnings.iter().map(|it| &it["fieldRef"]).collect();
    assert_eq!(fields, ["spec.validations[0].expression", "spec.validations[0].messageExpression"]);
    for (warning, why) in warnings.iter().zip(["'_>_' applied to '(int, string)'", "'_+_' applied to '(string, int)'"])
    {
        let text = warning["warning"].as_str().unwrap();
        assert!(text.starts_with("apps/v1, Kind=Deployment: ERROR: <input>:1:"), "{text}");
        assert!(text.contains(&format!("found no matching overload for {why}")), "{text}");
    }
    let mut mended = policy("object.spec.replicas > 1");
    mended["spec"]["validations"][0].as_object_mut().unwrap().remove("messageExpression");
    mended["metadata"]["resourceVersion"] = told["metadata"]["resourceVersion"].clone();
    send(&cluster, "PUT", &path, mended).await;
    let told = wait(&cluster, &path, |it| it["status"]["observedGeneration"] == 2).await;
    assert_eq!(told["status"]["typeChecking"], json!({}), "{told}");
}

/// A clock that is put forward by hand.
struct HandClock(parking_lot::Mutex<jiff::Timestamp>);

impl Clock for HandClock {
    fn now(&self) -> jiff::Timestamp {
        *self.0.lock()
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_nobody_uses_for_years_is_marked_and_then_goes() {
    let clock = Arc::new(HandClock(parking_lot::Mutex::new("2026-05-01T10:00:00Z".parse().unwrap())));
    let builder = Cluster::builder().clock(clock.clone()).without_scheduler();
    let cluster = builder.controllers("serviceaccount-controller".parse().unwrap()).start().await.unwrap();
    let secrets = "/api/v1/namespaces/default/secrets";
    let account = json!({"metadata": {"name": "robot"}, "secrets": [{"name": "generated"}]});
    send(&cluster, "POST", "/api/v1/namespaces/default/serviceaccounts", account).await;
    for name in ["generated", "made"] {
        let annotations = json!({"kubernetes.io/service-account.name": "robot"});
        let metadata = json!({"name": name, "annotations": annotations});
        send(&cluster, "POST", secrets, json!({"metadata": metadata, "type": "kubernetes.io/service-account-token"}))
            .await;
    }
    let read = async |name: &str| {
        let request = Request::get(format!("{secrets}/{name}")).body(Vec::new()).unwrap();
        cluster.client().request::<Value>(request).await.unwrap_or_default()
    };
    let pass = async |days: i64| {
        let later = clock.now().saturating_add(jiff::SignedDuration::from_hours(24 * days)).unwrap();
        *clock.0.lock() = later;
        // It looks once a day.
        tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    };
    const INVALID: &str = "kubernetes.io/legacy-token-invalid-since";
    pass(360).await;
    assert_eq!(read("generated").await["metadata"]["labels"], Value::Null);
    pass(10).await;
    assert!(read("generated").await["metadata"]["labels"][INVALID].is_string());
    pass(360).await;
    assert!(read("generated").await.is_object());
    pass(10).await;
    assert!(read("generated").await.is_null(), "nobody used it for two years");
    assert_eq!(read("made").await["metadata"]["labels"], Value::Null, "somebody asked for that one");
}
