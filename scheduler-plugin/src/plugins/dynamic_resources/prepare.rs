//! What is the same for all nodes: which claims have devices, what the others ask for, and what others have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::allocate::{Allocation, Alternative, Ground, Request, Search};
use super::pools::{DeviceId, Pools, matches};
use super::selectors::Selectors;
use super::{Allocations, Choices};
use crate::pod::Pod;
use crate::snapshot::{NodeRef, Snapshot, Table};
use crate::status::Status;
use crate::wire::{DeviceClass, DeviceRequest, ExactDeviceRequest, ResourceClaim};

/// How many pods can share a claim.
/// Source: `k8s.io/api/resource/v1.ResourceClaimReservedForMaxSize`.
const MAX_RESERVED_FOR: usize = 256;

/// Claims of a pod that the API does not show as decided yet.
#[derive(Default)]
pub(super) struct InFlight {
    /// What was allocated, by claim, with the uid of the claim: another one may have its name later.
    allocated: BTreeMap<(String, String), (String, Arc<Allocation>)>,
    /// What is to be written for a pod, by its uid.
    work: BTreeMap<Arc<str>, Work>,
}

/// What is to be written for a pod.
#[derive(Clone)]
pub(super) struct Work {
    /// All claims of the pod.
    pub(super) claims: Vec<Arc<ResourceClaim>>,
    /// What those get that have nothing yet.
    pub(super) allocations: Allocations,
}

fn key(claim: &ResourceClaim) -> (String, String) {
    (claim.metadata.common.namespace.clone(), claim.metadata.common.name.clone())
}

impl InFlight {
    pub(super) fn begin(&mut self, uid: &Arc<str>, claims: &[Arc<ResourceClaim>], allocations: Allocations) {
        for allocation in &allocations {
            let claim = &claims[allocation.claim];
            let uid = claim.metadata.common.uid.clone();
            self.allocated.insert(key(claim), (uid, allocation.clone()));
        }
        self.work.insert(uid.clone(), Work { claims: claims.to_vec(), allocations });
    }

    pub(super) fn work(&self, uid: &str) -> Option<Work> {
        self.work.get(uid).cloned()
    }

    pub(super) fn settle(&mut self, uid: &str) {
        self.work.remove(uid);
    }

    pub(super) fn give_up(&mut self, uid: &str) {
        let Some(work) = self.work.remove(uid) else { return };
        for allocation in &work.allocations {
            self.allocated.remove(&key(&work.claims[allocation.claim]));
        }
    }

    /// Forgets what the API shows, and what was about claims that are gone.
    pub(super) fn forget_confirmed(&mut self, claims: &Table<ResourceClaim>) {
        self.allocated.retain(|(namespace, name), (uid, _)| {
            let claim = claims.get(namespace, name).filter(|claim| claim.metadata.common.uid == *uid);
            claim.is_some_and(|claim| claim.status.allocation.is_none())
        });
    }

    fn has(&self, claim: &ResourceClaim) -> bool {
        self.allocated.contains_key(&key(claim))
    }

    fn devices(&self) -> impl Iterator<Item = &DeviceId> {
        self.allocated.values().flat_map(|(_, allocation)| &allocation.devices)
    }
}

/// A pod's claims, ready to be asked for one node after the other.
pub(super) struct Prepared {
    claims: Vec<Arc<ResourceClaim>>,
    requests: Vec<Request>,
    pools: Pools,
    allocated: BTreeSet<DeviceId>,
    choices: Choices,
}

impl Prepared {
    pub(super) fn new(pod: &Pod, snapshot: &Snapshot, in_flight: &InFlight) -> Result<Self, Status> {
        let devices = snapshot.devices();
        let (mut claims, mut requests) = (Vec::new(), Vec::new());
        for name in pod.resource_claims() {
            let claim = name.and_then(|name| devices.claims.get(&pod.spec.namespace, name));
            let Some(claim) = claim else {
                let name = name.unwrap_or_default();
                return Err(Status::unresolvable(format!("resourceclaim.resource.k8s.io {name:?} not found")));
            };
            let place = claims.len();
            claims.push(claim.clone());
            check(claim, pod)?;
            if claim.status.allocation.is_some() {
                continue;
            }
            if in_flight.has(claim) {
                let (namespace, name) = key(claim);
                let why = format!("resource claim {namespace}/{name} is in the process of being allocated");
                return Err(Status::unresolvable(why));
            }
            for request in &claim.spec.devices.requests {
                requests.push(prepare(place, request, &devices.classes).map_err(Status::unresolvable)?);
            }
        }
        let results = devices.claims.iter().filter_map(|claim| claim.status.allocation.as_ref());
        let results = results.flat_map(|allocation| &allocation.devices.results).filter(|it| !it.admin_access);
        let mut allocated: BTreeSet<DeviceId> =
            results.map(|it| (it.driver.clone(), it.pool.clone(), it.device.clone())).collect();
        allocated.extend(in_flight.devices().cloned());
        Ok(Self { claims, requests, pools: Pools::new(&devices.slices), allocated, choices: Choices::default() })
    }

    /// All claims of the pod.
    pub(super) fn claims(&self) -> &[Arc<ResourceClaim>] {
        &self.claims
    }

    /// Whether the node can use the devices that claims have already.
    pub(super) fn allocated_reach(&self, node: NodeRef<'_>) -> bool {
        let allocations = self.claims.iter().filter_map(|claim| claim.status.allocation.as_ref());
        let mut selectors = allocations.filter_map(|allocation| allocation.node_selector.as_ref());
        selectors.all(|selector| matches(selector, node.snapshot(), node))
    }

    /// Whether the node has devices for all claims that have none; remembers which.
    pub(super) fn allocate(&self, node: NodeRef<'_>, selectors: &Selectors) -> Result<bool, String> {
        if self.requests.is_empty() {
            return Ok(true);
        }
        let (devices, complete) = self.pools.reachable(node);
        let ground = Ground {
            devices: &devices,
            complete,
            allocated: self.allocated.clone(),
            counters: self.pools.counters_left(&self.allocated),
            node: node.name(),
        };
        let found = Search::new(&self.claims, &self.requests, selectors, ground).run()?;
        Ok(found.map(|allocations| self.choices.lock().insert(node.name().clone(), allocations)).is_some())
    }

    /// What was found for a node.
    pub(super) fn chosen(&self, node: &str) -> Option<Allocations> {
        self.choices.lock().get(node).cloned()
    }
}

fn check(claim: &ResourceClaim, pod: &Pod) -> Result<(), Status> {
    let name = &claim.metadata.common.name;
    if claim.metadata.common.deletion_timestamp.is_some() {
        return Err(Status::unresolvable(format!("resourceclaim {name:?} is being deleted")));
    }
    let reserved = &claim.status.reserved_for;
    let own = reserved.iter().any(|it| it.uid == *pod.uid);
    if claim.status.allocation.is_some() && !own && reserved.len() >= MAX_RESERVED_FOR {
        return Err(Status::unresolvable("resourceclaim in use"));
    }
    Ok(())
}

fn prepare(claim: usize, request: &DeviceRequest, classes: &Table<DeviceClass>) -> Result<Request, String> {
    let alternative = |name: String, wanted: &ExactDeviceRequest| {
        let class = wanted.device_class_name.as_str();
        let Some(found) = classes.get("", class) else {
            return Err(format!("request {name}: device class {class} does not exist"));
        };
        Ok(Alternative { name, wanted: wanted.clone(), class: found.clone() })
    };
    let alternatives = match &request.exactly {
        Some(wanted) => vec![alternative(request.name.clone(), wanted)?],
        None if request.first_available.is_empty() => {
            return Err(format!("request {}: unsupported request type", request.name));
        }
        None => {
            let of = |wanted: &ExactDeviceRequest| alternative(format!("{}/{}", request.name, wanted.name), wanted);
            request.first_available.iter().map(of).collect::<Result<_, _>>()?
        }
    };
    Ok(Request { claim, alternatives, prioritized: request.exactly.is_none() })
}
