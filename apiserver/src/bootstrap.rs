//! The objects that must be there when the server answers its first request.
//! Source: `kubernetes/pkg/controlplane`, `kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy`.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use steersman_machinery::clock::format_time;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use crate::authentication::{SYSTEM_MASTERS, UserInfo};
use crate::handlers;
use crate::object;
use crate::server::{Server, unavailable};

/// The first address of the service range: that of the API server itself.
const API_SERVER_IP: &str = "10.0.0.1";
/// The network of the cluster addresses.
const SERVICE_CIDR: &str = "10.0.0.0/16";
/// Where the API server listens by default.
const SECURE_PORT: u16 = 6443;

/// Makes what is missing.
pub(crate) async fn run(server: &Arc<Server>) -> Result<(), Status> {
    for (resource, object) in objects() {
        if exists(server, resource, &object).await? {
            continue;
        }
        match make(server, resource, &object).await {
            Err(status) if status.is("AlreadyExists") => {}
            other => other?,
        }
    }
    crate::authorization::bootstrap::install(server).await?;
    set_range_ready(server).await?;
    track_legacy_tokens(server).await?;
    crate::flowcontrol::start(server).await?;
    crate::definitions::restore(server).await?;
    server.events.restore(server.clock.now(), &server.snapshot("events").await?);
    // Who watches begins with what is there now. What was written before is not kept, as a cache of upstream's server keeps
    // nothing that is older than its first list.
    let before = server.store.revision();
    server.store.compact(before).await.map_err(|error| unavailable(&error))
}

/// Says that addresses of the default range are given away.
async fn set_range_ready(server: &Arc<Server>) -> Result<(), Status> {
    let stored = server.read("servicecidrs.networking.k8s.io", "", "kubernetes").await?;
    if stored.is_some_and(|range| range.pointer("/status/conditions").is_some()) {
        return Ok(());
    }
    let mut range = service_cidr();
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": format_time(server.clock.now()),
    });
    meta::set(&mut range, &["status", "conditions"], json!([condition]));
    let user = UserInfo::known("system:apiserver", &[SYSTEM_MASTERS]);
    let path = "/apis/networking.k8s.io/v1/servicecidrs/kubernetes/status";
    handlers::perform(server, user, (Method::PUT, path), &range).await
}

/// Says since when it is noted which tokens in secrets are used. Source: `kubernetes/pkg/controlplane/controller/legacytokentracking`.
async fn track_legacy_tokens(server: &Arc<Server>) -> Result<(), Status> {
    let today: String = format_time(server.clock.now()).chars().take(10).collect();
    let name = "kube-apiserver-legacy-service-account-token-tracking";
    let since = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "kube-system", "name": name}, "data": {"since": today},
    });
    if exists(server, "configmaps", &since).await? {
        return Ok(());
    }
    match make(server, "configmaps", &since).await {
        Err(status) if status.is("AlreadyExists") => Ok(()),
        made => made,
    }
}

/// Whether an earlier process made it.
async fn exists(server: &Server, resource: &str, object: &Value) -> Result<bool, Status> {
    let gvk = meta::gvk(object);
    let catalog = server.catalog();
    let resource = catalog.find(&gvk.group, &gvk.version, resource).ok_or_else(Status::no_such_resource)?;
    let stored = server.read(&object::storage_name(resource), meta::namespace(object), meta::name(object)).await?;
    Ok(stored.is_some())
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
    objects.extend([
        ("servicecidrs", service_cidr()),
        ("services", service()),
        ("endpoints", endpoints()),
        ("endpointslices", endpoint_slice()),
    ]);
    objects
}

/// The range of the cluster addresses.
fn service_cidr() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [SERVICE_CIDR]},
    })
}

/// The older form of [`endpoint_slice`], which nobody need mirror.
fn endpoints() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{
            "addresses": [{"ip": API_SERVER_IP}],
            "ports": [{"name": "https", "port": SECURE_PORT, "protocol": "TCP"}],
        }],
    })
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
