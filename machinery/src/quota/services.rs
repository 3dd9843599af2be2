//! Services: their number, their node ports, and the load balancers that they want.

use serde_json::Value;

use super::count;
use crate::meta;
use crate::resource_list::ResourceList;

const SERVICES: &str = "services";
const NODE_PORTS: &str = "services.nodeports";
const LOAD_BALANCERS: &str = "services.loadbalancers";

pub(super) fn tracks(name: &str) -> bool {
    matches!(name, SERVICES | NODE_PORTS | LOAD_BALANCERS)
}

pub(super) fn usage(service: &Value) -> ResourceList {
    let ports = meta::items(service, &["spec", "ports"]);
    let allocates = meta::at(service, &["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool);
    let chosen = |port: &&Value| port.get("nodePort").and_then(Value::as_i64).is_some_and(|port| port != 0);
    // Node ports may not have been given out yet: what counts is how many there will be.
    let (node_ports, load_balancers) = match meta::text(service, &["spec", "type"]) {
        "NodePort" => (ports.len(), 0),
        "LoadBalancer" if allocates == Some(false) => (ports.iter().filter(chosen).count(), 1),
        "LoadBalancer" => (ports.len(), 1),
        _ => (0, 0),
    };
    let entries = [(SERVICES, 1), (NODE_PORTS, node_ports), (LOAD_BALANCERS, load_balancers)];
    entries.into_iter().map(|(name, number)| (name.to_owned(), count(number))).collect()
}
