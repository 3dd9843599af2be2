//! What is the same for all nodes: which claims are bound, and which volumes others could get.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::assumed::Assumed;
use super::find::Choice;
use crate::node_selector::Terms;
use crate::plugins::volumes;
use crate::pod::Pod;
use crate::selector;
use crate::snapshot::{Snapshot, Storage};
use crate::status::Status;
use crate::wire::{Claim, CsiStorageCapacity, LabelSelector, PersistentVolume, StorageClass, TopologySelectorTerm};

/// The class of volumes that nobody makes.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// A pod's claims, ready to be asked for one node after the other.
pub(super) struct Prepared {
    /// The volumes of bound claims; `None` for one that does not exist.
    pub(super) bound: Vec<Option<Candidate>>,
    /// Claims that wait for their first pod, the smallest first.
    pub(super) waiting: Vec<Waiting>,
    /// What was found for nodes that have passed.
    choices: Mutex<BTreeMap<Arc<str>, Choice>>,
}

/// A volume, and where it can be had.
pub(super) struct Candidate {
    pub(super) volume: Arc<PersistentVolume>,
    pub(super) terms: Option<Terms>,
}

/// A claim without a volume.
pub(super) struct Waiting {
    pub(super) claim: Arc<Claim>,
    /// The node that was chosen for it before.
    pub(super) selected_node: Option<String>,
    /// A volume that is meant for this claim alone.
    pub(super) prebound: Option<Candidate>,
    /// The volumes that would do, the smallest first.
    pub(super) candidates: Vec<Candidate>,
    /// Where one could be made; `None`: nowhere.
    pub(super) provision: Option<Provision>,
}

/// Where the volumes of a class can be made.
pub(super) struct Provision {
    pub(super) topologies: Vec<TopologySelectorTerm>,
    /// The nodes with enough room; `None` if the driver does not say.
    pub(super) room: Option<Vec<LabelSelector>>,
}

impl Prepared {
    pub(super) fn new(pod: &Pod, snapshot: &Snapshot, assumed: &Assumed) -> Result<Self, Status> {
        let storage = snapshot.storage();
        let (mut bound, mut waiting, mut immediate) = (Vec::new(), Vec::new(), false);
        let mut claims = Vec::new();
        for (volume, name) in pod.claims() {
            claims.push(checked(pod, storage, (volume.ephemeral.is_some(), &name)).map_err(Status::unresolvable)?);
        }
        for claim in claims {
            if claim.is_fully_bound() {
                let volume = storage.volumes.get("", &claim.spec.volume_name);
                bound.push(volume.map(|volume| Candidate::new(assumed.volume(volume), snapshot)));
            } else if let Some(class) = waits(claim, storage) {
                waiting.push(Waiting::new(claim, class, snapshot, assumed));
            } else {
                immediate = true;
            }
        }
        if immediate {
            return Err(Status::unresolvable("pod has unbound immediate PersistentVolumeClaims"));
        }
        waiting.sort_by_key(|waiting: &Waiting| waiting.claim.requested());
        Ok(Self { bound, waiting, choices: Mutex::default() })
    }

    /// Whether all volumes exist and none can be had on some nodes only.
    pub(super) fn is_everywhere(&self) -> bool {
        let free = |volume: &Option<Candidate>| volume.as_ref().is_some_and(|volume| volume.terms.is_none());
        self.waiting.is_empty() && self.bound.iter().all(free)
    }

    /// Notes what was found for a node.
    pub(super) fn choose(&self, node: &Arc<str>, choice: Choice) {
        if !choice.is_empty() {
            self.choices.lock().insert(node.clone(), choice);
        }
    }

    /// What was found for a node.
    pub(super) fn chosen(&self, node: &str) -> Option<Choice> {
        self.choices.lock().get(node).cloned()
    }
}

/// A claim that a pod can use, or why it cannot.
fn checked<'a>(pod: &Pod, storage: &'a Storage, (ephemeral, name): (bool, &str)) -> Result<&'a Arc<Claim>, String> {
    let Some(claim) = volumes::claim(storage, pod, name) else {
        return Err(match ephemeral {
            true => format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}"),
            false => volumes::not_found("persistentvolumeclaim", name),
        });
    };
    if claim.status.phase == "Lost" {
        let volume = &claim.spec.volume_name;
        return Err(format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"));
    }
    if claim.metadata.common.deletion_timestamp.is_some() {
        return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
    }
    if ephemeral {
        volumes::was_made_for(claim, pod)?;
    }
    Ok(claim)
}

/// The class of a claim that waits for its first pod. One that names a volume already does not.
fn waits<'a>(claim: &Claim, storage: &'a Storage) -> Option<&'a StorageClass> {
    let class = storage.classes.get("", claim.class())?;
    let waits = class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
    (waits && claim.spec.volume_name.is_empty()).then_some(class)
}

impl Candidate {
    fn new(volume: Arc<PersistentVolume>, snapshot: &Snapshot) -> Self {
        let terms = volume.required().map(|required| Terms::of_labels(required, snapshot));
        Self { volume, terms }
    }
}

impl Waiting {
    fn new(claim: &Arc<Claim>, class: &StorageClass, snapshot: &Snapshot, assumed: &Assumed) -> Self {
        let storage = snapshot.storage();
        let selected_node = assumed.selected_node(claim);
        let (mut prebound, mut candidates) = (None, Vec::new());
        for volume in storage.volumes.iter().filter(|volume| volume.class() == claim.class()) {
            let volume = assumed.volume(volume);
            if volume.is_bound_to(claim) && has_what_is_asked(&volume, claim) {
                prebound = prebound.or_else(|| Some(Candidate::new(volume, snapshot)));
            } else if volume.spec.claim_ref.is_none() && will_do(&volume, claim) {
                candidates.push(Candidate::new(volume, snapshot));
            }
        }
        candidates.sort_by_key(|candidate| candidate.volume.size());
        let provision = Provision::new(claim, class, storage);
        Self { claim: claim.clone(), selected_node, prebound, candidates, provision }
    }
}

/// Whether a volume has the size and the form that a claim asks for.
fn has_what_is_asked(volume: &PersistentVolume, claim: &Claim) -> bool {
    volume.size() >= claim.requested().unwrap_or(0)
        && volume.mode() == claim.mode()
        && volume.spec.volume_attributes_class_name == claim.spec.volume_attributes_class_name
        && volume.metadata.common.deletion_timestamp.is_none()
}

/// Whether a volume that is meant for nobody will do.
fn will_do(volume: &PersistentVolume, claim: &Claim) -> bool {
    let selected = |wanted: &LabelSelector| selector::matches(wanted, &volume.metadata.common.labels);
    has_what_is_asked(volume, claim)
        && volume.status.phase == "Available"
        && claim.spec.selector.as_ref().is_none_or(selected)
        && claim.spec.access_modes.iter().all(|mode| volume.spec.access_modes.contains(mode))
}

/// The largest volume for which there is room.
pub(super) fn limit(room: &CsiStorageCapacity) -> Option<i64> {
    let limit = room.maximum_volume_size.as_ref().or(room.capacity.as_ref());
    limit.map(|limit| crate::resources::amount("storage", limit))
}

impl Provision {
    fn new(claim: &Claim, class: &StorageClass, storage: &Storage) -> Option<Self> {
        if class.provisioner.is_empty() || class.provisioner == NO_PROVISIONER {
            return None;
        }
        let driver = storage.csi_drivers.get("", &class.provisioner);
        let tells = driver.is_some_and(|driver| driver.spec.storage_capacity);
        let room = claim.requested().filter(|_| tells).map(|size| {
            let of_class = storage.capacities.iter().filter(|room| room.storage_class_name == class.metadata.name);
            let enough = of_class.filter(|room| limit(room).is_some_and(|limit| limit >= size));
            enough.filter_map(|room| room.node_topology.clone()).collect()
        });
        Some(Self { topologies: class.allowed_topologies.clone(), room })
    }
}
