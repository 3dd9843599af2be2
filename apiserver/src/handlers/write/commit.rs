//! The last step of a write: into the store, together with what admission charges for it.

use std::sync::Arc;

use serde_json::Value;
use steersman_machinery::status::Status;
use steersman_store::{Entry, Expect, Refused, StoreError};

use crate::admission::Attributes;
use crate::conversion;
use crate::object;
use crate::registry::resource::Resource;
use crate::server::{Server, unavailable};

/// How often a charge is made anew because what is charged has changed. Each failure means that another write to it went
/// through, so this many writers of one namespace never starve one of them.
const ATTEMPTS: usize = 1000;

/// Why an object was not stored.
pub(super) enum Failure {
    /// The store did not take it.
    Store(StoreError),
    /// Admission did not let it pass.
    Refused(Status),
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => unavailable(&error),
            Failure::Refused(status) => status,
        }
    }
}

/// Stores an object and what is charged for it: all of that, or nothing.
pub(super) async fn commit(attributes: &Attributes<'_>, object: &Value, expect: Expect) -> Result<Arc<Entry>, Failure> {
    let (server, resource) = (attributes.server, attributes.resource);
    let stored = conversion::to_store(server, resource, object).await.map_err(Failure::Refused)?;
    for _ in 0..ATTEMPTS {
        let charges = server.admission.charge(attributes, object).await.map_err(Failure::Refused)?;
        if charges.is_empty() {
            return super::put(server, resource, &stored, expect).await.map_err(Failure::Store);
        }
        // The object comes first: who sees what was charged for it sees it, too.
        let writes = [object::put(resource, &stored, expect)].into_iter().chain(charges).collect();
        match server.store.commit_all(writes).await {
            Ok(entries) => {
                let entry = entries.into_iter().next().expect("there is an entry for each write");
                written(server, resource, &entry);
                return Ok(entry);
            }
            Err(Refused { index: 1.., error: StoreError::Conflict(_) }) => {}
            Err(Refused { error, .. }) => return Err(Failure::Store(error)),
        }
    }
    Err(Failure::Refused(Status::stale(&resource.group_resource(), attributes.name)))
}

/// Events do not live for ever.
pub(super) fn written(server: &Server, resource: &Resource, entry: &Entry) {
    if resource.storage.resource == "events" {
        server.events.written(server.clock.now(), entry.key.clone(), entry.revision);
    }
}
