//! Watches the metadata of every resource that can be listed, watched and deleted, and follows what the server serves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use steersman_framework::api::Resource;
use steersman_framework::discovery::{Discovery, Served, discover_groups};
use steersman_framework::informer::Informers;
use steersman_framework::meta::{Meta, Partial};
use steersman_framework::reflector::{Change, Reflector, Sink};
use steersman_framework::runtime::{Shutdown, ShutdownTrigger};
use tokio::sync::{Notify, watch};

use super::GarbageCollector;
use crate::garbage_collector::absent::Place;
use crate::garbage_collector::graph::{Effects, Node};

/// How long the collector lets everything else start first. It lists and watches every resource there is, and nothing
/// waits for it before the first deletion.
const START_PAUSE: Duration = Duration::from_millis(20);
/// How often the server is asked what it serves, if nothing calls for it earlier.
const REDISCOVER: Duration = Duration::from_secs(30);
/// How soon it is asked again if it did not answer.
const DISCOVERY_RETRY: Duration = Duration::from_secs(1);
/// How long the collector waits for the first lists before it goes to work without the rest.
const INITIAL_WAIT: Duration = Duration::from_secs(30);

/// The watches.
pub(super) struct Monitors {
    collector: GarbageCollector,
    informers: Informers,
    /// One trigger a watched resource; dropping it ends the watch.
    watched: BTreeMap<Resource, ShutdownTrigger>,
    /// How many first lists are outstanding; `None` before the first discovery.
    pending: watch::Sender<Option<usize>>,
    /// A custom resource definition has changed.
    definitions: Arc<Notify>,
}

impl Monitors {
    pub(super) fn new(collector: GarbageCollector, informers: Informers) -> Self {
        let pending = watch::Sender::new(None);
        Self { collector, informers, watched: BTreeMap::new(), pending, definitions: Arc::default() }
    }

    /// Waits until the graph is complete, but not for ever: one resource that can't be listed must not stop the rest.
    pub(super) fn synced(&self) -> impl Future<Output = ()> + use<> {
        let mut pending = self.pending.subscribe();
        async move {
            let complete = pending.wait_for(|pending| *pending == Some(0));
            // An error means that the monitors have ended, and the workers will with them.
            let _ = tokio::time::timeout(INITIAL_WAIT, complete).await;
        }
    }

    /// Watches until shutdown.
    pub(super) async fn run(mut self, shutdown: Shutdown) {
        let mut running: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        let mut discovery = Box::pin(self.discover_after(START_PAUSE));
        loop {
            tokio::select! {
                biased;
                () = shutdown.requested() => break,
                Some(()) = running.next(), if !running.is_empty() => {}
                discovered = &mut discovery => {
                    let pause = match discovered {
                        Ok(served) => {
                            running.extend(self.follow(served));
                            REDISCOVER
                        }
                        Err(error) => {
                            tracing::debug!(%error, "discovery failed, retrying");
                            DISCOVERY_RETRY
                        }
                    };
                    discovery = Box::pin(self.discover_after(pause));
                }
            }
        }
        self.watched.clear();
        while running.next().await.is_some() {}
    }

    /// Asks the server what it serves, after a pause or when a definition changes.
    fn discover_after(&self, pause: Duration) -> impl Future<Output = Result<Discovery, kube::Error>> + use<> {
        let client = self.collector.0.api.client().clone();
        let definitions = Arc::clone(&self.definitions);
        async move {
            tokio::select! {
                biased;
                () = definitions.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            discover_groups(&client).await
        }
    }

    /// Ends the watches of what is not served any more; gives those of what is new.
    fn follow(&mut self, discovery: Discovery) -> Vec<BoxFuture<'static, ()>> {
        let Discovery { mut served, failed } = discovery;
        for (version, error) in &failed {
            tracing::debug!(version, error, "what it serves is not known; what was watched of it goes on");
        }
        let silent = self.watched.keys().filter(|resource| failed.contains_key(&resource.api_version()));
        let silent = silent.map(|resource| Served {
            resource: resource.clone(),
            versions: [resource.version.to_string()].into(),
            verbs: verbs(),
        });
        served.extend(silent.collect::<Vec<_>>());
        *self.collector.0.kinds.lock() = kinds(&served);
        let resources: Vec<Arc<Resource>> =
            served.into_iter().filter(is_collectable).map(|served| Arc::new(served.resource)).collect();
        let gone: Vec<Resource> =
            self.watched.keys().filter(|known| !resources.iter().any(|r| **r == **known)).cloned().collect();
        for resource in gone {
            self.watched.remove(&resource);
            // They need not be gone, so that nobody is told that they are absent.
            let objects = self.collector.0.graph.lock().of_resource(&resource);
            objects.iter().for_each(|uid| self.collector.out_of_sight(uid));
        }
        let first = self.pending.borrow().is_none();
        let new: Vec<Arc<Resource>> =
            resources.into_iter().filter(|resource| !self.watched.contains_key(resource)).collect();
        if first {
            self.pending.send_replace(Some(new.len()));
        }
        new.into_iter().map(|resource| self.watch(resource, first)).collect()
    }

    /// Keeps the graph informed about a resource: by the informer that others have of it, or else by a watch.
    fn watch(&mut self, resource: Arc<Resource>, counted: bool) -> BoxFuture<'static, ()> {
        let collector = self.collector.clone();
        let of = Arc::clone(&resource);
        let handler = Box::new(move |old: Option<&Meta>, new: Option<&Meta>| {
            if let Some(old) = old.filter(|old| new.is_none_or(|new| new.uid != old.uid)) {
                collector.removed(&old.uid);
            }
            if let Some(new) = new {
                collector.applied(&of, new);
            }
        });
        if let Some(synced) = self.informers.on_metadata_change(&resource, handler) {
            let (trigger, _) = Shutdown::new();
            self.watched.insert(Resource::clone(&resource), trigger);
            let pending = counted.then(|| self.pending.clone());
            return Box::pin(async move {
                synced.await;
                pending.iter().for_each(one_less);
            });
        }
        self.watch_metadata(resource, counted)
    }

    fn watch_metadata(&mut self, resource: Arc<Resource>, counted: bool) -> BoxFuture<'static, ()> {
        let (trigger, shutdown) = Shutdown::new();
        self.watched.insert(Resource::clone(&resource), trigger);
        let is_definition = resource.plural == "customresourcedefinitions";
        let reflector = Reflector {
            api: self.collector.0.api.clone(),
            resource: Resource::clone(&resource),
            metadata_only: true,
            field_selector: String::new(),
            optional: false,
            version: |object: &Partial| &object.metadata.resource_version,
            sink: Monitor {
                collector: self.collector.clone(),
                resource,
                pending: parking_lot::Mutex::new(counted.then(|| self.pending.clone())),
                definitions: is_definition.then(|| Arc::clone(&self.definitions)),
            },
        };
        Box::pin(reflector.run(shutdown))
    }
}

/// The resource of each kind, by `apiVersion` and kind. Whatever can be read can be an owner, and of two kinds of the same
/// name the first is meant.
fn kinds(served: &[Served]) -> BTreeMap<(String, String), Arc<Resource>> {
    let mut kinds = BTreeMap::new();
    for Served { resource, versions, .. } in served {
        let shared = Arc::new(resource.clone());
        for version in versions {
            let of_version = Resource { version: version.clone().into(), ..resource.clone() };
            let key = (of_version.api_version(), resource.kind.to_string());
            kinds.entry(key).or_insert_with(|| Arc::clone(&shared));
        }
    }
    kinds
}

/// What a resource has to offer so that its objects can be collected.
fn verbs() -> std::collections::BTreeSet<String> {
    ["list", "watch", "delete"].map(str::to_owned).into()
}

/// Whether the objects of a resource can be collected. Events are too many, and own nothing.
fn is_collectable(served: &Served) -> bool {
    let Resource { group, plural, .. } = &served.resource;
    let is_event = plural == "events" && matches!(group.as_ref(), "" | "events.k8s.io");
    served.verbs.is_superset(&verbs()) && !is_event
}

/// Brings the changes of one resource into the graph.
struct Monitor {
    collector: GarbageCollector,
    resource: Arc<Resource>,
    /// Where to tell that the first list is there.
    pending: parking_lot::Mutex<Option<watch::Sender<Option<usize>>>>,
    definitions: Option<Arc<Notify>>,
}

impl Sink<Partial> for Monitor {
    fn take(&self, change: Change<Partial>, _: &str) {
        match change {
            Change::Replaced(objects) => self.replace(&objects),
            Change::Applied(object) => self.apply(&object),
            Change::Deleted(object) => self.collector.removed(&object.metadata.uid),
            Change::Progress => return,
        }
        if let Some(pending) = self.pending.lock().take() {
            one_less(&pending);
        }
        if let Some(definitions) = &self.definitions {
            definitions.notify_one();
        }
    }
}

impl Monitor {
    fn replace(&self, objects: &[Partial]) {
        let present: std::collections::BTreeSet<&str> =
            objects.iter().map(|object| object.metadata.uid.as_str()).collect();
        let known = self.collector.0.graph.lock().of_resource(&self.resource);
        known.iter().filter(|uid| !present.contains(uid.as_str())).for_each(|uid| self.collector.removed(uid));
        objects.iter().for_each(|object| self.apply(object));
    }

    fn apply(&self, object: &Partial) {
        self.collector.applied(&self.resource, &object.metadata);
    }
}

/// One first list less is outstanding.
fn one_less(pending: &watch::Sender<Option<usize>>) {
    pending.send_modify(|pending| *pending = pending.map(|pending| pending.saturating_sub(1)));
}

impl GarbageCollector {
    /// Takes in that an object was created or changed.
    fn applied(&self, resource: &Arc<Resource>, meta: &Meta) {
        let effects = self.0.graph.lock().apply(&meta.uid, Node::new(resource, meta));
        self.follow(effects);
    }

    /// Takes in that an object is gone. Its dependents need not ask for it any more.
    pub(super) fn removed(&self, uid: &str) {
        let place = {
            let graph = self.0.graph.lock();
            graph.dependents(uid).next().and_then(|_| graph.get(uid)).map(|node| Place {
                api_version: node.resource.api_version(),
                kind: node.resource.kind.to_string(),
                namespace: node.key.namespace.clone(),
                name: node.key.name.clone(),
                uid: uid.to_owned(),
            })
        };
        place.into_iter().for_each(|place| self.0.absent.lock().insert(place));
        self.out_of_sight(uid);
    }

    /// Takes in that nothing is known of an object any more.
    fn out_of_sight(&self, uid: &str) {
        let effects: Effects = self.0.graph.lock().remove(uid);
        self.follow(effects);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Fake;

    fn served(resource: Resource, all: &[&str]) -> Served {
        let verbs = all.iter().map(|verb| (*verb).to_owned()).collect();
        Served { versions: [resource.version.to_string()].into(), resource, verbs }
    }

    fn ships() -> Resource {
        Resource::namespaced("example.com", "v1", "Ship", "ships")
    }

    #[test]
    fn what_can_be_listed_watched_and_deleted_is_collected_but_for_events() {
        let every = ["list", "watch", "delete", "get"];
        for (resource, all, expect) in [
            (ships(), &every[..], true),
            (ships(), &["list", "watch", "get"], false),
            (ships(), &["delete", "watch"], false),
            (ships(), &["list", "delete"], false),
            (Resource::namespaced("", "v1", "Event", "events"), &every, false),
            (Resource::namespaced("events.k8s.io", "v1", "Event", "events"), &every, false),
            (Resource::namespaced("example.com", "v1", "Event", "events"), &every, true),
        ] {
            assert_eq!(is_collectable(&served(resource.clone(), all)), expect, "{resource} {all:?}");
        }
    }

    #[test]
    fn a_kind_is_known_in_every_version_that_is_served_and_in_no_other() {
        let all = Served { versions: ["v1", "v2"].map(str::to_owned).into(), ..served(ships(), &["get"]) };
        let kinds = kinds(&[all]);
        let of = |version: &str| kinds.get(&(format!("example.com/{version}"), "Ship".to_owned()));
        assert_eq!(of("v1").map(|resource| resource.path("ns")), of("v2").map(|resource| resource.path("ns")));
        assert!(of("v1").is_some() && of("v1beta1").is_none());
    }

    #[tokio::test]
    async fn what_does_not_answer_is_watched_on_and_what_is_gone_is_not() {
        let fake = Fake::new(|_| (200, json!({})));
        let collector = GarbageCollector::new(&fake.shared);
        let mut monitors = Monitors::new(collector.clone(), fake.shared.informers.clone());
        let reports = Resource::namespaced("reports.io", "v1", "Report", "reports");
        let all = vec![served(ships(), &["list", "watch", "delete"]), served(reports.clone(), &["get"])];
        let first = monitors.follow(Discovery { served: all, ..Discovery::default() });
        assert_eq!(first.len(), 1);
        let object =
            serde_json::from_value::<Partial>(json!({"metadata": {"namespace": "ns", "name": "a", "uid": "a"}}));
        collector.applied(&Arc::new(ships()), &object.unwrap().metadata);
        let knows =
            |kind: &str, group: &str| collector.0.kinds.lock().contains_key(&(format!("{group}/v1"), kind.to_owned()));
        assert!(knows("Ship", "example.com") && knows("Report", "reports.io"), "it can be an owner");

        let failed = [("example.com/v1".to_owned(), "away".to_owned())].into();
        assert!(monitors.follow(Discovery { failed, ..Discovery::default() }).is_empty());
        assert!(monitors.watched.contains_key(&ships()) && knows("Ship", "example.com"));
        assert!(collector.0.graph.lock().get("a").is_some());

        assert!(monitors.follow(Discovery::default()).is_empty());
        assert!(monitors.watched.is_empty() && !knows("Ship", "example.com"));
        assert!(collector.0.graph.lock().get("a").is_none());
        drop(first);
    }
}
