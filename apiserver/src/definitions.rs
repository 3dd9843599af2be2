//! What happens when a CustomResourceDefinition is written or goes (until custom resources are wired in: nothing).

use std::sync::Arc;

use serde_json::Value;
use steersman_machinery::status::Status;
use steersman_store::Entry;

use crate::registry::resource::Resource;
use crate::server::Server;

pub(crate) async fn restore(_server: &Arc<Server>) -> Result<(), Status> {
    Ok(())
}

pub(crate) async fn written(_server: &Arc<Server>, _resource: &Resource, _object: &mut Value) -> Result<(), Status> {
    Ok(())
}

pub(crate) async fn removed(_server: &Arc<Server>, _resource: &Resource, _entry: &Entry) -> Result<(), Status> {
    Ok(())
}
