//! Finds devices for all requests of all claims on one node, by trying and taking back.
//! Source: `k8s.io/dynamic-resource-allocation/structured` allocator.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use steersman_machinery::clock::Clock;

use super::capacity::{self, Consumed};
use super::pools::{AllocatedState, CountersLeft, DeviceId, Place, Reachable};
use super::selectors::{Selectors, split};
use crate::plugins::taint_toleration::tolerates;
use crate::wire::{DeviceClass, DeviceConstraint, DeviceSelector, ExactDeviceRequest, ResourceClaim};

/// The most devices that one claim can have.
/// Source: `k8s.io/api/resource/v1.AllocationResultsMaxSize`.
const MAX_DEVICES: usize = 32;
/// How many devices are tried between two looks at the clock: each takes about a microsecond.
const STEPS_A_LOOK: u32 = 1024;

/// One way to satisfy a request.
pub(super) struct Alternative {
    /// The request's name in results: `request` or `request/subrequest`.
    pub(super) name: String,
    pub(super) wanted: ExactDeviceRequest,
    pub(super) class: Arc<DeviceClass>,
}

/// A request of a claim.
pub(super) struct Request {
    /// The place of its claim.
    pub(super) claim: usize,
    /// Ways to satisfy it, the best first.
    pub(super) alternatives: Vec<Alternative>,
    /// Whether it says which of several will do.
    pub(super) prioritized: bool,
}

/// What a claim gets.
#[derive(Debug)]
pub(super) struct Allocation {
    /// The place of the claim among the pod's.
    pub(super) claim: usize,
    /// `status.allocation`.
    pub(super) result: Value,
    /// The devices that nobody else can have now; with amounts those of which others can have the rest.
    pub(super) devices: Vec<(DeviceId, Option<BTreeMap<String, String>>)>,
    /// How good the alternatives are that were taken.
    pub(super) score: i64,
}

/// A device that was taken for a request.
pub(super) struct Taken {
    pub(super) request: usize,
    pub(super) alternative: usize,
    pub(super) place: Place,
    /// How much of it, if others can have the rest.
    pub(super) share: Option<Consumed>,
    /// Whether it took of what devices share.
    counted: bool,
}

/// Why there is no answer.
pub(super) enum Failure {
    /// This node will not do.
    Node(String),
    /// Something is wrong with the claim or its class.
    Claim(String),
}

/// Why a search does not go on.
enum Stop {
    /// The claim would have more devices than it can.
    TooMany,
    Failed(Failure),
}

/// How many devices an alternative needs, and which if it wants all.
struct Need {
    count: usize,
    all: Option<Vec<usize>>,
}

/// The search on one node.
pub(super) struct Search<'a> {
    pub(super) claims: &'a [Arc<ResourceClaim>],
    pub(super) requests: &'a [Arc<Request>],
    ground: Ground<'a>,
    /// Of each alternative of each request.
    needs: Vec<Vec<Need>>,
    /// Whether a device has what an alternative asks for, as far as it is known.
    selectable: BTreeMap<(usize, usize, usize), bool>,
    pub(super) taken: Vec<Taken>,
    steps: u32,
}

/// What a search begins with besides the requests.
pub(super) struct Ground<'a> {
    pub(super) reachable: &'a Reachable,
    /// What others have.
    pub(super) allocated: &'a AllocatedState,
    pub(super) counters: CountersLeft,
    pub(super) selectors: &'a Selectors,
    pub(super) node: &'a str,
    /// When to give up.
    pub(super) until: Option<(&'a dyn Clock, Timestamp)>,
}

impl<'a> Search<'a> {
    pub(super) fn new(claims: &'a [Arc<ResourceClaim>], requests: &'a [Arc<Request>], ground: Ground<'a>) -> Self {
        let (needs, taken) = (Vec::new(), Vec::new());
        Self { claims, requests, ground, needs, selectable: BTreeMap::new(), taken, steps: 0 }
    }

    pub(super) fn node(&self) -> &'a str {
        self.ground.node
    }

    /// Devices for every request; `None` if the node cannot have them.
    pub(super) fn run(&mut self) -> Result<bool, Failure> {
        self.look_at_requests()?;
        match self.satisfy(0) {
            Ok(true) => Ok(true),
            Ok(false) | Err(Stop::TooMany) if self.ground.reachable.invalid.is_some() => {
                Err(Failure::Node("invalid resource pools were encountered".to_owned()))
            }
            Ok(false) | Err(Stop::TooMany) => Ok(false),
            Err(Stop::Failed(failure)) => Err(failure),
        }
    }

    /// Finds out how many devices are needed at least.
    fn look_at_requests(&mut self) -> Result<(), Failure> {
        let requests = self.requests;
        for (index, request) in requests.iter().enumerate() {
            let needs = (0..request.alternatives.len()).map(|alternative| self.need((index, alternative)));
            let needs = needs.collect::<Result<Vec<_>, _>>()?;
            self.needs.push(needs);
        }
        for (place, claim) in self.claims.iter().enumerate() {
            let of_claim = self.requests.iter().zip(&self.needs).filter(|(request, _)| request.claim == place);
            let least = |needs: &Vec<Need>| needs.iter().map(|need| need.count).min().unwrap_or(0);
            let least: usize = of_claim.map(|(_, needs)| least(needs)).sum();
            if least > MAX_DEVICES {
                return Err(Failure::Claim(format!(
                    "claim {}: number of requested devices {least} exceeds the claim limit of {MAX_DEVICES}",
                    key(claim)
                )));
            }
            let empty = |it: &DeviceConstraint| it.match_attribute.is_none() && it.distinct_attribute.is_none();
            if let Some(number) = claim.spec.devices.constraints.iter().position(empty)
                && self.requests.iter().any(|request| request.claim == place)
            {
                let why = format!("constraint #{number}: empty constraint (unsupported constraint type?)");
                return Err(Failure::Claim(format!("claim {}, {why}", key(claim))));
            }
        }
        Ok(())
    }

    fn need(&mut self, of: (usize, usize)) -> Result<Need, Failure> {
        let wanted = self.wanted(of);
        if wanted.allocation_mode != "All" {
            return Ok(Need { count: wanted.count.max(1), all: None });
        }
        let reachable = self.ground.reachable;
        let (claim, name) = (key(&self.claims[self.claim(of.0)]), own_name(&self.alternative(of).name));
        let refuse = |pool: &str, why: &str| {
            let text = format!("claim {claim}, request {name}: asks for all devices, but resource pool {pool} is");
            Err(Failure::Claim(format!("{text} currently {why}")))
        };
        if let Some(pool) = &reachable.incomplete {
            return refuse(pool, "being updated");
        }
        if let Some(pool) = &reachable.invalid {
            return refuse(pool, "invalid");
        }
        let mut all = Vec::new();
        for index in 0..reachable.devices.len() {
            if self.is_selectable(of, index)? && self.has_room(of, &reachable.devices[index]).is_some() {
                all.push(index);
            }
        }
        Ok(Need { count: all.len(), all: Some(all) })
    }

    fn satisfy(&mut self, request: usize) -> Result<bool, Stop> {
        let requests = self.requests;
        let Some(wanted) = requests.get(request) else { return Ok(true) };
        let next_claim = request > 0 && requests[request - 1].claim != wanted.claim;
        match self.satisfy_one(request) {
            // An earlier claim can do with fewer devices; this one can't.
            Err(Stop::TooMany) if next_claim => Ok(false),
            result => result,
        }
    }

    fn satisfy_one(&mut self, request: usize) -> Result<bool, Stop> {
        if !self.requests[request].prioritized {
            return self.take((request, 0), 0, 0);
        }
        let mut all_too_many = true;
        for alternative in 0..self.requests[request].alternatives.len() {
            match self.take((request, alternative), 0, 0) {
                Err(Stop::TooMany) => continue,
                Ok(false) => all_too_many = false,
                result => return result,
            }
        }
        if all_too_many { Err(Stop::TooMany) } else { Ok(false) }
    }

    fn claim(&self, request: usize) -> usize {
        self.requests[request].claim
    }

    fn alternative(&self, (request, alternative): (usize, usize)) -> &'a Alternative {
        &self.requests[request].alternatives[alternative]
    }

    fn wanted(&self, of: (usize, usize)) -> &'a ExactDeviceRequest {
        &self.alternative(of).wanted
    }

    /// Whether a device has what a request asks for, whoever has it.
    fn is_selectable(&mut self, of: (usize, usize), index: usize) -> Result<bool, Failure> {
        if let Some(known) = self.selectable.get(&(of.0, of.1, index)) {
            return Ok(*known);
        }
        let Alternative { wanted, class, .. } = self.alternative(of);
        let place = &self.ground.reachable.devices[index];
        let of_class = || format!("class {}", class.metadata.name);
        let of_claim = || format!("claim {}", key(&self.claims[self.claim(of.0)]));
        let holds = self.all_hold(&class.spec.selectors, place, of_class)?
            && self.all_hold(&wanted.selectors, place, of_claim)?;
        self.selectable.insert((of.0, of.1, index), holds);
        Ok(holds)
    }

    fn all_hold(
        &self,
        selectors: &[DeviceSelector],
        place: &Place,
        whose: impl Fn() -> String,
    ) -> Result<bool, Failure> {
        for (number, selector) in selectors.iter().enumerate() {
            let Some(cel) = &selector.cel else {
                let why = "CEL expression empty (unsupported selector type?)";
                return Err(Failure::Claim(format!("{}, selector #{number}: {why}", whose())));
            };
            let held = self.ground.selectors.holds(&cel.expression, place.driver(), place.device());
            let held = held.map_err(|why| {
                let (driver, pool, device) = place.id();
                let on = format!("{}: selector #{number} on device {driver}/{pool}/{device}", whose());
                Failure::Claim(format!("{on}: CEL runtime error: {why}"))
            });
            if !held? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What a request takes of a device, if there is that much left.
    fn has_room(&self, of: (usize, usize), place: &Place) -> Option<Consumed> {
        let device = place.device();
        let wanted = capacity::consumed(&device.capacity, &self.wanted(of).capacity.requests)?;
        if device.capacity.is_empty() {
            return Some(wanted);
        }
        let id = place.id();
        let own = self.taken.iter().filter(|taken| taken.place.id() == id).filter_map(|taken| taken.share.as_ref());
        let others = self.ground.allocated.shared.get(&id);
        capacity::suffices(&device.capacity, &wanted, others.into_iter().chain(own)).then_some(wanted)
    }

    /// Takes the devices of a request from the `device`th on, and what the requests after it need. Only devices from
    /// `start` on are looked at: in which order a request has its devices does not matter.
    fn take(&mut self, of: (usize, usize), device: usize, start: usize) -> Result<bool, Stop> {
        self.look_at_clock()?;
        let Need { count, all } = &self.needs[of.0][of.1];
        let count = *count;
        let next = all.as_ref().map(|all| all.get(device).copied());
        if all.is_some() && count == 0 {
            return Ok(false);
        }
        if device >= count {
            return self.satisfy(of.0 + 1);
        }
        let claim = self.claim(of.0);
        let of_claim = self.taken.iter().filter(|taken| self.claim(taken.request) == claim).count();
        if of_claim + count - device > MAX_DEVICES {
            return Err(Stop::TooMany);
        }
        if let Some(next) = next {
            let Some(index) = next else { return Ok(false) };
            return Ok(self.put(of, index, true)? && self.go_on(of, device + 1, 0)?);
        }
        for index in start..self.ground.reachable.devices.len() {
            let place = &self.ground.reachable.devices[index];
            if self.is_in_use(of, place) || !self.is_selectable(of, index).map_err(Stop::Failed)? {
                continue;
            }
            if self.put(of, index, false)? && self.go_on(of, device + 1, index + 1)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Goes on after a device was taken; gives it back if that leads nowhere.
    fn go_on(&mut self, of: (usize, usize), device: usize, start: usize) -> Result<bool, Stop> {
        let result = self.take(of, device, start);
        if !matches!(result, Ok(true)) {
            self.give_back();
        }
        result
    }

    fn look_at_clock(&mut self) -> Result<(), Stop> {
        self.steps = self.steps.wrapping_add(1);
        match self.ground.until {
            Some((clock, until)) if self.steps.is_multiple_of(STEPS_A_LOOK) && clock.now() > until => {
                let why = format!("node {}: timed out trying to allocate devices", self.ground.node);
                Err(Stop::Failed(Failure::Claim(why)))
            }
            _ => Ok(()),
        }
    }

    /// Whether somebody has a device already that cannot be shared.
    fn is_in_use(&self, of: (usize, usize), place: &Place) -> bool {
        let id = place.id();
        let mut own = self.taken.iter().filter(|taken| taken.share.is_none() && taken.place.id() == id);
        if self.wanted(of).admin_access {
            let claim = self.claim(of.0);
            return own.any(|taken| self.claim(taken.request) == claim);
        }
        self.ground.allocated.devices.contains(&id) || own.next().is_some()
    }

    /// Takes a device that has what a request asks for, if that is possible. Who wants all devices has to be able to.
    fn put(&mut self, of: (usize, usize), index: usize, must: bool) -> Result<bool, Stop> {
        let place = &self.ground.reachable.devices[index];
        let (device, wanted) = (place.device(), self.wanted(of));
        if self.is_in_use(of, place) {
            return Ok(false);
        }
        let shares = device.allow_multiple_allocations;
        let id = place.id();
        // Who is there already has taken what the device takes of what devices share.
        let counts = !shares
            || !self.ground.allocated.shared.contains_key(&id)
                && !self.taken.iter().any(|taken| taken.share.is_some() && taken.place.id() == id);
        if counts && !self.ground.counters.suffices(place) {
            return Ok(false);
        }
        let tolerated = |taint| wanted.tolerations.iter().any(|toleration| tolerates(&toleration.of, taint));
        let binding = |taint: &&crate::wire::Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
        if device.taints.iter().filter(binding).any(|taint| !tolerated(taint)) {
            return Ok(false);
        }
        if !self.constraints_hold(of, place) {
            if must {
                let (driver, pool, device) = id;
                let claim = key(&self.claims[self.claim(of.0)]);
                let name = own_name(&self.alternative(of).name);
                return Err(Stop::Failed(Failure::Claim(format!(
                    "claim {claim}, request {name}: cannot add device {driver}/{pool}/{device} because a claim \
                     constraint would not be satisfied"
                ))));
            }
            return Ok(false);
        }
        let Some(consumed) = self.has_room(of, place) else { return Ok(false) };
        if counts {
            self.ground.counters.take(place);
        }
        let share = shares.then_some(consumed);
        self.taken.push(Taken { request: of.0, alternative: of.1, place: place.clone(), share, counted: counts });
        Ok(true)
    }

    fn give_back(&mut self) {
        let Some(Taken { place, counted, .. }) = self.taken.pop() else { return };
        if counted {
            self.ground.counters.give_back(&place);
        }
    }

    /// Whether what a claim says of its devices among each other still holds with one more.
    fn constraints_hold(&self, of: (usize, usize), place: &Place) -> bool {
        let claim = self.claim(of.0);
        let constraints = &self.claims[claim].spec.devices.constraints;
        constraints.iter().filter(|constraint| self.concerns(constraint, of)).all(|constraint| {
            let others = self.taken.iter().filter(|taken| {
                self.claim(taken.request) == claim && self.concerns(constraint, (taken.request, taken.alternative))
            });
            let mut others = others.map(|taken| &taken.place);
            match (&constraint.match_attribute, &constraint.distinct_attribute) {
                (Some(name), _) => {
                    attribute(place, name).is_some_and(|own| others.all(|other| attribute(other, name) == Some(own)))
                }
                (_, Some(name)) => {
                    attribute(place, name).is_some_and(|own| others.all(|other| attribute(other, name) != Some(own)))
                }
                _ => false,
            }
        })
    }

    fn concerns(&self, constraint: &DeviceConstraint, of: (usize, usize)) -> bool {
        let name = &self.alternative(of).name;
        constraint.requests.is_empty() || constraint.requests.iter().any(|it| it == name || it == main(name))
    }
}

/// A claim as errors call it.
pub(super) fn key(claim: &ResourceClaim) -> String {
    format!("{}/{}", claim.metadata.common.namespace, claim.metadata.common.name)
}

/// The request that a subrequest belongs to.
pub(super) fn main(name: &str) -> &str {
    name.split_once('/').map_or(name, |(main, _)| main)
}

/// The name of a subrequest without that of its request.
fn own_name(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, own)| own)
}

/// An attribute of a device by its full name. One that is given with its domain comes first.
fn attribute<'a>(place: &'a Place, name: &str) -> Option<&'a Value> {
    let attributes = &place.device().attributes;
    attributes.get(name).or_else(|| {
        let (domain, id) = split(name, place.driver());
        (domain == place.driver()).then(|| attributes.get(id)).flatten()
    })
}
