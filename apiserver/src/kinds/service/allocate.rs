//! Which cluster addresses and node ports a service gets. Source: `k8s.io/kubernetes/pkg/registry/core/service/storage/
//! alloc.go`, KEP-3070 and KEP-3668 (what is chosen at random comes from the upper part of a range, so that addresses
//! and ports that people choose rarely collide with it).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::meta;
use steersman_machinery::random::Random;

use super::{needs_cluster_ip, needs_health_check, needs_node_port, number, update, validation};
use crate::kinds::check;

/// The network of cluster addresses: 10.0.0.0/16.
const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 0);
const NETWORK_BITS: u32 = 16;
/// The addresses at the start of the network that are chosen last.
const STATIC_ADDRESSES: u32 = 256;
/// The node ports.
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30000..=32767;
/// The node ports at the start of the range that are chosen last.
const STATIC_PORTS: i64 = 86;
/// How often a free one is looked for at random before the range is searched from its start.
const TRIES: usize = 32;

const NONE: &str = "None";
const TAKEN_IP: &str = "provided IP is already allocated";
const OTHER_NETWORK: &str = "the provided network does not match the current range";
const TAKEN_PORT: &str = "provided port is already allocated";
const OTHER_PORT: &str = "provided port is not in the valid range. The range of valid ports is 30000-32767";

/// The cluster addresses and node ports that are in use.
#[derive(Clone, Debug, Default)]
pub struct Used {
    /// The addresses, as the services write them.
    pub cluster_ips: BTreeSet<String>,
    /// The ports, of services and of their health checks.
    pub node_ports: BTreeSet<i64>,
}

impl Used {
    /// What `services` use. Leave the service out that is about to be written.
    pub fn of<'a>(services: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut used = Self::default();
        for service in services {
            let addresses = meta::items(service, &["spec", "clusterIPs"]).iter().filter_map(Value::as_str);
            used.cluster_ips.extend(addresses.filter(|ip| *ip != NONE).map(str::to_owned));
            used.node_ports.extend(ports_of(service));
        }
        used
    }
}

fn ports_of(service: &Value) -> impl Iterator<Item = i64> {
    meta::items(service, &["spec", "ports"])
        .iter()
        .map(|port| number(port, &["nodePort"]))
        .chain([number(service, &["spec", "healthCheckNodePort"])])
        .filter(|port| *port != 0)
}

/// Gives a defaulted service what it needs and has not: address families, cluster addresses, node ports. To be called
/// before the strategy prepares and validates the object; `used` is what all *other* services use. Errors are those of a
/// 422 answer.
pub fn allocate(object: &mut Value, old: Option<&Value>, used: &Used, random: &Random) -> Result<(), ErrorList> {
    match old {
        Some(old) => {
            update::keep_allocated(object, old);
            update::normalize(object, Some(old));
            update::drop_what_the_type_lacks(object, old);
        }
        None => update::normalize(object, None),
    }
    let errors = check::collect(object, |root| validation::cluster_ips(&root));
    if !errors.is_empty() {
        return Err(errors);
    }
    families(object)?;
    cluster_ip(object, old, used, random)?;
    node_ports(object, old, used, random)
}

/// One family, as the cluster has one; a headless service whose endpoints somebody else writes may have both.
fn families(object: &mut Value) -> Result<(), ErrorList> {
    if !needs_cluster_ip(object) {
        return Ok(());
    }
    let headless = meta::text(object, &["spec", "clusterIP"]) == NONE;
    let selectorless = meta::pairs(object, &["spec", "selector"]).next().is_none();
    if headless && selectorless {
        meta::set_default(object, &["spec", "ipFamilyPolicy"], "RequireDualStack");
        let families = object["spec"].get("ipFamilies").and_then(Value::as_array).cloned().unwrap_or_default();
        let families = match (families.first().and_then(Value::as_str), families.len()) {
            (_, 2..) => return Ok(()),
            (Some("IPv6"), _) => json!(["IPv6", "IPv4"]),
            _ => json!(["IPv4", "IPv6"]),
        };
        if meta::text(object, &["spec", "ipFamilyPolicy"]) != "SingleStack" {
            meta::set(object, &["spec", "ipFamilies"], families);
        } else {
            meta::set_default(object, &["spec", "ipFamilies"], json!(["IPv4"]));
        }
        return Ok(());
    }
    let spec = Path::new("spec");
    if meta::text(object, &["spec", "ipFamilyPolicy"]) == "RequireDualStack" {
        let detail = "Cluster is not configured for dual-stack services";
        return Err(vec![FieldError::invalid_str(&spec.child("ipFamilyPolicy"), "RequireDualStack", detail)]);
    }
    let wanted = meta::items(object, &["spec", "ipFamilies"]);
    for (index, family) in wanted.iter().enumerate() {
        if family != "IPv4" {
            let path = spec.child("ipFamilies").index(index);
            return Err(vec![FieldError::invalid(&path, family, "not configured on this cluster")]);
        }
    }
    if wanted.is_empty() {
        meta::set(object, &["spec", "ipFamilies"], json!(["IPv4"]));
    }
    meta::set_default(object, &["spec", "ipFamilyPolicy"], "SingleStack");
    Ok(())
}

fn cluster_ip(object: &mut Value, old: Option<&Value>, used: &Used, random: &Random) -> Result<(), ErrorList> {
    let had_one = old.is_some_and(|old| needs_cluster_ip(old) && !meta::text(old, &["spec", "clusterIP"]).is_empty());
    if !needs_cluster_ip(object) || had_one {
        return Ok(());
    }
    let path = Path::new("spec").child("clusterIPs");
    let asked = meta::text(object, &["spec", "clusterIP"]).to_owned();
    match asked.as_str() {
        NONE => {}
        "" => {
            let address = free_address(used, random)
                .ok_or_else(|| vec![FieldError::internal(&path, "failed to allocate a serviceIP: range is full")])?;
            meta::set(object, &["spec", "clusterIP"], address.clone());
            meta::set(object, &["spec", "clusterIPs"], json!([address]));
        }
        ip => {
            let complaint = if used.cluster_ips.contains(ip) {
                TAKEN_IP
            } else if !ip.parse().is_ok_and(in_network) {
                OTHER_NETWORK
            } else {
                return Ok(());
            };
            let all = meta::at(object, &["spec", "clusterIPs"]).cloned().unwrap_or_default();
            let detail = format!("failed to allocate IP {ip}: {complaint}");
            return Err(vec![FieldError::invalid(&path, &all, detail)]);
        }
    }
    Ok(())
}

fn in_network(ip: Ipv4Addr) -> bool {
    let offset = u32::from(ip) ^ u32::from(NETWORK);
    (1..(1 << (32 - NETWORK_BITS)) - 1).contains(&offset)
}

/// A free address: at random from the upper part, then the lowest.
fn free_address(used: &Used, random: &Random) -> Option<String> {
    let size = 1_u32 << (32 - NETWORK_BITS);
    let address = |offset: u32| Ipv4Addr::from(u32::from(NETWORK) + offset).to_string();
    let dynamic = size - 1 - STATIC_ADDRESSES;
    let at_random = std::iter::repeat_with(|| {
        let offset = u32::try_from(random.below(u64::from(dynamic))).unwrap_or_default();
        address(STATIC_ADDRESSES + offset)
    });
    at_random
        .take(TRIES)
        .chain((STATIC_ADDRESSES..size - 1).map(address))
        .chain((1..STATIC_ADDRESSES).map(address))
        .find(|ip| !used.cluster_ips.contains(ip))
}

fn free_port(taken: &BTreeSet<i64>, random: &Random) -> Option<i64> {
    let start = NODE_PORTS.start() + STATIC_PORTS;
    let bound = u64::try_from(NODE_PORTS.end() - start + 1).unwrap_or_default();
    let at_random = std::iter::repeat_with(|| start + i64::try_from(random.below(bound)).unwrap_or_default());
    at_random
        .take(TRIES)
        .chain(start..=*NODE_PORTS.end())
        .chain(*NODE_PORTS.start()..start)
        .find(|port| !taken.contains(port))
}

fn node_ports(object: &mut Value, old: Option<&Value>, used: &Used, random: &Random) -> Result<(), ErrorList> {
    let own: BTreeSet<i64> = old.into_iter().flat_map(ports_of).collect();
    let mut taken: BTreeSet<i64> = &used.node_ports | &own;
    let ports = Path::new("spec").child("ports");
    if needs_node_port(object) {
        claim_ports(object, &own, &mut taken, &ports)?;
        fill_ports(object, &mut taken, random, &ports)?;
    }
    if needs_health_check(object) {
        health_check(object, &own, &taken, random)?;
    }
    Ok(())
}

/// Claims the ports that the client chose. One number may serve several protocols of one service.
fn claim_ports(object: &Value, own: &BTreeSet<i64>, taken: &mut BTreeSet<i64>, path: &Path) -> Result<(), ErrorList> {
    let mut chosen = BTreeSet::new();
    for (index, port) in meta::items(object, &["spec", "ports"]).iter().enumerate() {
        let number = number(port, &["nodePort"]);
        if number == 0 || own.contains(&number) || !chosen.insert(number) {
            continue;
        }
        let complaint = if !NODE_PORTS.contains(&number) {
            OTHER_PORT
        } else if !taken.insert(number) {
            TAKEN_PORT
        } else {
            continue;
        };
        let path = path.index(index).child("nodePort");
        return Err(vec![FieldError::invalid(&path, &json!(number), complaint)]);
    }
    Ok(())
}

fn fill_ports(object: &mut Value, taken: &mut BTreeSet<i64>, random: &Random, path: &Path) -> Result<(), ErrorList> {
    let mut given: Vec<(i64, String, i64)> = Vec::new();
    let ports = meta::at_mut(object, &["spec", "ports"]).and_then(Value::as_array_mut);
    for (index, port) in ports.into_iter().flatten().enumerate() {
        let protocol = meta::text(port, &["protocol"]).to_owned();
        let mut node_port = number(port, &["nodePort"]);
        if node_port == 0 {
            let shared = given
                .iter()
                .find(|(own, other, _)| *own == number(port, &["port"]) && *other != protocol)
                .map(|(_, _, node_port)| *node_port);
            let Some(free) = shared.or_else(|| free_port(taken, random)) else {
                let path = path.index(index).child("nodePort");
                return Err(vec![FieldError::invalid(
                    &path,
                    &json!(0),
                    "failed to allocate a nodePort: range is full",
                )]);
            };
            taken.insert(free);
            meta::set(port, &["nodePort"], free);
            node_port = free;
        }
        given.push((number(port, &["port"]), protocol, node_port));
    }
    Ok(())
}

fn health_check(
    object: &mut Value,
    own: &BTreeSet<i64>,
    taken: &BTreeSet<i64>,
    random: &Random,
) -> Result<(), ErrorList> {
    let path = Path::new("spec").child("healthCheckNodePort");
    match number(object, &["spec", "healthCheckNodePort"]) {
        0 => {
            let free = free_port(taken, random).ok_or_else(|| {
                vec![FieldError::internal(&path, "failed to allocate a HealthCheck NodePort: range is full")]
            })?;
            meta::set(object, &["spec", "healthCheckNodePort"], free);
            Ok(())
        }
        port if own.contains(&port) => Ok(()),
        port if taken.contains(&port) => Err(vec![FieldError::invalid(&path, &json!(port), TAKEN_PORT)]),
        port if !NODE_PORTS.contains(&port) => Err(vec![FieldError::invalid(&path, &json!(port), OTHER_PORT)]),
        _ => Ok(()),
    }
}
