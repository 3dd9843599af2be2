//! Performs what [`ownership::claim`] decides: adopts and releases through the API.

use std::sync::Arc;

use kube::api::Patch;
use serde_json::{Value, json};
use steersman_framework::api::{Api, Resource, has_code, is_not_found, message};
use steersman_framework::consistency::Consistency;
use steersman_framework::informer::{Cached, Informer};
use steersman_framework::meta::{Meta, OwnerReference, Partial};
use steersman_framework::ownership::{self, Claim, orphans_of, owned_by};
use steersman_framework::selector::LabelSelector;

use crate::error::SyncError;
use crate::workloads::is_custom;

/// The objects whose controller is `owner`, by namespace, kind, name and uid: one alone might be forged.
pub(crate) fn controlled<T: Cached>(informer: &Informer<T>, resource: &Resource, owner: &Meta) -> Vec<Arc<T>> {
    let mut owned = informer.indexed(&owned_by(&owner.uid));
    owned.retain(|object| {
        let reference = object.meta().controller();
        let named = reference.is_some_and(|it| it.kind == resource.kind && it.name == owner.name);
        named && object.meta().namespace == owner.namespace
    });
    owned
}

/// What `owner` might claim: what it controls, and what nobody controls in its namespace.
pub(crate) fn candidates<T: Cached>(informer: &Informer<T>, resource: &Resource, owner: &Meta) -> Vec<Arc<T>> {
    let mut candidates = controlled(informer, resource, owner);
    candidates.extend(informer.indexed(&orphans_of(&owner.namespace)));
    candidates
}

/// Who claims.
pub(crate) struct Claimant<'a> {
    pub(crate) api: &'a Api,
    /// Learns of the writes.
    pub(crate) consistency: &'a Consistency,
    pub(crate) resource: &'static Resource,
    pub(crate) owner: &'a Meta,
    pub(crate) selector: &'a LabelSelector,
}

impl Claimant<'_> {
    /// The candidates that belong to the owner, those adopted just now included. Goes on after an error, and then
    /// returns the first one.
    pub(crate) async fn claim<T: Cached>(
        &self,
        resource: &'static Resource,
        candidates: Vec<Arc<T>>,
    ) -> Result<Vec<Arc<T>>, SyncError> {
        let mut claimed = Vec::with_capacity(candidates.len());
        let mut first_error = None;
        let mut may_adopt = None;
        for candidate in candidates {
            let result = match ownership::claim(self.owner, self.selector, candidate.meta()) {
                Claim::Ignore => continue,
                Claim::Owned => {
                    claimed.push(candidate);
                    continue;
                }
                Claim::Release => self.release(resource, candidate.meta()).await,
                Claim::Adopt => {
                    if may_adopt.is_none() {
                        may_adopt = Some(self.recheck().await);
                    }
                    match may_adopt.as_ref() {
                        Some(Err(reason)) => Err(self.cannot_adopt(resource, candidate.meta(), reason)),
                        _ => self.adopt(resource, &*candidate).await.map(|adopted| claimed.extend(adopted)),
                    }
                }
            };
            if let Err(error) = result {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(claimed), Err)
    }

    /// Whether the owner is still there and wanted: asked of the server, since a stale cache would adopt for a ghost.
    async fn recheck(&self) -> Result<(), String> {
        let live: Partial = self.api.get(self.resource, &self.owner.key()).await.map_err(|error| message(&error))?;
        let (kind, key) = (&self.resource.kind, self.owner.key());
        if live.metadata.uid != self.owner.uid {
            let (got, wanted) = (&live.metadata.uid, &self.owner.uid);
            return Err(format!("original {kind} {key} is gone: got uid {got}, wanted {wanted}"));
        }
        match live.metadata.deletion_timestamp {
            Some(time) => Err(format!("{key} has just been deleted at {time}")),
            None => Ok(()),
        }
    }

    fn cannot_adopt(&self, resource: &Resource, candidate: &Meta, reason: &str) -> SyncError {
        let (kind, key, uid) = (&resource.kind, candidate.key(), &candidate.uid);
        SyncError::Refused(format!("can't adopt {kind} {key} ({uid}): {reason}"))
    }

    /// Adopts; `None` if the candidate is gone.
    async fn adopt<T: Cached>(&self, resource: &'static Resource, candidate: &T) -> Result<Option<Arc<T>>, SyncError> {
        let reference = ownership::controller_reference(self.resource, self.owner);
        let patch = if is_custom(resource) {
            Patch::Merge(merge_patch(candidate.meta(), &self.owner.uid, Some(reference)))
        } else {
            Patch::Strategic(ownership::adopt_patch(&reference, candidate.meta()))
        };
        match self.api.patch::<T>(resource, &candidate.meta().key(), &patch).await {
            Ok(adopted) => {
                self.wrote(resource, adopted.meta());
                Ok(Some(Arc::new(adopted)))
            }
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets a candidate go; one that is gone, or another object by now, needs nothing.
    async fn release(&self, resource: &'static Resource, candidate: &Meta) -> Result<(), SyncError> {
        let patch = if is_custom(resource) {
            Patch::Merge(merge_patch(candidate, &self.owner.uid, None))
        } else {
            Patch::Strategic(ownership::release_patch(&self.owner.uid, candidate))
        };
        match self.api.patch::<Partial>(resource, &candidate.key(), &patch).await {
            Ok(released) => {
                self.wrote(resource, &released.metadata);
                Ok(())
            }
            Err(error) if is_not_found(&error) || has_code(&error, 422) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn wrote(&self, resource: &'static Resource, written: &Meta) {
        self.consistency.wrote(&self.owner.uid, &resource.plural, &written.resource_version);
    }
}

/// Replaces the reference to `owner` among the owners of `candidate`. Custom resources know no merging of lists, so the
/// patch has all of them, and the version at which they were read.
fn merge_patch(candidate: &Meta, owner: &str, reference: Option<OwnerReference>) -> Value {
    let others = candidate.owner_references.iter().filter(|it| it.uid != owner).cloned();
    let owners: Vec<OwnerReference> = others.chain(reference).collect();
    let metadata =
        json!({"uid": candidate.uid, "resourceVersion": candidate.resource_version, "ownerReferences": owners});
    json!({"metadata": metadata})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_keeps_the_other_owners() {
        let reference = |uid: &str, controller: bool| OwnerReference {
            uid: uid.to_owned(),
            controller: Some(controller),
            ..OwnerReference::default()
        };
        let candidate = Meta {
            uid: "u".to_owned(),
            resource_version: "7".to_owned(),
            owner_references: vec![reference("me", false), reference("other", false)],
            ..Meta::default()
        };
        let uids = |patch: &Value| {
            let owners = patch["metadata"]["ownerReferences"].as_array().unwrap().clone();
            owners.iter().map(|owner| owner["uid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let adopt = merge_patch(&candidate, "me", Some(reference("me", true)));
        assert_eq!(uids(&adopt), ["other", "me"]);
        assert_eq!((&adopt["metadata"]["uid"], &adopt["metadata"]["resourceVersion"]), (&json!("u"), &json!("7")));
        assert_eq!(uids(&merge_patch(&candidate, "me", None)), ["other"]);
    }
}
