//! The plugins that configuration can name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::Request;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::Value;
use steersman_framework::metrics::Metrics;
use steersman_framework::reflector::Change;
use steersman_machinery::clock::{FixedClock, SharedClock};
use steersman_machinery::random::Random;

use crate::plugin::Plugin;
use crate::waiting::WaitingPods;
use crate::watched::Watches;
use crate::wire::ResourceClaim;

/// What a plugin can hold on to when it is made.
#[derive(Clone)]
pub struct Handle {
    /// Pods held at Permit, to allow or reject them.
    pub waiting_pods: WaitingPods,
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub random: Random,
    /// Pods whose victims are being asked to go.
    pub preempting: Preempting,
    /// Claims on devices that exist.
    pub known_claims: KnownClaims,
    /// Extended resources that can be had as devices.
    pub device_resources: DeviceResources,
    /// For what is to be written after an attempt.
    pub outbox: Outbox,
    /// To have objects of any resource at hand.
    pub watches: Watches,
    /// To count.
    pub metrics: Metrics,
}

/// The uids of pods for which others are being evicted. Clones share the set.
#[derive(Clone, Debug, Default)]
pub struct Preempting(Arc<Mutex<BTreeSet<Arc<str>>>>);

impl Preempting {
    /// Whether somebody is being evicted for this pod.
    pub fn contains(&self, uid: &str) -> bool {
        self.0.lock().contains(uid)
    }

    pub(crate) fn begin(&self, uid: Arc<str>) {
        self.0.lock().insert(uid);
    }

    pub(crate) fn end(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

/// The claims on devices that exist, by namespace and name. Clones share the set.
#[derive(Clone, Debug, Default)]
pub struct KnownClaims(Arc<Mutex<BTreeMap<(String, String), KnownClaim>>>);

/// What has to be known of a claim before a pod that uses it is tried.
#[derive(Clone, Debug)]
struct KnownClaim {
    is_going: bool,
    /// The uids of its controlling owners.
    controllers: Vec<String>,
}

impl KnownClaims {
    /// Whether there is such a claim, and it is there to stay. One that was made from a template belongs to one pod.
    pub fn is_usable(&self, (namespace, name): (&str, &str), generated_for: Option<&str>) -> bool {
        let known = self.0.lock();
        let claim = known.get(&(namespace.to_owned(), name.to_owned())).filter(|claim| !claim.is_going);
        claim.is_some_and(|claim| generated_for.is_none_or(|pod| claim.controllers.iter().any(|uid| uid == pod)))
    }

    pub(crate) fn take(&self, change: &Change<ResourceClaim>) {
        let key = |claim: &ResourceClaim| {
            let metadata = &claim.metadata.common;
            (metadata.namespace.clone(), metadata.name.clone())
        };
        let known_as = |claim: &ResourceClaim| {
            let owners = claim.metadata.owners.iter().filter(|owner| owner.controller);
            let is_going = claim.metadata.common.deletion_timestamp.is_some();
            (key(claim), KnownClaim { is_going, controllers: owners.map(|owner| owner.uid.clone()).collect() })
        };
        let mut known = self.0.lock();
        match change {
            Change::Applied(claim) => known.extend([known_as(claim)]),
            Change::Deleted(claim) => _ = known.remove(&key(claim)),
            Change::Replaced(claims) => *known = claims.iter().map(known_as).collect(),
            Change::Progress => {}
        }
    }
}

/// The extended resources that stand for classes of devices. Clones share the set.
#[derive(Clone, Debug, Default)]
pub struct DeviceResources(Arc<Mutex<BTreeSet<Arc<str>>>>);

impl DeviceResources {
    /// Whether any of these resources can be had as devices.
    pub fn any<'a>(&self, mut resources: impl Iterator<Item = &'a Arc<str>>) -> bool {
        let known = self.0.lock();
        !known.is_empty() && resources.any(|resource| known.contains(resource))
    }

    pub(crate) fn set(&self, resources: BTreeSet<Arc<str>>) {
        *self.0.lock() = resources;
    }
}

/// Requests to the API server that a plugin wants to be sent when the attempt is over. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Outbox(Arc<Mutex<Vec<Request<Vec<u8>>>>>);

impl Outbox {
    /// Sends a request later; what the server refuses is only logged.
    pub fn put(&self, request: Request<Vec<u8>>) {
        self.0.lock().push(request);
    }

    pub(crate) fn take(&self) -> Vec<Request<Vec<u8>>> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Handle {
    /// A handle for making profiles outside a scheduler: the clock stands still, the randomness is always the same.
    pub fn for_tests() -> Self {
        Self::detached(Arc::new(FixedClock(Timestamp::UNIX_EPOCH)), Random::seeded(0))
    }

    /// A handle without a scheduler behind it.
    pub(crate) fn detached(clock: SharedClock, random: Random) -> Self {
        Self {
            waiting_pods: WaitingPods::default(),
            clock,
            random,
            preempting: Preempting::default(),
            known_claims: KnownClaims::default(),
            device_resources: DeviceResources::default(),
            outbox: Outbox::default(),
            watches: Watches::default(),
            metrics: Metrics::default(),
        }
    }
}

/// The arguments of a plugin: `pluginConfig[].args` of its profile.
#[derive(Clone, Debug, Default)]
pub struct Args(Option<Value>);

impl Args {
    pub(crate) fn new(args: Option<Value>) -> Self {
        Self(args)
    }

    /// The arguments as a type; its default if none were given. `apiVersion` and `kind` are not part of the type.
    ///
    /// # Errors
    /// If they don't fit the type.
    pub fn parse<T: DeserializeOwned + Default>(&self) -> Result<T, String> {
        let Some(mut value) = self.0.clone() else {
            return Ok(T::default());
        };
        if let Value::Object(fields) = &mut value {
            fields.retain(|key, _| key != "apiVersion" && key != "kind");
        }
        crate::decode::decode(&value)
    }
}

/// Makes a plugin from its arguments; the error says what is wrong with them.
pub type Factory = Arc<dyn Fn(&Args, &Handle) -> Result<Arc<dyn Plugin>, String> + Send + Sync>;

/// Plugins by name.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<String, Factory>);

impl Registry {
    /// A registry without plugins.
    pub fn new() -> Self {
        Self::default()
    }

    /// The plugins that come with the scheduler.
    pub fn in_tree() -> Self {
        crate::plugins::registry()
    }

    /// Adds a plugin that takes arguments; one of the same name is replaced.
    pub fn register(
        &mut self,
        name: &str,
        factory: impl Fn(&Args, &Handle) -> Result<Arc<dyn Plugin>, String> + Send + Sync + 'static,
    ) -> &mut Self {
        self.0.insert(name.to_owned(), Arc::new(factory));
        self
    }

    /// Adds a plugin that takes no arguments.
    pub fn add(&mut self, plugin: impl Plugin) -> &mut Self {
        let plugin: Arc<dyn Plugin> = Arc::new(plugin);
        let name = plugin.name();
        self.register(name, move |_, _| Ok(plugin.clone()))
    }

    /// Adds all plugins of another registry; those replace plugins of the same name.
    pub fn merge(&mut self, other: Self) -> &mut Self {
        self.0.extend(other.0);
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Factory> {
        self.0.get(name)
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
