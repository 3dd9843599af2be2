//! Which cluster addresses and node ports a service gets. Source: `k8s.io/kubernetes/pkg/registry/core/service/storage/
//! alloc.go`, KEP-3070 and KEP-3668 (what is chosen at random comes from the upper part of a range, so that addresses
//! and ports that people choose rarely collide with it).

use std::collections::{BTreeMap, BTreeSet};
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

/// Why a service does not get what it needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// What it asks for is wrong: a 422 answer with these errors.
    Invalid(ErrorList),
    /// What it asks for cannot be had: a 500 answer with this text.
    Internal(String),
}

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        Self::Invalid(vec![error])
    }
}

/// Gives a defaulted service what it needs and has not: address families, cluster addresses, node ports. To be called
/// before the strategy prepares and validates the object; `used` is what all *other* services use.
pub fn allocate(object: &mut Value, old: Option<&Value>, used: &Used, random: &Random) -> Result<(), Refusal> {
    match old {
        Some(old) => {
            update::keep_allocated(object, old);
            update::normalize(object, Some(old));
            update::drop_what_the_type_lacks(object, old);
        }
        None => update::normalize(object, None),
    }
    if meta::text(object, &["spec", "type"]) != "ExternalName" && !old.is_some_and(|old| prefers_both(object, old)) {
        families(object, old)?;
    }
    cluster_ip(object, old, used, random)?;
    node_ports(object, old, used, random)
}

/// Whether a service goes on preferring two families with what it has: it is neither given more nor less.
fn prefers_both(object: &Value, old: &Value) -> bool {
    let policy = |object: &Value| meta::text(object, &["spec", "ipFamilyPolicy"]).to_owned();
    policy(object) == "PreferDualStack"
        && matches!(policy(old).as_str(), "PreferDualStack" | "")
        && meta::text(object, &["spec", "type"]) == meta::text(old, &["spec", "type"])
        && ["clusterIPs", "ipFamilies"]
            .iter()
            .all(|field| meta::items(object, &["spec", field]) == meta::items(old, &["spec", field]))
}

/// One family, as the cluster has one; a headless service whose endpoints somebody else writes may have both.
fn families(object: &mut Value, old: Option<&Value>) -> Result<(), Refusal> {
    let alone = meta::text(object, &["spec", "clusterIP"]) == NONE
        && meta::pairs(object, &["spec", "selector"]).next().is_none();
    if meta::text(object, &["spec", "ipFamilyPolicy"]).is_empty() {
        let before = old.map(|old| meta::text(old, &["spec", "ipFamilyPolicy"])).unwrap_or_default();
        let policy = match before {
            "" if alone => "RequireDualStack",
            "" => "SingleStack",
            before => before,
        };
        meta::set(object, &["spec", "ipFamilyPolicy"], policy);
    }
    let errors = check::collect(object, |root| validation::cluster_ips(&root, old.unwrap_or(&Value::Null)));
    if !errors.is_empty() {
        return Err(Refusal::Invalid(errors));
    }
    let errors = fit_policy(object, old);
    if !errors.is_empty() {
        return Err(Refusal::Invalid(errors));
    }
    let wanted = meta::items(object, &["spec", "ipFamilies"]).to_vec();
    if alone {
        let first = wanted.first().cloned().unwrap_or_else(|| json!("IPv4"));
        let second = if first == "IPv4" { "IPv6" } else { "IPv4" };
        let single = meta::text(object, &["spec", "ipFamilyPolicy"]) == "SingleStack";
        match wanted.len() {
            0 | 1 if !single => meta::set(object, &["spec", "ipFamilies"], json!([first, second])),
            0 => meta::set(object, &["spec", "ipFamilies"], json!([first])),
            _ => {}
        }
        return Ok(());
    }
    let spec = Path::new("spec");
    let mut errors = ErrorList::new();
    if meta::text(object, &["spec", "ipFamilyPolicy"]) == "RequireDualStack" {
        let detail = "this cluster is not configured for dual-stack services";
        errors.push(FieldError::invalid_str(&spec.child("ipFamilyPolicy"), "RequireDualStack", detail));
    }
    for (index, family) in wanted.iter().enumerate().filter(|(_, family)| **family != "IPv4") {
        let path = spec.child("ipFamilies").index(index);
        errors.push(FieldError::invalid(&path, family, "not configured on this cluster"));
    }
    if !errors.is_empty() {
        return Err(Refusal::Invalid(errors));
    }
    if wanted.is_empty() {
        meta::set(object, &["spec", "ipFamilies"], json!(["IPv4"]));
    }
    Ok(())
}

/// Brings addresses, families and the policy about them together, or says why they do not fit.
fn fit_policy(object: &mut Value, old: Option<&Value>) -> ErrorList {
    let path = Path::new("spec").child("ipFamilyPolicy");
    let policy = meta::text(object, &["spec", "ipFamilyPolicy"]).to_owned();
    let complain = |detail: &str| FieldError::invalid_str(&path, &policy, detail);
    let mut errors = ErrorList::new();
    for (field, one, several) in
        [("clusterIPs", "cluster IP", "cluster IPs"), ("ipFamilies", "IP family", "IP families")]
    {
        let had = old.map(|old| meta::items(old, &["spec", field]).to_vec());
        let has = meta::items(object, &["spec", field]).to_vec();
        if policy == "SingleStack" && has.len() > 1 && had.as_ref() == Some(&has) {
            meta::set(object, &["spec", field], json!([has[0]]));
        } else if policy == "SingleStack" && has.len() == 2 {
            let rule = format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {several} are specified");
            errors.push(complain(&rule));
        } else if policy != "SingleStack" && !has.is_empty() && had.is_some_and(|had| has.len() < had.len()) {
            errors.push(complain(&format!("must be 'SingleStack' to release the secondary {one}")));
        }
    }
    let ips = meta::items(object, &["spec", "clusterIPs"]).to_vec();
    let mut families = meta::items(object, &["spec", "ipFamilies"]).to_vec();
    for (index, ip) in ips.iter().enumerate().take_while(|(_, ip)| **ip != NONE).skip(families.len()) {
        if ip.as_str().is_some_and(|ip| ip.contains(':')) {
            let path = Path::new("spec").child("clusterIPs").index(index);
            errors.push(FieldError::invalid(&path, &json!(ips), "IPv6 is not configured on this cluster"));
        } else {
            families.push(json!("IPv4"));
            meta::set(object, &["spec", "ipFamilies"], families.clone());
        }
    }
    errors
}

fn cluster_ip(object: &mut Value, old: Option<&Value>, used: &Used, random: &Random) -> Result<(), Refusal> {
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
                .ok_or_else(|| Refusal::Internal("failed to allocate a serviceIP: range is full".to_owned()))?;
            meta::set(object, &["spec", "clusterIP"], address.clone());
            meta::set(object, &["spec", "clusterIPs"], json!([address]));
        }
        ip => {
            let address: Option<Ipv4Addr> = ip.parse().ok();
            let complaint = match address {
                _ if used.cluster_ips.contains(ip) => TAKEN_IP.to_owned(),
                Some(address) if in_network(address) => return Ok(()),
                Some(address) if is_edge(address) => format!(
                    "the provided IP ({ip}) is not in the valid range. The range of valid IPs is {NETWORK}/{NETWORK_BITS}"
                ),
                _ => OTHER_NETWORK.to_owned(),
            };
            let all = meta::at(object, &["spec", "clusterIPs"]).cloned().unwrap_or_default();
            let detail = format!("failed to allocate IP {ip}: {complaint}");
            return Err(FieldError::invalid(&path, &all, detail).into());
        }
    }
    Ok(())
}

/// The first address of the network and its last: nobody's.
fn is_edge(ip: Ipv4Addr) -> bool {
    let offset = u32::from(ip) ^ u32::from(NETWORK);
    offset == 0 || offset == (1 << (32 - NETWORK_BITS)) - 1
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

fn node_ports(object: &mut Value, old: Option<&Value>, used: &Used, random: &Random) -> Result<(), Refusal> {
    let own: BTreeSet<i64> = old.into_iter().flat_map(ports_of).collect();
    let mut taken: BTreeSet<i64> = &used.node_ports | &own;
    if matches!(meta::text(object, &["spec", "type"]), "NodePort" | "LoadBalancer") {
        match old {
            None => new_ports(object, &mut taken, random)?,
            Some(_) => changed_ports(object, &own, &mut taken, random)?,
        }
    }
    if needs_health_check(object) && !old.is_some_and(needs_health_check) {
        health_check(object, &taken, random)?;
    }
    Ok(())
}

fn take(number: i64, taken: &mut BTreeSet<i64>) -> Result<(), &'static str> {
    if !NODE_PORTS.contains(&number) {
        return Err(OTHER_PORT);
    }
    if taken.insert(number) { Ok(()) } else { Err(TAKEN_PORT) }
}

fn take_any(taken: &mut BTreeSet<i64>, random: &Random) -> Result<i64, Refusal> {
    let free = free_port(taken, random)
        .ok_or_else(|| Refusal::Internal("failed to allocate a nodePort: range is full".to_owned()))?;
    taken.insert(free);
    Ok(free)
}

fn node_port_at(index: usize) -> Path {
    Path::new("spec").child("ports").index(index).child("nodePort")
}

/// The node ports of a new service: those it asks for and, unless it wants none, one for each other port. Ports of the
/// same number share one, whatever their protocols.
fn new_ports(object: &mut Value, taken: &mut BTreeSet<i64>, random: &Random) -> Result<(), Refusal> {
    let wants = needs_node_port(object);
    let requested: Vec<(i64, i64)> = meta::items(object, &["spec", "ports"])
        .iter()
        .map(|port| (number(port, &["port"]), number(port, &["nodePort"])))
        .collect();
    let mut shared: BTreeMap<i64, i64> = BTreeMap::new();
    let ports = meta::at_mut(object, &["spec", "ports"]).and_then(Value::as_array_mut);
    for (index, port) in ports.into_iter().flatten().enumerate() {
        let (own, asked) = requested[index];
        if asked == 0 && !wants {
            continue;
        }
        let wrong =
            |number: i64, why: &str| Refusal::from(FieldError::invalid(&node_port_at(index), &json!(number), why));
        let given = match shared.get(&own) {
            Some(given) if asked == 0 || asked == *given => *given,
            Some(_) => {
                take(asked, taken).map_err(|why| wrong(asked, why))?;
                asked
            }
            None => {
                let of_same = requested.iter().find(|(other, node)| *other == own && *node != 0).map(|(_, node)| *node);
                let given = match of_same {
                    Some(node) => {
                        take(node, taken).map_err(|why| wrong(node, why))?;
                        node
                    }
                    None => take_any(taken, random)?,
                };
                shared.insert(own, given);
                given
            }
        };
        meta::set(port, &["nodePort"], given);
    }
    Ok(())
}

/// The node ports of a changed service: what it had it keeps.
fn changed_ports(
    object: &mut Value,
    own: &BTreeSet<i64>,
    taken: &mut BTreeSet<i64>,
    random: &Random,
) -> Result<(), Refusal> {
    let wants = needs_node_port(object);
    let (mut claimed, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let ports = meta::at_mut(object, &["spec", "ports"]).and_then(Value::as_array_mut);
    for (index, port) in ports.into_iter().flatten().enumerate() {
        let mut node_port = number(port, &["nodePort"]);
        if node_port == 0 && !wants {
            continue;
        }
        if node_port == 0 {
            node_port = take_any(taken, random)?;
            meta::set(port, &["nodePort"], node_port);
        } else if !own.contains(&node_port) && claimed.insert(node_port) {
            take(node_port, taken).map_err(|why| FieldError::invalid(&node_port_at(index), &json!(node_port), why))?;
        }
        let protocol = meta::text(port, &["protocol"]);
        if !seen.insert((protocol.to_owned(), node_port)) {
            return Err(Refusal::Internal(format!("duplicate nodePort: {{{protocol} {node_port}}}")));
        }
    }
    Ok(())
}

fn health_check(object: &mut Value, taken: &BTreeSet<i64>, random: &Random) -> Result<(), Refusal> {
    let asked = number(object, &["spec", "healthCheckNodePort"]);
    if asked != 0 {
        let refuse =
            |why: &str| Refusal::Internal(format!("failed to allocate requested HealthCheck NodePort {asked}: {why}"));
        return take(asked, &mut taken.clone()).map_err(refuse);
    }
    let free = free_port(taken, random)
        .ok_or_else(|| Refusal::Internal("failed to allocate a HealthCheck NodePort 0: range is full".to_owned()))?;
    meta::set(object, &["spec", "healthCheckNodePort"], free);
    Ok(())
}
