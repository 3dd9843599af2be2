//! What a write keeps of the addresses and ports that the server chose, and what it lets go.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use steersman_machinery::meta;

use super::{is_exposed, needs_cluster_ip, needs_health_check, needs_node_port, number};
use crate::kinds::check::same;
use crate::registry::strategy::restore;

fn spec<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    meta::at(object, &["spec", field]).filter(|value| !value.is_null())
}

/// Takes from `old` what the client left out: addresses and ports are not given back by forgetting them.
pub(super) fn keep_allocated(object: &mut Value, old: &Value) {
    if needs_cluster_ip(old) && needs_cluster_ip(object) {
        if meta::text(object, &["spec", "clusterIP"]).is_empty() {
            restore(object, old, &["spec", "clusterIP"]);
        }
        let same_ip = meta::text(object, &["spec", "clusterIP"]) == meta::text(old, &["spec", "clusterIP"]);
        if meta::items(object, &["spec", "clusterIPs"]).is_empty() && same_ip {
            restore(object, old, &["spec", "clusterIPs"]);
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if spec(object, field).is_none() {
                restore(object, old, &["spec", field]);
            }
        }
    }
    if needs_node_port(old) && needs_node_port(object) {
        keep_node_ports(object, old);
    }
    if needs_health_check(old) && needs_health_check(object) && number(object, &["spec", "healthCheckNodePort"]) == 0 {
        restore(object, old, &["spec", "healthCheckNodePort"]);
    }
}

fn keep_node_ports(object: &mut Value, old: &Value) {
    let key = |port: &Value| (meta::text(port, &["protocol"]).to_owned(), number(port, &["port"]));
    let mut taken: BTreeSet<i64> =
        meta::items(object, &["spec", "ports"]).iter().map(|port| number(port, &["nodePort"])).collect();
    let ports = meta::at_mut(object, &["spec", "ports"]).and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        if number(port, &["nodePort"]) != 0 {
            continue;
        }
        let before = meta::items(old, &["spec", "ports"])
            .iter()
            .find(|before| key(before) == key(port))
            .map(|before| number(before, &["nodePort"]));
        if let Some(kept) = before.filter(|kept| *kept != 0)
            && taken.insert(kept)
        {
            meta::set(port, &["nodePort"], kept);
        }
    }
}

/// Makes `clusterIP` and the first of `clusterIPs` agree; what the client changed decides.
pub(super) fn normalize(object: &mut Value, old: Option<&Value>) {
    let one = meta::text(object, &["spec", "clusterIP"]).to_owned();
    let all = meta::items(object, &["spec", "clusterIPs"]).to_vec();
    let Some(old) = old else {
        if !one.is_empty() && all.is_empty() {
            meta::set(object, &["spec", "clusterIPs"], json!([one]));
        }
        return;
    };
    let old_one = meta::text(old, &["spec", "clusterIP"]);
    let same_all = same(spec(object, "clusterIPs"), spec(old, "clusterIPs"));
    if !old_one.is_empty() && one.is_empty() && same_all {
        meta::remove(object, &["spec", "clusterIPs"]);
    } else if all.is_empty() {
        if !meta::items(old, &["spec", "clusterIPs"]).is_empty() && one == old_one {
            meta::remove(object, &["spec", "clusterIP"]);
        } else if !one.is_empty() {
            meta::set(object, &["spec", "clusterIPs"], json!([one]));
        }
    } else if one != old_one && same_all {
        let mut all = all;
        all[0] = json!(one);
        meta::set(object, &["spec", "clusterIPs"], all);
    }
}

/// Drops what the old type had and the new one has not, if the client left it as it was.
pub(super) fn drop_what_the_type_lacks(object: &mut Value, old: &Value) {
    let is_balancer = |object: &Value| meta::text(object, &["spec", "type"]) == "LoadBalancer";
    let lost = |has: fn(&Value) -> bool, object: &Value| has(old) && !has(object);
    let mut fields: Vec<&str> = Vec::new();
    if lost(needs_cluster_ip, object) {
        fields.extend(["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]);
    }
    if lost(needs_health_check, object) {
        fields.push("healthCheckNodePort");
    }
    if is_balancer(old) && !is_balancer(object) {
        fields.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if lost(is_exposed, object) {
        fields.push("externalTrafficPolicy");
    }
    if meta::text(old, &["spec", "type"]) != "ExternalName" && meta::text(object, &["spec", "type"]) == "ExternalName" {
        fields.push("internalTrafficPolicy");
    }
    for field in fields {
        if same(spec(object, field), spec(old, field)) {
            meta::remove(object, &["spec", field]);
        }
    }
    if lost(needs_node_port, object) && same_node_ports(object, old) {
        let ports = meta::at_mut(object, &["spec", "ports"]).and_then(Value::as_array_mut);
        for port in ports.into_iter().flatten() {
            meta::remove(port, &["nodePort"]);
        }
    }
}

fn same_node_ports(object: &Value, old: &Value) -> bool {
    let ports = |object: &Value| -> BTreeSet<i64> {
        meta::items(object, &["spec", "ports"]).iter().map(|port| number(port, &["nodePort"])).collect()
    };
    ports(object) == ports(old)
}
