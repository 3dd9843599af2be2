//! Extended resources that stand for classes of devices: a pod that asks for them gets a claim of its own.
//! Source: KEP-5004; `pkg/scheduler/framework/plugins/dynamicresources`, extended resources.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::allocate::{Alternative, Request};
use crate::pod::{ExtendedContainer, Pod};
use crate::resources::is_extended;
use crate::snapshot::{Devices, NodeRef, Snapshot};
use crate::wire::{DeviceClass, ExactDeviceRequest, ResourceClaim};

/// Says that a claim was made for extended resources.
/// Source: `k8s.io/api/resource/v1.ExtendedResourceClaimAnnotation`.
const ANNOTATION: &str = "resource.kubernetes.io/extended-resource-claim";

/// A pod's extended resources that can be devices.
#[derive(Debug)]
pub(super) struct Extended {
    /// The classes that they stand for, by resource.
    classes: BTreeMap<Arc<str>, Arc<DeviceClass>>,
    containers: Box<[ExtendedContainer]>,
    /// The claim that an earlier attempt left behind: nobody knows whether it still is right.
    pub(super) stale: Option<Arc<ResourceClaim>>,
}

/// What a container gets: container, resource, request.
pub(super) type Mapping = (String, String, String);

/// What is asked for on one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// Name of the request, class, count.
    pub(super) requests: Vec<(String, Arc<DeviceClass>, i64)>,
    pub(super) mappings: Vec<Mapping>,
}

impl Extended {
    /// `None` if the pod asks for nothing that can be a device.
    pub(super) fn new(pod: &Pod, devices: &Devices) -> Option<Self> {
        let resources = pod.spec.extended_containers.iter().flat_map(|container| &container.wants);
        let class =
            |(resource, _, _): &(Arc<str>, i64, usize)| Some((resource.clone(), devices.class_of(resource)?.clone()));
        let classes: BTreeMap<_, _> = resources.filter_map(class).collect();
        if classes.is_empty() {
            return None;
        }
        let is_own = |claim: &&Arc<ResourceClaim>| {
            claim.metadata.annotations.get(ANNOTATION).is_some_and(|is| is == "true")
                && claim.metadata.owners.iter().any(|owner| owner.controller && owner.uid == *pod.uid)
        };
        let stale = devices.claims.iter().find(is_own).cloned();
        Some(Self { classes, containers: pod.spec.extended_containers.clone(), stale })
    }

    /// What has to be devices on this node: of what it has itself, it has to have enough.
    pub(super) fn asked(&self, node: NodeRef<'_>) -> Asked {
        let mut asked = Asked::default();
        for (resource, class) in self.classes.iter().filter(|(resource, _)| node.allocatable(resource) == 0) {
            self.ask(resource, class, &mut asked);
        }
        asked.requests.sort_by(|a, b| a.0.cmp(&b.0));
        asked
    }

    /// Whether the pod asks for something that neither the node has nor a class stands for. That says NodeResourcesFit, unless
    /// it was told to ignore the resource.
    pub(super) fn is_beyond(&self, pod: &Pod, node: NodeRef<'_>) -> bool {
        let asked = pod.spec.requests.scalars.iter().filter(|(name, amount)| **amount > 0 && is_extended(name));
        asked.into_iter().any(|(name, _)| !self.classes.contains_key(name) && node.allocatable(name) == 0)
    }

    /// One request a container that stays; containers that go before the pod runs use what later ones will have, and the one
    /// that needs most beyond that asks for all of them.
    fn ask(&self, resource: &Arc<str>, class: &Arc<DeviceClass>, asked: &mut Asked) {
        let wants = |container: &ExtendedContainer| {
            let want = container.wants.iter().find(|(name, _, _)| name == resource);
            want.map(|(_, amount, place)| (*amount, format!("container-{}-request-{place}", container.index)))
        };
        let map = |container: &ExtendedContainer, request: &str| {
            (container.name.to_string(), resource.to_string(), request.to_owned())
        };
        let mut lasting: Vec<(usize, String, i64)> = Vec::new();
        let (mut of_lasting, mut of_short) = (Vec::new(), Vec::new());
        for container in self.containers.iter().filter(|container| !container.is_short_lived) {
            let Some((amount, name)) = wants(container) else { continue };
            of_lasting.push(map(container, &name));
            lasting.push((container.index, name, amount));
        }
        let mut short: Vec<(String, i64)> = Vec::new();
        for container in self.containers.iter().filter(|container| container.is_short_lived) {
            let Some((amount, name)) = wants(container) else { continue };
            let mut missing = amount;
            for (_, reused, count) in lasting.iter().filter(|(index, _, _)| *index > container.index) {
                of_short.push(map(container, reused));
                missing -= count;
                if missing <= 0 {
                    break;
                }
            }
            if missing > 0 {
                of_short.push(map(container, &name));
                short.push((name, missing));
            }
        }
        let most = short.iter().map(|(_, count)| *count).max();
        if let Some((largest, count)) = short.iter().find(|(_, count)| Some(*count) == most) {
            for mapping in of_short.iter_mut().filter(|mapping| short.iter().any(|(name, _)| *name == mapping.2)) {
                mapping.2.clone_from(largest);
            }
            asked.requests.push((largest.clone(), class.clone(), *count));
        }
        asked.requests.extend(lasting.into_iter().map(|(_, name, count)| (name, class.clone(), count)));
        asked.mappings.append(&mut of_lasting);
        asked.mappings.append(&mut of_short);
    }
}

impl Asked {
    /// As requests of the claim at this place.
    pub(super) fn requests(&self, claim: usize) -> impl Iterator<Item = Request> {
        self.requests.iter().map(move |(name, class, count)| {
            let wanted = ExactDeviceRequest {
                device_class_name: class.metadata.name.clone(),
                allocation_mode: "ExactCount".to_owned(),
                count: usize::try_from(*count).unwrap_or(usize::MAX),
                ..ExactDeviceRequest::default()
            };
            let alternative = Alternative { name: name.clone(), wanted, class: class.clone() };
            Request { claim, alternatives: vec![alternative], prioritized: false }
        })
    }

    /// The claim to be made.
    pub(super) fn claim(&self, pod: &Pod) -> Value {
        let requests = self.requests.iter().map(|(name, class, count)| {
            let wanted = json!({
                "deviceClassName": class.metadata.name, "allocationMode": "ExactCount", "count": count,
            });
            json!({"name": name, "exactly": wanted})
        });
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
            "metadata": {
                "namespace": &*pod.spec.namespace, "generateName": format!("{}-extended-resources-", pod.name),
                "annotations": {ANNOTATION: "true"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": &*pod.name, "uid": &*pod.uid, "controller": true},
                ],
            },
            "spec": {"devices": {"requests": requests.collect::<Vec<_>>()}},
        })
    }

    /// What the pod's status says of the claim.
    pub(super) fn status(&self, claim: &str) -> Value {
        let mappings = self.mappings.iter().map(|(container, resource, request)| {
            json!({"containerName": container, "resourceName": resource, "requestName": request})
        });
        json!({"requestMappings": mappings.collect::<Vec<_>>(), "resourceClaimName": claim})
    }
}

/// Whether a node can leave a resource to devices: it has none of it itself.
pub(crate) fn is_left_to_devices(resource: &str, snapshot: &Snapshot) -> bool {
    snapshot.devices().class_of(resource).is_some()
}
