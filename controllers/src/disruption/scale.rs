//! How many pods the owners of pods want.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use steersman_framework::api::{Resource, is_not_found};
use steersman_framework::discovery::discover;
use steersman_framework::meta::{Meta, ObjectKey, OwnerReference};

use super::DisruptionController;
use crate::error::SyncError;
use crate::objects::{DEPLOYMENTS, Pod, REPLICA_SETS};

static KNOWN: [Resource; 2] = [
    Resource::namespaced("apps", "v1", "StatefulSet", "statefulsets"),
    Resource::namespaced("", "v1", "ReplicationController", "replicationcontrollers"),
];

/// What is read of a `Scale`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Scale {
    metadata: Meta,
    spec: ScaleSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScaleSpec {
    replicas: i64,
}

/// An owner and how many pods it wants.
struct Wish {
    uid: String,
    replicas: i64,
}

fn group(owner: &OwnerReference) -> &str {
    owner.api_version.split_once('/').map_or("", |(group, _)| group)
}

fn is_of(owner: &OwnerReference, resource: &Resource) -> bool {
    owner.kind == resource.kind && (group(owner) == resource.group)
}

impl DisruptionController {
    /// How many pods all owners of `pods` want together, and whether some pods have no owner.
    pub(super) async fn scale(&self, pods: &[Arc<Pod>]) -> Result<(i64, bool), SyncError> {
        let mut wishes: BTreeMap<String, i64> = BTreeMap::new();
        let mut asked: BTreeMap<&str, ()> = BTreeMap::new();
        let mut unmanaged = false;
        for pod in pods {
            let Some(owner) = pod.metadata.controller() else {
                unmanaged = true;
                continue;
            };
            if asked.insert(&owner.uid, ()).is_some() {
                continue;
            }
            let key = ObjectKey::new(&pod.metadata.namespace, &owner.name);
            let wish = match self.cached_wish(owner, &key) {
                Some(wish) => Some(wish),
                None => self.asked_wish(owner, &key).await?,
            };
            let none = || SyncError::Refused(format!("found no controllers for pod {:?}", pod.metadata.name));
            let wish = wish.ok_or_else(none)?;
            wishes.insert(wish.uid, wish.replicas);
        }
        Ok((wishes.values().fold(0, |sum: i64, wish| sum.saturating_add(*wish)), unmanaged))
    }

    /// What a ReplicaSet, or the Deployment above it, wants, if the caches know them.
    fn cached_wish(&self, owner: &OwnerReference, key: &ObjectKey) -> Option<Wish> {
        if !is_of(owner, &REPLICA_SETS) {
            return None;
        }
        let set = self.sets.get(key).filter(|set| set.metadata.uid == owner.uid)?;
        match set.metadata.controller() {
            Some(above) if above.kind == DEPLOYMENTS.kind => {
                let deployment = self.deployments.get(&ObjectKey::new(&key.namespace, &above.name))?;
                let found = is_of(above, &DEPLOYMENTS) && deployment.metadata.uid == above.uid;
                found.then(|| Wish { uid: above.uid.clone(), replicas: deployment.spec.replicas.into() })
            }
            _ => Some(Wish { uid: owner.uid.clone(), replicas: set.spec.replicas.into() }),
        }
    }

    /// What the server says that an owner wants; `None` if the owner is not there.
    async fn asked_wish(&self, owner: &OwnerReference, key: &ObjectKey) -> Result<Option<Wish>, SyncError> {
        let resource = self.resource(owner).await?;
        match self.api.get_subresource::<Scale>(&resource, key, "scale").await {
            Ok(scale) if scale.metadata.uid != owner.uid => Ok(None),
            Ok(scale) => Ok(Some(Wish { uid: scale.metadata.uid, replicas: scale.spec.replicas })),
            Err(error) if is_not_found(&error) && self.is_scalable(&resource).await? => Ok(None),
            Err(error) if is_not_found(&error) => {
                Err(SyncError::Refused(format!("{resource} does not implement the scale subresource")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the objects of a resource can tell of their scale.
    async fn is_scalable(&self, resource: &Resource) -> Result<bool, SyncError> {
        let (client, version) = (self.api.client(), resource.api_version());
        let list = match resource.group.is_empty() {
            true => client.list_core_api_resources(&version).await?,
            false => client.list_api_group_resources(&version).await?,
        };
        let name = format!("{}/scale", resource.plural);
        Ok(list.resources.iter().any(|it| it.name == name && it.kind == "Scale"))
    }

    async fn resource(&self, owner: &OwnerReference) -> Result<Cow<'static, Resource>, SyncError> {
        let known = [&REPLICA_SETS, &DEPLOYMENTS].into_iter().chain(&KNOWN).find(|known| is_of(owner, known));
        if let Some(known) = known {
            return Ok(Cow::Borrowed(known));
        }
        let served = discover(self.api.client()).await?.into_iter().map(|served| served.resource);
        let found = served.into_iter().find(|resource| is_of(owner, resource) && resource.namespaced);
        found.map(Cow::Owned).ok_or_else(|| {
            let message = format!("no matches for kind {:?} in version {:?}", owner.kind, owner.api_version);
            SyncError::Refused(message)
        })
    }
}
