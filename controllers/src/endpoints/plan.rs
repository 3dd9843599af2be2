//! What the Endpoints of a service are to hold: addresses with the same ports together, ready and not ready apart.
//! Source: `k8s.io/kubernetes/pkg/controller/endpoint`, `k8s.io/kubernetes/pkg/api/v1/endpoints`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use steersman_framework::meta::StringMap;

use crate::endpoints::objects::{Address, Subset, SubsetPort};
use crate::endpointslice::objects::TargetRef;
use crate::objects::Pod;
use crate::services::{HEADLESS, Service, ServicePort, is_reachable, parse_ip};

#[cfg(test)]
mod tests;

/// How many addresses Endpoints have at most.
pub const MAX_ADDRESSES: usize = 1000;
/// The label that says who looks after Endpoints.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
/// What it says of ours.
const MANAGER: &str = "endpoint-controller";

/// The subsets of a service with these pods, and whether some did not find room.
pub fn plan_subsets(service: &Service, pods: &[Arc<Pod>]) -> (Vec<Subset>, bool) {
    let publish = service.spec.publish_not_ready_addresses;
    let mut by_ports: BTreeMap<Vec<SubsetPort>, Subset> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| is_reachable(pod, publish)) {
        let Some((address, ports)) = address(service, pod).zip(ports(service, pod)) else { continue };
        let empty = || Subset { ports: ports.clone(), ..Subset::default() };
        let subset = by_ports.entry(ports.clone()).or_insert_with(empty);
        let list = if publish || pod.ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.push(address);
    }
    let mut subsets: Vec<Subset> = by_ports.into_values().collect();
    for subset in &mut subsets {
        for addresses in [&mut subset.addresses, &mut subset.not_ready_addresses] {
            addresses.sort_by_key(|address| (parse_ip(&address.ip), uid(address).to_owned()));
        }
    }
    let truncated = truncate(&mut subsets);
    (subsets, truncated)
}

fn uid(address: &Address) -> &str {
    address.target_ref.as_ref().map_or("", |target| &target.uid)
}

/// The pod's address of the service's first family.
fn address(service: &Service, pod: &Pod) -> Option<Address> {
    let is_ipv6 = |text: &str| parse_ip(text).is_some_and(|ip: IpAddr| ip.is_ipv6());
    let spec = &service.spec;
    let wants_ipv6 = match spec.ip_families.first() {
        Some(family) => family == "IPv6",
        None if service.is_headless() => pod.network.ips.first().is_some_and(|ip| is_ipv6(ip)),
        None => is_ipv6(&spec.cluster_ip),
    };
    Some(Address {
        ip: pod.network.ips.iter().find(|ip| is_ipv6(ip) == wants_ipv6)?.clone(),
        hostname: service.hostname(pod).map(str::to_owned),
        node_name: Some(pod.node_name.clone()).filter(|name| !name.is_empty()),
        target_ref: Some(TargetRef::pod(&pod.metadata)),
    })
}

/// The ports of a service in a pod; `None` if that pod offers nothing of the service.
fn ports(service: &Service, pod: &Pod) -> Option<Vec<SubsetPort>> {
    let spec = &service.spec;
    let port = |port: &ServicePort| {
        let (name, protocol) = (port.name.clone(), port.protocol.clone());
        Some(SubsetPort { name, port: port.number_in(pod)?, protocol, app_protocol: port.app_protocol.clone() })
    };
    let mut ports: Vec<SubsetPort> = spec.ports.iter().filter_map(port).collect();
    ports.sort();
    // A headless service need not have ports.
    let needs_none = spec.ports.is_empty() && spec.cluster_ip == "None";
    (needs_none || !ports.is_empty()).then_some(ports)
}

/// Keeps as many addresses as there may be: ready ones rather than others, of each subset in proportion.
fn truncate(subsets: &mut [Subset]) -> bool {
    let ready: usize = subsets.iter().map(|subset| subset.addresses.len()).sum();
    let not_ready: usize = subsets.iter().map(|subset| subset.not_ready_addresses.len()).sum();
    if ready + not_ready <= MAX_ADDRESSES {
        return false;
    }
    let cut_ready = ready > MAX_ADDRESSES;
    let (room, total) = if cut_ready { (MAX_ADDRESSES, ready) } else { (MAX_ADDRESSES - ready, not_ready) };
    let mut left = room;
    for subset in subsets {
        let list = if cut_ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.truncate((list.len() * room).div_ceil(total).min(left));
        left -= list.len();
        if cut_ready {
            subset.not_ready_addresses.clear();
        }
    }
    true
}

/// The labels of a service's Endpoints: its own, and ours.
pub fn labels(service: &Service) -> StringMap {
    let mut labels = service.metadata.labels.clone();
    labels.remove(HEADLESS);
    if service.is_headless() {
        labels.insert(HEADLESS, "");
    }
    labels.insert(MANAGED_BY, MANAGER);
    labels
}
