//! Finds devices for all requests of all claims on one node, by trying and taking back.
//! Source: `k8s.io/dynamic-resource-allocation/structured` allocator.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::pools::{CountersLeft, DeviceId, Place};
use super::selectors::{Selectors, split};
use crate::plugins::taint_toleration::tolerates;
use crate::wire::{DeviceClass, DeviceConstraint, ExactDeviceRequest, ResourceClaim};

/// The most devices that one claim can have.
/// Source: `k8s.io/api/resource/v1.AllocationResultsMaxSize`.
const MAX_DEVICES: usize = 32;
/// The most alternatives of a request; the first counts most when nodes are scored.
/// Source: `k8s.io/api/resource/v1.FirstAvailableDeviceRequestMaxSize`.
const MAX_ALTERNATIVES: usize = 8;

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
    /// The devices that nobody else can have now.
    pub(super) devices: Vec<DeviceId>,
    /// How good the alternatives are that were taken.
    pub(super) score: i64,
}

/// A device that was taken for a request.
struct Taken {
    request: usize,
    alternative: usize,
    place: Place,
}

/// The search on one node.
pub(super) struct Search<'a> {
    pub(super) claims: &'a [Arc<ResourceClaim>],
    pub(super) requests: &'a [Request],
    pub(super) selectors: &'a Selectors,
    /// What the node can reach, and whether that is all there is.
    pub(super) devices: &'a [Place],
    pub(super) complete: bool,
    /// What others have.
    pub(super) allocated: BTreeSet<DeviceId>,
    pub(super) counters: CountersLeft,
    pub(super) node: &'a str,
    taken: Vec<Taken>,
}

/// What a search begins with besides the requests.
pub(super) struct Ground<'a> {
    pub(super) devices: &'a [Place],
    pub(super) complete: bool,
    pub(super) allocated: BTreeSet<DeviceId>,
    pub(super) counters: CountersLeft,
    pub(super) node: &'a str,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        claims: &'a [Arc<ResourceClaim>],
        requests: &'a [Request],
        selectors: &'a Selectors,
        ground: Ground<'a>,
    ) -> Self {
        let Ground { devices, complete, allocated, counters, node } = ground;
        Self { claims, requests, selectors, devices, complete, allocated, counters, node, taken: Vec::new() }
    }

    /// Devices for every request; `None` if the node cannot have them.
    pub(super) fn run(mut self) -> Result<Option<Vec<Arc<Allocation>>>, String> {
        if !self.satisfy(0)? {
            return Ok(None);
        }
        let claims: BTreeSet<usize> = self.requests.iter().map(|request| request.claim).collect();
        Ok(Some(claims.into_iter().map(|claim| Arc::new(self.allocation(claim))).collect()))
    }

    fn satisfy(&mut self, request: usize) -> Result<bool, String> {
        let Some(wanted) = self.requests.get(request) else { return Ok(true) };
        for alternative in 0..wanted.alternatives.len() {
            let fitting = self.fitting(request, alternative)?;
            let wanted = &wanted.alternatives[alternative].wanted;
            let all = wanted.allocation_mode == "All";
            // Not all that there is may be known.
            if all && (fitting.is_empty() || !self.complete) {
                continue;
            }
            let count = if all { fitting.len() } else { wanted.count.max(1) };
            let others = self.taken.iter().filter(|taken| self.requests[taken.request].claim == self.claim(request));
            if others.count() + count > MAX_DEVICES {
                continue;
            }
            if self.take((request, alternative), &fitting, count)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn claim(&self, request: usize) -> usize {
        self.requests[request].claim
    }

    /// The devices that have what a request asks for, whoever has them.
    fn fitting(&self, request: usize, alternative: usize) -> Result<Vec<Place>, String> {
        let Alternative { name, wanted, class } = &self.requests[request].alternatives[alternative];
        let mut fitting = Vec::new();
        for place in self.devices {
            let device = place.device();
            let repels = |taint: &crate::wire::Taint| {
                matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
                    && !wanted.tolerations.iter().any(|toleration| tolerates(toleration, taint))
            };
            if device.taints.iter().any(repels) {
                continue;
            }
            let mut holds = true;
            let expressions = class.spec.selectors.iter().chain(&wanted.selectors).filter_map(|it| it.cel.as_ref());
            for cel in expressions {
                let held = self.selectors.holds(&cel.expression, place.driver(), device);
                holds = held.map_err(|why| format!("request {name}: {why}"))?;
                if !holds {
                    break;
                }
            }
            if holds {
                fitting.push(place.clone());
            }
        }
        Ok(fitting)
    }

    /// Takes `count` of these for a request, and what the requests after it need.
    fn take(&mut self, of: (usize, usize), fitting: &[Place], count: usize) -> Result<bool, String> {
        if count == 0 {
            return self.satisfy(of.0 + 1);
        }
        for (index, place) in fitting.iter().enumerate() {
            if fitting.len() - index < count {
                break;
            }
            if !self.can_take(of, place) {
                continue;
            }
            self.put(of, place);
            if self.take(of, &fitting[index + 1..], count - 1)? {
                return Ok(true);
            }
            self.give_back();
        }
        Ok(false)
    }

    fn wanted(&self, (request, alternative): (usize, usize)) -> &'a ExactDeviceRequest {
        &self.requests[request].alternatives[alternative].wanted
    }

    fn can_take(&self, of: (usize, usize), place: &Place) -> bool {
        let looks_after = self.wanted(of).admin_access;
        let free = !self.allocated.contains(&place.id()) && self.counters.suffices(place);
        (looks_after || free) && self.constraints_hold(of, place)
    }

    fn put(&mut self, of: (usize, usize), place: &Place) {
        if !self.wanted(of).admin_access {
            self.allocated.insert(place.id());
            self.counters.change(place, -1);
        }
        self.taken.push(Taken { request: of.0, alternative: of.1, place: place.clone() });
    }

    fn give_back(&mut self) {
        let Some(Taken { request, alternative, place }) = self.taken.pop() else { return };
        if !self.wanted((request, alternative)).admin_access {
            self.allocated.remove(&place.id());
            self.counters.change(&place, 1);
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

    fn concerns(&self, constraint: &DeviceConstraint, (request, alternative): (usize, usize)) -> bool {
        let name = &self.requests[request].alternatives[alternative].name;
        constraint.requests.is_empty() || constraint.requests.iter().any(|it| it == name || it == main(name))
    }

    /// What the search has found for a claim, as it is written to its status.
    fn allocation(&self, claim: usize) -> Allocation {
        let taken: Vec<&Taken> = self.taken.iter().filter(|taken| self.claim(taken.request) == claim).collect();
        let (mut results, mut config, mut devices, mut score) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (index, request) in self.requests.iter().enumerate().filter(|(_, request)| request.claim == claim) {
            let Some(first) = taken.iter().find(|taken| taken.request == index) else { continue };
            let chosen = &request.alternatives[first.alternative];
            if request.prioritized {
                score += i64::try_from(MAX_ALTERNATIVES.saturating_sub(first.alternative)).unwrap_or(0);
            }
            for it in chosen.class.spec.config.iter().filter_map(|it| it.opaque.as_ref()) {
                config.push(json!({"source": "FromClass", "requests": [chosen.name], "opaque": it}));
            }
        }
        for Taken { request, alternative, place } in &taken {
            let chosen = &self.requests[*request].alternatives[*alternative];
            let mut result = json!({
                "request": chosen.name, "driver": place.driver(), "pool": place.pool(), "device": place.device().name,
            });
            if chosen.wanted.admin_access {
                result["adminAccess"] = json!(true);
            } else {
                devices.push(place.id());
            }
            results.push(result);
        }
        let names: BTreeSet<&str> = taken
            .iter()
            .map(|taken| self.requests[taken.request].alternatives[taken.alternative].name.as_str())
            .collect();
        let of_claim = self.claims[claim].spec.devices.config.iter().filter(|it| {
            let concerns = |wanted: &String| names.iter().any(|name| wanted == name || wanted == main(name));
            it.requests.is_empty() || it.requests.iter().any(concerns)
        });
        config.extend(of_claim.filter_map(|it| {
            let opaque = it.opaque.as_ref()?;
            Some(json!({"source": "FromClaim", "requests": it.requests, "opaque": opaque}))
        }));
        let mut result = json!({"devices": {"results": results, "config": config}});
        if let Some(selector) = self.node_selector(&taken) {
            result["nodeSelector"] = selector;
        }
        Allocation { claim, result, devices, score }
    }

    /// The nodes that can reach all of these devices; `None` for every node.
    fn node_selector(&self, taken: &[&Taken]) -> Option<Value> {
        let mut terms: Vec<Value> = Vec::new();
        for reach in taken.iter().map(|taken| taken.place.reach()) {
            if reach.all_nodes {
                continue;
            }
            match &reach.node_selector {
                // What is local to this node can be reached from here alone.
                None => {
                    let here = json!({"key": "metadata.name", "operator": "In", "values": [self.node]});
                    return Some(json!({"nodeSelectorTerms": [{"matchFields": [here]}]}));
                }
                Some(selector) => {
                    let expressions = selector.node_selector_terms.iter().take(1).flat_map(|it| &it.match_expressions);
                    terms.extend(
                        expressions.map(|it| json!({"key": it.key, "operator": it.operator, "values": it.values})),
                    );
                }
            }
        }
        terms.dedup();
        (!terms.is_empty()).then(|| json!({"nodeSelectorTerms": [{"matchExpressions": terms}]}))
    }
}

/// The request that a subrequest belongs to.
pub(super) fn main(name: &str) -> &str {
    name.split_once('/').map_or(name, |(main, _)| main)
}

/// An attribute of a device by its full name.
fn attribute<'a>(place: &'a Place, name: &str) -> Option<&'a Value> {
    let wanted = split(name, place.driver());
    let attributes = &place.device().attributes;
    attributes.iter().find(|(have, _)| split(have, place.driver()) == wanted).map(|(_, value)| value)
}
