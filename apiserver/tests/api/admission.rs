//! Admission plugins that ask who somebody is or what else there is.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use steersman_apiserver::ApiServer;
use steersman_apiserver::authentication::UserInfo;
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;
use tower::ServiceExt;

use crate::client::{Client, Reply, read};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn with_plugins(enabled: &[&str]) -> Client {
    let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let builder = ApiServer::builder(clock, Random::seeded(1)).disable_admission(["ServiceAccount".to_owned()]);
    let builder = builder.enable_admission(enabled.iter().map(|name| (*name).to_owned()));
    Client { api_server: builder.build().await.unwrap() }
}

/// A request of jane, who may do what she was granted.
async fn jane(client: &Client, (method, path): (Method, &str), body: &Value) -> Reply {
    let content_type = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder().method(method).uri(path).header("Content-Type", content_type);
    let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
    let service = client.api_server.service_as(UserInfo::known("jane", &[]));
    read(service.oneshot(request).await.unwrap()).await
}

async fn grant(client: &Client, rules: Value) {
    let path = "/apis/rbac.authorization.k8s.io/v1";
    client.delete(&format!("{path}/clusterroles/jane"), Value::Null).await;
    let role = json!({"metadata": {"name": "jane"}, "rules": rules});
    assert_eq!(client.post(&format!("{path}/clusterroles"), role).await.code, 201);
    let subject = json!({"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"});
    let reference = json!({"kind": "ClusterRole", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"});
    let binding = json!({"metadata": {"name": "jane"}, "roleRef": reference, "subjects": [subject]});
    client.post(&format!("{path}/clusterrolebindings"), binding).await;
}

fn message(reply: &Reply) -> &str {
    reply.body["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn an_owner_waits_only_if_one_may_change_its_finalizers() {
    let client = with_plugins(&["OwnerReferencesPermissionEnforcement"]).await;
    let maps = |resources: &[&str], verbs: &[&str]| json!({"apiGroups": [""], "resources": resources, "verbs": verbs});
    grant(&client, json!([maps(&["configmaps"], &["create", "patch"])])).await;
    let owned = |name: &str, kind: &str, blocks: bool| {
        let owner = json!({"apiVersion": "v1", "kind": kind, "name": "o", "uid": "u", "blockOwnerDeletion": blocks});
        json!({"metadata": {"name": name, "ownerReferences": [owner]}})
    };
    let create = async |name: &str, kind: &str, blocks: bool| {
        jane(&client, (Method::POST, MAPS), &owned(name, kind, blocks)).await
    };
    assert_eq!(create("a", "Pod", false).await.code, 201);
    let refused = create("b", "Pod", true).await;
    assert_eq!(refused.code, 403);
    let text = "configmaps \"b\" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: ";
    assert!(message(&refused).starts_with(text) && message(&refused).ends_with(", <nil>"), "{refused:?}");
    assert!(
        message(&create("b", "Nothing", true).await).contains("cannot find RESTMapping for APIVersion v1 Kind Nothing")
    );
    let freed = json!({"metadata": {"ownerReferences": null}});
    let refused = jane(&client, (Method::PATCH, &format!("{MAPS}/a")), &freed).await;
    assert!(message(&refused).contains("cannot set an ownerRef on a resource you can't delete: "), "{refused:?}");
    let more = [maps(&["configmaps"], &["create", "patch", "delete"]), maps(&["pods/finalizers"], &["update"])];
    grant(&client, json!(more)).await;
    assert_eq!(create("b", "Pod", true).await.code, 201);
    assert_eq!(jane(&client, (Method::PATCH, &format!("{MAPS}/a")), &freed).await.code, 200);
}

#[tokio::test]
async fn plugins_are_switched_by_name() {
    let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let builder = || ApiServer::builder(clock.clone(), Random::seeded(1));
    let unknown = builder().enable_admission(["Nothing".to_owned()]).build().await;
    assert!(unknown.is_err_and(|error| error.to_string().contains("unknown admission plugin \"Nothing\"; there are ")));
    let both = builder().enable_admission(["LimitRanger".to_owned()]).disable_admission(["LimitRanger".to_owned()]);
    assert!(both.build().await.is_err_and(|error| error.to_string().contains("both enabled and disabled")));
}

#[tokio::test]
async fn what_a_level_would_refuse_is_told_and_noted() {
    let client = Client::new().await;
    let label = |labels: Value| json!({"metadata": {"labels": labels}});
    let namespace = "/api/v1/namespaces/default";
    let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {"hostPID": true, "containers": [{"name": "a", "image": "a"}]}});
    assert_eq!(client.post(PODS, pod("old")).await.code, 201);
    let enforced = label(json!({"pod-security.kubernetes.io/enforce": "baseline"}));
    let reply = client.patch("merge", namespace, enforced).await;
    assert_eq!(reply.code, 200);
    assert!(reply.warnings.iter().any(|warning| warning.contains("old: host namespaces")), "{reply:?}");
    let refused = client.post(PODS, pod("new")).await;
    assert_eq!(
        message(&refused),
        "pods \"new\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)"
    );
    let warned =
        label(json!({"pod-security.kubernetes.io/enforce": null, "pod-security.kubernetes.io/warn": "baseline"}));
    assert_eq!(client.patch("merge", namespace, warned).await.warnings, Vec::<String>::new());
    let reply = client.post(PODS, pod("new")).await;
    assert_eq!(reply.code, 201);
    assert!(reply.warnings[0].contains("would violate PodSecurity"), "{reply:?}");
    let wrong = client.patch("merge", namespace, label(json!({"pod-security.kubernetes.io/enforce": "x"}))).await;
    assert_eq!((wrong.code, wrong.body["reason"].as_str()), (422, Some("Invalid")));
}
