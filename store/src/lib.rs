//! A revisioned key-value store with watch: etcd's part in Kubernetes, behind the trait [`Store`].
//!
//! One counter numbers every write of every resource. Reads take an immutable snapshot; watchers read a bounded history
//! by cursor. Neither ever blocks the writer.

pub mod durable;
pub mod entry;
mod history;
pub mod memory;
mod snapshot;
#[cfg(test)]
mod testing;
mod watch;

use std::sync::Arc;

use futures::future::BoxFuture;

pub use crate::durable::DurableStore;
pub use crate::entry::{Attributes, Draft, Entry, Key};
pub use crate::memory::{MemoryStore, Options};
pub use crate::snapshot::Snapshot;
pub use crate::watch::{Event, EventKind, Watch};

/// The number of a write; one counter for all resources, above 0 from the first write on.
pub type Revision = u64;

/// A store of objects. Writes are asynchronous and may fail, so that a durable log or etcd can stand behind it.
pub trait Store: Send + Sync + 'static {
    /// The revision of the last write.
    fn revision(&self) -> Revision;

    /// The object at `key` as of now.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Arc<Entry>>, StoreError>>;

    /// The objects of `resource` ("pods", "deployments.apps"): all of them as of one revision.
    fn snapshot<'a>(&'a self, resource: &'a str, at: At) -> BoxFuture<'a, Result<Snapshot, StoreError>>;

    /// Performs one write if its expectation holds. Returns the entry as written; for a delete, the last entry with the
    /// revision of the deletion.
    fn commit(&self, write: Write) -> BoxFuture<'_, Result<Arc<Entry>, StoreError>>;

    /// Performs all the writes, in this order, or none of them. Whoever reads sees them one after the other, each with a
    /// revision of its own; nobody else's write comes between them. Returns the entries as [`Store::commit`] does.
    fn commit_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Arc<Entry>>, Refused>>;

    /// The writes to `resource` after revision `after`; that revision may lie in the future.
    fn watch<'a>(&'a self, resource: &'a str, after: Revision) -> BoxFuture<'a, Result<Watch, StoreError>>;

    /// Forgets the history up to and including `revision`.
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Which revision a snapshot shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The last one.
    Latest,
    /// Exactly that one; fails if it is compacted or in the future.
    Exactly(Revision),
}

/// A write.
#[derive(Clone, Debug)]
pub enum Write {
    /// Stores an object.
    Put {
        /// Where.
        key: Key,
        /// What.
        draft: Draft,
        /// What selectors look at.
        attributes: Arc<Attributes>,
        /// What must be there for the write to happen.
        expect: Expect,
    },
    /// Removes an object.
    Delete {
        /// Where.
        key: Key,
        /// What must be there for the write to happen; [`Expect::Absent`] makes no sense and fails.
        expect: Expect,
    },
}

/// What must be at a key for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// The object, last written at that revision.
    Revision(Revision),
}

/// Why none of several writes happened.
#[derive(Clone, Debug, thiserror::Error)]
#[error("write {index} is refused")]
pub struct Refused {
    /// Which of the writes was refused, counted from 0.
    pub index: usize,
    /// Why.
    #[source]
    pub error: StoreError,
}

/// Why a store did not do as it was told.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The expectation of a write did not hold; carries what is there instead.
    #[error("the key holds another revision than expected")]
    Conflict(Option<Arc<Entry>>),
    /// The revision is older than the history that is kept.
    #[error("revision {requested} is compacted; the oldest that is kept is {oldest}")]
    Compacted {
        /// The revision that was asked for.
        requested: Revision,
        /// The oldest revision that can be asked for.
        oldest: Revision,
    },
    /// The revision has not been reached.
    #[error("revision {requested} is in the future; the last is {current}")]
    Future {
        /// The revision that was asked for.
        requested: Revision,
        /// The revision of the last write.
        current: Revision,
    },
    /// The store cannot be reached, or refuses: nobody knows whether the write happened.
    #[error("the store is unavailable: {0}")]
    Unavailable(Arc<str>),
}

impl Write {
    /// The resource that it writes to.
    pub fn resource(&self) -> &Arc<str> {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => &key.resource,
        }
    }
}
