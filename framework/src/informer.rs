//! Informers: a local copy of a resource that is kept current by list and watch, and handlers that are told of changes.
//! Source: `k8s.io/client-go/tools/cache`.
//!
//! ```no_run
//! use steersman_framework::api::{Api, Resource};
//! use steersman_framework::informer::{Cached, Informers};
//! use steersman_framework::meta::Meta;
//! use steersman_framework::runtime::Context;
//!
//! static PODS: Resource = Resource::namespaced("", "v1", "Pod", "pods");
//!
//! /// What this controller reads of a pod; nothing else is kept.
//! #[derive(Clone, serde::Deserialize)]
//! struct Pod {
//!     metadata: Meta,
//!     #[serde(default)]
//!     spec: Spec,
//! }
//!
//! #[derive(Clone, Default, serde::Deserialize)]
//! #[serde(rename_all = "camelCase", default)]
//! struct Spec {
//!     node_name: Option<String>,
//! }
//!
//! impl Cached for Pod {
//!     fn meta(&self) -> &Meta {
//!         &self.metadata
//!     }
//!     /// To find the pods of a node.
//!     fn index(&self) -> Vec<String> {
//!         self.spec.node_name.clone().into_iter().collect()
//!     }
//! }
//!
//! async fn run(context: Context) {
//!     let informers = Informers::new(Api::new(context.client.clone(), "counter"), context.shutdown.clone());
//!     let pods = informers.informer::<Pod>(&PODS);
//!     let count = async {
//!         pods.synced().await;
//!         println!("{} pods on node-1", pods.indexed("node-1").len());
//!     };
//!     tokio::join!(informers.run(), count);
//! }
//! ```

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};

use crate::api::{Api, Resource};
use crate::health::Health;
use crate::informer::cache::Cache;
use crate::meta::{Meta, ObjectKey, Partial};
use crate::ownership::{orphans_of, owned_by};
use crate::reflector::{Change, Reflector, Sink};
use crate::runtime::Shutdown;

mod cache;

/// An object as an informer keeps it. Deserialize only what the controllers read: the cache holds one for every object
/// in the cluster.
pub trait Cached: DeserializeOwned + Clone + Send + Sync + 'static {
    /// The object's metadata.
    fn meta(&self) -> &Meta;

    /// The keys under which [`Informer::indexed`] finds the object. By default: [`owned_by`] its controller, or
    /// [`orphans_of`] its namespace if it has none.
    fn index(&self) -> Vec<String> {
        let meta = self.meta();
        vec![match meta.controller() {
            Some(controller) => owned_by(&controller.uid),
            None => orphans_of(&meta.namespace),
        }]
    }
}

impl Cached for Partial {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// One change: no `old` means created, no `new` means removed.
#[derive(Clone, Debug)]
pub struct Delta<T> {
    /// The object before.
    pub old: Option<Arc<T>>,
    /// The object now.
    pub new: Option<Arc<T>>,
    /// Whether it comes from a list rather than from a watch, so that nothing may have changed.
    pub listed: bool,
}

type Handler<T> = Box<dyn Fn(&Delta<T>) + Send + Sync>;

/// The shared, read-only view of one resource. Clones share everything.
pub struct Informer<T>(Arc<Inner<T>>);

struct Inner<T> {
    resource: Resource,
    cache: RwLock<Cache<T>>,
    handlers: RwLock<Vec<Handler<T>>>,
    synced: watch::Sender<bool>,
}

impl<T> Clone for Informer<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// An informer that is not kept alive: for a handler that reads the informer that calls it.
pub struct WeakInformer<T>(Weak<Inner<T>>);

impl<T> WeakInformer<T> {
    /// The informer, if it is still in use.
    pub fn upgrade(&self) -> Option<Informer<T>> {
        self.0.upgrade().map(Informer)
    }
}

impl<T: Cached> Informer<T> {
    /// A reference that does not keep the informer alive.
    pub fn downgrade(&self) -> WeakInformer<T> {
        WeakInformer(Arc::downgrade(&self.0))
    }

    fn new(resource: Resource) -> Self {
        Self(Arc::new(Inner {
            resource,
            cache: RwLock::new(Cache::default()),
            handlers: RwLock::new(Vec::new()),
            synced: watch::Sender::new(false),
        }))
    }

    /// What is watched.
    pub fn resource(&self) -> &Resource {
        &self.0.resource
    }

    /// Calls `handler` for every change from now on, and at once for everything that is there. It is called on the
    /// task of the informer, after the cache has changed; it should do no more than put keys into a queue. It may hold
    /// other informers, but this one only [weakly](Self::downgrade), else neither is ever freed.
    pub fn on_change(&self, handler: impl Fn(&Delta<T>) + Send + Sync + 'static) {
        let present = self.0.cache.read().all();
        for object in present {
            handler(&Delta { old: None, new: Some(object), listed: true });
        }
        self.0.handlers.write().push(Box::new(handler));
    }

    /// Waits until the first list is complete.
    pub async fn synced(&self) {
        let mut synced = self.0.synced.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// The newest version that the cache has seen; 0 before the first list.
    pub fn resource_version(&self) -> u64 {
        self.0.cache.read().resource_version
    }

    /// The object at `key`.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<T>> {
        self.0.cache.read().get(key)
    }

    /// The objects of a namespace in order of their names.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        self.0.cache.read().in_namespace(namespace)
    }

    /// The objects under an index key (see [`Cached::index`]) in order of namespace and name.
    pub fn indexed(&self, key: &str) -> Vec<Arc<T>> {
        self.0.cache.read().indexed(key)
    }

    /// How many objects are under an index key.
    pub fn count_indexed(&self, key: &str) -> usize {
        self.0.cache.read().count_indexed(key)
    }

    /// All objects in order of namespace and name.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.0.cache.read().all()
    }
}

impl<T: Cached> Sink<T> for Informer<T> {
    fn take(&self, change: Change<T>, resource_version: &str) {
        let replaced = matches!(change, Change::Replaced(_));
        let deltas = {
            let mut cache = self.0.cache.write();
            let deltas = match change {
                Change::Replaced(objects) => cache.replace(objects),
                Change::Applied(object) => vec![cache.apply(object)],
                Change::Deleted(object) => cache.remove(&object.meta().key()).into_iter().collect(),
                Change::Progress => Vec::new(),
            };
            cache.reached(resource_version);
            deltas
        };
        let handlers = self.0.handlers.read();
        for delta in &deltas {
            handlers.iter().for_each(|handler| handler(delta));
        }
        if replaced {
            self.0.synced.send_replace(true);
        }
    }
}

/// Hands out one informer a resource and drives them all. Clones share everything.
#[derive(Clone)]
pub struct Informers(Arc<Factory>);

type Selected = (Resource, &'static str);

/// An [`Informer`] of some object type.
trait AnyInformer: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn is_synced(&self) -> bool;
    fn on_metadata_change(&self, handler: MetadataHandler) -> BoxFuture<'static, ()>;
}

impl<T: Cached> AnyInformer for Informer<T> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn is_synced(&self) -> bool {
        *self.0.synced.borrow()
    }

    fn on_metadata_change(&self, handler: MetadataHandler) -> BoxFuture<'static, ()> {
        self.on_change(move |delta| {
            handler(delta.old.as_deref().map(Cached::meta), delta.new.as_deref().map(Cached::meta));
        });
        let informer = self.clone();
        Box::pin(async move { informer.synced().await })
    }
}

/// Is told of the metadata of an object before and after a change.
pub type MetadataHandler = Box<dyn Fn(Option<&Meta>, Option<&Meta>) + Send + Sync>;

struct Factory {
    api: Api,
    shutdown: Shutdown,
    /// By resource and field selector.
    informers: Mutex<BTreeMap<Selected, Arc<dyn AnyInformer>>>,
    new: Mutex<Vec<BoxFuture<'static, ()>>>,
    added: Notify,
}

impl Informers {
    /// A factory without informers.
    pub fn new(api: Api, shutdown: Shutdown) -> Self {
        let (informers, new, added) = Default::default();
        Self(Arc::new(Factory { api, shutdown, informers, new, added }))
    }

    /// The informer of `resource`; the same one for everybody who asks, before or while they [`run`](Self::run).
    ///
    /// # Panics
    /// If it was asked for with another object type before.
    pub fn informer<T: Cached>(&self, resource: &Resource) -> Informer<T> {
        self.selected(resource, "")
    }

    /// The same for a resource that servers may be without: it counts as empty then, and is looked for every 30 seconds.
    /// Whoever asks first decides.
    ///
    /// # Panics
    /// If it was asked for with another object type before.
    pub fn optional<T: Cached>(&self, resource: &Resource) -> Informer<T> {
        self.of(resource, "", true)
    }

    /// The informer of those objects of `resource` that `field_selector` selects.
    ///
    /// # Panics
    /// If it was asked for with another object type before.
    pub fn selected<T: Cached>(&self, resource: &Resource, field_selector: &'static str) -> Informer<T> {
        self.of(resource, field_selector, false)
    }

    fn of<T: Cached>(&self, resource: &Resource, field_selector: &'static str, optional: bool) -> Informer<T> {
        let mut informers = self.0.informers.lock();
        let entry = informers.entry((resource.clone(), field_selector)).or_insert_with(|| {
            let informer = Informer::<T>::new(resource.clone());
            let reflector = Reflector {
                api: self.0.api.clone(),
                resource: resource.clone(),
                metadata_only: false,
                field_selector: field_selector.to_owned(),
                optional,
                version: |object: &T| &object.meta().resource_version,
                sink: informer.clone(),
            };
            self.0.new.lock().push(Box::pin(reflector.run(self.0.shutdown.clone())));
            self.0.added.notify_one();
            Arc::new(informer)
        });
        let informer = entry.as_any().downcast_ref::<Informer<T>>();
        informer.expect("a resource is always cached as one object type").clone()
    }

    /// Calls `handler` for every change of every object of `resource`, whatever object type it is cached as, and gives a
    /// future that ends when the first list is complete; `None`, without using the handler, if nobody has asked for an
    /// informer of the whole resource. So somebody who needs metadata only does not need a watch of his own.
    pub fn on_metadata_change(&self, resource: &Resource, handler: MetadataHandler) -> Option<BoxFuture<'static, ()>> {
        let informer = self.0.informers.lock().get(&(resource.clone(), "")).cloned()?;
        Some(informer.on_metadata_change(handler))
    }

    /// Says in a process' health (`informer-sync`) which resources were not listed yet.
    pub fn tell(&self, health: &Health) {
        let factory = Arc::downgrade(&self.0);
        health.ready("informer-sync", move || {
            let Some(factory) = factory.upgrade() else { return Ok(()) };
            let informers = factory.informers.lock();
            let missing = informers.iter().filter(|(_, informer)| !informer.is_synced());
            let missing: Vec<String> = missing.map(|((resource, _), _)| resource.to_string()).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("not listed yet: {}", missing.join(", "))) }
        });
    }

    /// Keeps all informers current until shutdown, those that are asked for meanwhile as well.
    pub async fn run(&self) {
        let mut running = FuturesUnordered::new();
        loop {
            running.extend(std::mem::take(&mut *self.0.new.lock()));
            tokio::select! {
                biased;
                ended = running.next() => if ended.is_none() { return },
                () = self.0.added.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
