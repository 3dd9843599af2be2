//! The state of an API server, shared by all requests.

mod parsed;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde_json::Value;
use steersman_machinery::clock::SharedClock;
use steersman_machinery::managed_fields::Alike;
use steersman_machinery::random::Random;
use steersman_machinery::status::Status;
use steersman_store::{At, Key, Snapshot, Store, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admission;
use crate::aggregation::Aggregation;
use crate::audit::Audit;
use crate::authentication::Authentication;
use crate::authentication::request_header::FrontProxy;
use crate::authorization::Authorizer;
use crate::features::Features;
use crate::flowcontrol::bodies::Bodies;
use crate::flowcontrol::turns::Turns;
use crate::flowcontrol::{self, FlowControl};
use crate::impersonation;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::registry::catalog::Catalog;

/// What every request works with.
pub struct Server {
    /// The objects.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: SharedClock,
    /// Randomness for uids and generated names.
    pub random: Random,
    /// The admission plugins that are switched on.
    pub admission: admission::Chain,
    /// How requests are authenticated.
    pub authentication: Authentication,
    /// Who is let in when many come.
    pub flow: FlowControl,
    /// How many large bodies are handled at a time.
    pub(crate) bodies: Bodies,
    /// With whom requests and the pieces of long answers take turns.
    pub(crate) turns: Turns,
    /// Held while the objects that configure [`Server::flow`] are maintained.
    pub(crate) flow_maintenance: tokio::sync::Mutex<()>,
    /// Where requests are remembered.
    pub audit: Arc<Audit>,
    /// Decides who may do what.
    pub authorizer: Authorizer,
    pub(crate) impersonation: impersonation::Modes,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// The way to webhooks and to what stands behind services.
    pub outbound: Arc<Outbound>,
    /// Held while addresses and ports are chosen and until the service that has them is stored.
    pub service_allocation: tokio::sync::Mutex<()>,
    /// Held while a definition changes what is served, so that changes apply in the order in which they were written.
    pub definitions: tokio::sync::Mutex<()>,
    /// Whether pods may not have privileged containers.
    pub(crate) refuse_privileged: bool,
    /// Which features are on that are off by default.
    pub(crate) features: Features,
    pub(crate) events: crate::events::Expiry,
    /// OpenAPI documents.
    pub(crate) openapi: crate::openapi::cache::Cache,
    /// The revision at which the server was ready. What was before, watches can't begin with: upstream's caches are
    /// filled when it starts.
    pub(crate) ready_at: std::sync::atomic::AtomicU64,
    pub(crate) aggregation: Aggregation,
    /// As whom requests are passed on to other API servers, and who may pass on requests to this one.
    pub(crate) front_proxy: OnceLock<FrontProxy>,
    /// What goes on after its request was answered: connections that changed their protocol. Ends with the server.
    streams: Mutex<JoinSet<()>>,
    parsed: parsed::Parsed,
    /// What is remembered of the objects of built-in kinds that were created.
    pub(crate) created: Alike,
    catalog: ArcSwap<Catalog>,
    catalog_changes: watch::Sender<()>,
    /// Which state of each definition the catalog shows, by group and plural name.
    definitions_served: Mutex<BTreeMap<(String, String), DefinitionState>>,
}

/// What of a definition decides how its resources are served: its uid, its generation, whether it is established and
/// whether it is being deleted.
type DefinitionState = (String, i64, (bool, bool));

/// What a [`Server`] is made of.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: SharedClock,
    pub(crate) random: Random,
    pub(crate) admission: admission::Chain,
    pub(crate) authentication: Authentication,
    pub(crate) audit: Audit,
    pub(crate) flow: flowcontrol::Options,
    pub(crate) refuse_privileged: bool,
    pub(crate) catalog: Catalog,
    pub(crate) features: Features,
}

impl Server {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            store: parts.store,
            clock: parts.clock,
            random: parts.random,
            admission: parts.admission,
            authentication: parts.authentication,
            audit: Arc::new(parts.audit),
            flow: FlowControl::new(parts.flow),
            bodies: Bodies::default(),
            turns: Turns::default(),
            flow_maintenance: tokio::sync::Mutex::default(),
            authorizer: Authorizer::default(),
            impersonation: impersonation::Modes::default(),
            metrics: Metrics::new(&parts.features),
            outbound: Arc::default(),
            service_allocation: tokio::sync::Mutex::default(),
            definitions: tokio::sync::Mutex::default(),
            refuse_privileged: parts.refuse_privileged,
            features: parts.features,
            events: crate::events::Expiry::default(),
            openapi: crate::openapi::cache::Cache::default(),
            ready_at: std::sync::atomic::AtomicU64::default(),
            aggregation: Aggregation::default(),
            front_proxy: OnceLock::new(),
            streams: Mutex::default(),
            parsed: parsed::Parsed::default(),
            created: Alike::default(),
            catalog: ArcSwap::from_pointee(parts.catalog),
            catalog_changes: watch::Sender::new(()),
            definitions_served: Mutex::default(),
        }
    }

    /// Goes on with something as long as the server lives. It must not hold the server.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut streams = self.streams.lock();
        while streams.try_join_next().is_some() {}
        streams.spawn(task);
    }

    /// What is served now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// Serves something else from now on.
    pub(crate) fn replace_catalog(&self, catalog: Catalog) {
        self.catalog.store(Arc::new(catalog));
        self.catalog_changes.send_replace(());
    }

    /// Whether the catalog shows that state of a definition.
    pub(crate) fn is_installed(&self, group: &str, plural: &str, state: &DefinitionState) -> bool {
        self.definitions_served.lock().get(&(group.to_owned(), plural.to_owned())) == Some(state)
    }

    /// Notes which state of a definition the catalog shows; `None` if it is gone.
    pub(crate) fn installed(&self, group: &str, plural: &str, state: Option<DefinitionState>) {
        let place = (group.to_owned(), plural.to_owned());
        let mut served = self.definitions_served.lock();
        match state {
            Some(state) => drop(served.insert(place, state)),
            None => drop(served.remove(&place)),
        }
    }

    /// Tells when something else is served; watches of what is gone end then.
    pub(crate) fn catalog_changes(&self) -> watch::Receiver<()> {
        self.catalog_changes.subscribe()
    }

    /// The stored form of one object (without `apiVersion` and `kind`). `resource` is as in the store:
    /// `serviceaccounts`, `deployments.apps`.
    pub async fn read(&self, resource: &str, namespace: &str, name: &str) -> Result<Option<Value>, Status> {
        let entry = self.store.get(&Key::new(resource, namespace, name)).await.map_err(|error| unavailable(&error))?;
        Ok(entry.map(|entry| parse(entry.bytes())))
    }

    /// [`read`](Self::read) for what is looked at with every write: parsed once a version.
    pub async fn configuration(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Value>>, Status> {
        let entry = self.store.get(&Key::new(resource, namespace, name)).await.map_err(|error| unavailable(&error))?;
        Ok(entry.map(|entry| self.parsed.of(&entry)))
    }

    /// [`read_all`](Self::read_all) for what is looked at with every write: parsed once a version.
    pub async fn configurations(&self, resource: &str) -> Result<Vec<Arc<Value>>, Status> {
        let snapshot = self.snapshot(resource).await?;
        Ok(snapshot.range(None, None).map(|entry| self.parsed.of(entry)).collect())
    }

    /// The stored forms of all objects of a resource.
    pub async fn read_all(&self, resource: &str) -> Result<Vec<Value>, Status> {
        let snapshot = self.snapshot(resource).await?;
        Ok(snapshot.range(None, None).map(|entry| parse(entry.bytes())).collect())
    }

    /// The stored forms of the objects of a resource in one namespace.
    pub async fn read_namespace(&self, resource: &str, namespace: &str) -> Result<Vec<Value>, Status> {
        let snapshot = self.snapshot(resource).await?;
        Ok(snapshot.range(Some(namespace), None).map(|entry| parse(entry.bytes())).collect())
    }

    /// All objects of a resource as of now.
    pub async fn snapshot(&self, resource: &str) -> Result<Snapshot, Status> {
        self.store.snapshot(resource, At::Latest).await.map_err(|error| unavailable(&error))
    }
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("the store holds what was encoded as JSON")
}

/// The Status for a failure of the store that is nobody's fault.
pub(crate) fn unavailable(error: &StoreError) -> Status {
    Status::internal(error)
}
