//! PUT: replaces an object, its status, or the finalizers of a namespace.

use serde_json::Value;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::write::{self, Change, Part};
use super::{Answer, input, output};
use crate::options::{WriteKind, WriteOptions};
use crate::registry::resource::Resource;
use crate::service::Call;

/// Which part of an object a subresource stands for.
pub(super) fn part(subresource: &str) -> Part {
    match subresource {
        "" => Part::Main,
        "finalize" => Part::Finalize,
        _ => Part::Status,
    }
}

/// Replaces what is there; makes the object if its kind allows that.
pub(super) async fn handle(call: &mut Call, resource: &Resource, subresource: &str) -> Answer {
    let options = WriteOptions::read(&call.query, WriteKind::Update, call.user_agent())?;
    let output = output::negotiate(call)?;
    let object = input::object(call, resource, options.field_validation)?;
    let part = part(subresource);
    let how = Change { subresource, part, options: &options, applied: false, replaces: true };
    let updated = write::update(call, resource, &how, |_, _| Ok(object.clone())).await;
    let may_create = subresource.is_empty() && resource.strategy.rules().create_on_update;
    let (code, updated) = match updated {
        Err(status) if status.is("NotFound") && may_create => (201, make(call, resource, object, &options).await?),
        updated => (200, updated?),
    };
    output::object(call, resource, (code, &updated), output)
}

async fn make(call: &mut Call, resource: &Resource, mut object: Value, options: &WriteOptions) -> Result<Value, Status> {
    let url = call.info.name.clone();
    match meta::name(&object) {
        "" => meta::set(&mut object, &["metadata", "name"], url),
        name if name == url => {}
        name => {
            let message = format!("the name of the object ({name}) does not match the name on the URL ({url})");
            return Err(Status::bad_request(message));
        }
    }
    meta::remove(&mut object, &["metadata", "resourceVersion"]);
    write::create(call, resource, object, options, false).await
}
