//! An API server of somebody else's, registered by an API service: at a port of its own, with a certificate of its own authority,
//! believing of the users what the front proxy of the cluster says.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{DynamicObject, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, Config};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use steersman::{Cluster, Served};
use steersman_apiserver::ApiServer;
use steersman_apiserver::authentication::request_header::{FrontProxy, HeaderNames};
use steersman_apiserver::listener;
use steersman_apiserver::tls::Identity;
use steersman_framework::clock::SystemClock;
use steersman_machinery::random::Random;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tower::ServiceExt;

const HOST: &str = "widgets.extensions.svc";
const GROUP: &str = "widgets.example.com";
const PATIENCE: Duration = Duration::from_secs(60);

/// The other server.
struct Extension {
    api_server: ApiServer,
    port: u16,
    /// Who signed its certificate.
    authority: String,
    task: tokio::task::JoinHandle<()>,
}

impl Extension {
    /// Serves widgets to whom the front proxy of the cluster names, as its published configuration says.
    async fn start(published: &ConfigMap) -> Self {
        let api_server = ApiServer::builder(Arc::new(SystemClock), Random::seeded(7)).build().await.unwrap();
        let proxy = api_server.be_front_proxy("", front_proxy(published)).await.unwrap().clone();
        let (authority, identity) = certify();
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let tls = listener::tls_config(&authority, &identity).unwrap().with_front_proxy(&proxy).unwrap();
        let serving = listener::serve(api_server.clone(), socket, tls, std::future::pending());
        let extension = Self { api_server, port, authority, task: tokio::spawn(serving) };
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        extension
            .make("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json!({
                "metadata": {"name": format!("widgets.{GROUP}")},
                "spec": {
                    "group": GROUP, "scope": "Namespaced",
                    "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
                    "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
                },
            }))
            .await;
        let roles = "/apis/rbac.authorization.k8s.io/v1";
        extension.make(&format!("{roles}/clusterroles"), role(&["get", "list", "watch"])).await;
        extension.make(&format!("{roles}/clusterrolebindings"), binding()).await;
        extension
    }

    /// Makes an object as the administrator of the other server itself.
    async fn make(&self, path: &str, body: Value) {
        let request = Request::builder().method(Method::POST).uri(path).header("Content-Type", "application/json");
        let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        let response = self.api_server.service().oneshot(request).await.unwrap();
        let code = response.status();
        let answer = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(code, 201, "{}", String::from_utf8_lossy(&answer));
    }
}

fn role(verbs: &[&str]) -> Value {
    let rules = json!([{"apiGroups": [GROUP], "resources": ["widgets"], "verbs": verbs}]);
    json!({"metadata": {"name": "widgets"}, "rules": rules})
}

fn binding() -> Value {
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "widgets"});
    let jane = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"});
    json!({"metadata": {"name": "widgets"}, "roleRef": role, "subjects": [jane]})
}

/// Whom to believe, as servers of this sort read it from the cluster.
fn front_proxy(published: &ConfigMap) -> FrontProxy {
    let data = published.data.as_ref().unwrap();
    let list = |key: &str| serde_json::from_str::<Vec<String>>(&data[key]).unwrap();
    FrontProxy {
        authority: data["requestheader-client-ca-file"].clone(),
        allowed_names: list("requestheader-allowed-names"),
        headers: HeaderNames {
            user: list("requestheader-username-headers"),
            uid: list("requestheader-uid-headers"),
            group: list("requestheader-group-headers"),
            extra_prefixes: list("requestheader-extra-headers-prefix"),
        },
        client: None,
    }
}

/// An authority and a certificate for the name of the service.
fn certify() -> (String, Identity) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![HOST.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    (authority.pem(), Identity { certificate: certificate.pem(), key: key.serialize_pem() })
}

async fn make(client: &Client, path: &str, body: Value) -> kube::Result<Value> {
    let request = Request::post(path).header("Content-Type", "application/json").body(body.to_string().into_bytes());
    client.request(request.unwrap()).await
}

async fn get(client: &Client, path: &str, accept: &str) -> kube::Result<Value> {
    client.request(Request::get(path).header("Accept", accept).body(Vec::new()).unwrap()).await
}

/// An administrator who asks once only.
async fn impatient(served: &Served) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(served.kubeconfig()).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// Registers the other server with an authority, and waits until the condition has this reason.
async fn register(client: &Client, extension: &Extension) {
    make(client, "/api/v1/namespaces", json!({"metadata": {"name": "extensions"}})).await.unwrap();
    let service = json!({"type": "ExternalName", "externalName": "localhost", "ports": [{"port": extension.port}]});
    let service = json!({"metadata": {"name": "widgets"}, "spec": service});
    make(client, "/api/v1/namespaces/extensions/services", service).await.unwrap();
    let spec = json!({
        "group": GROUP, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
        "caBundle": STANDARD.encode(&extension.authority),
        "service": {"name": "widgets", "namespace": "extensions", "port": extension.port},
    });
    let object = json!({"metadata": {"name": format!("v1.{GROUP}")}, "spec": spec});
    make(client, "/apis/apiregistration.k8s.io/v1/apiservices", object).await.unwrap();
    await_condition(client, "Passed", "all checks passed").await;
}

async fn await_condition(client: &Client, reason: &str, message: &str) {
    let services: Api<APIService> = Api::all(client.clone());
    let name = format!("v1.{GROUP}");
    let found = async {
        loop {
            let conditions = services.get(&name).await.unwrap().status.and_then(|it| it.conditions).unwrap_or_default();
            let condition = conditions.into_iter().find(|it| it.type_ == "Available");
            if let Some(found) = condition.filter(|it| it.reason.as_deref() == Some(reason)) {
                return found.message.unwrap_or_default();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = timeout(PATIENCE, found).await.expect("the condition is told in time");
    assert!(found.contains(message), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_the_cluster_is_asked_over_tls_as_the_front_proxy_and_knows_who_asks() {
    let cluster = Cluster::builder().without_controllers().without_scheduler().start().await.unwrap();
    let served = cluster.serve(([127, 0, 0, 1], 0)).await.unwrap();
    let admin = cluster.client();
    let maps: Api<ConfigMap> = Api::namespaced(admin.clone(), "kube-system");
    let extension = Extension::start(&maps.get("extension-apiserver-authentication").await.unwrap()).await;
    register(&admin, &extension).await;

    let groups = get(&admin, "/apis", "application/json").await.unwrap();
    let named = |it: &Value| it["name"] == GROUP && it["preferredVersion"]["groupVersion"] == format!("{GROUP}/v1");
    assert!(groups["groups"].as_array().unwrap().iter().any(named), "{groups}");
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let aggregated = get(&admin, "/apis", accept).await.unwrap();
    let group = aggregated["items"].as_array().unwrap().iter().find(|it| it["metadata"]["name"] == GROUP);
    let group = group.expect("the group is part of what is discovered");
    assert_eq!(group["versions"][0]["resources"][0]["resource"], "widgets", "{group}");

    // The cluster lets jane do everything with widgets; the server behind it, only read them.
    let roles = "/apis/rbac.authorization.k8s.io/v1";
    make(&admin, &format!("{roles}/clusterroles"), role(&["*"])).await.unwrap();
    make(&admin, &format!("{roles}/clusterrolebindings"), binding()).await.unwrap();
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1", "Widget"), "widgets");
    let widgets = |client: Client| Api::<DynamicObject>::namespaced_with(client, "default", &resource);
    let jane = widgets(cluster.as_user("jane", &[]));
    let watch = jane.watch(&WatchParams::default(), "0").await.unwrap();
    let mut watch = std::pin::pin!(watch);
    let widget = DynamicObject::new("gear", &resource);
    widgets(admin.clone()).create(&PostParams::default(), &widget).await.unwrap();
    let added = async {
        loop {
            match watch.next().await.unwrap().unwrap() {
                WatchEvent::Bookmark(_) => {}
                event => return event,
            }
        }
    };
    let event = timeout(PATIENCE, added).await.expect("events pass through");
    assert!(matches!(&event, WatchEvent::Added(seen) if seen.metadata.name.as_deref() == Some("gear")), "{event:?}");
    assert_eq!(jane.list(&Default::default()).await.unwrap().items.len(), 1);
    let kube::Error::Api(refused) = jane.create(&PostParams::default(), &widget).await.unwrap_err() else {
        panic!("the server behind refuses")
    };
    let why =
        format!(r#"User "jane" cannot create resource "widgets" in API group "{GROUP}" in the namespace "default""#);
    assert!(refused.code == 403 && refused.message.contains(&why), "{refused}");

    extension.task.abort();
    drop(watch.try_next().await);
    let gone =
        get(&impatient(&served).await, &format!("/apis/{GROUP}/v1/namespaces/default/widgets"), "application/json")
            .await;
    assert!(gone.is_err(), "{gone:?}");
    await_condition(&admin, "FailedDiscoveryCheck", "failing or missing response from").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_authority_is_not_asked() {
    let cluster = Cluster::builder().without_controllers().without_scheduler().start().await.unwrap();
    let served = cluster.serve(([127, 0, 0, 1], 0)).await.unwrap();
    let admin = cluster.client();
    let maps: Api<ConfigMap> = Api::namespaced(admin.clone(), "kube-system");
    let mut extension = Extension::start(&maps.get("extension-apiserver-authentication").await.unwrap()).await;
    extension.authority = certify().0;
    register(&admin, &extension).await;
    let refused =
        get(&impatient(&served).await, &format!("/apis/{GROUP}/v1/namespaces/default/widgets"), "application/json")
            .await;
    let text = format!("{:?}", refused.unwrap_err());
    assert!(text.contains("certificate signed by unknown authority") || text.contains("503"), "{text}");
}
