//! Looks at single objects and does what [`judge`] says.

use std::sync::Arc;

use kube::Error;
use kube::api::{DeleteParams, Patch, Preconditions, PropagationPolicy};
use serde_json::{Value, json};
use steersman_framework::api::{Resource, has_code, is_conflict, is_not_found};
use steersman_framework::controller::Outcome;
use steersman_framework::meta::{Meta, ObjectKey, OwnerReference, Partial};
use steersman_framework::ownership::release_patch;
use steersman_machinery::meta::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN};

use super::GarbageCollector;
use crate::error::SyncError;
use crate::garbage_collector::absent::Place;
use crate::garbage_collector::graph::Node;
use crate::garbage_collector::plan::{Dependents, Policy, Standing, Verdict, judge};

impl GarbageCollector {
    /// Deletes an object if it has lost its owners, or goes on with its foreground deletion.
    pub(super) async fn examine(&self, uid: String) -> Result<Outcome, SyncError> {
        let (node, settled) = {
            let graph = self.0.graph.lock();
            let Some(node) = graph.get(&uid) else { return Ok(Outcome::Done) };
            (node.clone(), !node.waiting && graph.has_only_solid_owners(node))
        };
        if node.is_leaving() || settled {
            return Ok(Outcome::Done);
        }
        // What the graph knows is enough for the most frequent case: the version makes sure that it still holds.
        if !node.waiting {
            let known = node.meta(&uid);
            if let Some(Verdict::Delete { policy, unblock: false }) = self.judge(&uid, &node, &known).await?
                && self.delete_exactly(&node, &known, policy).await?
            {
                return Ok(Outcome::Done);
            }
        }
        let live = match self.0.api.get_metadata::<Partial>(&node.resource, &node.key).await {
            Ok(live) if live.metadata.uid == uid => live.metadata,
            // The watch is about to tell.
            Ok(_) => return Ok(Outcome::Done),
            Err(error) if is_not_found(&error) => return Ok(Outcome::Done),
            Err(error) => return Err(error.into()),
        };
        if node.waiting {
            return self.finish_foreground(&uid, &node, &live).await;
        }
        if live.is_deleting() {
            // Already asked for, by us or by somebody else; what that calls for comes with the watch.
            return Ok(Outcome::Done);
        }
        let Some(verdict) = self.judge(&uid, &node, &live).await? else { return Ok(Outcome::Done) };
        let stays = !matches!(verdict, Verdict::Delete { .. });
        self.carry_out(&node, &live, verdict).await?;
        Ok(if stays && self.has_unseen_owner(&live) { Outcome::Soon } else { Outcome::Done })
    }

    /// Whether an owner has not been seen by a watch yet. If it goes before it is, nobody would tell.
    fn has_unseen_owner(&self, live: &Meta) -> bool {
        let (graph, absent) = (self.0.graph.lock(), self.0.absent.lock());
        let unseen = |owner: &OwnerReference| graph.get(&owner.uid).is_none();
        live.owner_references.iter().any(|owner| unseen(owner) && !absent.contains(owner, &live.namespace))
    }

    /// What becomes of an object with this metadata; `None` if that can never be told.
    async fn judge(&self, uid: &str, node: &Node, meta: &Meta) -> Result<Option<Verdict>, SyncError> {
        let Some(owners) = self.classify(node, meta).await? else {
            return Ok(None);
        };
        let graph = self.0.graph.lock();
        let dependents = Dependents {
            any: graph.dependents(uid).next().is_some(),
            any_waiting: graph.dependents(uid).any(|(_, dependent)| dependent.waiting),
        };
        Ok(Some(judge(meta, &owners, dependents)))
    }

    async fn carry_out(&self, node: &Node, live: &Meta, verdict: Verdict) -> Result<(), SyncError> {
        match verdict {
            Verdict::Keep => {}
            Verdict::Disown(owners) => {
                let left = live.owner_references.iter().filter(|owner| !owners.contains(&owner.uid));
                self.set_owners(node, live, left.cloned().collect()).await?;
            }
            Verdict::Delete { policy, unblock } => {
                let mut live = live.clone();
                if unblock {
                    let unblocked = live.owner_references.iter().cloned().map(|owner| OwnerReference {
                        block_owner_deletion: owner.block_owner_deletion.map(|_| false),
                        ..owner
                    });
                    live = self.set_owners(node, &live, unblocked.collect()).await?;
                }
                self.delete(node, &live, policy).await?;
            }
        }
        Ok(())
    }

    /// Takes the finalizer off once no dependent blocks any more; else looks after those that do.
    async fn finish_foreground(&self, uid: &str, node: &Node, live: &Meta) -> Result<Outcome, SyncError> {
        let blocking: Vec<(String, bool)> = {
            let graph = self.0.graph.lock();
            graph.blocking(uid).map(|(dependent, node)| (dependent.clone(), node.waiting)).collect()
        };
        if blocking.is_empty() {
            self.remove_finalizer(node, live, FINALIZER_FOREGROUND).await?;
        }
        for (dependent, waiting) in blocking {
            if !waiting {
                self.0.examine.add(dependent);
            }
        }
        Ok(Outcome::Done)
    }

    /// How each owner stands; `None` if that can never be told.
    async fn classify(&self, node: &Node, live: &Meta) -> Result<Option<Vec<(OwnerReference, Standing)>>, SyncError> {
        let mut owners = Vec::with_capacity(live.owner_references.len());
        for reference in &live.owner_references {
            let Some(standing) = self.standing(node, reference).await? else {
                return Ok(None);
            };
            owners.push((reference.clone(), standing));
        }
        Ok(Some(owners))
    }

    async fn standing(&self, node: &Node, reference: &OwnerReference) -> Result<Option<Standing>, SyncError> {
        let namespace = &node.key.namespace;
        if self.0.absent.lock().contains(reference, namespace) {
            return Ok(Some(Standing::Dangling));
        }
        let Some(resource) = self.resource_of(reference) else {
            let (version, kind) = (&reference.api_version, &reference.kind);
            return Err(SyncError::Refused(format!("no matches for kind \"{kind}\" in version \"{version}\"")));
        };
        if resource.namespaced && namespace.is_empty() {
            tracing::warn!(object = %node.key, owner = reference.name, "a cluster-scoped object names an owner in a namespace");
            return Ok(None);
        }
        let owner_namespace = if resource.namespaced { namespace.as_str() } else { "" };
        let key = ObjectKey::new(owner_namespace, &reference.name);
        match self.0.api.get_metadata::<Partial>(&resource, &key).await {
            Ok(owner) if owner.metadata.uid == reference.uid => {
                let meta = &owner.metadata;
                let waiting = meta.is_deleting() && meta.has_finalizer(FINALIZER_FOREGROUND);
                Ok(Some(if waiting { Standing::Waiting } else { Standing::Solid }))
            }
            Err(error) if !is_not_found(&error) => Err(error.into()),
            // Gone, or another one of the same name.
            _ => {
                self.0.absent.lock().insert(Place::of(reference, owner_namespace));
                Ok(Some(Standing::Dangling))
            }
        }
    }

    fn resource_of(&self, reference: &OwnerReference) -> Option<Arc<Resource>> {
        self.0.kinds.lock().get(&(reference.api_version.clone(), reference.kind.clone())).cloned()
    }

    /// Deletes exactly this version of an object; false if it is another one by now.
    async fn delete_exactly(&self, node: &Node, meta: &Meta, policy: Policy) -> Result<bool, SyncError> {
        let preconditions =
            Preconditions { uid: Some(meta.uid.clone()), resource_version: Some(meta.resource_version.clone()) };
        match self.0.api.delete(&node.resource, &node.key, &delete_params(policy, preconditions)).await {
            Ok(()) => Ok(true),
            Err(error) if is_not_found(&error) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes an object, whatever was written to it meanwhile, unless its owners are not those that were judged.
    async fn delete(&self, node: &Node, live: &Meta, policy: Policy) -> Result<(), SyncError> {
        if self.delete_exactly(node, live, policy).await? {
            return Ok(());
        }
        let now: Partial = match self.0.api.get_metadata(&node.resource, &node.key).await {
            Ok(now) => now,
            Err(error) if is_not_found(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if now.metadata.uid != live.uid || now.metadata.owner_references != live.owner_references {
            return Err(SyncError::Refused("the owners have changed".to_owned()));
        }
        let preconditions = Preconditions { uid: Some(live.uid.clone()), resource_version: None };
        match self.0.api.delete(&node.resource, &node.key, &delete_params(policy, preconditions)).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn set_owners(&self, node: &Node, live: &Meta, owners: Vec<OwnerReference>) -> Result<Meta, SyncError> {
        self.patch_metadata(node, live, "ownerReferences", json!(owners)).await
    }

    async fn remove_finalizer(&self, node: &Node, live: &Meta, finalizer: &str) -> Result<(), SyncError> {
        if !live.has_finalizer(finalizer) {
            return Ok(());
        }
        let left: Vec<&String> = live.finalizers.iter().filter(|present| *present != finalizer).collect();
        match self.patch_metadata(node, live, "finalizers", json!(left)).await {
            Err(SyncError::Api(error)) if is_not_found(&error) => Ok(()),
            result => result.map(|_| ()),
        }
    }

    /// Replaces one list of the metadata, unless the object has changed meanwhile.
    async fn patch_metadata(&self, node: &Node, live: &Meta, field: &str, list: Value) -> Result<Meta, SyncError> {
        let list = if list.as_array().is_some_and(Vec::is_empty) { Value::Null } else { list };
        let mut body = json!({"metadata": {"uid": live.uid, "resourceVersion": live.resource_version}});
        body["metadata"][field] = list;
        let patched: Partial = self.0.api.patch(&node.resource, &node.key, &Patch::Merge(body)).await?;
        Ok(patched.metadata)
    }

    /// Takes an owner off all its dependents, and then lets it go.
    pub(super) async fn orphan(&self, uid: String) -> Result<Outcome, SyncError> {
        let (owner, dependents): (Node, Vec<(String, Node)>) = {
            let graph = self.0.graph.lock();
            let Some(owner) = graph.get(&uid) else { return Ok(Outcome::Done) };
            let dependents = graph.dependents(&uid).map(|(uid, node)| (uid.clone(), node.clone()));
            (owner.clone(), dependents.collect())
        };
        let releases = dependents.iter().map(|(dependent, node)| self.release(&uid, dependent, node));
        futures::future::join_all(releases).await.into_iter().collect::<Result<Vec<()>, _>>()?;
        match self.0.api.get_metadata::<Partial>(&owner.resource, &owner.key).await {
            Ok(live) if live.metadata.uid == uid => {
                self.remove_finalizer(&owner, &live.metadata, FINALIZER_ORPHAN).await?;
            }
            Err(error) if !is_not_found(&error) => return Err(error.into()),
            _ => {}
        }
        Ok(Outcome::Done)
    }

    async fn release(&self, owner: &str, uid: &str, node: &Node) -> Result<(), SyncError> {
        let meta = Meta { uid: uid.to_owned(), ..Meta::default() };
        let patch = Patch::Strategic(release_patch(owner, &meta));
        let patched: Result<Partial, Error> = self.0.api.patch(&node.resource, &node.key, &patch).await;
        match patched {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) if has_code(&error, 422) || is_conflict(&error) => {
                // It may be another object of the same name by now. If it is not, its owner has to wait.
                match self.0.api.get_metadata::<Partial>(&node.resource, &node.key).await {
                    Ok(live) if live.metadata.uid == uid => Err(error.into()),
                    Err(error) if !is_not_found(&error) => Err(error.into()),
                    _ => Ok(()),
                }
            }
            // Custom resources know no strategic merge.
            Err(error) if has_code(&error, 415) => {
                let live: Partial = self.0.api.get_metadata(&node.resource, &node.key).await?;
                let left = live.metadata.owner_references.iter().filter(|reference| reference.uid != owner);
                self.set_owners(node, &live.metadata, left.cloned().collect()).await.map(|_| ())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn delete_params(policy: Policy, preconditions: Preconditions) -> DeleteParams {
    DeleteParams {
        propagation_policy: Some(match policy {
            Policy::Background => PropagationPolicy::Background,
            Policy::Foreground => PropagationPolicy::Foreground,
            Policy::Orphan => PropagationPolicy::Orphan,
        }),
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    }
}
