//! What is wrong with services.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::FieldError;
use steersman_machinery::{meta, names};

use super::is_exposed;
use crate::kinds::check::{Cursor, same, text};
use crate::kinds::pod::probes;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const POLICIES: &[&str] = &["Cluster", "Local"];
const NOT_EXTERNAL_NAME: &str = "may not be set for ExternalName services";
const ONLY_LOAD_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";
/// The port of the kubelet, which no load balancer may expose.
const KUBELET_PORT: i64 = 10250;
/// The longest that a client may stay with its pod: one day.
const MAX_AFFINITY_SECONDS: i64 = 86400;

/// A service with its addresses and ports.
pub(super) fn service(root: &Cursor<'_>) {
    let spec = root.at("spec");
    let sort = spec.at("type");
    let headless = spec.at("clusterIP").text() == "None";
    if spec.at("ports").is_empty() && !headless && sort.text() != "ExternalName" {
        spec.at("ports").required("");
    }
    by_type(&spec, headless);
    ports(&spec.at("ports"));
    spec.at("selector").labels();
    affinity(&spec);
    cluster_ips(root);
    external_ips(&spec.at("externalIPs"));
    sort.must_be_one_of(TYPES);
    if sort.text() == "ClusterIP" {
        for port in spec.at("ports").items() {
            if port.at("nodePort").int().unwrap_or_default() != 0 {
                port.at("nodePort").forbidden("may not be used when `type` is 'ClusterIP'");
            }
        }
    }
    load_balancer_fields(&spec);
    traffic(root);
}

fn by_type(spec: &Cursor<'_>, headless: bool) {
    let first = spec.at("clusterIPs").items().next();
    match spec.at("type").text() {
        "LoadBalancer" => {
            for port in spec.at("ports").items() {
                if port.at("port").int() == Some(KUBELET_PORT) {
                    port.invalid_as(
                        KUBELET_PORT.to_string(),
                        "may not expose port 10250 externally since it is used by kubelet",
                    );
                }
            }
            if let Some(first) = first.filter(|_| headless) {
                first.invalid("may not be set to 'None' for LoadBalancer services");
            }
        }
        "NodePort" => {
            if let Some(first) = first.filter(|_| headless) {
                first.invalid("may not be set to 'None' for NodePort services");
            }
        }
        "ExternalName" => external_name(spec),
        _ => {}
    }
}

fn external_name(spec: &Cursor<'_>) {
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !spec.at(field).is_empty() {
            spec.at(field).forbidden(NOT_EXTERNAL_NAME);
        }
    }
    let name = spec.at("externalName");
    let bare = name.text().strip_suffix('.').unwrap_or(name.text());
    if bare.is_empty() {
        name.required("");
    }
    for complaint in names::dns1123_subdomain(bare).into_iter().filter(|_| !bare.is_empty()) {
        name.invalid_str(bare, complaint);
    }
}

fn ports(ports: &Cursor<'_>) {
    let several = ports.len() > 1;
    let (mut names, mut node_ports, mut numbers) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for port in ports.items() {
        let name = port.at("name");
        if several && name.is_empty() {
            name.required("");
        } else if !name.is_empty() {
            name.named(names::dns1123_label);
            name.once(&mut names);
        }
        port.at("port").port();
        port.at("protocol").must_be_one_of(PROTOCOLS);
        probes::port(&port.at("targetPort"));
        let protocol = port.at("appProtocol");
        if protocol.is_set() {
            protocol.named(names::qualified_name);
        }
    }
    for port in ports.items() {
        let protocol = port.at("protocol").text();
        let node_port = port.at("nodePort");
        let number = node_port.int().unwrap_or_default();
        if number != 0 && !node_ports.insert((protocol, number)) {
            node_port.duplicate();
        }
        let number = port.at("port").int().unwrap_or_default();
        if !numbers.insert((protocol, number)) {
            let mut error = FieldError::duplicate(&port.path, port.value);
            error.value = format!(
                "{{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}",
                Value::from(protocol)
            );
            port.push(error);
        }
    }
}

fn affinity(spec: &Cursor<'_>) {
    let affinity = spec.at("sessionAffinity");
    affinity.must_be_one_of(&["ClientIP", "None"]);
    let config = spec.at("sessionAffinityConfig");
    match affinity.text() {
        "ClientIP" => {
            let seconds = config.down(&["clientIP", "timeoutSeconds"]);
            if !seconds.is_set() {
                config.required("when session affinity type is ClientIP");
            } else if !(1..=MAX_AFFINITY_SECONDS).contains(&seconds.int().unwrap_or_default()) {
                seconds.invalid(format!("must be greater than 0 and less than {MAX_AFFINITY_SECONDS}"));
            }
        }
        "None" if config.is_set() => config.forbidden("must not be set when session affinity is None"),
        _ => {}
    }
}

/// The cluster addresses and families by themselves.
pub(super) fn cluster_ips(root: &Cursor<'_>) {
    let spec = root.at("spec");
    if spec.at("type").text() == "ExternalName" {
        return;
    }
    spec.at("ipFamilyPolicy").one_of(&["PreferDualStack", "RequireDualStack", "SingleStack"]);
    let mut families = BTreeSet::new();
    for family in spec.at("ipFamilies").items() {
        family.one_of(&["IPv4", "IPv6"]);
        family.once(&mut families);
    }
    let (one, all) = (spec.at("clusterIP"), spec.at("clusterIPs"));
    let first = all.items().next().map_or("", |first| first.text());
    if !all.is_empty() && one.is_empty() {
        one.required("must be empty when `clusterIPs` is not specified");
    } else if !one.is_empty() && one.text() != first {
        all.invalid("first value must match `clusterIP`");
    }
    let mut seen = BTreeSet::new();
    for (index, ip) in all.items().enumerate() {
        if ip.text() == "None" {
            if all.len() > 1 || index > 0 {
                ip.invalid("'None' must be the first and only value");
            }
            continue;
        }
        ip.named(text::ip);
        ip.once(&mut seen);
    }
    if all.len() > 2 {
        all.invalid("may only hold up to 2 values");
    }
}

fn external_ips(ips: &Cursor<'_>) {
    for ip in ips.items() {
        let before = ip.errors();
        ip.named(text::ip);
        if ip.errors() > before {
            continue;
        }
        for complaint in text::not_for_endpoints(ip.text()) {
            ip.invalid_text(complaint);
        }
    }
}

fn load_balancer_fields(spec: &Cursor<'_>) {
    let balancer = spec.at("type").text() == "LoadBalancer";
    let ranges = spec.at("loadBalancerSourceRanges");
    if !ranges.is_empty() {
        if !balancer {
            ranges.forbidden(ONLY_LOAD_BALANCER);
        }
        for range in ranges.items() {
            for complaint in text::cidr(range.text().trim()) {
                range.invalid_text(complaint);
            }
        }
    }
    let allocate = spec.at("allocateLoadBalancerNodePorts");
    if !balancer && allocate.is_set() {
        allocate.forbidden(ONLY_LOAD_BALANCER);
    }
    let class = spec.at("loadBalancerClass");
    if class.is_set() {
        if balancer {
            class.named(names::qualified_name);
        } else {
            class.forbidden(ONLY_LOAD_BALANCER);
        }
    }
}

fn traffic(root: &Cursor<'_>) {
    let spec = root.at("spec");
    let external = spec.at("externalTrafficPolicy");
    if is_exposed(root.value) {
        external.must_be_one_of(POLICIES);
    } else if !external.is_empty() {
        external.invalid("may only be set for externally-accessible services");
    }
    let health = spec.at("healthCheckNodePort");
    let needs = super::needs_health_check(root.value);
    if health.int().unwrap_or_default() != 0 && !needs {
        health.invalid("may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
    }
    let internal = spec.at("internalTrafficPolicy");
    if spec.at("type").text() != "ExternalName" {
        internal.must_be_one_of(POLICIES);
    }
    spec.at("trafficDistribution").one_of(&["PreferClose", "PreferSameNode", "PreferSameZone"]);
}

/// What may not change from `old`: the primary address and the class of load balancer.
pub(super) fn change(root: &Cursor<'_>, old: &Value) {
    let spec = root.at("spec");
    let kind = |object: &Value| meta::text(object, &["spec", "type"]).to_owned();
    if kind(old) != "ExternalName" && kind(root.value) != "ExternalName" {
        let all = spec.at("clusterIPs");
        let before = meta::items(old, &["spec", "clusterIPs"]);
        let first = all.with(Some(all.value), all.path.index(0));
        match (before.first(), all.items().next()) {
            (Some(_), None) => first.invalid_as("null", "primary clusterIP can not be unset"),
            (Some(before), Some(after)) if before != after.value => first.invalid("may not change once set"),
            _ => {}
        }
    }
    let class = spec.at("loadBalancerClass");
    if kind(old) == "LoadBalancer"
        && kind(root.value) == "LoadBalancer"
        && !same(Some(class.value), meta::at(old, &["spec", "loadBalancerClass"]))
    {
        class.invalid("may not change once set");
    }
}

/// What a load balancer reports of itself.
pub(crate) fn load_balancer(status: &Cursor<'_>, service_type: &str) {
    let ingresses = status.at("ingress");
    if !ingresses.is_empty() && service_type != "LoadBalancer" {
        ingresses.forbidden("may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    for ingress in ingresses.items() {
        load_balancer_ingress(&ingress);
    }
}

/// One address of a load balancer, of a service or of an ingress.
pub(crate) fn load_balancer_ingress(ingress: &Cursor<'_>) {
    let (ip, mode, host) = (ingress.at("ip"), ingress.at("ipMode"), ingress.at("hostname"));
    if !ip.is_empty() {
        ip.named(text::ip);
    } else if mode.is_set() {
        mode.forbidden("may not be specified when `ip` is not set");
    }
    mode.one_of(&["Proxy", "VIP"]);
    if !host.is_empty() {
        host.named(names::dns1123_subdomain);
        if text::ip(host.text()).is_empty() {
            host.invalid("must be a DNS name, not an IP address");
        }
    }
}
