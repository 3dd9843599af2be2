//! The objects that must be there when the server answers its first request.
//! Source: `kubernetes/pkg/controlplane`, `kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy`.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use crate::authentication::{SYSTEM_MASTERS, UserInfo};
use crate::handlers;
use crate::server::Server;

/// The first address of the service range: that of the API server itself.
const API_SERVER_IP: &str = "10.0.0.1";
/// Where the API server listens by default.
const SECURE_PORT: u16 = 6443;

/// Makes what is missing.
pub(crate) async fn run(server: &Arc<Server>) -> Result<(), Status> {
    for (resource, object) in objects() {
        match make(server, resource, &object).await {
            Err(status) if status.is("AlreadyExists") => {}
            other => other?,
        }
    }
    crate::authorization::bootstrap::install(server).await?;
    crate::definitions::restore(server).await
}

async fn make(server: &Arc<Server>, resource: &str, object: &Value) -> Result<(), Status> {
    let user = UserInfo::known("system:apiserver", &[SYSTEM_MASTERS]);
    let gvk = meta::gvk(object);
    let root = if gvk.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}", gvk.api_version()) };
    let path = match meta::namespace(object) {
        "" => format!("{root}/{resource}"),
        namespace => format!("{root}/namespaces/{namespace}/{resource}"),
    };
    handlers::perform(server, user, (Method::POST, &path), object).await
}

fn objects() -> Vec<(&'static str, Value)> {
    let mut objects = vec![];
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        objects.push(("namespaces", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})));
    }
    for (name, value, description) in [
        (
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        (
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
    ] {
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "description": description,
        });
        objects.push(("priorityclasses", class));
    }
    objects.extend([("services", service()), ("endpointslices", endpoint_slice())]);
    objects
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": API_SERVER_IP,
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": SECURE_PORT}],
            "sessionAffinity": "None", "type": "ClusterIP",
        },
    })
}

fn endpoint_slice() -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "endpoints": [{"addresses": [API_SERVER_IP], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": SECURE_PORT, "protocol": "TCP"}],
    })
}
