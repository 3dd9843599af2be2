//! Writes that are decided but not visible yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::{MemoryStore, Writer};
use crate::history::History;
use crate::watch::Hub;
use crate::{Entry, EventKind, Refused, Revision, StoreError, Write};

/// Writes that were decided one on top of the other, and that nobody sees yet. Dropped, they never were.
pub(crate) struct Stage {
    revision: Revision,
    /// The state that each resource comes to have.
    latest: BTreeMap<Arc<str>, Arc<History>>,
    /// The state on the way there after each write.
    steps: Vec<Step>,
}

struct Step {
    hub: Arc<Hub>,
    after: Arc<History>,
    kind: EventKind,
    entry: Arc<Entry>,
}

impl Stage {
    /// What was decided, in order.
    pub(crate) fn writes(&self) -> impl Iterator<Item = (EventKind, &Entry)> {
        self.steps.iter().map(|step| (step.kind, &*step.entry))
    }

    /// Whether nothing was decided.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Makes the writes visible, one after the other. The writer's lock is held since [`MemoryStore::begin`], or nobody
    /// else writes.
    pub(crate) fn publish(&self) {
        for step in &self.steps {
            step.hub.publish(Arc::clone(&step.after), step.entry.revision);
        }
    }

    /// Wakes whoever watches what was published.
    pub(crate) fn wake(&self) {
        self.steps.iter().for_each(|step| step.hub.wake());
    }
}

impl MemoryStore {
    /// The lock that orders writers.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock()
    }

    /// Begins to stage writes on top of what is there.
    pub(crate) fn begin(&self) -> Stage {
        Stage { revision: self.counter.get(), latest: BTreeMap::new(), steps: Vec::new() }
    }

    /// Decides a write on top of those that are staged. If it is refused, the stage is as before.
    pub(crate) fn stage(&self, writer: &Writer, stage: &mut Stage, write: Write) -> Result<Arc<Entry>, StoreError> {
        let hub = self.hub_for_writer(writer, write.resource());
        let before = stage.latest.get(&hub.resource).map_or_else(|| hub.history(), Arc::clone);
        let kind = match write {
            Write::Put { .. } => EventKind::Put,
            Write::Delete { .. } => EventKind::Delete,
        };
        let (after, entry) = self.step(&hub, &before, write, stage.revision + 1)?;
        stage.revision += 1;
        stage.latest.insert(Arc::clone(&hub.resource), Arc::clone(&after));
        stage.steps.push(Step { hub, after, kind, entry: Arc::clone(&entry) });
        Ok(entry)
    }

    /// Decides all the writes, or none.
    pub(crate) fn stage_all(
        &self,
        writer: &Writer,
        stage: &mut Stage,
        writes: Vec<Write>,
    ) -> Result<Vec<Arc<Entry>>, Refused> {
        let before = (stage.revision, stage.latest.clone(), stage.steps.len());
        let staged = writes.into_iter().enumerate().map(|(index, write)| {
            let entry = self.stage(writer, stage, write);
            entry.map_err(|error| Refused { index, error })
        });
        let staged = staged.collect();
        if let (Err(_), (revision, latest, steps)) = (&staged, before) {
            stage.revision = revision;
            stage.latest = latest;
            stage.steps.truncate(steps);
        }
        staged
    }
}
