//! Endpoints and EndpointSlices. Source: `ValidateEndpoints` of `k8s.io/kubernetes/pkg/apis/core/validation`,
//! `k8s.io/kubernetes/pkg/apis/discovery/validation`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::{meta, names};

use super::check::{self, Cursor, text};
use super::pod::defaults::each;
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of Endpoints.
#[derive(Clone, Copy, Debug)]
pub struct Endpoints;

/// The strategy of EndpointSlices.
#[derive(Clone, Copy, Debug)]
pub struct EndpointSlice;

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const ADDRESS_TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];
const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20000;
const MAX_TOPOLOGY_LABELS: usize = 16;
const MAX_HINTS: usize = 8;

impl Strategy for Endpoints {
    fn rules(&self) -> Rules {
        Rules { create_on_update: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        each(object, "subsets", |subset| {
            each(subset, "ports", |port| {
                if meta::text(port, &["protocol"]).is_empty() {
                    meta::set(port, &["protocol"], "TCP");
                }
            });
        });
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            root.at("subsets").items().for_each(|subset| endpoint_subset(&subset));
        })
    }

    /// Subsets that were let in before are let in again, as long as they stay as they are.
    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        if check::same(object.get("subsets"), old.get("subsets")) { ErrorList::new() } else { self.validate(object) }
    }

    fn warnings(&self, _object: &Value, _old: Option<&Value>) -> Vec<String> {
        vec!["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned()]
    }
}

fn endpoint_subset(subset: &Cursor<'_>) {
    let (ready, not_ready) = (subset.at("addresses"), subset.at("notReadyAddresses"));
    if ready.is_empty() && not_ready.is_empty() {
        subset.required("must specify `addresses` or `notReadyAddresses`");
    }
    for address in ready.items().chain(not_ready.items()) {
        let ip = address.at("ip");
        ip.named(text::ip);
        if !address.at("hostname").is_empty() {
            address.at("hostname").named(names::dns1123_label);
        }
        let node = address.at("nodeName");
        if node.is_set() {
            node.named(names::dns1123_subdomain);
        }
        ip.named(text::not_for_endpoints);
    }
    let ports = subset.at("ports");
    for port in ports.items() {
        let name = port.at("name");
        if ports.len() > 1 && name.is_empty() {
            name.required("");
        } else if !name.is_empty() {
            name.named(names::dns1123_label);
        }
        port.at("port").port();
        port.at("protocol").must_be_one_of(PROTOCOLS);
        let protocol = port.at("appProtocol");
        if protocol.is_set() {
            protocol.named(names::qualified_name);
        }
    }
}

impl Strategy for EndpointSlice {
    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["endpoints"], Value::Null);
        each(object, "endpoints", |endpoint| {
            meta::set_default(endpoint, &["conditions"], json!({}));
            meta::remove(endpoint, &["deprecatedTopology"]);
        });
        each(object, "ports", |port| {
            meta::set_default(port, &["name"], "");
            meta::set_default(port, &["protocol"], "TCP");
        });
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| slice(&root, None))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            slice(&root, Some(old));
            root.at("addressType").immutable(old.get("addressType"));
        })
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        if meta::text(object, &["addressType"]) == "FQDN" {
            vec!["spec.addressType: FQDN endpoints are deprecated".to_owned()]
        } else {
            Vec::new()
        }
    }

    /// Labels count as well: they say to which service the slice belongs.
    fn spec_changed(&self, object: &Value, old: &Value) -> bool {
        let labels = |object| meta::at(object, &["metadata", "labels"]);
        !check::same(labels(object), labels(old))
            || ["addressType", "endpoints", "ports"].iter().any(|field| !check::same(object.get(field), old.get(field)))
    }
}

fn slice(root: &Cursor<'_>, old: Option<&Value>) {
    let sort = root.at("addressType");
    sort.must_be_one_of(ADDRESS_TYPES);
    slice_ports(&root.at("ports"));
    let endpoints = root.at("endpoints");
    // What was let in before is let in again, as long as it stays as it is.
    if old.is_some_and(|old| check::same(object_field(root, "endpoints"), old.get("endpoints"))) {
        return;
    }
    if endpoints.len() > MAX_ENDPOINTS {
        endpoints.push(FieldError::too_many(&endpoints.path, endpoints.len(), MAX_ENDPOINTS));
        return;
    }
    for endpoint in endpoints.items() {
        slice_endpoint(&endpoint, sort.text());
    }
}

fn object_field<'a>(root: &Cursor<'a>, field: &str) -> Option<&'a Value> {
    root.value.get(field)
}

fn slice_endpoint(endpoint: &Cursor<'_>, sort: &str) {
    let addresses = endpoint.at("addresses");
    match addresses.len() {
        0 => addresses.required("must contain at least 1 address"),
        count if count > MAX_ADDRESSES => {
            addresses.push(FieldError::too_many(&addresses.path, count, MAX_ADDRESSES));
        }
        _ => {}
    }
    addresses.items().for_each(|address| slice_address(&addresses, &address, sort));
    let node = endpoint.at("nodeName");
    if node.is_set() {
        node.named(names::dns1123_subdomain);
    }
    let topology = endpoint.at("deprecatedTopology");
    if topology.len() > MAX_TOPOLOGY_LABELS {
        topology.push(FieldError::too_many(&topology.path, topology.len(), MAX_TOPOLOGY_LABELS));
    }
    topology.labels();
    let host = endpoint.at("hostname");
    if host.is_set() {
        host.named(names::dns1123_label);
    }
    for (field, rule) in
        [("forZones", names::label_value as fn(&str) -> Vec<String>), ("forNodes", names::dns1123_subdomain)]
    {
        hints(&endpoint.at("hints").at(field), rule);
    }
}

/// Who should use an endpoint: a few zones or nodes, each once.
fn hints(hints: &Cursor<'_>, rule: fn(&str) -> Vec<String>) {
    if hints.len() > MAX_HINTS {
        hints.push(FieldError::too_many(&hints.path, hints.len(), MAX_HINTS));
        return;
    }
    let mut seen = BTreeSet::new();
    for hint in hints.items() {
        let name = hint.at("name");
        name.once(&mut seen);
        name.named(rule);
    }
}

/// An address of the wrong family is named at the list, another fault at the address.
fn slice_address(list: &Cursor<'_>, address: &Cursor<'_>, sort: &str) {
    match sort {
        "FQDN" => qualified_domain(address),
        "IPv4" | "IPv6" => {
            let before = address.errors();
            address.named(text::ip);
            if address.errors() > before {
                return;
            }
            let four = address.text().parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4());
            if four != (sort == "IPv4") {
                list.invalid_str(address.text(), format!("must be an {sort} address"));
            }
            address.named(text::not_for_endpoints);
        }
        _ => {}
    }
}

/// A domain of at least two parts.
fn qualified_domain(address: &Cursor<'_>) {
    if !address.must_be_set() {
        return;
    }
    let name = address.text().strip_suffix('.').unwrap_or(address.text());
    let complaints = names::dns1123_subdomain(name);
    if !complaints.is_empty() {
        address.invalid_str(name, complaints.join(","));
        return;
    }
    if !name.contains('.') {
        address.invalid_str(name, "should be a domain with at least two segments separated by dots");
        return;
    }
    for label in name.split('.') {
        let complaints = names::dns1123_label(label);
        if !complaints.is_empty() {
            address.invalid_str(label, complaints.join(","));
        }
    }
}

fn slice_ports(ports: &Cursor<'_>) {
    if ports.len() > MAX_PORTS {
        ports.push(FieldError::too_many(&ports.path, ports.len(), MAX_PORTS));
        return;
    }
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let name = port.at("name");
        if !name.is_empty() {
            name.named(names::dns1123_label);
        }
        if !seen.insert(name.text()) {
            name.push(FieldError::duplicate(&name.path, &json!(name.text())));
        }
        if port.at("protocol").is_set() {
            port.at("protocol").one_of(PROTOCOLS);
        } else {
            port.at("protocol").required("");
        }
        let protocol = port.at("appProtocol");
        if protocol.is_set() {
            protocol.named(names::qualified_name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(strategy: &dyn Strategy, object: Value, expect: &[&str]) {
        let mut object = object;
        strategy.default(&mut object);
        assert_eq!(check::messages(&strategy.validate(&object)), expect);
    }

    #[test]
    fn endpoints_are_reachable() {
        let subset = |ip: &str| json!({"subsets": [{"addresses": [{"ip": ip}], "ports": [{"port": 80}]}]});
        check(&Endpoints, subset("192.0.2.1"), &[]);
        check(
            &Endpoints,
            subset("127.0.0.1"),
            &[
                r#"subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)"#,
            ],
        );
        check(
            &Endpoints,
            json!({"subsets": [{"ports": [{"port": 1}]}]}),
            &["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"],
        );
    }

    #[test]
    fn slices_hold_addresses_of_their_type() {
        let slice = |addresses: Value| json!({"addressType": "IPv4", "endpoints": [{"addresses": addresses}]});
        check(&EndpointSlice, slice(json!(["192.0.2.1"])), &[]);
        check(&EndpointSlice, json!({}), &["addressType: Required value"]);
        check(
            &EndpointSlice,
            slice(json!(["2001:db8::1", "x"])),
            &[
                r#"endpoints[0].addresses: Invalid value: "2001:db8::1": must be an IPv4 address"#,
                r#"endpoints[0].addresses[1]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#,
            ],
        );
        check(
            &EndpointSlice,
            json!({"addressType": "IPv4", "ports": [{}, {}]}),
            &[r#"ports[1].name: Duplicate value: """#],
        );
    }

    #[test]
    fn labels_bump_the_generation_of_a_slice() {
        let old = json!({"metadata": {"labels": {"a": "1"}}, "endpoints": []});
        let annotated = json!({"metadata": {"labels": {"a": "1"}, "annotations": {"x": "y"}}, "endpoints": []});
        let labelled = json!({"metadata": {"labels": {"a": "2"}}, "endpoints": []});
        assert!(!EndpointSlice.spec_changed(&annotated, &old));
        assert!(EndpointSlice.spec_changed(&labelled, &old));
    }
}
