//! What the plugins about volumes have in common.

use std::sync::Arc;

use crate::cluster_event::{EventObject, EventResource, Happening, QueueingHint};
use crate::pod::Pod;
use crate::snapshot::Storage;
use crate::wire::Claim;

/// That a claim does not exist, in the words of the API.
pub(super) fn not_found(kind: &str, name: &str) -> String {
    format!("{kind} {name:?} not found")
}

/// The claim of that name in the pod's namespace.
pub(super) fn claim<'a>(storage: &'a Storage, pod: &Pod, name: &str) -> Option<&'a Arc<Claim>> {
    storage.claims.get(&pod.spec.namespace, name)
}

/// Whether a claim of an ephemeral volume was made for this pod: another claim may have had the name before.
pub(super) fn was_made_for(claim: &Claim, pod: &Pod) -> Result<(), String> {
    if claim.metadata.owners.iter().any(|owner| owner.controller && owner.uid == *pod.uid) {
        return Ok(());
    }
    let metadata = &claim.metadata.common;
    Err(format!(
        "PVC {}/{} was not created for pod {} (pod is not owner)",
        metadata.namespace,
        metadata.name,
        pod.key()
    ))
}

/// A claim is of interest to the pods that use it; every other event to all pods that wait for it.
pub(super) fn hint(pod: &Pod, happening: &Happening) -> QueueingHint {
    match &happening.object {
        EventObject::Named { namespace, name } if happening.event.resource == EventResource::Claim => {
            let uses = *namespace == *pod.spec.namespace && pod.claims().any(|(_, claim)| claim == *name);
            if uses { QueueingHint::Queue } else { QueueingHint::Skip }
        }
        EventObject::AssignedPod { old: Some(old), new: None } if old.spec.volumes.is_empty() => QueueingHint::Skip,
        _ => QueueingHint::Queue,
    }
}
