//! Changes that the server makes of an object itself, by way of a subresource: a pod gets its node, a pod is marked as evicted.
//! Admission was asked about what was posted. Nobody owns what is set, nothing is held back, validated or charged, so that the
//! object is changed where it was read.

use serde_json::Value;
use steersman_machinery::meta;
use steersman_machinery::status::Status;
use steersman_store::{Expect, StoreError};

use super::identity::{check_uid, check_version, sent_version};
use super::{CHANGE_ATTEMPTS, Uid, put};
use crate::conversion;
use crate::object;
use crate::registry::resource::Resource;
use crate::server::unavailable;
use crate::service::Call;

/// Reads the object that the URL names, lets `change` change it, and stores it if `change` says that it has; again from the
/// beginning if somebody else wrote in between. `posted` may have a uid and a resource version that the object must have.
pub(in crate::handlers) async fn change<F>(
    call: &Call,
    resource: &Resource,
    posted: &Value,
    dry_run: bool,
    mut change: F,
) -> Result<(), Status>
where
    F: FnMut(&mut Value) -> Result<bool, Status>,
{
    let (server, name) = (&call.server, call.info.name.as_str());
    let key = object::key(resource, &call.info.namespace, name);
    let group_resource = resource.group_resource();
    for _ in 0..CHANGE_ATTEMPTS {
        let entry = server.store.get(&key).await.map_err(|error| unavailable(&error))?;
        let entry = entry.ok_or_else(|| Status::not_found(&group_resource, name))?;
        let mut object = conversion::read(server, &entry, resource).await?;
        let changed = change(&mut object)?;
        check_uid(resource, &object, meta::uid(posted), Uid::Precondition)?;
        check_version(resource, &object, sent_version(posted)?)?;
        if !changed || dry_run {
            return Ok(());
        }
        match put(server, resource, &object, Expect::Revision(entry.revision)).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(unavailable(&error)),
        }
    }
    Err(Status::stale(&group_resource, name))
}
