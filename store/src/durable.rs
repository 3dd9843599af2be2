//! The store that survives its process: a [`MemoryStore`] in front of a log.
//!
//! Reads and watches are those of the memory. A write is logged and synced before anybody sees it; writes that come while
//! the disk is busy are synced together. When the log has become long, all objects are written to a checkpoint beside the
//! other work, and the log before it is removed.
//!
//! After a crash or a loss of power, every write that was acknowledged or seen is there again. A write that was under way
//! is there whole or not at all. The history before is not kept: a watch from an older revision is told
//! [`StoreError::Compacted`]. A bit that flipped on the disk is found when the folder is opened, and refused.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::durable::committer::{Committer, Request};
use crate::durable::disk::{Disk, Folder};
use crate::durable::log::Log;
use crate::{At, Entry, Key, MemoryStore, Refused, Revision, Snapshot, Store, StoreError, Watch, Write, memory};

mod checkpoint;
mod committer;
mod disk;
mod files;
mod frame;
mod log;
mod record;
mod recovery;
#[cfg(test)]
mod tests;

/// How long the log becomes before a checkpoint is written, unless the last checkpoint was longer.
pub const DEFAULT_CHECKPOINT_AFTER: u64 = 64 << 20;

/// How a [`DurableStore`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How much history is kept in memory.
    pub memory: memory::Options,
    /// A checkpoint begins when the log has that many bytes, and as many as the last checkpoint.
    pub checkpoint_after: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { memory: memory::Options::default(), checkpoint_after: DEFAULT_CHECKPOINT_AFTER }
    }
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk refuses, or another process uses the folder.
    #[error(transparent)]
    Disk(#[from] std::io::Error),
    /// What is there is not what was written. Nothing was changed.
    #[error("{file} is damaged: {what}; restore the folder from a copy, or begin with an empty one")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        what: String,
    },
}

/// A store in a folder.
pub struct DurableStore {
    memory: Arc<MemoryStore>,
    requests: Option<mpsc::Sender<Request>>,
    committer: Option<JoinHandle<()>>,
}

impl DurableStore {
    /// Opens the store in `folder`, which is made if it is not there. Only one process can have it open, and only the user
    /// of this process can read it. Reads all that is stored, which takes about as long as reading the files.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(folder: &Path, options: Options) -> Result<Self, OpenError> {
        let (memory, committer) = start(Folder::open(folder)?, options)?;
        let (requests, received) = mpsc::channel();
        let run = move || committer.run(&received);
        let committer = std::thread::Builder::new().name("store".to_owned()).spawn(run)?;
        Ok(Self { memory, requests: Some(requests), committer: Some(committer) })
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, StoreError> {
        let gone = || StoreError::Unavailable("the store is closed".into());
        let (sender, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(gone)?;
        requests.send(request(sender)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}

/// Recovers what is on the disk, cuts off what was torn and removes what was left over.
fn start<D: Disk>(disk: D, options: Options) -> Result<(Arc<MemoryStore>, Committer<D>), OpenError> {
    let recovered = recovery::recover(&disk)?;
    recovered.leftovers.iter().try_for_each(|name| disk.remove(name))?;
    let log = match &recovered.log {
        Some(end) => Log::resume(&disk, end)?,
        None => Log::create(&disk, recovered.revision)?,
    };
    let memory = Arc::new(MemoryStore::restored(options.memory, recovered.revision, recovered.resources));
    Ok((Arc::clone(&memory), Committer::new(memory, disk, log, options.checkpoint_after)))
}

impl Store for DurableStore {
    fn revision(&self) -> Revision {
        self.memory.revision()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Arc<Entry>>, StoreError>> {
        self.memory.get(key)
    }

    fn snapshot<'a>(&'a self, resource: &'a str, at: At) -> BoxFuture<'a, Result<Snapshot, StoreError>> {
        self.memory.snapshot(resource, at)
    }

    fn commit(&self, write: Write) -> BoxFuture<'_, Result<Arc<Entry>, StoreError>> {
        Box::pin(async move { self.ask(|answer| Request::Write(write, answer)).await? })
    }

    fn commit_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Arc<Entry>>, Refused>> {
        Box::pin(async move {
            let asked = self.ask(|answer| Request::Writes(writes, answer)).await;
            asked.map_err(|error| Refused { index: 0, error })?
        })
    }

    fn watch<'a>(&'a self, resource: &'a str, after: Revision) -> BoxFuture<'a, Result<Watch, StoreError>> {
        self.memory.watch(resource, after)
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.ask(|answer| Request::Compact(revision, answer)).await? })
    }
}

impl Drop for DurableStore {
    /// Waits for the writes that are under way, and lets the folder go.
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(committer) = self.committer.take() {
            // A panic there was already told; there is nothing to add.
            drop(committer.join());
        }
    }
}
