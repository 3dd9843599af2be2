//! What is the same for all nodes: which claims have devices, what the others ask for, and what others have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use parking_lot::Mutex;
use steersman_machinery::clock::Clock;
use steersman_machinery::random::Random;

use super::allocate::{Allocation, Alternative, Failure, Ground, Request, Search};
use super::conditions;
use super::extended::{Asked, Extended};
use super::in_flight::{InFlight, Progress, key};
use super::pools::{AllocatedState, CountersLeft, Pools, matches};
use super::selectors::Selectors;
use crate::pod::Pod;
use crate::snapshot::{NodeRef, Snapshot, Table};
use crate::status::Status;
use crate::wire::{DeviceClass, DeviceRequest, ExactDeviceRequest, ResourceClaim};

/// How many pods can share a claim.
/// Source: `k8s.io/api/resource/v1.ResourceClaimReservedForMaxSize`.
const MAX_RESERVED_FOR: usize = 256;

/// What was found for a pod on one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    pub(super) allocations: Vec<Arc<Allocation>>,
    /// What the claim for its extended resources asks for.
    pub(super) asked: Asked,
}

/// A pod's claims, ready to be asked for one node after the other.
pub(super) struct Prepared {
    claims: Vec<Arc<ResourceClaim>>,
    requests: Vec<Arc<Request>>,
    pub(super) extended: Option<Extended>,
    pools: Pools,
    allocated: AllocatedState,
    counters: OnceLock<CountersLeft>,
    choices: Mutex<BTreeMap<Arc<str>, Choice>>,
    /// The places of claims that some node could not use.
    pub(super) unavailable: Mutex<BTreeSet<usize>>,
    /// What the API was told of, for who has to take it back.
    pub(super) progress: Arc<Progress>,
}

/// What is needed to look for devices.
pub(super) struct Tools<'a> {
    pub(super) selectors: &'a Selectors,
    pub(super) random: &'a Random,
    pub(super) clock: &'a dyn Clock,
    /// When to give up.
    pub(super) until: Option<Timestamp>,
}

impl Prepared {
    /// `None` if the pod claims nothing.
    pub(super) fn new(pod: &Pod, snapshot: &Snapshot, in_flight: &InFlight) -> Result<Option<Self>, Status> {
        let devices = snapshot.devices();
        let (mut claims, mut requests) = (Vec::new(), Vec::new());
        let found = pod.resource_claims().map(|(name, generated)| find(pod, &devices.claims, (name, generated)));
        let found = found.collect::<Result<Vec<_>, _>>()?;
        let extended = Extended::new(pod, devices);
        if found.is_empty() && extended.is_none() {
            return Ok(None);
        }
        for claim in found {
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
                let request = prepare(place, request, &devices.classes).map_err(Status::unresolvable)?;
                requests.push(Arc::new(request));
            }
        }
        Ok(Some(Self {
            claims,
            requests,
            extended,
            pools: Pools::new(&devices.slices),
            allocated: in_flight.allocated(&devices.claims),
            counters: OnceLock::new(),
            choices: Mutex::default(),
            unavailable: Mutex::default(),
            progress: Arc::default(),
        }))
    }

    /// All claims of the pod that exist.
    pub(super) fn claims(&self) -> &[Arc<ResourceClaim>] {
        &self.claims
    }

    /// The places of claims that have devices which the node cannot use.
    pub(super) fn out_of_reach(&self, node: NodeRef<'_>, is_late: impl Fn(Timestamp) -> bool) -> Vec<usize> {
        let can_use = |claim: &ResourceClaim| {
            let Some(allocation) = &claim.status.allocation else { return true };
            let selector = allocation.node_selector.as_ref();
            selector.is_none_or(|selector| matches(selector, node.snapshot(), node))
                && !conditions::is_hopeless(claim, &is_late)
        };
        let claims = self.claims.iter().enumerate();
        claims.filter(|(_, claim)| !can_use(claim)).map(|(place, _)| place).collect()
    }

    /// Whether the node has devices for all claims that have none; remembers which.
    pub(super) fn allocate(&self, node: NodeRef<'_>, tools: &Tools<'_>) -> Result<bool, Failure> {
        let asked = self.extended.as_ref().map(|extended| extended.asked(node)).unwrap_or_default();
        if self.requests.is_empty() && asked.requests.is_empty() {
            return Ok(true);
        }
        let (claims, requests);
        let (claims, requests) = if asked.requests.is_empty() {
            (&self.claims, &self.requests)
        } else {
            // The claim that is to be made comes last.
            claims = self.claims.iter().cloned().chain([Arc::default()]).collect();
            let own = self.requests.iter().cloned();
            requests = own.chain(asked.requests(self.claims.len()).map(Arc::new)).collect();
            (&claims, &requests)
        };
        let reachable = self.pools.reachable(node);
        let counters = self.counters.get_or_init(|| self.pools.counters_left(&self.allocated));
        let ground = Ground {
            reachable: &reachable,
            allocated: &self.allocated,
            counters: counters.clone(),
            selectors: tools.selectors,
            node: node.name(),
            until: tools.until.map(|until| (tools.clock, until)),
        };
        let mut search = Search::new(claims, requests, ground);
        if !search.run()? {
            return Ok(false);
        }
        let allocations = search.allocations(tools.random).into_iter().map(Arc::new).collect();
        self.choices.lock().insert(node.name().clone(), Choice { allocations, asked });
        Ok(true)
    }

    /// What was found for a node.
    pub(super) fn chosen(&self, node: &str) -> Option<Choice> {
        self.choices.lock().get(node).cloned()
    }
}

/// A claim of the pod, or why it cannot be used.
fn find<'a>(
    pod: &Pod,
    claims: &'a Table<ResourceClaim>,
    (name, generated): (Option<&str>, bool),
) -> Result<&'a Arc<ResourceClaim>, Status> {
    let claim = name.and_then(|name| claims.get(&pod.spec.namespace, name));
    let Some(claim) = claim else {
        let name = name.unwrap_or_default();
        return Err(Status::unresolvable(format!("resourceclaim.resource.k8s.io {name:?} not found")));
    };
    let metadata = &claim.metadata.common;
    if metadata.deletion_timestamp.is_some() {
        return Err(Status::unresolvable(format!("resourceclaim {:?} is being deleted", metadata.name)));
    }
    if generated && !claim.metadata.owners.iter().any(|owner| owner.controller && owner.uid == *pod.uid) {
        let (namespace, name) = key(claim);
        let why = format!("ResourceClaim {namespace}/{name} was not created for pod {} (pod is not owner)", pod.key());
        return Err(Status::unresolvable(why));
    }
    Ok(claim)
}

fn check(claim: &ResourceClaim, pod: &Pod) -> Result<(), Status> {
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
