//! What was decided about claims and the API does not show yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::allocate::Allocation;
use super::pools::AllocatedState;
use super::prepare::{Choice, Prepared};
use crate::snapshot::Table;
use crate::wire::ResourceClaim;

type Key = (String, String);

/// Claims of a pod that the API does not show as decided yet.
#[derive(Default)]
pub(super) struct InFlight {
    /// What was allocated, by claim, with the uid of the claim: another one may have its name later.
    allocated: BTreeMap<Key, (String, Arc<Allocation>)>,
    /// The same for claims that are still to be made, by the uid of the pod; with the claim's name once it has one.
    to_be_made: BTreeMap<Arc<str>, (Option<Key>, Arc<Allocation>)>,
    /// What is to be written for a pod, by its uid.
    work: BTreeMap<Arc<str>, Work>,
}

/// What is to be written for a pod.
#[derive(Clone)]
pub(super) struct Work {
    /// All claims of the pod that exist.
    pub(super) claims: Vec<Arc<ResourceClaim>>,
    /// What those get that have nothing yet.
    pub(super) choice: Choice,
    pub(super) progress: Arc<Progress>,
}

/// What the API was told of.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Claims that were reserved for the pod: namespace, name, uid.
    pub(super) reserved: Mutex<Vec<(String, String, String)>>,
    /// The claim that was made for its extended resources.
    pub(super) made: Mutex<Option<Key>>,
}

/// A claim by its namespace and name.
pub(super) fn key(claim: &ResourceClaim) -> Key {
    (claim.metadata.common.namespace.clone(), claim.metadata.common.name.clone())
}

impl InFlight {
    pub(super) fn begin(&mut self, pod: &Arc<str>, prepared: &Prepared, choice: Choice) {
        let claims = prepared.claims();
        for allocation in &choice.allocations {
            match claims.get(allocation.claim) {
                Some(claim) => {
                    let uid = claim.metadata.common.uid.clone();
                    self.allocated.insert(key(claim), (uid, allocation.clone()));
                }
                None => _ = self.to_be_made.insert(pod.clone(), (None, allocation.clone())),
            }
        }
        let work = Work { claims: claims.to_vec(), choice, progress: prepared.progress.clone() };
        self.work.insert(pod.clone(), work);
    }

    pub(super) fn work(&self, pod: &str) -> Option<Work> {
        self.work.get(pod).cloned()
    }

    /// All was written.
    pub(super) fn settle(&mut self, pod: &str) {
        if let Some(work) = self.work.remove(pod)
            && let Some((name, _)) = self.to_be_made.get_mut(pod)
        {
            name.clone_from(&work.progress.made.lock());
        }
    }

    pub(super) fn give_up(&mut self, pod: &str) {
        self.to_be_made.remove(pod);
        let Some(work) = self.work.remove(pod) else { return };
        let claims = work.choice.allocations.iter().filter_map(|allocation| work.claims.get(allocation.claim));
        claims.for_each(|claim| _ = self.allocated.remove(&key(claim)));
    }

    /// Forgets what the API shows, and what was about claims that are gone.
    pub(super) fn forget_confirmed(&mut self, claims: &Table<ResourceClaim>) {
        self.allocated.retain(|(namespace, name), (uid, _)| {
            let claim = claims.get(namespace, name).filter(|claim| claim.metadata.common.uid == *uid);
            claim.is_some_and(|claim| claim.status.allocation.is_none())
        });
        let shown = |(namespace, name): &Key| {
            claims.get(namespace, name).is_some_and(|claim| claim.status.allocation.is_some())
        };
        self.to_be_made.retain(|_, (name, _)| !name.as_ref().is_some_and(shown));
    }

    pub(super) fn has(&self, claim: &ResourceClaim) -> bool {
        self.allocated.contains_key(&key(claim))
    }

    /// What others have, as the API shows it and beyond.
    pub(super) fn allocated(&self, claims: &Table<ResourceClaim>) -> AllocatedState {
        let mut state = AllocatedState::default();
        let results = claims.iter().filter_map(|claim| claim.status.allocation.as_ref());
        for it in results.flat_map(|allocation| &allocation.devices.results).filter(|it| !it.admin_access) {
            let device = (it.driver.clone(), it.pool.clone(), it.device.clone());
            state.add(device, it.share_id.as_ref().map(|_| &it.consumed_capacity));
        }
        let known = self.allocated.values().map(|(_, allocation)| allocation);
        let made = self.to_be_made.values().map(|(_, allocation)| allocation);
        for (device, share) in known.chain(made).flat_map(|allocation| &allocation.devices) {
            state.add(device.clone(), share.as_ref());
        }
        state
    }
}
