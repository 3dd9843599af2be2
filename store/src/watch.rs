//! Cursors over the history of a resource, and what wakes them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::history::History;
use crate::{Entry, Revision, StoreError};

/// A write, as watchers see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Event {
    /// The number of the write.
    pub revision: Revision,
    /// Whether there is an object now.
    pub kind: EventKind,
    /// The object as written; for a deletion, its last content under the revision of the deletion.
    pub entry: Arc<Entry>,
    /// What was there before, under its own revision.
    pub previous: Option<Arc<Entry>>,
}

/// What a write left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// An object, created (without a previous one) or changed.
    Put,
    /// Nothing.
    Delete,
}

/// A cursor over the history of one resource. It holds no events: one that is not read costs nothing, and learns that it
/// fell behind when it is read again.
pub struct Watch {
    hub: Arc<Hub>,
    /// Every event up to this revision was returned, or was not asked for.
    cursor: Revision,
}

/// Where the writer publishes the state of a resource, and where watchers wait for it.
pub(crate) struct Hub {
    pub(crate) resource: Arc<str>,
    history: ArcSwap<History>,
    changed: Notify,
    counter: Arc<Counter>,
}

/// The revision counter of a store.
#[derive(Default)]
pub(crate) struct Counter {
    revision: AtomicU64,
    closed: AtomicBool,
}

impl Watch {
    pub(crate) fn new(hub: Arc<Hub>, after: Revision) -> Self {
        Self { hub, cursor: after }
    }

    /// Waits for the next event, in order of revision. Cancel safe: an event is either returned or still to come.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] if an event was dropped from the history before it was read; list and watch anew.
    /// [`StoreError::Unavailable`] if the store is gone.
    pub async fn next(&mut self) -> Result<Event, StoreError> {
        let hub = Arc::clone(&self.hub);
        loop {
            // Made before the history is read: a write in between is not slept through.
            let changed = hub.changed.notified();
            if let Some(event) = self.try_next()? {
                return Ok(event);
            }
            if hub.counter.is_closed() {
                return Err(StoreError::Unavailable("the store is closed".into()));
            }
            changed.await;
        }
    }

    /// The next event if it is there already; never waits.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] if an event was dropped from the history before it was read.
    pub fn try_next(&mut self) -> Result<Option<Event>, StoreError> {
        let history = self.hub.history.load();
        if history.has_forgotten(self.cursor) {
            return Err(StoreError::Compacted { requested: self.cursor, oldest: history.oldest() });
        }
        let Some(event) = history.first_after(self.cursor) else {
            return Ok(None);
        };
        self.cursor = event.revision;
        Ok(Some(event.clone()))
    }

    /// Every event of the resource up to and including this revision was returned: what a bookmark may say. Follows the
    /// writes to other resources too, while there is nothing to return. Never falls, and is never below the revision that
    /// the watch was started after.
    pub fn revision(&self) -> Revision {
        let (revision, history) = self.hub.read();
        if history.last() <= self.cursor { self.cursor.max(revision) } else { self.cursor }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("resource", &self.hub.resource).field("cursor", &self.cursor).finish()
    }
}

impl Hub {
    pub(crate) fn new(resource: &str, history: History, counter: Arc<Counter>) -> Self {
        Self { resource: resource.into(), history: ArcSwap::from_pointee(history), changed: Notify::new(), counter }
    }

    /// The state, for the writer; a reader wants [`read`](Self::read).
    pub(crate) fn history(&self) -> Arc<History> {
        self.history.load_full()
    }

    /// The state and a revision that it shows: all writes to this resource up to that revision are in, none after it is.
    pub(crate) fn read(&self) -> (Revision, Arc<History>) {
        // The writer publishes the state before the counter, so the state is at least as new as what the counter says. It
        // may be newer: then the reader moves the counter on, so that nobody sees an older revision after this.
        let counted = self.counter.get();
        let history = self.history.load_full();
        let revision = counted.max(history.last());
        if revision > counted {
            self.counter.advance_to(revision);
        }
        (revision, history)
    }

    /// Makes a state visible, then the revision that it brings. Watchers still sleep; see [`wake`](Self::wake).
    pub(crate) fn publish(&self, history: Arc<History>, revision: Revision) {
        self.history.store(history);
        self.counter.advance_to(revision);
    }

    /// Wakes the watchers of this resource, in the order in which they fell asleep.
    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
    }
}

impl Counter {
    pub(crate) fn get(&self) -> Revision {
        self.revision.load(Ordering::SeqCst)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn advance_to(&self, revision: Revision) {
        self.revision.fetch_max(revision, Ordering::SeqCst);
    }
}
