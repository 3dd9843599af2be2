//! Configurations in the form in which admission works with them, read anew exactly when they were written.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use steersman_machinery::status::Status;
use steersman_store::Entry;

use crate::server::Server;

/// What was read of all objects of a resource, in the order of their names.
pub struct Cached<T> {
    /// The resource as in the store.
    resource: &'static str,
    read: fn(&Value) -> T,
    items: Mutex<Vec<(Arc<Entry>, Arc<T>)>>,
}

impl<T> Cached<T> {
    /// A cache of what `read` makes of the objects of `resource` (as in the store: `pods`, `deployments.apps`).
    pub const fn new(resource: &'static str, read: fn(&Value) -> T) -> Self {
        Self { resource, read, items: Mutex::new(Vec::new()) }
    }

    /// All of them as of now. Costs a look into the store if there are none.
    pub async fn get(&self, server: &Server) -> Result<Vec<Arc<T>>, Status> {
        let snapshot = server.snapshot(self.resource).await?;
        if snapshot.is_empty() {
            return Ok(Vec::new());
        }
        let mut items = self.items.lock();
        let known = |entry: &Arc<Entry>| items.iter().find(|(have, _)| Arc::ptr_eq(have, entry)).map(|it| it.1.clone());
        let current: Vec<_> = snapshot
            .range(None, None)
            .map(|entry| (entry.clone(), known(entry).unwrap_or_else(|| Arc::new(self.parse(entry)))))
            .collect();
        *items = current;
        Ok(items.iter().map(|(_, item)| item.clone()).collect())
    }

    fn parse(&self, entry: &Entry) -> T {
        (self.read)(&serde_json::from_slice(entry.bytes()).expect("the store holds what was encoded as JSON"))
    }
}
