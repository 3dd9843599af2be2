//! Configurations in the form in which admission works with them, read anew exactly when they were written.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use steersman_machinery::status::Status;
use steersman_store::{Entry, Snapshot};

use crate::server::Server;

/// What was read of all objects of a resource, in the order of their names.
pub struct Cached<T> {
    /// The resource as in the store.
    resource: &'static str,
    read: fn(&Value) -> T,
    known: Mutex<Known<T>>,
}

/// What was read last.
struct Known<T> {
    /// Of which objects.
    of: Option<Snapshot>,
    entries: Vec<Arc<Entry>>,
    items: Arc<[Arc<T>]>,
}

impl<T> Cached<T> {
    /// A cache of what `read` makes of the objects of `resource` (as in the store: `pods`, `deployments.apps`).
    pub fn new(resource: &'static str, read: fn(&Value) -> T) -> Self {
        Self { resource, read, known: Mutex::new(Known { of: None, entries: Vec::new(), items: Arc::new([]) }) }
    }

    /// All of them as of now. Costs a look into the store as long as nothing was written.
    pub async fn get(&self, server: &Server) -> Result<Arc<[Arc<T>]>, Status> {
        let snapshot = server.snapshot(self.resource).await?;
        let mut known = self.known.lock();
        if !known.of.as_ref().is_some_and(|of| of.shows_the_same(&snapshot)) {
            let entries: Vec<_> = snapshot.range(None, None).cloned().collect();
            known.items = entries.iter().map(|entry| known.item(entry).unwrap_or_else(|| self.parse(entry))).collect();
            known.entries = entries;
            known.of = Some(snapshot);
        }
        Ok(known.items.clone())
    }

    fn parse(&self, entry: &Entry) -> Arc<T> {
        let object = serde_json::from_slice(entry.bytes()).expect("the store holds what was encoded as JSON");
        Arc::new((self.read)(&object))
    }
}

impl<T> Known<T> {
    /// What was made of an object, if it has not changed since.
    fn item(&self, entry: &Arc<Entry>) -> Option<Arc<T>> {
        let at = self.entries.iter().position(|have| Arc::ptr_eq(have, entry))?;
        Some(self.items[at].clone())
    }
}
