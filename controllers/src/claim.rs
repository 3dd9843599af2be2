//! Performs what [`ownership::claim`] decides: adopts and releases through the API.

use std::sync::Arc;

use kube::api::Patch;
use steersman_framework::api::{Api, Resource, has_code, is_not_found, message};
use steersman_framework::consistency::Consistency;
use steersman_framework::informer::Cached;
use steersman_framework::meta::{Meta, Partial};
use steersman_framework::ownership::{self, Claim};
use steersman_framework::selector::LabelSelector;

use crate::error::SyncError;

/// Who claims.
pub(crate) struct Claimant<'a> {
    pub(crate) api: &'a Api,
    /// Learns of the writes.
    pub(crate) consistency: &'a Consistency,
    pub(crate) resource: &'a Resource,
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
        let patch = Patch::Strategic(ownership::adopt_patch(&reference, candidate.meta()));
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
        let patch = Patch::Strategic(ownership::release_patch(&self.owner.uid, candidate));
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
