//! Where the proxy subresources lead: an address for a pod, a service or a node, from a name such as `https:web:8443`.
//! Source: `ResourceLocation` of `kubernetes/pkg/registry/core/{pod,service,node}`.

use std::net::IpAddr;

use http::header::LOCATION;
use serde_json::Value;
use steersman_machinery::group::GroupResource;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::forward::{self, Destination};
use crate::handlers::Answer;
use crate::http::body::Body;
use crate::http::respond;
use crate::outbound::resolve::{self, Address};
use crate::registry::resource::Resource;
use crate::service::Call;

/// The port of kubelets that name none.
const KUBELET_PORT: u16 = 10250;

/// A name with what the client says of how to reach it.
struct Wanted {
    scheme: String,
    name: String,
    port: String,
}

impl Wanted {
    /// Splits `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`.
    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts[..] {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => return None,
        };
        let valid = !name.is_empty() && matches!(scheme, "" | "http" | "https");
        valid.then(|| Self { scheme: scheme.to_owned(), name: name.to_owned(), port: port.to_owned() })
    }
}

/// What follows `/proxy` in a path, as it came.
pub(super) fn rest(path: &str) -> &str {
    path.split_once("/proxy").map_or("", |(_, rest)| rest)
}

/// Passes a request on to where a proxy subresource leads.
pub(super) async fn proxy(call: &mut Call, resource: &Resource, path: &str) -> Answer {
    let kind = resource.singular.as_str();
    let name = &call.info.name;
    let invalid = || Status::bad_request(format!("invalid {kind} request \"{name}\""));
    let wanted = Wanted::parse(name).ok_or_else(invalid)?;
    let destination = match resource.name.as_str() {
        "services" => service(call, &wanted).await?,
        "pods" => pod(call, &wanted).await?,
        _ => node(call, &wanted).await?,
    };
    if path.is_empty() {
        let query = call.query.encode();
        let question = if query.is_empty() { "" } else { "?" };
        let mut response = respond::with_body(301, "text/plain", Body::empty());
        response.headers_mut().remove(http::header::CONTENT_TYPE);
        if let Ok(place) = format!("{}/{question}{query}", call.info.path).parse() {
            response.headers_mut().insert(LOCATION, place);
        }
        return Ok(response);
    }
    let path = path.to_owned();
    forward::run(call, destination, &path)
        .await
        .map_err(|why| Status::failure(503, "ServiceUnavailable", format!("error trying to reach service: {why}")))
}

fn unavailable(why: impl Into<String>) -> Status {
    Status::failure(503, "ServiceUnavailable", why)
}

async fn service(call: &Call, wanted: &Wanted) -> Result<Destination, Status> {
    let Wanted { scheme, name, port } = wanted;
    let namespace = &call.info.namespace;
    let host = format!("{name}.{namespace}.svc");
    if call.server.outbound.in_process(&host).is_some() {
        return Ok(Destination { scheme: scheme.clone(), host, address: None });
    }
    let missing = || Status::not_found(&GroupResource::new("", "services"), name);
    let service = call.server.read("services", namespace, name).await?.ok_or_else(missing)?;
    let mut port_name = port.clone();
    if let Ok(number) = port.parse::<i64>() {
        let mut ports = meta::items(&service, &["spec", "ports"]).iter();
        let found = ports.find(|it| it.get("port").and_then(Value::as_i64) == Some(number));
        let why = || unavailable(format!("no service port {number} found for service \"{name}\""));
        port_name = meta::text(found.ok_or_else(why)?, &["name"]).to_owned();
    }
    let addresses = resolve::endpoints(&call.server, namespace, name, &port_name).await.map_err(Status::internal)?;
    let mut addresses = addresses.ok_or_else(missing)?;
    if addresses.is_empty() {
        return Err(unavailable(format!("no endpoints available for service \"{name}\"")));
    }
    let index = usize::try_from(call.server.random.below(addresses.len() as u64)).unwrap_or_default();
    Ok(Destination { scheme: scheme.clone(), host, address: Some(addresses.swap_remove(index)) })
}

async fn pod(call: &Call, wanted: &Wanted) -> Result<Destination, Status> {
    let pod = super::pod(&call.server, &call.info.namespace, &wanted.name).await?;
    let ports = meta::items(&pod, &["spec", "containers"]).iter().flat_map(|it| meta::items(it, &["ports"]));
    let first = ports.filter_map(|port| port.get("containerPort")?.as_u64()).next();
    let ip = meta::items(&pod, &["status", "podIPs"]).first().map_or("", |it| meta::text(it, &["ip"]));
    if !ip.parse().is_ok_and(|ip| is_global(&ip)) {
        return Err(Status::bad_request("address not allowed"));
    }
    let port = if wanted.port.is_empty() { first.map(|port| port.to_string()) } else { Some(wanted.port.clone()) };
    let default = if wanted.scheme == "https" { "443" } else { "80" };
    let port = number(port.as_deref().unwrap_or(default))?;
    Ok(Destination { scheme: wanted.scheme.clone(), host: ip.to_owned(), address: Some((ip.to_owned(), port)) })
}

/// What Go calls global unicast: neither loopback nor link-local, multicast or unspecified.
fn is_global(ip: &IpAddr) -> bool {
    let local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(local || ip.is_loopback() || ip.is_multicast() || ip.is_unspecified())
}

fn number(port: &str) -> Result<u16, Status> {
    let why = || unavailable(format!("error trying to reach service: dial tcp: lookup tcp/{port}: unknown port"));
    port.parse().map_err(|_| why())
}

async fn node(call: &Call, wanted: &Wanted) -> Result<Destination, Status> {
    let missing = || Status::not_found(&GroupResource::new("", "nodes"), &wanted.name);
    let node = call.server.read("nodes", "", &wanted.name).await?.ok_or_else(missing)?;
    let (host, kubelet) = kubelet(&node)?;
    if wanted.port.is_empty() || wanted.port == kubelet.to_string() {
        return Ok(Destination { scheme: "https".to_owned(), host: host.clone(), address: Some((host, kubelet)) });
    }
    if host.parse().is_ok_and(|ip| !is_global(&ip)) {
        return Err(Status::bad_request("address not allowed"));
    }
    let port = number(&wanted.port)?;
    Ok(Destination { scheme: wanted.scheme.clone(), host: host.clone(), address: Some((host, port)) })
}

/// Where the kubelet of a node is.
fn kubelet(node: &Value) -> Result<Address, Status> {
    let addresses = meta::items(node, &["status", "addresses"]);
    let preferred = ["InternalIP", "ExternalIP", "Hostname"];
    let found = preferred.iter().find_map(|kind| addresses.iter().find(|it| meta::text(it, &["type"]) == *kind));
    let Some(found) = found else {
        return Err(Status::untyped("no preferred addresses found; known addresses: []"));
    };
    let port = meta::at(node, &["status", "daemonEndpoints", "kubeletEndpoint", "Port"]).and_then(Value::as_u64);
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0).unwrap_or(KUBELET_PORT);
    Ok((meta::text(found, &["address"]).to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_a_scheme_and_a_port() {
        let check = |text: &str, expect: Option<(&str, &str, &str)>| {
            let got = Wanted::parse(text);
            assert_eq!(got.as_ref().map(|it| (&*it.scheme, &*it.name, &*it.port)), expect, "{text}");
        };
        check("web", Some(("", "web", "")));
        check("web:http", Some(("", "web", "http")));
        check("https:web:8443", Some(("https", "web", "8443")));
        check("ftp:web:21", None);
        check("a:b:c:d", None);
        check(":80", None);
    }

    #[test]
    fn only_global_addresses_are_reached() {
        for (ip, expect) in [("10.1.2.3", true), ("127.0.0.1", false), ("169.254.169.254", false), ("::1", false)] {
            assert_eq!(is_global(&ip.parse().unwrap()), expect, "{ip}");
        }
    }
}
