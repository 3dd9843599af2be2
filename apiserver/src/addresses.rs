//! The IPAddress objects of services: one for each cluster address, made and removed with the service that has it, so
//! that an address has one owner whoever gives it away.
//! Source: KEP-1880; `k8s.io/kubernetes/pkg/registry/core/service/ipallocator`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use crate::authentication::{SYSTEM_MASTERS, UserInfo};
use crate::handlers;
use crate::registry::resource::Resource;
use crate::server::Server;

const PATH: &str = "/apis/networking.k8s.io/v1/ipaddresses";
/// The resource under which the store keeps them.
const STORED: &str = "ipaddresses.networking.k8s.io";

/// Whether objects of the resource have cluster addresses.
pub(crate) fn has_addresses(resource: &Resource) -> bool {
    resource.group.is_empty() && resource.name == "services"
}

/// The addresses that somebody has.
pub(crate) async fn taken(server: &Server) -> Result<BTreeSet<String>, Status> {
    Ok(server.snapshot(STORED).await?.range(None, None).map(|entry| entry.key.name.to_string()).collect())
}

/// Follows a change of a service: the addresses that it got are its own now, those that it lost are free.
pub(crate) async fn follow(server: &Arc<Server>, old: Option<&Value>, new: Option<&Value>) -> Result<(), Status> {
    let (had, has) = (old.map(of).unwrap_or_default(), new.map(of).unwrap_or_default());
    for ip in had.difference(&has) {
        perform(server, Method::DELETE, &format!("{PATH}/{ip}"), &Value::Null, "NotFound").await?;
    }
    for ip in has.difference(&had) {
        let object = address(ip, new.unwrap_or(&Value::Null));
        perform(server, Method::POST, PATH, &object, "AlreadyExists").await?;
    }
    Ok(())
}

/// The cluster addresses of a service.
pub(crate) fn of(service: &Value) -> BTreeSet<IpAddr> {
    let texts = meta::items(service, &["spec", "clusterIPs"]).iter().filter_map(Value::as_str);
    texts.filter_map(|text| text.parse().ok()).collect()
}

fn address(ip: &IpAddr, service: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {
            "name": ip.to_string(),
            "labels": {
                "ipaddress.kubernetes.io/ip-family": if ip.is_ipv4() { "IPv4" } else { "IPv6" },
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        },
        "spec": {
            "parentRef": {"resource": "services", "namespace": meta::namespace(service), "name": meta::name(service)},
        },
    })
}

async fn perform(server: &Arc<Server>, method: Method, path: &str, body: &Value, harmless: &str) -> Result<(), Status> {
    let user = UserInfo::known("system:apiserver", &[SYSTEM_MASTERS]);
    match handlers::perform(server, user, (method, path), body).await {
        Err(status) if status.is(harmless) => Ok(()),
        other => other,
    }
}
