//! `AlwaysPullImages`, `LimitPodHardAntiAffinityTopology` and `ExtendedResourceToleration` (all off by default): small
//! rules about new pods.
//! Source: Kubernetes doc "Admission Control in Kubernetes".

use std::collections::BTreeSet;

use futures::future::FutureExt;
use serde_json::{Value, json};
use steersman_machinery::meta;

use super::{Attributes, Operation, Plugin, Verdict};

/// A rule about new pods: it may change them, or tell why they may not be.
pub(super) struct PodRule {
    name: &'static str,
    /// Whether the rule holds for updates as well.
    updates: bool,
    rule: fn(&mut Value) -> Result<(), String>,
}

/// Images are pulled every time, so that only those run who may pull them.
pub(super) const ALWAYS_PULL_IMAGES: PodRule = PodRule { name: "AlwaysPullImages", updates: true, rule: always_pull };
/// Nobody keeps others from whole zones.
pub(super) const LIMIT_ANTI_AFFINITY: PodRule =
    PodRule { name: "LimitPodHardAntiAffinityTopology", updates: false, rule: limit_anti_affinity };
/// Who asks for a device tolerates the taint that keeps its nodes free.
pub(super) const TOLERATE_EXTENDED_RESOURCES: PodRule =
    PodRule { name: "ExtendedResourceToleration", updates: true, rule: tolerate };

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

impl Plugin for PodRule {
    fn name(&self) -> &'static str {
        self.name
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        let concerned = attributes.is("", "pods")
            && (attributes.operation == Operation::Create
                || (attributes.operation == Operation::Update && self.updates));
        let verdict = match concerned {
            true => (self.rule)(object).map_err(|why| attributes.forbidden(object, why)),
            false => Ok(()),
        };
        futures::future::ready(verdict).left_future()
    }
}

fn always_pull(pod: &mut Value) -> Result<(), String> {
    for list in CONTAINERS {
        let containers = meta::at_mut(pod, &["spec", list]).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            meta::set(container, &["imagePullPolicy"], "Always");
        }
    }
    let volumes = meta::at_mut(pod, &["spec", "volumes"]).and_then(Value::as_array_mut);
    for image in volumes.into_iter().flatten().filter_map(|volume| volume.get_mut("image")) {
        meta::set(image, &["pullPolicy"], "Always");
    }
    Ok(())
}

fn limit_anti_affinity(pod: &mut Value) -> Result<(), String> {
    const ALLOWED: &str = "kubernetes.io/hostname";
    const TERMS: [&str; 4] = ["spec", "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];
    let mut keys = meta::items(pod, &TERMS).iter().map(|term| meta::text(term, &["topologyKey"]));
    keys.find(|key| *key != ALLOWED).map_or(Ok(()), |key| {
        Err(format!(
            "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {ALLOWED} is allowed"
        ))
    })
}

fn tolerate(pod: &mut Value) -> Result<(), String> {
    let containers = CONTAINERS[..2].iter().flat_map(|list| meta::items(pod, &["spec", list]));
    let asked = containers.filter_map(|container| meta::at(container, &["resources", "requests"])?.as_object());
    let is_extended = |name: &String| name.contains('/') && !name.contains("kubernetes.io/");
    let devices: BTreeSet<String> =
        asked.flat_map(|asked| asked.keys().filter(|it| is_extended(it)).cloned()).collect();
    let mut tolerations = meta::items(pod, &["spec", "tolerations"]).to_vec();
    for device in devices {
        let toleration = json!({"key": device, "operator": "Exists", "effect": "NoSchedule"});
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    if !tolerations.is_empty() {
        meta::set(pod, &["spec", "tolerations"], tolerations);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_always_pulled() {
        let mut pod = json!({"spec": {"containers": [{"imagePullPolicy": "Never"}], "volumes": [{"image": {}}, {}]}});
        always_pull(&mut pod).unwrap();
        assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], "Always");
        assert_eq!(pod["spec"]["volumes"], json!([{"image": {"pullPolicy": "Always"}}, {}]));
    }

    #[test]
    fn anti_affinity_is_about_nodes() {
        let pod = |key: &str| {
            let terms = json!([{"topologyKey": key}]);
            json!({"spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}})
        };
        assert_eq!(limit_anti_affinity(&mut pod("kubernetes.io/hostname")), Ok(()));
        assert!(limit_anti_affinity(&mut pod("zone")).unwrap_err().contains("has TopologyKey zone but"));
    }

    #[test]
    fn devices_are_tolerated_once() {
        let requests = json!({"example.com/gpu": "1", "cpu": "1", "hugepages-2Mi": "2Mi"});
        let mut pod = json!({"spec": {"containers": [{"resources": {"requests": requests}}]}});
        tolerate(&mut pod).unwrap();
        tolerate(&mut pod).unwrap();
        let expect = json!([{"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]);
        assert_eq!(pod["spec"]["tolerations"], expect);
    }
}
