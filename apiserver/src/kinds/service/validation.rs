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
const ONCE: &str = "may not change once set";
/// The longest that a client may stay with its pod: one day.
const MAX_AFFINITY_SECONDS: i64 = 86400;
const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// A service with its addresses and ports. What `old` has already of addresses is left alone.
pub(super) fn service(root: &Cursor<'_>, old: &Value) {
    let spec = root.at("spec");
    let sort = spec.at("type");
    let headless = is_headless(root.value);
    topology(&root.at("metadata").at("annotations"));
    if spec.at("ports").is_empty() && !headless && sort.text() != "ExternalName" {
        spec.at("ports").required("");
    }
    by_type(&spec, headless);
    ports(&spec.at("ports"));
    spec.at("selector").labels();
    affinity(&spec);
    cluster_ips(root, old);
    external_ips(&spec.at("externalIPs"), meta::items(old, &["spec", "externalIPs"]));
    sort.must_be_one_of(TYPES);
    if sort.text() == "ClusterIP" {
        for port in spec.at("ports").items() {
            if port.at("nodePort").int().unwrap_or_default() != 0 {
                port.at("nodePort").forbidden("may not be used when `type` is 'ClusterIP'");
            }
        }
    }
    distinct_ports(&spec.at("ports"));
    load_balancer_fields(root, old);
    traffic(root);
}

/// The old annotation for topology and the new one say the same.
fn topology(annotations: &Cursor<'_>) {
    let (hints, mode) = (annotations.key(TOPOLOGY_HINTS), annotations.key(TOPOLOGY_MODE));
    if hints.is_set() && mode.is_set() && hints.text() != mode.text() {
        mode.invalid_text(format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified"));
    }
}

fn by_type(spec: &Cursor<'_>, headless: bool) {
    let first = spec.at("clusterIPs").items().next();
    match spec.at("type").text() {
        "LoadBalancer" => {
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
    let mut names = BTreeSet::new();
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
}

/// No two ports are the same by number and protocol, neither on the nodes nor on the service itself.
fn distinct_ports(ports: &Cursor<'_>) {
    let (mut node_ports, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for port in ports.items() {
        let node_port = port.at("nodePort");
        let number = node_port.int().unwrap_or_default();
        if number != 0 && !node_ports.insert((port.at("protocol").text(), number)) {
            node_port.duplicate();
        }
    }
    for port in ports.items() {
        let protocol = port.at("protocol").text();
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
pub(super) fn cluster_ips(root: &Cursor<'_>, old: &Value) {
    let spec = root.at("spec");
    if spec.at("type").text() == "ExternalName" {
        return;
    }
    let (one, all) = (spec.at("clusterIP"), spec.at("clusterIPs"));
    let first = all.items().next().map_or("", |first| first.text());
    if one.is_empty() && !all.is_empty() {
        all.invalid("must be empty when `clusterIP` is not specified");
    } else if !one.is_empty() && all.is_empty() {
        all.required("");
    } else if one.text() != first {
        all.invalid("first value must match `clusterIP`");
    }
    let mut families = BTreeSet::new();
    for family in spec.at("ipFamilies").items() {
        family.one_of(&["IPv4", "IPv6"]);
        family.once(&mut families);
    }
    spec.at("ipFamilyPolicy").one_of(&["PreferDualStack", "RequireDualStack", "SingleStack"]);
    let before = all.errors();
    let mut lonely = true;
    for (index, ip) in all.items().enumerate() {
        if index == 0 && ip.text() == "None" {
            if all.len() > 1 {
                all.invalid("'None' must be the first and only value");
                lonely = false;
            }
        } else if !meta::items(old, &["spec", "clusterIPs"]).contains(ip.value) {
            ip.named(text::ip);
        }
    }
    let wrong = all.errors() > before || !lonely;
    if all.len() > 2 {
        all.invalid("may only hold up to 2 values");
    }
    if !wrong {
        families_of(&all, &spec.at("ipFamilies"), is_headless(root.value));
    }
}

/// One address of each family, in the order of the families.
fn families_of(ips: &Cursor<'_>, families: &Cursor<'_>, headless: bool) {
    let is_6 = |ip: &Cursor<'_>| ip.text().contains(':');
    let sixes = ips.items().filter(is_6).count();
    if ips.len() > 1 && (sixes == 0 || sixes == ips.len()) {
        ips.invalid("may specify no more than one IP for each IP family");
    }
    for (index, (ip, family)) in ips.items().zip(families.items()).enumerate().filter(|_| !headless) {
        let expected = match family.text() {
            "IPv4" if is_6(&ip) => "an IPv4",
            "IPv6" if !is_6(&ip) => "an IPv6",
            _ => continue,
        };
        ip.invalid_text(format!("expected {expected} value as indicated by `ipFamilies[{index}]`"));
    }
}

fn external_ips(ips: &Cursor<'_>, old: &[Value]) {
    for ip in ips.items() {
        let before = ip.errors();
        if !old.contains(ip.value) {
            ip.named(text::ip);
        }
        if ip.errors() > before {
            continue;
        }
        for complaint in text::not_for_endpoints(ip.text()) {
            ip.invalid_text(complaint);
        }
    }
}

fn load_balancer_fields(root: &Cursor<'_>, old: &Value) {
    let spec = root.at("spec");
    let balancer = spec.at("type").text() == "LoadBalancer";
    let ranges = spec.at("loadBalancerSourceRanges");
    let annotation = root.at("metadata").at("annotations").key(SOURCE_RANGES);
    if !ranges.is_empty() {
        let ranges = ranges.with(Some(ranges.value), spec.path.child("LoadBalancerSourceRanges"));
        if !balancer {
            ranges.forbidden(ONLY_LOAD_BALANCER);
        }
        let known: BTreeSet<&str> = meta::items(old, &["spec", "loadBalancerSourceRanges"])
            .iter()
            .filter_map(|range| Some(range.as_str()?.trim()))
            .collect();
        for range in ranges.items().filter(|range| !known.contains(range.text().trim())) {
            source_range(&range, range.text());
        }
    } else if annotation.is_set() {
        if !balancer {
            annotation.forbidden(ONLY_LOAD_BALANCER);
        }
        let changed = meta::annotation(old, SOURCE_RANGES) != Some(annotation.text());
        for range in annotation.text().trim().split(',').filter(|_| changed && !annotation.text().trim().is_empty()) {
            source_range(&annotation, range);
        }
    }
    let allocate = spec.at("allocateLoadBalancerNodePorts");
    if !balancer && allocate.is_set() {
        allocate.forbidden(ONLY_LOAD_BALANCER);
    }
    balancer_class(&spec);
}

/// Spaces around a network were always allowed.
fn source_range(place: &Cursor<'_>, range: &str) {
    for complaint in text::cidr(range.trim()) {
        place.invalid_str(range.trim(), complaint);
    }
}

fn balancer_class(spec: &Cursor<'_>) {
    let class = spec.at("loadBalancerClass");
    if !class.is_set() {
        return;
    }
    if spec.at("type").text() == "LoadBalancer" {
        class.named(names::qualified_name);
    } else {
        class.forbidden(ONLY_LOAD_BALANCER);
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
    if needs && health.int().unwrap_or_default() != 0 {
        health.port();
    }
    let internal = spec.at("internalTrafficPolicy");
    if spec.at("type").text() != "ExternalName" {
        internal.must_be_one_of(POLICIES);
    }
    spec.at("trafficDistribution").one_of(&["PreferClose", "PreferSameZone", "PreferSameNode"]);
}

/// What may not change from `old`: addresses, families, the class of load balancer and the port of its checks.
pub(super) fn change(root: &Cursor<'_>, old: &Value) {
    let spec = root.at("spec");
    let kind = |object: &Value| meta::text(object, &["spec", "type"]).to_owned();
    if kind(old) != "ExternalName" && kind(root.value) != "ExternalName" {
        addresses_stay(root, old);
        families_stay(root, old);
    }
    let class = spec.at("loadBalancerClass");
    if kind(old) == "LoadBalancer"
        && kind(root.value) == "LoadBalancer"
        && !same(Some(class.value), meta::at(old, &["spec", "loadBalancerClass"]))
    {
        class.invalid(ONCE);
    }
    balancer_class(&spec);
    let health = spec.at("healthCheckNodePort");
    let before = super::number(old, &["spec", "healthCheckNodePort"]);
    if super::needs_health_check(old)
        && super::needs_health_check(root.value)
        && health.int().unwrap_or_default() != before
    {
        health.forbidden("field is immutable");
    }
}

fn is_headless(service: &Value) -> bool {
    matches!(meta::items(service, &["spec", "clusterIPs"]), [only] if only == "None")
}

fn addresses_stay(root: &Cursor<'_>, old: &Value) {
    if is_headless(old) && is_headless(root.value) {
        return;
    }
    let spec = root.at("spec");
    let (all, before) = (spec.at("clusterIPs"), meta::items(old, &["spec", "clusterIPs"]));
    let at = |index: usize| all.with(Some(all.value), all.path.index(index));
    let after: Vec<&Value> = all.items().map(|ip| ip.value).collect();
    if after.len() == before.len() {
        for index in (0..after.len()).filter(|index| *after[*index] != before[*index]) {
            at(index).invalid(ONCE);
        }
        return;
    }
    match (before.first(), after.first()) {
        (Some(_), None) => at(0).invalid("primary clusterIP can not be unset"),
        (Some(before), Some(after)) if before != *after => at(0).invalid(ONCE),
        _ => {}
    }
    let policy = spec.at("ipFamilyPolicy");
    if before.len() > after.len() && after.len() == 1 && policy.text() != "SingleStack" {
        policy.invalid("must be set to 'SingleStack' when releasing the secondary clusterIP");
    }
}

fn families_stay(root: &Cursor<'_>, old: &Value) {
    if is_headless(old) || is_headless(root.value) {
        return;
    }
    let spec = root.at("spec");
    let (families, before) = (spec.at("ipFamilies"), meta::items(old, &["spec", "ipFamilies"]));
    let first = |shown: &Cursor<'_>, detail: &str| {
        families.with(Some(shown.value), families.path.index(0)).invalid(detail);
    };
    let after: Vec<&Value> = families.items().map(|family| family.value).collect();
    if after.len() == before.len() {
        after.iter().zip(before).filter(|(after, before)| *after != before).for_each(|_| first(&families, ONCE));
        return;
    }
    let released = before.len() > after.len();
    if released && spec.at("clusterIPs").is_empty() {
        first(&families, "primary ipFamily can not be unset");
    }
    if let (Some(before), Some(after)) = (before.first(), after.first())
        && before != *after
    {
        first(&spec.at("clusterIPs"), ONCE);
    }
    let policy = spec.at("ipFamilyPolicy");
    if released && after.len() == 1 && policy.text() != "SingleStack" {
        policy.invalid("must be set to 'SingleStack' when releasing the secondary ipFamily");
    }
}

/// What a load balancer reports of itself; addresses that it reported before are left alone.
pub(crate) fn load_balancer(status: &Cursor<'_>, service_type: &str, old: &Value) {
    let ingresses = status.at("ingress");
    if !ingresses.is_empty() && service_type != "LoadBalancer" {
        ingresses.forbidden("may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    let known: BTreeSet<&str> = meta::items(old, &["status", "loadBalancer", "ingress"])
        .iter()
        .map(|ingress| meta::text(ingress, &["ip"]))
        .collect();
    for ingress in ingresses.items() {
        load_balancer_ingress(&ingress, &known);
        let mode = ingress.at("ipMode");
        match (mode.is_set(), ingress.at("ip").is_empty()) {
            (false, false) => mode.required("must be specified when `ip` is set"),
            (true, true) => mode.forbidden("may not be specified when `ip` is not set"),
            _ => mode.one_of(&["Proxy", "VIP"]),
        }
        host(&ingress.at("hostname"));
    }
}

/// The address of a load balancer, of a service or of an ingress, unless it is one of `known`.
fn load_balancer_ingress(ingress: &Cursor<'_>, known: &BTreeSet<&str>) {
    let ip = ingress.at("ip");
    if !ip.is_empty() && !known.contains(ip.text()) {
        ip.named(text::ip);
    }
}

fn host(host: &Cursor<'_>) {
    if host.is_empty() {
        return;
    }
    host.named(names::dns1123_subdomain);
    if text::sloppy_ip(host.text()).is_some() {
        host.invalid_text("must be a DNS name, not an IP address");
    }
}

/// Where an ingress is reached; addresses that were reported before are left alone.
pub(crate) fn of_ingress(status: &Cursor<'_>, old: &Value) {
    let known: BTreeSet<&str> = meta::items(old, &["status", "loadBalancer", "ingress"])
        .iter()
        .map(|ingress| meta::text(ingress, &["ip"]))
        .collect();
    for ingress in status.at("ingress").items() {
        load_balancer_ingress(&ingress, &known);
        host(&ingress.at("hostname"));
    }
}
