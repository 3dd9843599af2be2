//! How services, endpoints, ingresses and network policies show.

use std::collections::BTreeSet;

use serde_json::Value;

use super::row::{
    AGE, NAME, NONE, Native, Row, SHOWN, UNSET, at, cells, first_few, list_at, non_empty, scalar, selector_or_none,
    text, text_at, wide,
};

/// Services.
pub(super) const SERVICE: Native = Native::new(
    &[
        NAME,
        text("Type", "How the service is exposed."),
        text("Cluster-IP", "The address inside of the cluster."),
        text("External-IP", "The addresses outside of the cluster."),
        text("Port(s)", "The ports, with node ports and protocols."),
        AGE,
        wide("Selector", "The labels of the pods behind the service."),
    ],
    |row| {
        cells![
            row.name(),
            row.text("spec.type"),
            cluster_ip(row),
            external_ip(row),
            service_ports(row),
            row.age(),
            row.labels("spec.selector"),
        ]
    },
);

fn cluster_ip<'a>(row: &Row<'a>) -> &'a str {
    let first = row.list("spec.clusterIPs").first().and_then(Value::as_str);
    first.unwrap_or_else(|| row.text_or("spec.clusterIP", NONE))
}

fn external_ip(row: &Row<'_>) -> String {
    let external: Vec<_> = row.list("spec.externalIPs").iter().filter_map(Value::as_str).collect();
    match row.text("spec.type") {
        "ClusterIP" | "NodePort" if external.is_empty() => NONE.to_owned(),
        "ClusterIP" | "NodePort" => external.join(","),
        "LoadBalancer" => {
            let addresses = load_balancer_addresses(row);
            let all: Vec<_> = addresses.into_iter().chain(external).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => row.text("spec.externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

/// The addresses that a load balancer gave, or else their names, each once, in order.
fn load_balancer_addresses<'a>(row: &Row<'a>) -> BTreeSet<&'a str> {
    row.list("status.loadBalancer.ingress")
        .iter()
        .map(|ingress| match text_at(ingress, "ip") {
            "" => text_at(ingress, "hostname"),
            ip => ip,
        })
        .filter(|address| !address.is_empty())
        .collect()
}

fn service_ports(row: &Row<'_>) -> String {
    let port = |port: &Value| {
        let number = |name| at(port, name).and_then(Value::as_i64).unwrap_or_default();
        let protocol = text_at(port, "protocol");
        match number("nodePort") {
            0 => format!("{}/{protocol}", number("port")),
            node_port => format!("{}:{node_port}/{protocol}", number("port")),
        }
    };
    let ports: Vec<_> = row.list("spec.ports").iter().map(port).collect();
    if ports.is_empty() { NONE.to_owned() } else { ports.join(",") }
}

/// Endpoints.
pub(super) const ENDPOINTS: Native =
    Native::new(&[NAME, text("Endpoints", "The addresses and ports behind the service."), AGE], |row| {
        // Subsets without an address that is ready leave the cell empty.
        let empty = if row.count("subsets") == 0 { NONE } else { "" };
        cells![row.name(), first_few(&endpoint_addresses(row), empty), row.age()]
    });

fn endpoint_addresses(row: &Row<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for subset in row.list("subsets") {
        let addresses = || list_at(subset, "addresses").iter().map(|address| text_at(address, "ip"));
        let ports = list_at(subset, "ports");
        if ports.is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            let port = at(port, "port").and_then(Value::as_i64).unwrap_or_default();
            all.extend(addresses().map(|ip| host_port(ip, port)));
        }
    }
    all
}

fn host_port(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// Endpoint slices.
pub(super) const ENDPOINT_SLICE: Native = Native::new(
    &[
        NAME,
        text("AddressType", "Which kind of addresses the slice holds."),
        text("Ports", "The ports of each endpoint."),
        text("Endpoints", "The addresses of the endpoints."),
        AGE,
    ],
    |row| {
        let port = |port: &Value| match at(port, "port") {
            Some(number) => scalar(number),
            None => at(port, "name").map_or_else(|| "*".to_owned(), scalar),
        };
        let ports: Vec<_> = row.list("ports").iter().map(port).collect();
        let addresses = |endpoint| list_at(endpoint, "addresses").iter().map(scalar);
        let endpoints: Vec<_> = row.list("endpoints").iter().flat_map(addresses).collect();
        let few = |items: &[String]| non_empty(&first_few(items, UNSET), UNSET).to_owned();
        cells![row.name(), row.text("addressType"), few(&ports), few(&endpoints), row.age()]
    },
);

/// Ingresses.
pub(super) const INGRESS: Native = Native::new(
    &[
        NAME,
        text("Class", "The class of the controller that serves the ingress."),
        text("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
        text("Address", "Address is a list containing ingress points for the load-balancer"),
        text("Ports", "The ports at which the ingress is reached."),
        AGE,
    ],
    |row| {
        let addresses: Vec<_> = load_balancer_addresses(row).into_iter().collect();
        let ports = if row.count("spec.tls") > 0 { "80, 443" } else { "80" };
        cells![
            row.name(),
            row.text_or("spec.ingressClassName", NONE),
            hosts(row),
            addresses.join(","),
            ports,
            row.age(),
        ]
    },
);

fn hosts(row: &Row<'_>) -> String {
    let rules = row.list("spec.rules");
    let named = |(at, rule)| Some((at, text_at(rule, "host"))).filter(|(_, host)| !host.is_empty());
    let hosts: Vec<(usize, &str)> = rules.iter().enumerate().filter_map(named).take(SHOWN).collect();
    let text = hosts.iter().map(|(_, host)| *host).collect::<Vec<_>>().join(",");
    match hosts.last() {
        None => "*".to_owned(),
        // Rules without a host count as well.
        Some((last, _)) if hosts.len() == SHOWN && last + 1 < rules.len() => {
            format!("{text} + {} more...", rules.len() - SHOWN)
        }
        Some(_) => text,
    }
}

/// Ingress classes.
pub(super) const INGRESS_CLASS: Native = Native::new(
    &[
        NAME,
        text("Controller", "The controller of the class."),
        text("Parameters", "The object that configures the controller."),
        AGE,
    ],
    |row| cells![row.name(), row.text("spec.controller"), class_parameters(row), row.age()],
);

fn class_parameters(row: &Row<'_>) -> String {
    let Some(parameters) = row.at("spec.parameters") else {
        return NONE.to_owned();
    };
    let (kind, name) = (text_at(parameters, "kind"), text_at(parameters, "name"));
    match at(parameters, "apiGroup").and_then(Value::as_str) {
        Some(group) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    }
}

/// Network policies.
pub(super) const NETWORK_POLICY: Native =
    Native::new(&[NAME, text("Pod-Selector", "Which pods the policy is about."), AGE], |row| {
        cells![row.name(), selector_or_none(row.at("spec.podSelector")), row.age()]
    });

/// Service CIDRs.
pub(super) const SERVICE_CIDR: Native =
    Native::new(&[NAME, text("CIDRs", "The address ranges of services."), AGE], |row| {
        let ranges: Vec<_> = row.list("spec.cidrs").iter().filter_map(Value::as_str).collect();
        cells![row.name(), ranges.join(","), row.age()]
    });

/// IP addresses. Their rows have a cell more than there are columns, as upstream's have.
pub(super) const IP_ADDRESS: Native =
    Native::new(&[NAME, text("ParentRef", "The object that holds the address.")], |row| {
        cells![row.name(), parent(row), row.age()]
    });

fn parent(row: &Row<'_>) -> String {
    let Some(parent) = row.at("spec.parentRef") else {
        return NONE.to_owned();
    };
    let mut resource = text_at(parent, "resource").to_owned();
    let group = text_at(parent, "group");
    if !group.is_empty() {
        resource = format!("{resource}.{group}");
    }
    [resource.as_str(), text_at(parent, "namespace"), text_at(parent, "name")]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("/")
}
