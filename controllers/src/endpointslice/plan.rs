//! Which slices a service is to have. Endpoints with the same ports share slices; of the slices that are there, as few
//! as possible are written.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use steersman_framework::meta::{OwnerReference, StringMap};

use crate::endpointslice::objects::{
    Conditions, Endpoint, Hints, MANAGED_BY, MANAGER, Named, Port, SERVICE_NAME, Slice, TargetRef,
};
use crate::endpointslice::topology::{self, Distribution, Ratios};
use crate::endpointslice::writing::{Changes, Content, sorted};
use crate::objects::Pod;
use crate::services::{HEADLESS, Service, is_reachable, parse_ip};

#[cfg(test)]
mod tests;

/// How many endpoints a slice has at most (upstream's `--max-endpoints-per-slice`).
pub const MAX_ENDPOINTS: usize = 100;

/// A pod, and the zone of its node.
#[derive(Clone, Debug)]
pub struct Located {
    /// The pod.
    pub pod: Arc<Pod>,
    /// The zone of its node, if that has one.
    pub zone: Option<String>,
}

/// What is to be done so that the slices of a service have these pods.
pub fn plan_slices(service: &Service, pods: &[Located], existing: &[Arc<Slice>]) -> Changes {
    let mut changes = Changes::default();
    let types = address_types(service);
    let known = |slice: &&Arc<Slice>| types.contains(&slice.address_type.as_str());
    changes.delete.extend(existing.iter().filter(|slice| !known(slice)).cloned());
    for address_type in types {
        let of_type = existing.iter().filter(|slice| slice.address_type == address_type);
        let planned = plan_type(service, pods, of_type, address_type);
        changes.create.extend(planned.create);
        changes.update.extend(planned.update);
        changes.delete.extend(planned.delete);
    }
    changes
}

/// What the hints of each family come to, or why there are none.
pub type Given = Vec<(&'static str, Result<Distribution, String>)>;

/// The same with hints by the topology of the cluster, and what they come to for each family, or why there are none.
pub fn plan_hinted_slices(
    service: &Service,
    pods: &[Located],
    existing: &[Arc<Slice>],
    ratios: Option<&Ratios>,
) -> (Changes, Given) {
    let mut changes = Changes::default();
    let types = address_types(service);
    let known = |slice: &&Arc<Slice>| types.contains(&slice.address_type.as_str());
    changes.delete.extend(existing.iter().filter(|slice| !known(slice)).cloned());
    let mut given = Vec::new();
    for address_type in types {
        let of_type: Vec<&Arc<Slice>> = existing.iter().filter(|slice| slice.address_type == address_type).collect();
        // Where endpoints are is decided without their hints.
        let bare: Vec<Arc<Slice>> = of_type.iter().map(|slice| without_hints(slice)).collect();
        let mut planned = plan_type(service, pods, bare.iter(), address_type);
        let touched = planned.update.iter().map(|(slice, _)| slice).chain(&planned.delete);
        let touched: Vec<String> = touched.map(|slice| slice.metadata.name.clone()).collect();
        let unchanged = of_type.into_iter().filter(|slice| !touched.contains(&slice.metadata.name));
        let unchanged = unchanged.cloned().collect();
        given.push((address_type, topology::give_hints(&mut planned, unchanged, ratios)));
        changes.create.extend(planned.create);
        changes.update.extend(planned.update);
        changes.delete.extend(planned.delete);
    }
    (changes, given)
}

fn without_hints(slice: &Arc<Slice>) -> Arc<Slice> {
    if slice.endpoints.iter().all(|endpoint| endpoint.hints.is_none()) {
        return Arc::clone(slice);
    }
    let mut bare = Slice::clone(slice);
    bare.endpoints.iter_mut().for_each(|endpoint| endpoint.hints = None);
    Arc::new(bare)
}

/// The families of a service's addresses. One that does not say has that of its own address; one without, both.
fn address_types(service: &Service) -> Vec<&'static str> {
    let families = &service.spec.ip_families;
    let named = ["IPv4", "IPv6"].into_iter().filter(|kind| families.iter().any(|family| family == kind));
    let named: Vec<_> = named.collect();
    match parse_ip(&service.spec.cluster_ip) {
        _ if !named.is_empty() => named,
        Some(address) if address.is_ipv6() => vec!["IPv6"],
        Some(_) => vec!["IPv4"],
        None => vec!["IPv4", "IPv6"],
    }
}

/// Endpoints that belong together, and the slice that they are or will be in.
struct Place {
    slice: Option<Arc<Slice>>,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

impl Place {
    fn room(&self) -> usize {
        MAX_ENDPOINTS.saturating_sub(self.endpoints.len())
    }
}

fn plan_type<'a>(
    service: &Service,
    pods: &[Located],
    existing: impl Iterator<Item = &'a Arc<Slice>>,
    address_type: &'static str,
) -> Changes {
    let (ours, theirs): (Vec<_>, Vec<_>) = existing.cloned().partition(|slice| is_owned(slice, service));
    let mut by_ports: BTreeMap<Vec<Port>, Vec<Arc<Slice>>> = BTreeMap::new();
    for slice in ours {
        by_ports.entry(sorted(&slice.ports)).or_default().push(slice);
    }
    let mut wanted: Vec<(Place, Vec<Port>)> = Vec::new();
    let mut free: Vec<Arc<Slice>> = Vec::new();
    for (ports, endpoints) in desired(service, pods, address_type) {
        let slices = by_ports.remove(&ports).unwrap_or_default();
        let (full, empty): (Vec<_>, Vec<_>) =
            place(service, slices, endpoints).into_iter().partition(|place| !place.endpoints.is_empty());
        wanted.extend(full.into_iter().map(|place| (place, ports.clone())));
        free.extend(empty.into_iter().filter_map(|place| place.slice));
    }
    free.extend(by_ports.into_values().flatten());
    if wanted.is_empty() {
        // A service without endpoints has one empty slice.
        wanted.push((Place { slice: None, endpoints: Vec::new(), changed: true }, Vec::new()));
    }
    let mut changes = Changes::default();
    for (place, ports) in wanted.into_iter().filter(|(place, _)| place.changed) {
        let content = Content { address_type, ports, endpoints: place.endpoints };
        match place.slice.or_else(|| reuse(&mut free, &content)) {
            Some(slice) if is_current(service, &slice, &content) => {}
            Some(slice) => changes.update.push((slice, content)),
            None => changes.create.push(content),
        }
    }
    // What belongs to a former service of the same name is not written, so as not to meet the garbage collector.
    changes.delete = theirs.into_iter().chain(free).collect();
    changes
}

fn is_owned(slice: &Slice, service: &Service) -> bool {
    let is = |owner: &OwnerReference| (&owner.uid, &*owner.kind) == (&service.metadata.uid, "Service");
    slice.metadata.owner_references.iter().any(is)
}

fn is_current(service: &Service, slice: &Slice, content: &Content) -> bool {
    sorted(&slice.ports) == content.ports
        && slice.endpoints == content.endpoints
        && slice.metadata.labels == labels(service)
}

/// Instead of deleting one slice and making another, one is written: rather one that is empty already.
fn reuse(free: &mut Vec<Arc<Slice>>, content: &Content) -> Option<Arc<Slice>> {
    let fits = |slice: &Arc<Slice>| slice.endpoints == content.endpoints && sorted(&slice.ports) == content.ports;
    let at = free.iter().position(fits).or_else(|| free.len().checked_sub(1))?;
    Some(free.remove(at))
}

/// The labels of a service's slices: its own, but for those that we set.
pub fn labels(service: &Service) -> StringMap {
    let mut labels = service.metadata.labels.clone();
    labels.remove(HEADLESS);
    if service.is_headless() {
        labels.insert(HEADLESS, "");
    }
    labels.insert(SERVICE_NAME, service.metadata.name.as_str());
    labels.insert(MANAGED_BY, MANAGER);
    labels
}

/// The endpoints that a service is to have, by their ports.
fn desired(service: &Service, pods: &[Located], address_type: &str) -> BTreeMap<Vec<Port>, Vec<Endpoint>> {
    let mut desired: BTreeMap<Vec<Port>, Vec<Endpoint>> = BTreeMap::new();
    for located in pods.iter().filter(|located| is_reachable(&located.pod, true)) {
        let endpoint = endpoint(service, located, address_type);
        if !endpoint.addresses.is_empty() {
            desired.entry(sorted(&ports(service, &located.pod))).or_default().push(endpoint);
        }
    }
    desired
}

fn endpoint(service: &Service, located: &Located, address_type: &str) -> Endpoint {
    let pod = &*located.pod;
    let is_of_type = |address: &IpAddr| address.is_ipv6() == (address_type == "IPv6");
    let addresses = pod.network.ips.iter().filter_map(|text| parse_ip(text)).filter(is_of_type);
    let terminating = pod.metadata.is_deleting();
    let ready = service.spec.publish_not_ready_addresses || (pod.ready && !terminating);
    let node_name = Some(pod.node_name.clone()).filter(|name| !name.is_empty());
    Endpoint {
        hints: if ready { hints(service, located.zone.as_ref(), node_name.as_ref()) } else { None },
        addresses: addresses.map(|address| address.to_string()).collect(),
        conditions: Conditions { ready: Some(ready), serving: Some(pod.ready), terminating: Some(terminating) },
        hostname: service.hostname(pod).map(str::to_owned),
        node_name,
        zone: located.zone.clone(),
        target_ref: Some(TargetRef::pod(&pod.metadata)),
    }
}

/// Who had better use an endpoint there. Source: `k8s.io/endpointslice/trafficdist`, KEP-4444, KEP-3015.
fn hints(service: &Service, zone: Option<&String>, node: Option<&String>) -> Option<Hints> {
    let is_same_node = match service.spec.traffic_distribution.as_str() {
        _ if topology::is_wanted(&service.metadata.annotations) => return None,
        "PreferSameNode" => true,
        "PreferSameZone" | "PreferClose" => false,
        _ => return None,
    };
    let named = |name: Option<&String>| name.cloned().map(|name| Named { name }).into_iter().collect();
    let hints = Hints { for_zones: named(zone), for_nodes: named(node.filter(|_| is_same_node)) };
    (hints != Hints::default()).then_some(hints)
}

/// The ports of a service in a pod; those that the pod does not have are left out.
fn ports(service: &Service, pod: &Pod) -> Vec<Port> {
    let port = |port: &crate::services::ServicePort| {
        Some(Port {
            name: port.name.clone(),
            port: Some(port.number_in(pod)?),
            protocol: port.protocol.clone(),
            app_protocol: port.app_protocol.clone(),
        })
    };
    service.spec.ports.iter().filter_map(port).collect()
}

/// Distributes endpoints over slices: each stays where it is; new ones go into slices that are written anyway, then, if
/// they all fit, into the slice that they fill best, else into new ones.
fn place(service: &Service, slices: Vec<Arc<Slice>>, endpoints: Vec<Endpoint>) -> Vec<Place> {
    let uid = |endpoint: &Endpoint| endpoint.target_ref.as_ref().map(|target| target.uid.clone());
    let mut missing: BTreeMap<_, _> = endpoints.iter().map(|endpoint| (uid(endpoint), endpoint)).collect();
    let mut places = Vec::new();
    for slice in slices {
        let kept = slice.endpoints.iter().filter_map(|present| {
            missing
                .get(&uid(present))
                .is_some_and(|wanted| wanted.is_same(present))
                .then(|| missing.remove(&uid(present)))?
        });
        let kept: Vec<Endpoint> = kept.cloned().collect();
        let changed = kept != slice.endpoints || slice.metadata.labels != labels(service);
        places.push(Place { slice: Some(slice), endpoints: kept, changed });
    }
    let missing = |endpoint: &&Endpoint| missing.contains_key(&uid(endpoint));
    let mut rest: Vec<Endpoint> = endpoints.iter().filter(missing).cloned().collect();
    places.sort_by_key(Place::room);
    for place in places.iter_mut().filter(|place| place.changed && !place.endpoints.is_empty()) {
        let count = rest.len().min(place.room());
        place.endpoints.extend(rest.drain(..count));
    }
    while !rest.is_empty() {
        let count = rest.len().min(MAX_ENDPOINTS);
        let fitting =
            places.iter_mut().filter(|place| !place.changed && count < MAX_ENDPOINTS && place.room() >= count);
        if let Some(place) = fitting.min_by_key(|place| place.room()) {
            place.endpoints.append(&mut rest);
            place.changed = true;
        } else {
            places.push(Place { slice: None, endpoints: rest.drain(..count).collect(), changed: true });
        }
    }
    places
}
