//! Who owns what a write says.

use std::sync::Arc;

use serde_json::Value;
use steersman_machinery::managed_fields;
use steersman_machinery::status::Status;

use crate::options::WriteOptions;
use crate::registry::resource::Resource;
use crate::server::Server;
use crate::service::Call;

/// Records who owns which fields.
pub(in crate::handlers) struct Recorder {
    server: Arc<Server>,
    manager: String,
    subresource: String,
    now: jiff::Timestamp,
}

/// A recorder for the manager of a request.
pub(in crate::handlers) fn writer(call: &Call, subresource: &str, options: &WriteOptions) -> Recorder {
    let server = call.server.clone();
    let now = server.clock.now();
    Recorder { server, manager: options.field_manager.clone(), subresource: subresource.to_owned(), now }
}

impl Recorder {
    fn with<T>(&self, resource: &Resource, run: impl FnOnce(&managed_fields::Writer<'_>) -> T) -> T {
        let api_version = resource.api_version();
        let reset = reset_fields(resource, &self.subresource);
        run(&managed_fields::Writer {
            manager: &self.manager,
            subresource: &self.subresource,
            api_version: &api_version,
            now: self.now,
            ty: resource.object_type.root(),
            reset_fields: &reset,
            // The types of custom resources change.
            alike: (!resource.custom).then_some(&self.server.created),
        })
    }

    /// Records a create, update or patch.
    pub(in crate::handlers) fn record(&self, resource: &Resource, live: Option<&Value>, new: Value) -> Value {
        self.with(resource, |writer| writer.update(live, new))
    }

    /// Merges an applied configuration into the object.
    pub(in crate::handlers) fn apply(
        &self,
        resource: &Resource,
        live: Option<&Value>,
        config: Value,
        force: bool,
    ) -> Result<Value, Status> {
        self.with(resource, |writer| writer.apply(live, config, force)).map_err(Status::from)
    }
}

/// The fields that a write by this way does not touch, and therefore does not own.
fn reset_fields(resource: &Resource, subresource: &str) -> Vec<&'static [&'static str]> {
    match subresource {
        "" if resource.strategy.rules().has_status => vec![&["status"]],
        "status" => [&["spec"][..]].into_iter().chain(resource.strategy.status_keeps().iter().copied()).collect(),
        _ => Vec::new(),
    }
}
