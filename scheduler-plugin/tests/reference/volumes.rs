//! VolumeRestrictions, NodeVolumeLimits, VolumeBinding and VolumeZone: where a pod can have its volumes.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{NodeSelector, Pod, Volume};
use serde_json::Value;

use super::selectors::labels_match;
use super::{Code, NodeInfo, Reference, Refusal, namespace};

const ZONE_KEYS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// Who ends the cycle before nodes are looked at, and why.
pub type Abort = (&'static str, String);

/// What PreFilter leaves for Filter.
#[derive(Clone, Default)]
pub struct Claims {
    /// Claims that the pod must have to itself.
    exclusive: BTreeSet<String>,
    /// How many others use those.
    pub conflicts: i64,
}

fn volumes(pod: &Pod) -> &[Volume] {
    pod.spec.as_ref().unwrap().volumes.as_deref().unwrap_or_default()
}

fn claim_names(pod: &Pod) -> Vec<String> {
    let claims = volumes(pod).iter().filter_map(|volume| volume.persistent_volume_claim.as_ref());
    claims.map(|claim| claim.claim_name.clone()).collect()
}

fn stored<'a>(reference: &'a Reference<'_>, kind: &str, (namespace, name): (&str, &str)) -> Option<&'a Value> {
    reference.world.stored.iter().find(|object| {
        let of = object["metadata"]["namespace"].as_str().unwrap_or_default();
        object["kind"] == kind && of == namespace && object["metadata"]["name"] == name
    })
}

fn claim<'a>(reference: &'a Reference<'_>, pod: &Pod, name: &str) -> Option<&'a Value> {
    stored(reference, "PersistentVolumeClaim", (namespace(pod), name))
}

fn volume_of<'a>(reference: &'a Reference<'_>, claim: &Value) -> Option<&'a Value> {
    stored(reference, "PersistentVolume", ("", claim["spec"]["volumeName"].as_str()?))
}

fn class_of<'a>(reference: &'a Reference<'_>, claim: &Value) -> Option<&'a Value> {
    stored(reference, "StorageClass", ("", claim["spec"]["storageClassName"].as_str()?))
}

fn is_disk(volume: &Volume) -> bool {
    volume.gce_persistent_disk.is_some() || volume.aws_elastic_block_store.is_some()
}

/// What the four find out before nodes are looked at; those that are skipped go into the set.
pub fn pre_filter(reference: &Reference<'_>, pod: &Pod, skipped: &mut BTreeSet<&'static str>) -> Result<Claims, Abort> {
    let mut state = Claims::default();
    let names = claim_names(pod);
    let missing = |name: &String| format!("persistentvolumeclaim {name:?} not found");
    for name in &names {
        let claim = claim(reference, pod, name).ok_or_else(|| ("VolumeRestrictions", missing(name)))?;
        let modes = claim["spec"]["accessModes"].as_array();
        if modes.is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteOncePod")) {
            state.exclusive.insert(name.clone());
        }
    }
    let others: Vec<&Pod> = reference.infos.iter().flat_map(|info| &info.pods).chain(&reference.strays).collect();
    let used = |name: &&String| {
        others.iter().any(|other| namespace(other) == namespace(pod) && claim_names(other).contains(name))
    };
    state.conflicts = i64::try_from(state.exclusive.iter().filter(used).count()).unwrap();
    if state.conflicts == 0 && !volumes(pod).iter().any(is_disk) {
        skipped.insert("VolumeRestrictions");
    }
    if names.is_empty() && !volumes(pod).iter().any(is_disk) {
        skipped.insert("NodeVolumeLimits");
    }
    if names.is_empty() {
        skipped.extend(["VolumeBinding", "VolumeZone"]);
        return Ok(state);
    }
    bindable(reference, pod, &names)?;
    let mut zones = false;
    for name in &names {
        let claim = claim(reference, pod, name).unwrap();
        if claim["spec"]["volumeName"].as_str().is_none_or(str::is_empty) {
            continue;
        }
        let volume = volume_of(reference, claim).ok_or_else(|| {
            ("VolumeZone", format!("persistentvolume {:?} not found", claim["spec"]["volumeName"].as_str().unwrap()))
        })?;
        zones |= ZONE_KEYS.iter().any(|key| !volume["metadata"]["labels"][key].is_null());
    }
    if !zones {
        skipped.insert("VolumeZone");
    }
    Ok(state)
}

fn is_bound(claim: &Value) -> bool {
    let annotated = !claim["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"].is_null();
    annotated && claim["spec"]["volumeName"].as_str().is_some_and(|name| !name.is_empty())
}

fn waits(reference: &Reference<'_>, claim: &Value) -> bool {
    let class = class_of(reference, claim);
    class.is_some_and(|class| class["volumeBindingMode"] == "WaitForFirstConsumer")
        && claim["spec"]["volumeName"].as_str().is_none_or(str::is_empty)
}

fn bindable(reference: &Reference<'_>, pod: &Pod, names: &[String]) -> Result<(), Abort> {
    let abort = |why: String| Err(("VolumeBinding", why));
    for name in names {
        let claim = claim(reference, pod, name).unwrap();
        if claim["status"]["phase"] == "Lost" {
            let volume = claim["spec"]["volumeName"].as_str().unwrap_or_default();
            return abort(format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"));
        }
        if !claim["metadata"]["deletionTimestamp"].is_null() {
            return abort(format!("persistentvolumeclaim {name:?} is being deleted"));
        }
    }
    let claims = names.iter().map(|name| claim(reference, pod, name).unwrap());
    let immediate = claims.into_iter().any(|claim| !is_bound(claim) && !waits(reference, claim));
    if immediate {
        return abort("pod has unbound immediate PersistentVolumeClaims".to_owned());
    }
    Ok(())
}

/// A pod comes to a node or leaves it.
pub fn change(pod: &Pod, other: &Pod, state: &mut Claims, amount: i64) {
    if namespace(pod) == namespace(other) {
        let shared = claim_names(other).iter().filter(|name| state.exclusive.contains(*name)).count();
        state.conflicts += amount * i64::try_from(shared).unwrap();
    }
}

fn disk_conflict(a: &Volume, b: &Volume) -> bool {
    let gce = match (&a.gce_persistent_disk, &b.gce_persistent_disk) {
        (Some(a), Some(b)) => a.pd_name == b.pd_name && !(a.read_only == Some(true) && b.read_only == Some(true)),
        _ => false,
    };
    let ebs = match (&a.aws_elastic_block_store, &b.aws_elastic_block_store) {
        (Some(a), Some(b)) => a.volume_id == b.volume_id,
        _ => false,
    };
    gce || ebs
}

pub fn restrictions(pod: &Pod, state: &Claims, info: &NodeInfo) -> Result<(), Refusal> {
    let there: Vec<&Volume> = info.pods.iter().flat_map(volumes).collect();
    let refuse = |reason: &str| Err(Refusal::new("VolumeRestrictions", Code::Unschedulable, reason));
    if volumes(pod).iter().any(|wanted| there.iter().any(|other| disk_conflict(wanted, other))) {
        return refuse("node(s) had no available disk");
    }
    if state.conflicts > 0 {
        return refuse(
            "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
        );
    }
    Ok(())
}

/// Driver and handle of what a pod attaches. Disks in the pod itself belong to no driver that has a limit here.
fn attached(reference: &Reference<'_>, pod: &Pod) -> BTreeSet<(String, String)> {
    let names = claim_names(pod);
    let claims = names.iter().filter_map(|name| claim(reference, pod, name));
    let of_claim = |claim: &Value| {
        let Some(volume) = volume_of(reference, claim) else {
            let class = class_of(reference, claim)?;
            let (of, name) = (namespace(pod), claim["metadata"]["name"].as_str()?);
            // What is still to be made counts, too: under the name of its claim.
            return Some((class["provisioner"].as_str()?.to_owned(), format!("{of}/{name}")));
        };
        let csi = &volume["spec"]["csi"];
        Some((csi["driver"].as_str()?.to_owned(), csi["volumeHandle"].as_str()?.to_owned()))
    };
    claims.filter_map(of_claim).collect()
}

pub fn limits(reference: &Reference<'_>, pod: &Pod, info: &NodeInfo) -> Result<(), Refusal> {
    let Some(csi_node) = stored(reference, "CSINode", ("", info.name())) else { return Ok(()) };
    let there: BTreeSet<_> = info.pods.iter().flat_map(|pod| attached(reference, pod)).collect();
    let new: BTreeSet<_> = attached(reference, pod).difference(&there).cloned().collect();
    for driver in csi_node["spec"]["drivers"].as_array().unwrap() {
        let Some(limit) = driver["allocatable"]["count"].as_u64() else { continue };
        let count = |set: &BTreeSet<(String, String)>| set.iter().filter(|(of, _)| driver["name"] == *of).count();
        if count(&new) > 0 && (count(&there) + count(&new)) as u64 > limit {
            return Err(Refusal::new("NodeVolumeLimits", Code::Unschedulable, "node(s) exceed max volume count"));
        }
    }
    Ok(())
}

fn can_be_had(volume: &Value, info: &NodeInfo) -> bool {
    let required = &volume["spec"]["nodeAffinity"]["required"];
    required.is_null() || {
        let selector: NodeSelector = serde_json::from_value(required.clone()).unwrap();
        labels_match(&selector, info)
    }
}

fn gib(text: &Value) -> u64 {
    text.as_str().unwrap().trim_end_matches("Gi").parse().unwrap()
}

pub fn binding(reference: &Reference<'_>, pod: &Pod, info: &NodeInfo) -> Result<(), Refusal> {
    let names = claim_names(pod);
    let claims: Vec<&Value> = names.iter().map(|name| claim(reference, pod, name).unwrap()).collect();
    let mut reasons = BTreeMap::new();
    for claim in claims.iter().filter(|claim| is_bound(claim)) {
        match volume_of(reference, claim) {
            None => reasons.insert(3, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"),
            Some(volume) if !can_be_had(volume, info) => {
                reasons.insert(0, "node(s) didn't match PersistentVolume's node affinity")
            }
            Some(_) => continue,
        };
        break;
    }
    let mut waiting: Vec<&Value> = claims.into_iter().filter(|claim| !is_bound(claim)).collect();
    waiting.sort_by_key(|claim| gib(&claim["spec"]["resources"]["requests"]["storage"]));
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    let mut to_make = Vec::new();
    for claim in waiting {
        let fits = |volume: &&Value| {
            volume["kind"] == "PersistentVolume"
                && volume["status"]["phase"] == "Available"
                && volume["spec"]["storageClassName"] == claim["spec"]["storageClassName"]
                && gib(&volume["spec"]["capacity"]["storage"])
                    >= gib(&claim["spec"]["resources"]["requests"]["storage"])
                && can_be_had(volume, info)
                && !taken.contains(volume["metadata"]["name"].as_str().unwrap())
        };
        let all = reference.world.stored.iter().filter(fits);
        match all.min_by_key(|volume| gib(&volume["spec"]["capacity"]["storage"])) {
            Some(volume) => _ = taken.insert(volume["metadata"]["name"].as_str().unwrap()),
            None => to_make.push(claim),
        }
    }
    for claim in to_make {
        let class = class_of(reference, claim).unwrap();
        let places = class["allowedTopologies"].as_array().cloned().unwrap_or_default();
        let labels = info.labels();
        let holds = |term: &Value| {
            let all = term["matchLabelExpressions"].as_array().unwrap();
            all.iter().all(|it| {
                let value = labels.get(it["key"].as_str().unwrap());
                value.is_some_and(|value| it["values"].as_array().unwrap().iter().any(|one| *one == **value))
            })
        };
        if class["provisioner"] == "kubernetes.io/no-provisioner" || !places.is_empty() && !places.iter().any(holds) {
            reasons.insert(1, "node(s) didn't find available persistent volumes to bind");
            break;
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let reasons = reasons.into_values().map(str::to_owned).collect();
    Err(Refusal { plugin: "VolumeBinding", code: Code::Unresolvable, reasons })
}

pub fn zone(reference: &Reference<'_>, pod: &Pod, info: &NodeInfo) -> Result<(), Refusal> {
    let labels = info.labels();
    if !ZONE_KEYS.iter().any(|key| labels.contains_key(*key)) {
        return Ok(());
    }
    for name in claim_names(pod) {
        let Some(volume) = claim(reference, pod, &name).and_then(|claim| volume_of(reference, claim)) else { continue };
        for key in ZONE_KEYS {
            let Some(wanted) = volume["metadata"]["labels"][key].as_str() else { continue };
            if !labels.get(key).is_some_and(|have| wanted.split("__").any(|one| one == have)) {
                return Err(Refusal::new("VolumeZone", Code::Unresolvable, "node(s) had no available volume zone"));
            }
        }
    }
    Ok(())
}
