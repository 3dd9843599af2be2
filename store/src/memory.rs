//! The store that keeps everything in memory.
//!
//! One short mutex orders the writers. Readers load the immutable state of a resource and never wait for anybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::history::History;
use crate::snapshot::Objects;
use crate::watch::{Counter, Hub};
use crate::{At, Entry, Event, EventKind, Expect, Key, Refused, Revision, Snapshot, Store, StoreError, Watch, Write};

#[cfg(test)]
mod guarantees;
mod stage;
#[cfg(test)]
mod tests;

/// Events that a resource keeps. Binding pods at full speed is about a thousand writes a second to one resource: a watcher
/// may then pause for eight seconds. Each costs 56 bytes besides the object that it superseded.
pub const DEFAULT_HISTORY: usize = 8192;

/// Bytes of superseded objects that a resource keeps. Three resources are written all the time in a large cluster (pods,
/// nodes, leases): 24 MiB for all of them, a quarter of what a cluster with 10,000 pods may take. It holds about 3,000
/// versions of a usual pod.
pub const DEFAULT_HISTORY_BYTES: usize = 8 << 20;

/// How often all objects of a resource are written before their versions are forgotten. A watcher that falls behind the
/// history has to list all objects anew, so that a limit which does not grow with them makes a rollout of many pods cost
/// their square: every list takes longer than the history lasts.
pub const DEFAULT_REWRITES: usize = 3;

/// How much history a [`MemoryStore`] keeps for each resource; the tighter limit holds. At least 16 events are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Events.
    pub history: usize,
    /// Bytes of objects that were superseded or deleted.
    pub history_bytes: usize,
    /// Both limits are at least this many times what the resource has now, in objects and in their bytes.
    pub rewrites: usize,
}

/// A store in memory: as fast as it gets, and gone with the process.
pub struct MemoryStore {
    options: Options,
    counter: Arc<Counter>,
    /// Changes only when a resource is seen for the first time, under the writer's lock.
    hubs: ArcSwap<BTreeMap<Arc<str>, Arc<Hub>>>,
    writer: Mutex<Writer>,
}

pub(crate) use stage::Stage;

/// What only the writer touches.
pub(crate) struct Writer {
    /// The last revision that was asked to be compacted.
    compacted: Revision,
}

impl Default for Options {
    fn default() -> Self {
        Self { history: DEFAULT_HISTORY, history_bytes: DEFAULT_HISTORY_BYTES, rewrites: DEFAULT_REWRITES }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl MemoryStore {
    /// An empty store at revision 0.
    pub fn new(options: Options) -> Self {
        Self { options, counter: Arc::default(), hubs: ArcSwap::default(), writer: Mutex::new(Writer { compacted: 0 }) }
    }

    /// A store with these objects, as of `revision`; what was before is compacted.
    pub(crate) fn restored(options: Options, revision: Revision, resources: BTreeMap<Arc<str>, Objects>) -> Self {
        let store = Self::new(options);
        store.counter.advance_to(revision);
        store.writer.lock().compacted = revision;
        let hub = |(resource, objects): (Arc<str>, Objects)| {
            let history = History::restored(objects, revision);
            (Arc::clone(&resource), Arc::new(Hub::new(&resource, history, Arc::clone(&store.counter))))
        };
        store.hubs.store(Arc::new(resources.into_iter().map(hub).collect()));
        store
    }

    /// All objects of all resources now, for the writer.
    pub(crate) fn objects(&self) -> Vec<Objects> {
        self.hubs.load().values().map(|hub| hub.history().objects().clone()).collect()
    }

    fn hub(&self, resource: &str) -> Arc<Hub> {
        if let Some(hub) = self.hubs.load().get(resource) {
            return Arc::clone(hub);
        }
        let writer = self.writer.lock();
        self.hub_for_writer(&writer, resource)
    }

    fn hub_for_writer(&self, writer: &Writer, resource: &str) -> Arc<Hub> {
        let hubs = self.hubs.load();
        if let Some(hub) = hubs.get(resource) {
            return Arc::clone(hub);
        }
        let history = History::starting_at(writer.compacted);
        let hub = Arc::new(Hub::new(resource, history, Arc::clone(&self.counter)));
        let mut grown = BTreeMap::clone(&hubs);
        grown.insert(Arc::clone(&hub.resource), Arc::clone(&hub));
        self.hubs.store(Arc::new(grown));
        hub
    }

    fn commit_all_now(&self, writes: Vec<Write>) -> Result<Vec<Arc<Entry>>, Refused> {
        let writer = self.writer.lock();
        let mut stage = self.begin();
        let entries = self.stage_all(&writer, &mut stage, writes)?;
        stage.publish();
        drop(writer);
        stage.wake();
        Ok(entries)
    }

    fn commit_now(&self, write: Write) -> Result<Arc<Entry>, StoreError> {
        let writer = self.writer.lock();
        let hub = self.hub_for_writer(&writer, write.resource());
        let (after, entry) = self.step(&hub, &hub.history(), write, self.counter.get() + 1)?;
        hub.publish(after, entry.revision);
        drop(writer);
        hub.wake();
        Ok(entry)
    }

    /// What a write makes of a resource, and the entry that it writes.
    fn step(
        &self,
        hub: &Hub,
        before: &History,
        write: Write,
        revision: Revision,
    ) -> Result<(Arc<History>, Arc<Entry>), StoreError> {
        let event = plan(&hub.resource, before, write, revision)?;
        let entry = Arc::clone(&event.entry);
        let mut after = History::clone(before);
        after.apply(event, &self.options);
        Ok((Arc::new(after), entry))
    }

    pub(crate) fn compact_now(&self, revision: Revision) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        let current = self.counter.get();
        if revision > current {
            return Err(StoreError::Future { requested: revision, current });
        }
        writer.compacted = writer.compacted.max(revision);
        for hub in self.hubs.load().values() {
            let mut history = History::clone(&hub.history());
            history.compact(revision);
            hub.publish(Arc::new(history), current);
        }
        Ok(())
    }

    fn snapshot_now(&self, resource: &str, at: At) -> Result<Snapshot, StoreError> {
        let (current, history) = self.hub(resource).read();
        match at {
            At::Latest => Ok(Snapshot::new(current, history.objects().clone())),
            At::Exactly(requested) if requested > current => Err(StoreError::Future { requested, current }),
            At::Exactly(revision) => Ok(Snapshot::new(revision, history.objects_at(revision)?)),
        }
    }

    fn watch_now(&self, resource: &str, after: Revision) -> Result<Watch, StoreError> {
        let hub = self.hub(resource);
        hub.history().check_kept(after)?;
        Ok(Watch::new(hub, after))
    }

    #[cfg(test)]
    fn history(&self, resource: &str) -> Arc<History> {
        self.hub(resource).history()
    }
}

impl Store for MemoryStore {
    fn revision(&self) -> Revision {
        self.counter.get()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Arc<Entry>>, StoreError>> {
        Box::pin(async move {
            let (_, history) = self.hub(&key.resource).read();
            Ok(history.get(&key.namespace, &key.name).cloned())
        })
    }

    fn snapshot<'a>(&'a self, resource: &'a str, at: At) -> BoxFuture<'a, Result<Snapshot, StoreError>> {
        Box::pin(async move { self.snapshot_now(resource, at) })
    }

    fn commit(&self, write: Write) -> BoxFuture<'_, Result<Arc<Entry>, StoreError>> {
        Box::pin(async move { self.commit_now(write) })
    }

    fn commit_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Arc<Entry>>, Refused>> {
        Box::pin(async move { self.commit_all_now(writes) })
    }

    fn watch<'a>(&'a self, resource: &'a str, after: Revision) -> BoxFuture<'a, Result<Watch, StoreError>> {
        Box::pin(async move { self.watch_now(resource, after) })
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.compact_now(revision) })
    }
}

impl Drop for MemoryStore {
    /// Ends the watches that are still open.
    fn drop(&mut self) {
        self.counter.close();
        for hub in self.hubs.load().values() {
            hub.wake();
        }
    }
}

/// What a write does at `revision`; fails if its expectation does not hold.
fn plan(resource: &Arc<str>, history: &History, write: Write, revision: Revision) -> Result<Event, StoreError> {
    match write {
        Write::Put { key, draft, attributes, expect } => {
            let previous = history.get(&key.namespace, &key.name).cloned();
            check(expect, previous.as_ref())?;
            let key = intern(resource, history, key, previous.as_deref());
            // Most writes leave the labels alone; their versions then share one copy.
            let attributes = match &previous {
                Some(previous) if previous.attributes == attributes => Arc::clone(&previous.attributes),
                _ => attributes,
            };
            Ok(Event {
                revision,
                kind: EventKind::Put,
                entry: Arc::new(draft.into_entry(key, attributes, revision)),
                previous,
            })
        }
        Write::Delete { key, expect } => {
            let previous = history.get(&key.namespace, &key.name).cloned();
            match (previous, expect) {
                (Some(previous), Expect::Revision(expected)) if previous.revision == expected => Ok(Event {
                    revision,
                    kind: EventKind::Delete,
                    entry: Arc::new(previous.at_revision(revision)),
                    previous: Some(previous),
                }),
                (previous, _) => Err(StoreError::Conflict(previous)),
            }
        }
    }
}

fn check(expect: Expect, found: Option<&Arc<Entry>>) -> Result<(), StoreError> {
    let holds = match expect {
        Expect::Absent => found.is_none(),
        Expect::Revision(expected) => found.is_some_and(|entry| entry.revision == expected),
    };
    if holds { Ok(()) } else { Err(StoreError::Conflict(found.cloned())) }
}

/// The key with the strings that are there already, so that an object brings only its name.
fn intern(resource: &Arc<str>, history: &History, key: Key, previous: Option<&Entry>) -> Key {
    match previous {
        Some(previous) => previous.key.clone(),
        None => Key {
            resource: Arc::clone(resource),
            namespace: history.intern_namespace(&key.namespace).unwrap_or(key.namespace),
            name: key.name,
        },
    }
}
