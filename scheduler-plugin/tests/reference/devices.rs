//! DynamicResources: whether a node has devices for all claims of a pod, by trying all ways to give them.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{NodeSelector, Pod};
use serde_json::Value;

use super::selectors::selector_matches;
use super::{Code, NodeInfo, Reference, Refusal, namespace};

/// The claims of a pod.
#[derive(Clone, Default)]
pub struct Claims(Vec<Value>);

impl Claims {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Pool and device.
type Device = (String, String);

/// Of how many alternatives a request can choose at most.
const MOST_ALTERNATIVES: usize = 8;

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The ways to fulfil a request, the best first.
fn alternatives(request: &Value) -> Vec<&Value> {
    if request["exactly"].is_null() {
        list(&request["firstAvailable"]).iter().collect()
    } else {
        vec![&request["exactly"]]
    }
}

pub fn pre_filter(reference: &Reference<'_>, pod: &Pod) -> Result<Claims, String> {
    let mut claims = Vec::new();
    for wanted in pod.spec.as_ref().unwrap().resource_claims.iter().flatten() {
        let name = wanted.resource_claim_name.as_deref().unwrap();
        let is_it = |object: &&Value| {
            object["kind"] == "ResourceClaim"
                && object["metadata"]["name"] == name
                && object["metadata"]["namespace"] == namespace(pod)
        };
        let claim = reference.world.stored.iter().find(is_it);
        let claim = claim.ok_or_else(|| format!("resourceclaim.resource.k8s.io {name:?} not found"))?;
        if !claim["metadata"]["deletionTimestamp"].is_null() {
            return Err(format!("resourceclaim {name:?} is being deleted"));
        }
        claims.push(claim.clone());
    }
    for claim in claims.iter().filter(|claim| claim["status"]["allocation"].is_null()) {
        for request in list(&claim["spec"]["devices"]["requests"]) {
            for wanted in alternatives(request) {
                let class = wanted["deviceClassName"].as_str().unwrap();
                let known = |object: &Value| object["kind"] == "DeviceClass" && object["metadata"]["name"] == class;
                if !reference.world.stored.iter().any(known) {
                    let mut name = text(&request["name"]);
                    if let Some(own) = wanted["name"].as_str() {
                        name = format!("{name}/{own}");
                    }
                    return Err(format!("request {name}: device class {class} does not exist"));
                }
            }
        }
    }
    Ok(Claims(claims))
}

fn slices<'a>(reference: &'a Reference<'_>) -> impl Iterator<Item = &'a Value> {
    let mut all: Vec<&Value> =
        reference.world.stored.iter().filter(|object| object["kind"] == "ResourceSlice").collect();
    // Pools by their names; which of several upstream looks at first is a matter of chance.
    all.sort_by_key(|slice| (text(&slice["spec"]["pool"]["name"]), text(&slice["metadata"]["name"])));
    all.into_iter()
}

fn devices_of(slice: &Value) -> impl Iterator<Item = (Device, Value)> {
    let pool = text(&slice["spec"]["pool"]["name"]);
    list(&slice["spec"]["devices"]).iter().map(move |device| ((pool.clone(), text(&device["name"])), device.clone()))
}

/// What a node can reach: pool, and the device.
fn reachable(reference: &Reference<'_>, info: &NodeInfo) -> Vec<(Device, Value)> {
    let here =
        slices(reference).filter(|slice| slice["spec"]["allNodes"] == true || slice["spec"]["nodeName"] == info.name());
    here.flat_map(devices_of).collect()
}

fn taken(reference: &Reference<'_>) -> BTreeSet<Device> {
    let claims = reference.world.stored.iter().filter(|object| object["kind"] == "ResourceClaim");
    let results = claims.flat_map(|claim| list(&claim["status"]["allocation"]["devices"]["results"]));
    results.map(|result| (text(&result["pool"]), text(&result["device"]))).collect()
}

/// The only counter, in the only unit.
fn memory(counters: &Value) -> i64 {
    counters["memory"]["value"].as_str().unwrap().trim_end_matches("Mi").parse().unwrap()
}

/// A device that was given.
#[derive(Clone, PartialEq)]
struct Given {
    claim: usize,
    request: usize,
    alternative: usize,
    device: usize,
    admin: bool,
}

struct Search<'a> {
    claims: Vec<&'a Value>,
    devices: Vec<(Device, Value)>,
    taken: BTreeSet<Device>,
    /// Each pool with counters, and how much of them is left for this pod.
    left: Vec<(String, i64)>,
    given: Vec<Given>,
}

impl<'a> Search<'a> {
    fn new(reference: &Reference<'_>, claims: Vec<&'a Value>, info: &NodeInfo) -> Self {
        let taken = taken(reference);
        let mut left = Vec::new();
        for slice in slices(reference) {
            for set in list(&slice["spec"]["sharedCounters"]) {
                let pool = text(&slice["spec"]["pool"]["name"]);
                let all = slices(reference).flat_map(devices_of).collect::<Vec<_>>();
                let others = all.iter().filter(|(id, _)| id.0 == pool && taken.contains(id));
                let used: i64 = others.map(|(_, device)| draws(device)).sum();
                left.push((pool, memory(&set["counters"]) - used));
            }
        }
        Self { claims, devices: reachable(reference, info), taken, left, given: Vec::new() }
    }

    fn requests(&self, claim: usize) -> &'a [Value] {
        list(&self.claims[claim]["spec"]["devices"]["requests"])
    }

    /// Whether what is left of the requests can be fulfilled after what was given.
    fn give(&mut self, (claim, request): (usize, usize)) -> bool {
        if claim == self.claims.len() {
            return true;
        }
        let Some(asked) = self.requests(claim).get(request) else { return self.give((claim + 1, 0)) };
        (0..alternatives(asked).len()).any(|alternative| self.give_some((claim, request, alternative), 0, 0))
    }

    /// Gives the rest of what an alternative wants: devices from a place on.
    fn give_some(&mut self, of: (usize, usize, usize), already: usize, from: usize) -> bool {
        let (claim, request, alternative) = of;
        let wanted = alternatives(&self.requests(claim)[request])[alternative];
        if wanted["allocationMode"] == "All" {
            let suits = |index: &usize| suits(wanted, &self.devices[*index].1);
            let all: Vec<usize> = (0..self.devices.len()).filter(suits).collect();
            return match all.get(already) {
                None => already > 0 && self.give((claim, request + 1)),
                Some(index) => self.put(of, *index) && self.or_back(|it| it.give_some(of, already + 1, 0)),
            };
        }
        if already == usize::try_from(wanted["count"].as_u64().unwrap()).unwrap() {
            return self.give((claim, request + 1));
        }
        for index in from..self.devices.len() {
            if suits(wanted, &self.devices[index].1)
                && self.put(of, index)
                && self.or_back(|it| it.give_some(of, already + 1, index + 1))
            {
                return true;
            }
        }
        false
    }

    fn or_back(&mut self, go_on: impl FnOnce(&mut Self) -> bool) -> bool {
        let before = self.given.len();
        let done = go_on(self);
        if !done {
            self.given.truncate(before - 1);
        }
        done
    }

    fn put(&mut self, (claim, request, alternative): (usize, usize, usize), device: usize) -> bool {
        let wanted = alternatives(&self.requests(claim)[request])[alternative];
        let admin = wanted["adminAccess"] == true;
        let given = Given { claim, request, alternative, device, admin };
        let (id, found) = &self.devices[device];
        let twice = |other: &Given| other.device == device && (!admin || other.claim == claim);
        let free = !self.given.iter().any(twice) && (admin || !self.taken.contains(id));
        let tolerated = found["taints"].is_null() || !wanted["tolerations"].is_null();
        let possible = free && tolerated && self.counters_suffice(device) && self.constraint_holds(&given);
        if possible {
            self.given.push(given);
        }
        possible
    }

    fn counters_suffice(&self, device: usize) -> bool {
        let (id, found) = &self.devices[device];
        if found["consumesCounters"].is_null() {
            return true;
        }
        let others = self.given.iter().map(|given| &self.devices[given.device]).filter(|(other, _)| other.0 == id.0);
        let used: i64 = others.map(|(_, other)| draws(other)).sum();
        let left = self.left.iter().find(|(pool, _)| *pool == id.0).map(|(_, left)| *left);
        left.is_some_and(|left| used + draws(found) <= left)
    }

    fn constraint_holds(&self, new: &Given) -> bool {
        let constraint = &self.claims[new.claim]["spec"]["devices"]["constraints"][0];
        let named = list(&constraint["requests"]);
        let concerns = |given: &&Given| {
            let name = &self.requests(given.claim)[given.request]["name"];
            given.claim == new.claim && (named.is_empty() || named.contains(name))
        };
        if constraint.is_null() || !concerns(&new) {
            return true;
        }
        let board = |given: &Given| &self.devices[given.device].1["attributes"]["board"];
        let same = !constraint["matchAttribute"].is_null();
        let mut others = self.given.iter().filter(concerns);
        !board(new).is_null() && others.all(|other| (board(other) == board(new)) == same)
    }

    fn score(&self) -> i64 {
        let mut chosen = BTreeSet::new();
        for given in &self.given {
            if self.requests(given.claim)[given.request]["exactly"].is_null() {
                chosen.insert((given.claim, given.request, given.alternative));
            }
        }
        chosen.iter().map(|(_, _, place)| i64::try_from(MOST_ALTERNATIVES - place).unwrap()).sum()
    }
}

fn draws(device: &Value) -> i64 {
    list(&device["consumesCounters"]).iter().map(|set| memory(&set["counters"])).sum()
}

/// The only expression: `device.attributes["gpu"].model == "old"`.
fn suits(wanted: &Value, device: &Value) -> bool {
    let model = wanted["selectors"][0]["cel"]["expression"].as_str();
    model.is_none_or(|text| text.ends_with(&format!("{}", device["attributes"]["model"]["string"])))
}

fn open(claims: &Claims) -> Vec<&Value> {
    claims.0.iter().filter(|claim| claim["status"]["allocation"].is_null()).collect()
}

pub fn filter(reference: &Reference<'_>, claims: &Claims, info: &NodeInfo) -> Result<(), Refusal> {
    let refuse = |reason: &str| Err(Refusal::new("DynamicResources", Code::Unresolvable, reason));
    if !Search::new(reference, open(claims), info).give((0, 0)) {
        return refuse("cannot allocate all claims");
    }
    let away = |claim: &Value| {
        let selector = &claim["status"]["allocation"]["nodeSelector"];
        let parsed = || serde_json::from_value::<NodeSelector>(selector.clone()).unwrap();
        !selector.is_null() && !selector_matches(&parsed(), info)
    };
    if claims.0.iter().any(away) {
        return refuse("resourceclaim not available on the node");
    }
    Ok(())
}

/// How good the alternatives are that are had on the node.
pub fn score(reference: &Reference<'_>, claims: &Claims, info: &NodeInfo) -> i64 {
    let mut search = Search::new(reference, open(claims), info);
    if search.give((0, 0)) { search.score() } else { 0 }
}
