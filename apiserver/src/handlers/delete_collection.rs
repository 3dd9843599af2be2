//! DELETE of a collection: one object after the other.

use super::{Answer, delete, list, output};
use crate::options::ListOptions;
use crate::registry::resource::Resource;
use crate::service::Call;

/// Deletes what is selected and answers with the objects as they were.
pub(super) async fn handle(call: &mut Call, resource: &Resource) -> Answer {
    let output = output::negotiate_list(call, resource)?;
    let options = delete::options(call)?;
    let selection = ListOptions::read(&call.query, false)?;
    let page = list::page(call, resource, &selection).await?;
    for entry in &page.entries {
        match delete::delete_at(call, resource, (&entry.key.namespace, &entry.key.name), &options).await {
            Err(status) if !status.is("NotFound") => return Err(status),
            _ => {}
        }
    }
    list::render(call, resource, &page, output).await
}
