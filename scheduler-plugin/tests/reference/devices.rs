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
        for request in claim["spec"]["devices"]["requests"].as_array().unwrap() {
            let class = request["exactly"]["deviceClassName"].as_str().unwrap();
            let known = |object: &Value| object["kind"] == "DeviceClass" && object["metadata"]["name"] == class;
            if !reference.world.stored.iter().any(known) {
                let name = request["name"].as_str().unwrap();
                return Err(format!("request {name}: device class {class} does not exist"));
            }
        }
    }
    Ok(Claims(claims))
}

/// What a node can reach: pool, and the device.
fn reachable(reference: &Reference<'_>, info: &NodeInfo) -> Vec<(Device, Value)> {
    let slices = reference.world.stored.iter().filter(|object| object["kind"] == "ResourceSlice");
    let here = slices.filter(|slice| slice["spec"]["allNodes"] == true || slice["spec"]["nodeName"] == info.name());
    let devices = |slice: &Value| {
        let pool = slice["spec"]["pool"]["name"].as_str().unwrap().to_owned();
        let all = slice["spec"]["devices"].as_array().unwrap().clone();
        all.into_iter().map(move |device| ((pool.clone(), device["name"].as_str().unwrap().to_owned()), device))
    };
    here.flat_map(devices).collect()
}

fn taken(reference: &Reference<'_>) -> BTreeSet<Device> {
    let claims = reference.world.stored.iter().filter(|object| object["kind"] == "ResourceClaim");
    let results =
        claims.flat_map(|claim| claim["status"]["allocation"]["devices"]["results"].as_array().into_iter().flatten());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    results.map(|result| (text(&result["pool"]), text(&result["device"]))).collect()
}

pub fn filter(reference: &Reference<'_>, claims: &Claims, info: &NodeInfo) -> Result<(), Refusal> {
    let refuse = |reason: &str| Err(Refusal::new("DynamicResources", Code::Unresolvable, reason));
    let (allocated, open): (Vec<&Value>, Vec<&Value>) =
        claims.0.iter().partition(|claim| !claim["status"]["allocation"].is_null());
    // Each request for each device that it wants: claim, request.
    let mut wanted = Vec::new();
    for (place, claim) in open.iter().enumerate() {
        for request in claim["spec"]["devices"]["requests"].as_array().unwrap() {
            let count = request["exactly"]["count"].as_u64().unwrap();
            wanted.extend((0..count).map(|_| (place, request)));
        }
    }
    let devices = reachable(reference, info);
    if !give(&open, &wanted, &devices, &mut Vec::new(), &taken(reference)) {
        return refuse("cannot allocate all claims");
    }
    let away = |claim: &&Value| {
        let selector = &claim["status"]["allocation"]["nodeSelector"];
        let parsed = || serde_json::from_value::<NodeSelector>(selector.clone()).unwrap();
        !selector.is_null() && !selector_matches(&parsed(), info)
    };
    if allocated.iter().any(away) {
        return refuse("resourceclaim not available on the node");
    }
    Ok(())
}

/// Whether the rest of the wishes can be fulfilled after these: claim and device.
fn give(
    claims: &[&Value],
    wanted: &[(usize, &Value)],
    devices: &[(Device, Value)],
    given: &mut Vec<(usize, usize)>,
    taken: &BTreeSet<Device>,
) -> bool {
    let Some((claim, request)) = wanted.first() else { return true };
    for (index, (id, device)) in devices.iter().enumerate() {
        let free = !taken.contains(id) && !given.iter().any(|(_, other)| *other == index);
        let model = request["exactly"]["selectors"][0]["cel"]["expression"].as_str();
        // The only expression: device.attributes["x"].model == "M".
        let suits = model.is_none_or(|text| text.ends_with(&format!("{}", device["attributes"]["model"]["string"])));
        let tolerated = device["taints"].is_null() || !request["exactly"]["tolerations"].is_null();
        let constraint = &claims[*claim]["spec"]["devices"]["constraints"][0];
        let board = |index: usize| &devices[index].1["attributes"]["board"];
        let mut siblings = given.iter().filter(|(of, _)| of == claim).map(|(_, index)| *index);
        let held =
            constraint.is_null() || !board(index).is_null() && siblings.all(|other| board(other) == board(index));
        if free && suits && tolerated && held {
            given.push((*claim, index));
            if give(claims, &wanted[1..], devices, given, taken) {
                return true;
            }
            given.pop();
        }
    }
    false
}
