//! What the plugins about volumes have in common.

use std::sync::Arc;

use crate::cluster_event::{Happening, QueueingHint};
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

/// Whether a claim is one of the pod's.
pub(super) fn uses(pod: &Pod, claim: &Claim) -> bool {
    let metadata = &claim.metadata.common;
    *metadata.namespace == *pod.spec.namespace && pod.claims().any(|(_, name)| name == metadata.name)
}

/// Whether what happened to a claim is of interest to a pod; `None` if it happened to something else.
pub(super) fn claim_helps(pod: &Pod, happening: &Happening) -> Option<bool> {
    let (_, new) = happening.object.change_of::<Claim>()?;
    Some(new.is_some_and(|claim| uses(pod, claim)))
}

/// The hint for whether something helps.
pub(super) fn hint(helps: bool) -> QueueingHint {
    if helps { QueueingHint::Queue } else { QueueingHint::Skip }
}
