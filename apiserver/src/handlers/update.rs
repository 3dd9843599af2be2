//! PUT: replaces an object, its status, or the finalizers of a namespace.

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::write::{self, Change, Written};
use super::{Answer, input, output};
use crate::options::{WriteKind, WriteOptions};
use crate::registry::resource::Resource;
use crate::service::Call;

/// Replaces what is there; makes the object if its kind allows that.
pub(super) async fn handle(call: &mut Call, resource: &Resource, subresource: &str) -> Answer {
    let options = WriteOptions::read(&call.query, WriteKind::Update, call.user_agent())?;
    let output = output::negotiate(call, resource)?;
    let mut object = input::object(call, resource, options.field_validation)?;
    write::check_place(call, resource, &mut object)?;
    let how = Change::replace(resource, subresource, &options);
    let updated = write::update(call, resource, &how, |_, _| Ok(object.clone())).boxed().await;
    let may_create = subresource.is_empty() && resource.strategy.rules().create_on_update;
    let (code, updated) = match updated {
        Err(status) if status.is("NotFound") && may_create => (201, make(call, resource, object, &options).await?),
        Err(status) if status.is("NotFound") => {
            // Upstream looks whether it could be made before it says that it is not there.
            write::admit_unmade(call, (resource, subresource), &mut object, &options).await?;
            return Err(status);
        }
        updated => (200, updated?),
    };
    output::written(call, resource, (code, &updated), output)
}

async fn make(
    call: &mut Call,
    resource: &Resource,
    mut object: Value,
    options: &WriteOptions,
) -> Result<Written, Status> {
    meta::remove(&mut object, &["metadata", "resourceVersion"]);
    write::create(call, resource, object, options, false).boxed().await
}
