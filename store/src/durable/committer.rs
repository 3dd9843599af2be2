//! The one that writes: takes all the writes that wait, decides them, logs them with one sync, and only then shows them.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use tokio::sync::oneshot::Sender;

use super::checkpoint::Checkpoint;
use super::disk::Disk;
use super::files::Name;
use super::log::Log;
use super::record;
use crate::memory::Stage;
use crate::{Entry, MemoryStore, Refused, Revision, Store, StoreError, Write};

/// How many requests are logged with one sync at most, so that the first does not wait for an endless row of others.
const BATCH: usize = 1024;

/// What is asked of the committer, and who waits for the answer.
pub(crate) enum Request {
    /// One write.
    Write(Write, Sender<Result<Arc<Entry>, StoreError>>),
    /// All the writes or none.
    Writes(Vec<Write>, Sender<Result<Vec<Arc<Entry>>, Refused>>),
    /// To forget history.
    Compact(Revision, Sender<Result<(), StoreError>>),
}

/// An answer that is known and not yet true: it is given once the log is synced.
enum Answer {
    Write(Result<Arc<Entry>, StoreError>, Sender<Result<Arc<Entry>, StoreError>>),
    Writes(Result<Vec<Arc<Entry>>, Refused>, Sender<Result<Vec<Arc<Entry>>, Refused>>),
    Compact(Revision, Sender<Result<(), StoreError>>),
}

/// Writes to a log, then to memory.
pub(crate) struct Committer<D> {
    memory: Arc<MemoryStore>,
    disk: D,
    log: Log,
    /// The checkpoint that is being written.
    checkpoint: Option<Checkpoint>,
    /// A checkpoint begins when the log is that long.
    checkpoint_at: u64,
    checkpoint_after: u64,
    /// Why nothing can be written any more.
    failed: Option<Arc<str>>,
}

impl<D: Disk> Committer<D> {
    /// Writes what memory already shows, up to the end of `log`, and what comes.
    pub(crate) fn new(memory: Arc<MemoryStore>, disk: D, log: Log, checkpoint_after: u64) -> Self {
        Self { memory, disk, log, checkpoint: None, checkpoint_at: checkpoint_after, checkpoint_after, failed: None }
    }

    /// Answers requests until nobody can send any more.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        loop {
            let first = if self.checkpoint.is_some() {
                match requests.try_recv() {
                    Ok(request) => Some(request),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => return,
                }
            } else {
                match requests.recv() {
                    Ok(request) => Some(request),
                    Err(_) => return,
                }
            };
            let batch: Vec<Request> = first.into_iter().chain(requests.try_iter()).take(BATCH).collect();
            self.commit(batch);
            self.maintain();
        }
    }

    /// Commits what was asked for, in this order, with one sync.
    pub(crate) fn commit(&mut self, batch: Vec<Request>) {
        let (stage, answers) = self.stage(batch);
        if let Err(error) = self.log(&stage) {
            // Whether a failed sync reached the disk nobody knows, and a second one may lie.
            let reason = format!("{} could not be written: {error}; restart on a disk that works", self.log.name);
            self.failed = Some(reason.into());
        }
        match &self.failed {
            None => {
                stage.publish();
                stage.wake();
                answers.into_iter().for_each(|answer| answer.give(&self.memory));
            }
            Some(reason) => answers.into_iter().for_each(|answer| answer.refuse(reason)),
        }
    }

    fn stage(&self, batch: Vec<Request>) -> (Stage, Vec<Answer>) {
        let writer = self.memory.writer();
        let mut stage = self.memory.begin();
        let answer = |request| match request {
            Request::Write(write, sender) => Answer::Write(self.memory.stage(&writer, &mut stage, write), sender),
            Request::Writes(writes, sender) => {
                Answer::Writes(self.memory.stage_all(&writer, &mut stage, writes), sender)
            }
            Request::Compact(revision, sender) => Answer::Compact(revision, sender),
        };
        let answers = batch.into_iter().map(answer).collect();
        (stage, answers)
    }

    fn log(&mut self, stage: &Stage) -> io::Result<()> {
        if stage.is_empty() || self.failed.is_some() {
            return Ok(());
        }
        let mut payload = Vec::new();
        stage.writes().for_each(|(kind, entry)| record::put(&mut payload, kind, entry));
        self.log.append(&payload)
    }

    /// Writes a piece of the checkpoint, or begins one if the log has become long.
    pub(crate) fn maintain(&mut self) {
        if self.failed.is_some() {
            self.checkpoint = None;
            return;
        }
        if let Err(error) = self.try_maintain() {
            // Nothing is lost: the logs are all there. It is tried again when they have grown.
            tracing::warn!(%error, "a checkpoint of the store could not be written");
            self.checkpoint = None;
            self.checkpoint_at = self.log.bytes + self.checkpoint_after;
        }
    }

    /// Whether a checkpoint is being written.
    #[cfg(test)]
    pub(crate) fn is_checkpointing(&self) -> bool {
        self.checkpoint.is_some()
    }

    fn try_maintain(&mut self) -> io::Result<()> {
        if let Some(checkpoint) = &mut self.checkpoint {
            if let Some(bytes) = checkpoint.advance(&self.disk)? {
                let name = checkpoint.name();
                self.checkpoint = None;
                // Recovery stays proportional to what is there: the log may become as long as the checkpoint is.
                self.checkpoint_at = self.checkpoint_after.max(bytes);
                self.remove_before(name)?;
            }
        } else if self.log.bytes >= self.checkpoint_at {
            let revision = self.memory.revision();
            self.log = self.next_log(revision)?;
            let name = Name::checkpoint(revision);
            self.checkpoint = Some(Checkpoint::begin(&self.disk, name, self.memory.objects())?);
        }
        Ok(())
    }

    /// A log that was begun and not finished must not stay: the one before would go on beyond its beginning.
    fn next_log(&mut self, after: Revision) -> io::Result<Log> {
        let created = Log::create(&self.disk, after);
        if created.is_err()
            && let Err(error) = self.disk.remove(&Name::log(after).to_string()).and_then(|()| self.disk.sync())
            && error.kind() != io::ErrorKind::NotFound
        {
            self.failed = Some(format!("{} could not be removed: {error}", Name::log(after)).into());
        }
        created
    }

    fn remove_before(&self, checkpoint: Name) -> io::Result<()> {
        let names = self.disk.list()?;
        let old = |name: &&String| Name::parse(name).is_some_and(|name| name.revision < checkpoint.revision);
        names.iter().filter(old).try_for_each(|name| self.disk.remove(name))
    }
}

impl Answer {
    fn give(self, memory: &MemoryStore) {
        // Whoever asked may have gone away.
        match self {
            Self::Write(result, sender) => drop(sender.send(result)),
            Self::Writes(result, sender) => drop(sender.send(result)),
            Self::Compact(revision, sender) => drop(sender.send(memory.compact_now(revision))),
        }
    }

    fn refuse(self, reason: &Arc<str>) {
        let error = StoreError::Unavailable(Arc::clone(reason));
        match self {
            Self::Write(_, sender) => drop(sender.send(Err(error))),
            Self::Writes(_, sender) => drop(sender.send(Err(Refused { index: 0, error }))),
            Self::Compact(_, sender) => drop(sender.send(Err(error))),
        }
    }
}
