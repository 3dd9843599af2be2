//! What was decided about volumes and claims and the API does not show yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::find::Choice;
use crate::snapshot::Storage;
use crate::wire::{Claim, ClaimReference, PersistentVolume};

/// Decisions. Each holds until the API shows another version of the object than the one it was made about.
#[derive(Debug, Default)]
pub(super) struct Assumed {
    /// For which claim a volume is held, with the volume's version.
    volumes: BTreeMap<String, (String, ClaimReference)>,
    /// On which node a claim's volume is to be made, with the claim's version.
    claims: BTreeMap<(String, String), (String, String)>,
    /// What was chosen for a pod, by its uid.
    choices: BTreeMap<Arc<str>, Arc<Choice>>,
}

fn reference(claim: &Claim) -> ClaimReference {
    let metadata = &claim.metadata.common;
    ClaimReference { namespace: metadata.namespace.clone(), name: metadata.name.clone(), uid: metadata.uid.clone() }
}

fn key(claim: &Claim) -> (String, String) {
    (claim.metadata.common.namespace.clone(), claim.metadata.common.name.clone())
}

impl Assumed {
    /// The volume as it will be.
    pub(super) fn volume(&self, volume: &Arc<PersistentVolume>) -> Arc<PersistentVolume> {
        let metadata = &volume.metadata.common;
        match self.volumes.get(&metadata.name) {
            Some((version, claim)) if *version == metadata.resource_version => {
                let mut assumed = volume.as_ref().clone();
                assumed.spec.claim_ref = Some(claim.clone());
                Arc::new(assumed)
            }
            _ => volume.clone(),
        }
    }

    /// The node on which the claim's volume is to be made.
    pub(super) fn selected_node(&self, claim: &Claim) -> Option<String> {
        match self.claims.get(&key(claim)) {
            Some((version, node)) if *version == claim.metadata.common.resource_version => Some(node.clone()),
            _ => claim.metadata.annotations.get(super::bind::SELECTED_NODE).cloned(),
        }
    }

    /// A node was chosen.
    pub(super) fn assume(&mut self, uid: &Arc<str>, choice: Choice, node: &str) {
        for (volume, claim) in &choice.bindings {
            let metadata = &volume.metadata.common;
            let entry = (metadata.resource_version.clone(), reference(claim));
            self.volumes.insert(metadata.name.clone(), entry);
        }
        for claim in &choice.provisions {
            let version = claim.metadata.common.resource_version.clone();
            self.claims.insert(key(claim), (version, node.to_owned()));
        }
        self.choices.insert(uid.clone(), Arc::new(choice));
    }

    /// What was chosen for a pod and is not done yet.
    pub(super) fn choice(&self, uid: &str) -> Option<Arc<Choice>> {
        self.choices.get(uid).cloned()
    }

    /// The choice was carried out; what it changed is forgotten when the API shows it.
    pub(super) fn settle(&mut self, uid: &str) {
        self.choices.remove(uid);
    }

    /// The choice was given up.
    pub(super) fn forget(&mut self, uid: &str) {
        let Some(choice) = self.choices.remove(uid) else { return };
        for (volume, _) in &choice.bindings {
            self.volumes.remove(&volume.metadata.common.name);
        }
        for claim in &choice.provisions {
            self.claims.remove(&key(claim));
        }
    }

    /// Forgets decisions about versions that are not the present ones.
    pub(super) fn forget_confirmed(&mut self, storage: &Storage) {
        self.volumes.retain(|name, (version, _)| {
            storage.volumes.get("", name).is_some_and(|volume| volume.metadata.common.resource_version == *version)
        });
        self.claims.retain(|(namespace, name), (version, _)| {
            let claim = storage.claims.get(namespace, name);
            claim.is_some_and(|claim| claim.metadata.common.resource_version == *version)
        });
    }
}
