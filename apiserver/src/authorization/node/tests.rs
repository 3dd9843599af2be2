use serde_json::json;

use super::*;
use crate::authorization::Decision;
use crate::http::query::Query;
use crate::http::request_info::RequestInfo;
use crate::{ApiServer, authorization};
use http::Method;
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;

const POD: &str = r#"{
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "nodeName": "one", "serviceAccountName": "robot", "imagePullSecrets": [{"name": "pull"}],
        "containers": [{"name": "c", "image": "i", "envFrom": [{"configMapRef": {"name": "env"}}],
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}]}],
        "volumes": [
            {"name": "s", "secret": {"secretName": "mounted"}},
            {"name": "m", "configMap": {"name": "files"}},
            {"name": "p", "projected": {"sources": [{"secret": {"name": "projected"}}]}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}}}}}}
        ]
    }
}"#;

async fn server() -> ApiServer {
    let clock = std::sync::Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let builder = ApiServer::builder(clock, Random::seeded(1)).disable_admission(["ServiceAccount".to_owned()]);
    let api_server = builder.build().await.unwrap();
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "vol"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "d", "volumeHandle": "h", "nodePublishSecretRef": {"namespace": "vault", "name": "csi"}},
            "claimRef": {"namespace": "default", "name": "data"},
        },
    });
    let pod = serde_json::from_str(POD).unwrap();
    for (path, object) in [("/api/v1/persistentvolumes", volume), ("/api/v1/namespaces/default/pods", pod)] {
        let made = crate::handlers::perform(api_server.server(), UserInfo::admin(), (Method::POST, path), &object);
        made.await.unwrap();
    }
    api_server
}

#[tokio::test]
async fn a_node_reads_what_its_pods_refer_to_and_writes_what_is_its_own() {
    let api_server = server().await;
    let unrelated = "no relationship found between node 'two' and this object";
    let check = async |node: &str, method: &str, uri: &str, expect: &str| {
        let user = UserInfo::known(&format!("system:node:{node}"), &["system:nodes"]);
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let info = RequestInfo::new(&method.parse().unwrap(), path, &Query::parse(query));
        let attributes = Attributes::of(&user, &info);
        let verdict = authorization::decide(api_server.server(), &attributes).await.unwrap();
        let got = if verdict.decision == Decision::Allow { "yes" } else { &verdict.reason };
        assert_eq!(got, expect, "{node} {method} {uri}");
    };
    for secret in ["pull", "key", "mounted", "projected"] {
        check("one", "GET", &format!("/api/v1/namespaces/default/secrets/{secret}"), "yes").await;
        check("two", "GET", &format!("/api/v1/namespaces/default/secrets/{secret}"), unrelated).await;
    }
    for path in [
        "secrets?fieldSelector=metadata.name=mounted",
        "configmaps/env",
        "configmaps/files",
        "persistentvolumeclaims/data",
        "persistentvolumeclaims/web-e",
    ] {
        check("one", "GET", &format!("/api/v1/namespaces/default/{path}"), "yes").await;
        check("two", "GET", &format!("/api/v1/namespaces/default/{path}"), unrelated).await;
    }
    check("one", "GET", "/api/v1/namespaces/vault/secrets/csi", "yes").await;
    check("two", "GET", "/api/v1/namespaces/vault/secrets/csi", unrelated).await;
    check("one", "GET", "/api/v1/persistentvolumes/vol", "yes").await;
    check("two", "GET", "/api/v1/persistentvolumes/vol", unrelated).await;
    check("one", "GET", "/api/v1/namespaces/default/secrets", "No Object name found").await;
    check("one", "GET", "/api/v1/secrets", "can only read namespaced object of this type").await;
    check("one", "DELETE", "/api/v1/namespaces/default/secrets/key", "can only read resources of this type").await;
    check("one", "POST", "/api/v1/namespaces/default/serviceaccounts/robot/token", "yes").await;
    check("two", "POST", "/api/v1/namespaces/default/serviceaccounts/robot/token", unrelated).await;
    check("one", "GET", "/api/v1/namespaces/default/pods/web", "yes").await;
    check("two", "GET", "/api/v1/namespaces/default/pods/web", unrelated).await;
    check("one", "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Done", "yes").await;
    let selector = "can only list/watch pods with spec.nodeName field selector";
    check("one", "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dtwo", selector).await;
    check("one", "GET", "/api/v1/pods?fieldSelector=a!%3Db%5C,spec.nodeName%3Done", selector).await;
    check("one", "GET", "/api/v1/nodes/one", "yes").await;
    check("one", "GET", "/api/v1/nodes/two", "node 'one' cannot read 'two', only its own Node object").await;
    check("one", "GET", "/api/v1/nodes", "node 'one' cannot read all nodes, only its own Node object").await;
    check("one", "PATCH", "/api/v1/nodes/one/status", "yes").await;
    check("one", "DELETE", "/api/v1/nodes/one", "").await;
    check("one", "PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/one", "yes").await;
    let lease = "can only access node lease with the same name as the requesting node";
    check("two", "PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/one", lease).await;
    check("one", "GET", "/api/v1/services", "yes").await;
    check("one", "GET", "/apis/apps/v1/deployments", "").await;
}

#[test]
fn a_node_is_known_by_name_and_group() {
    let identity = |name: &str, groups: &[&str]| identity(&UserInfo::known(name, groups)).map(str::to_owned);
    assert_eq!(identity("system:node:one", &["system:nodes"]).as_deref(), Some("one"));
    assert_eq!(identity("system:node:one", &[]), None);
    assert_eq!(identity("one", &["system:nodes"]), None);
}
