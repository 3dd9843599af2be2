//! DELETE of a collection: one object after the other.

use serde_json::{Value, json};

use super::{Answer, delete, list, output};
use crate::http::respond;
use crate::object;
use crate::options::ListOptions;
use crate::registry::resource::Resource;
use crate::service::Call;

/// Deletes what is selected and answers with the objects as they were.
pub(super) async fn handle(call: &mut Call, resource: &Resource) -> Answer {
    let output = output::negotiate_list(call)?;
    let options = delete::options(call)?;
    let selection = ListOptions::read(&call.query, false)?;
    let page = list::page(call, resource, &selection).await?;
    let mut items: Vec<Value> = Vec::with_capacity(page.entries.len());
    for entry in &page.entries {
        match delete::delete_at(call, resource, (&entry.key.namespace, &entry.key.name), &options).await {
            Err(status) if !status.is("NotFound") => return Err(status),
            _ => {}
        }
        let mut item = object::decode(entry, resource);
        if let Some(item) = item.as_object_mut().filter(|_| !resource.custom) {
            item.remove("apiVersion");
            item.remove("kind");
        }
        items.push(item);
    }
    let (kind, api_version) = (&resource.list_kind, resource.api_version());
    let list = json!({"kind": kind, "apiVersion": api_version, "metadata": page.metadata(), "items": items});
    Ok(respond::object(200, &list, output))
}
