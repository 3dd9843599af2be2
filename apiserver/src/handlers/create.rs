//! POST to a collection.

use futures::future::FutureExt;

use super::write;
use super::{Answer, input, output};
use crate::options::{WriteKind, WriteOptions};
use crate::registry::resource::Resource;
use crate::service::Call;

/// Makes an object.
pub(super) async fn handle(call: &mut Call, resource: &Resource) -> Answer {
    let options = WriteOptions::read(&call.query, WriteKind::Create, call.user_agent())?;
    let output = output::negotiate(call, resource)?;
    let object = input::object(call, resource, options.field_validation)?;
    let created = write::create(call, resource, object, &options, false).boxed().await?;
    output::written(call, resource, (201, &created), output)
}
