//! One resource: its objects now, and the last writes that made them so. Immutable once published; no locks, no waiting.

use std::sync::Arc;

use imbl::Vector;

use crate::snapshot::{self, Objects, Slot};
use crate::{Entry, Event, EventKind, Options, Revision, StoreError};

/// Events that a resource keeps whatever they weigh, so that a watcher which was just woken still finds what it was woken
/// for, even if every object is as large as the API server lets it be (3 MiB).
pub(crate) const LEAST_EVENTS: usize = 16;

/// The state of one resource. A clone shares everything.
#[derive(Clone)]
pub(crate) struct History {
    objects: Objects,
    /// Behind a pointer each: the last of them are copied with every write.
    events: Vector<Arc<Event>>,
    /// Bytes of the objects as they are now.
    live: usize,
    /// Bytes of objects that only `events` holds.
    superseded: usize,
    /// The revision of the last event that was dropped; 0 if none was.
    forgotten: Revision,
    /// The oldest revision that can be asked for; at least `forgotten`.
    oldest: Revision,
}

impl History {
    /// Without objects; revisions before `oldest` were compacted.
    pub(crate) fn starting_at(oldest: Revision) -> Self {
        Self { objects: Objects::new(), events: Vector::new(), live: 0, superseded: 0, forgotten: 0, oldest }
    }

    /// With these objects, as of `revision`; how they came about is not known.
    pub(crate) fn restored(objects: Objects, revision: Revision) -> Self {
        let live = objects.iter().map(|slot| slot.0.bytes().len()).sum();
        Self { objects, events: Vector::new(), live, superseded: 0, forgotten: revision, oldest: revision }
    }

    /// The objects now.
    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The object at a place, now.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Entry>> {
        snapshot::find(&self.objects, namespace, name)
    }

    /// The namespace as it stands in a key that is there already, so that all of them share one string. Nearly always the
    /// last write was to the same one.
    pub(crate) fn intern_namespace(&self, namespace: &str) -> Option<Arc<str>> {
        let last = self.events.last().map(|event| &event.entry.key.namespace).filter(|last| ***last == *namespace);
        last.cloned().or_else(|| snapshot::intern_namespace(&self.objects, namespace))
    }

    /// The revision of the last write.
    pub(crate) fn last(&self) -> Revision {
        self.events.last().map_or(self.forgotten, |event| event.revision)
    }

    /// The oldest revision that can be asked for.
    pub(crate) fn oldest(&self) -> Revision {
        self.oldest
    }

    /// Whether a reader that has seen everything up to `cursor` has missed an event that is not kept any more.
    pub(crate) fn has_forgotten(&self, cursor: Revision) -> bool {
        cursor < self.forgotten
    }

    /// The first event after `cursor`.
    pub(crate) fn first_after(&self, cursor: Revision) -> Option<&Event> {
        if self.last() <= cursor {
            return None;
        }
        let index = match self.events.binary_search_by_key(&cursor, |event| event.revision) {
            Ok(index) => index + 1,
            Err(index) => index,
        };
        self.events.get(index).map(Arc::as_ref)
    }

    /// Applies a write, and drops the oldest events that are over the limits.
    pub(crate) fn apply(&mut self, event: Event, limits: &Options) {
        match event.kind {
            EventKind::Put => {
                self.objects.insert(Slot(Arc::clone(&event.entry)));
            }
            EventKind::Delete => snapshot::remove(&mut self.objects, &event.entry.key),
        }
        self.superseded += superseded_by(&event);
        self.live = self.live.saturating_add_signed(growth(&event));
        self.events.push_back(Arc::new(event));
        let most = limits.history.max(limits.rewrites * self.objects.len()).max(LEAST_EVENTS);
        let most_bytes = limits.history_bytes.max(limits.rewrites * self.live);
        while self.events.len() > most || (self.superseded > most_bytes && self.events.len() > LEAST_EVENTS) {
            self.drop_first();
        }
    }

    /// Drops the events up to and including `revision`.
    pub(crate) fn compact(&mut self, revision: Revision) {
        while self.events.front().is_some_and(|event| event.revision <= revision) {
            self.drop_first();
        }
        self.oldest = self.oldest.max(revision);
    }

    /// The objects as they were at `revision`: the writes since are undone, the last one first.
    pub(crate) fn objects_at(&self, revision: Revision) -> Result<Objects, StoreError> {
        self.check_kept(revision)?;
        let mut objects = self.objects.clone();
        for event in self.events.iter().rev().take_while(|event| event.revision > revision) {
            match &event.previous {
                Some(previous) => {
                    objects.insert(Slot(Arc::clone(previous)));
                }
                None => snapshot::remove(&mut objects, &event.entry.key),
            }
        }
        Ok(objects)
    }

    /// Fails if `requested` is older than the history.
    pub(crate) fn check_kept(&self, requested: Revision) -> Result<(), StoreError> {
        if requested < self.oldest {
            return Err(StoreError::Compacted { requested, oldest: self.oldest });
        }
        Ok(())
    }

    fn drop_first(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.superseded -= superseded_by(&event);
            self.forgotten = event.revision;
            self.oldest = self.oldest.max(event.revision);
        }
    }

    #[cfg(test)]
    pub(crate) fn superseded(&self) -> usize {
        self.superseded
    }

    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.events.len()
    }
}

/// The bytes that only the history holds because of this event: the version before, and the copy that tells a deletion.
fn superseded_by(event: &Event) -> usize {
    let previous = event.previous.as_ref().map_or(0, |entry| entry.bytes().len());
    match event.kind {
        EventKind::Put => previous,
        EventKind::Delete => previous + event.entry.bytes().len(),
    }
}

/// By how many bytes the objects grow with this event.
fn growth(event: &Event) -> isize {
    let size = |entry: &Arc<Entry>| entry.bytes().len().cast_signed();
    let before = event.previous.as_ref().map_or(0, size);
    match event.kind {
        EventKind::Put => size(&event.entry) - before,
        EventKind::Delete => -before,
    }
}
