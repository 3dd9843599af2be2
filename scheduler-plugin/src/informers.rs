//! List and watch of everything that decisions depend on.

mod asked;

use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use serde::de::DeserializeOwned;
use serde_json::Value;
use steersman_framework::api::{Api, Resource};
use steersman_framework::reflector::{Change, Reflector, Sink};
use steersman_framework::runtime::Shutdown;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::snapshot::SelectingKind;
use crate::watched::Source as Asked;
use crate::wire;

/// Something that the API server told.
#[derive(Debug)]
pub(crate) enum Update {
    Nodes(Change<wire::Node>),
    Pods(Change<wire::Pod>),
    Namespaces(Change<wire::Meta>),
    Selecting(SelectingKind, Change<wire::Selecting>),
    Budgets(Change<wire::Budget>),
    Claims(Change<wire::Claim>),
    Volumes(Change<wire::PersistentVolume>),
    Classes(Change<wire::StorageClass>),
    CsiNodes(Change<wire::CsiNode>),
    CsiDrivers(Change<wire::CsiDriver>),
    Capacities(Change<wire::CsiStorageCapacity>),
    Attachments(Change<wire::VolumeAttachment>),
    ResourceClaims(Change<wire::ResourceClaim>),
    DeviceClasses(Change<wire::DeviceClass>),
    ResourceSlices(Change<wire::ResourceSlice>),
    /// What a plugin asked for, by its place among all that was.
    Watched(usize, Change<Value>),
}

/// Whose first list has to have come before decisions can be made.
pub(crate) const SOURCES: usize = 18;

struct Forward<T> {
    // Unbounded, since a watch can't be made to wait: the loop takes everything out before each decision, so at most
    // what arrives during one decision (less than a millisecond) piles up.
    sender: UnboundedSender<Update>,
    wrap: fn(Change<T>) -> Update,
}

impl<T: Send + Sync> Sink<T> for Forward<T> {
    fn take(&self, change: Change<T>, _: &str) {
        if !matches!(change, Change::Progress) {
            // The receiver is gone only while everything is being stopped.
            let _ = self.sender.send((self.wrap)(change));
        }
    }
}

/// What drives the watches, and where what they see comes out.
pub(crate) fn informers(
    api: &Api,
    shutdown: &Shutdown,
    watched: &[Arc<dyn Asked>],
) -> (BoxFuture<'static, ()>, UnboundedReceiver<Update>) {
    let (sender, receiver) = unbounded_channel();
    let source = Source { api: api.clone(), shutdown: shutdown.clone(), sender };
    let core = |kind, plural| Resource::namespaced("", "v1", kind, plural);
    let apps = |kind, plural| Resource::namespaced("apps", "v1", kind, plural);
    let storage = |kind, plural| Resource::cluster("storage.k8s.io", "v1", kind, plural);
    let devices = |kind, plural| Resource::cluster("resource.k8s.io", "v1", kind, plural);
    let mut running: FuturesUnordered<BoxFuture<'static, ()>> = [
        source.watch(Resource::cluster("", "v1", "Node", "nodes"), Update::Nodes),
        source.watch(core("Pod", "pods"), Update::Pods),
        source.watch(Resource::cluster("", "v1", "Namespace", "namespaces"), Update::Namespaces),
        source.selecting(core("Service", "services"), |change| Update::Selecting(SelectingKind::Service, change)),
        source.selecting(core("ReplicationController", "replicationcontrollers"), |change| {
            Update::Selecting(SelectingKind::ReplicationController, change)
        }),
        source.selecting(apps("ReplicaSet", "replicasets"), |change| {
            Update::Selecting(SelectingKind::ReplicaSet, change)
        }),
        source.selecting(apps("StatefulSet", "statefulsets"), |change| {
            Update::Selecting(SelectingKind::StatefulSet, change)
        }),
        source.watch(
            Resource::namespaced("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Update::Budgets,
        ),
        source.watch(core("PersistentVolumeClaim", "persistentvolumeclaims"), Update::Claims),
        source.watch(Resource::cluster("", "v1", "PersistentVolume", "persistentvolumes"), Update::Volumes),
        source.watch(storage("StorageClass", "storageclasses"), Update::Classes),
        source.watch(storage("CSINode", "csinodes"), Update::CsiNodes),
        source.watch(storage("CSIDriver", "csidrivers"), Update::CsiDrivers),
        source.watch(
            Resource::namespaced("storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities"),
            Update::Capacities,
        ),
        source.watch(storage("VolumeAttachment", "volumeattachments"), Update::Attachments),
        // Since 1.34.
        source.optional(
            Resource::namespaced("resource.k8s.io", "v1", "ResourceClaim", "resourceclaims"),
            Update::ResourceClaims,
        ),
        source.optional(devices("DeviceClass", "deviceclasses"), Update::DeviceClasses),
        source.optional(devices("ResourceSlice", "resourceslices"), Update::ResourceSlices),
    ]
    .into_iter()
    .collect();
    for (place, asked) in watched.iter().enumerate() {
        running.push(asked::follow(asked.as_ref(), (api, shutdown), source.sender.clone(), place));
    }
    let all = async move { while running.next().await.is_some() {} };
    (Box::pin(all), receiver)
}

struct Source {
    api: Api,
    shutdown: Shutdown,
    sender: UnboundedSender<Update>,
}

impl Source {
    fn selecting(&self, resource: Resource, wrap: fn(Change<wire::Selecting>) -> Update) -> BoxFuture<'static, ()> {
        self.watch(resource, wrap)
    }

    fn watch<T: Told>(&self, resource: Resource, wrap: fn(Change<T>) -> Update) -> BoxFuture<'static, ()> {
        Box::pin(self.reflector(resource, wrap).run(self.shutdown.clone()))
    }

    /// What servers may be without.
    fn optional<T: Told>(&self, resource: Resource, wrap: fn(Change<T>) -> Update) -> BoxFuture<'static, ()> {
        let reflector = Reflector { optional: true, ..self.reflector(resource, wrap) };
        Box::pin(reflector.run(self.shutdown.clone()))
    }

    fn reflector<T: Told>(&self, resource: Resource, wrap: fn(Change<T>) -> Update) -> Reflector<T, Forward<T>> {
        Reflector {
            api: self.api.clone(),
            resource,
            metadata_only: false,
            field_selector: T::FIELD_SELECTOR.to_owned(),
            optional: false,
            version: T::version,
            sink: Forward { sender: self.sender.clone(), wrap },
        }
    }
}

/// What a reflector can tell of.
trait Told: Clone + DeserializeOwned + Send + Sync + Versioned + 'static {}
impl<T: Clone + DeserializeOwned + Send + Sync + Versioned + 'static> Told for T {}

/// An object whose version is known.
trait Versioned {
    /// Which of the objects matter.
    const FIELD_SELECTOR: &'static str;

    fn version(object: &Self) -> &str;
}

macro_rules! versioned {
    ($($kind:ident $(.$common:ident)?: $selector:literal),*) => {$(
        impl Versioned for wire::$kind {
            const FIELD_SELECTOR: &'static str = $selector;

            fn version(object: &Self) -> &str {
                &object.metadata$(.$common)?.resource_version
            }
        }
    )*};
}

versioned!(
    Node: "",
    Pod: "status.phase!=Succeeded,status.phase!=Failed",
    Meta: "",
    Selecting: "",
    Budget: "",
    Claim.common: "",
    PersistentVolume.common: "",
    StorageClass: "",
    CsiNode.common: "",
    CsiDriver: "",
    CsiStorageCapacity: "",
    VolumeAttachment: "",
    ResourceClaim.common: "",
    DeviceClass: "",
    ResourceSlice: ""
);
