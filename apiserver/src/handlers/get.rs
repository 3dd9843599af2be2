//! GET of one object.

use steersman_machinery::status::Status;

use super::{Answer, output};
use crate::object;
use crate::options;
use crate::registry::resource::Resource;
use crate::server::unavailable;
use crate::service::Call;

/// Answers with the object as of now, which is never older than any version that exists.
pub(super) async fn handle(call: &Call, resource: &Resource) -> Answer {
    let output = output::negotiate(call, resource)?;
    if let Some(requested) = options::read_version(call.query.text("resourceVersion"), true)? {
        let current = call.server.store.revision();
        if requested > current {
            return Err(Status::too_large_resource_version(requested, current));
        }
    }
    let key = object::key(resource, &call.info.namespace, &call.info.name);
    let entry = call.server.store.get(&key).await.map_err(|error| unavailable(&error))?;
    let entry = entry.ok_or_else(|| Status::not_found(&resource.group_resource(), &call.info.name))?;
    output::entry(call, resource, &entry, output).await
}
