//! Admission plugins that are configured in a file.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman_apiserver::ApiServer;
use steersman_apiserver::admission::Configuration;
use steersman_apiserver::authentication::UserInfo;
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;
use tower::ServiceExt;

use crate::client::{Client, Reply, read};

const PODS: &str = "/api/v1/namespaces/default/pods";
const EVENTS: &str = "/api/v1/namespaces/default/events";

/// A server with that plugin, configured like that; `files` is what each file that is named has.
async fn with(plugin: &str, configuration: Value, file: &'static str) -> Result<Client, String> {
    let plugins = json!([{"name": plugin, "configuration": configuration}]);
    let all = json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins});
    let configuration = Configuration::from_yaml(&all.to_string(), |_| Ok(file.to_owned()))?;
    let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let builder = ApiServer::builder(clock, Random::seeded(1)).admission_configuration(configuration);
    let builder = builder.disable_admission(["ServiceAccount".to_owned()]).enable_admission([plugin.to_owned()]);
    let api_server = builder.build().await.map_err(|error| error.to_string())?;
    Ok(Client { api_server })
}

fn pod(name: &str, image: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": image}]}})
}

fn message(reply: &Reply) -> (u16, &str) {
    (reply.code, reply.body["message"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn events_beyond_the_limit_are_refused() {
    let limits = json!([{"type": "Namespace", "qps": 1, "burst": 2}]);
    let kind = "Configuration";
    let configuration =
        json!({"apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": kind, "limits": limits});
    let client = with("EventRateLimit", configuration, "").await.unwrap();
    let event = |name: &str| {
        let about = json!({"kind": "Pod", "namespace": "default", "name": "p"});
        json!({"metadata": {"name": name}, "involvedObject": about, "reason": "Made", "type": "Normal"})
    };
    assert_eq!(client.post(&format!("{EVENTS}?dryRun=All"), event("a")).await.code, 201, "nobody counts it");
    assert_eq!(client.post(EVENTS, event("a")).await.code, 201);
    assert_eq!(client.post(EVENTS, event("b")).await.code, 201);
    let refused = client.post(EVENTS, event("c")).await;
    assert_eq!(message(&refused), (429, "Too many requests: limit reached on type Namespace for key default"));
    assert_eq!(refused.body["reason"], "TooManyRequests");
    assert_eq!(client.get(EVENTS).await.body["items"].as_array().unwrap().len(), 2);
    assert_eq!(client.post(PODS, pod("p", "a")).await.code, 201, "others are not events");
}

#[tokio::test]
async fn pods_tolerate_what_their_namespace_says() {
    let kind = "Configuration";
    let configuration = json!({
        "apiVersion": "podtolerationrestriction.admission.k8s.io/v1alpha1", "kind": kind,
        "default": [{"key": "spot", "operator": "Exists"}],
    });
    let client = with("PodTolerationRestriction", configuration, "").await.unwrap();
    let made = client.post(PODS, pod("a", "a")).await;
    let tolerations = made.body["spec"]["tolerations"].as_array().unwrap();
    assert!(tolerations.contains(&json!({"key": "spot", "operator": "Exists"})), "{made:?}");
    let annotations = json!({
        "scheduler.alpha.kubernetes.io/tolerationsWhitelist": r#"[{"operator":"Exists","effect":"NoExecute"}]"#,
    });
    let namespace = json!({"metadata": {"annotations": annotations}});
    assert_eq!(client.patch("merge", "/api/v1/namespaces/default", namespace).await.code, 200);
    let why =
        "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist";
    assert_eq!(message(&client.post(PODS, pod("b", "a")).await), (500, why));
}

const KUBECONFIG: &str = "
current-context: images
contexts: [{name: images, context: {cluster: images, user: server}}]
clusters: [{name: images, cluster: {server: 'https://images.example.com/policy'}}]
users: [{name: server, user: {}}]
";

#[tokio::test]
async fn a_server_elsewhere_says_which_images_may_be_used() {
    let policy = |open: bool| json!({"imagePolicy": {"kubeConfigFile": "images.kubeconfig", "defaultAllow": open}});
    let client = with("ImagePolicyWebhook", policy(false), KUBECONFIG).await.unwrap();
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let log = asked.clone();
    let answer = move |request: Request<Bytes>| {
        let mut review: Value = serde_json::from_slice(request.body()).unwrap();
        let image = review["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
        review["status"] = match image.as_str() {
            "good" => json!({"allowed": true}),
            "silent" => json!({"allowed": false}),
            _ => json!({"allowed": false, "reason": "not from us"}),
        };
        log.lock().push(review.clone());
        std::future::ready(Response::new(Bytes::from(review.to_string())))
    };
    let _registration = client.api_server.server().outbound.register("images.example.com", answer);
    let mut good = pod("a", "good");
    good["metadata"]["annotations"] = json!({"my.image-policy.k8s.io/ticket": "1", "other": "2"});
    assert_eq!(client.post(PODS, good).await.code, 201);
    let spec = json!({
        "containers": [{"image": "good"}], "namespace": "default", "annotations": {"my.image-policy.k8s.io/ticket": "1"},
    });
    assert_eq!(asked.lock()[0]["spec"], spec);
    let bad = client.post(PODS, pod("b", "bad")).await;
    let why = "pods \"b\" is forbidden: image policy webhook backend denied one or more images: not from us";
    assert_eq!(message(&bad), (403, why));
    let silent = client.post(PODS, pod("b", "silent")).await;
    assert_eq!(message(&silent), (403, "pods \"b\" is forbidden: one or more images rejected by webhook backend"));
    let so_far = asked.lock().len();
    assert_eq!(client.post(PODS, pod("c", "bad")).await.code, 403);
    assert_eq!(asked.lock().len(), so_far, "the answer is remembered");

    let error = with("ImagePolicyWebhook", policy(false), "clusters: []").await.err().unwrap();
    assert!(error.contains("images.kubeconfig: it names no cluster"), "{error}");
    let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let on = ApiServer::builder(clock, Random::seeded(1)).enable_admission(["ImagePolicyWebhook".to_owned()]);
    let error = on.build().await.err().unwrap().to_string();
    assert_eq!(error, "couldn't init admission plugin \"ImagePolicyWebhook\": no config specified");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_asked_allows_or_denies_as_is_wanted() {
    let unreachable = KUBECONFIG.replace("images.example.com", "127.0.0.1:1").leak();
    for (open, code) in [(true, 201), (false, 403)] {
        let policy = json!({"imagePolicy": {"kubeConfigFile": "f", "defaultAllow": open}});
        let client = with("ImagePolicyWebhook", policy, unreachable).await.unwrap();
        assert_eq!(client.post(PODS, pod("a", "a")).await.code, code);
    }
}

#[tokio::test]
async fn standards_for_pods_have_defaults_and_exemptions() {
    let configuration = json!({
        "apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration",
        "defaults": {"enforce": "baseline"},
        "exemptions": {"namespaces": ["kube-system"], "usernames": ["jane"], "runtimeClasses": ["kata"]},
    });
    let client = with("PodSecurity", configuration, "").await.unwrap();
    let bad = |name: &str| {
        let mut pod = pod(name, "a");
        pod["spec"]["hostPID"] = json!(true);
        pod
    };
    let refused = client.post(PODS, bad("a")).await;
    let why = "pods \"a\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)";
    assert_eq!(message(&refused), (403, why));
    assert_eq!(client.post("/api/v1/namespaces/kube-system/pods", bad("a")).await.code, 201);
    let service = client.api_server.service_as(UserInfo::known("jane", &["system:masters"]));
    let request = Request::post(PODS).header("Content-Type", "application/json");
    let request = request.body(http_body_util::Full::new(Bytes::from(bad("j").to_string()))).unwrap();
    assert_eq!(read(service.oneshot(request).await.unwrap()).await.code, 201);
    let class = json!({"metadata": {"name": "kata"}, "handler": "kata"});
    assert_eq!(client.post("/apis/node.k8s.io/v1/runtimeclasses", class).await.code, 201);
    let mut sandboxed = bad("s");
    sandboxed["spec"]["runtimeClassName"] = json!("kata");
    assert_eq!(client.post(PODS, sandboxed).await.code, 201);
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let warned = client.patch("merge", "/api/v1/namespaces/kube-system", label).await;
    let text = "namespace \\\"kube-system\\\" is exempt from Pod Security, and the policy (enforce=restricted:latest";
    assert!(warned.warnings[0].contains(text), "{warned:?}");
}
