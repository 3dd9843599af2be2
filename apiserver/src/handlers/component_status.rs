//! `componentstatuses`: nothing is stored; what is asked for is found out. Of the components that upstream looks at, this
//! server knows the store. Source: `k8s.io/kubernetes/pkg/registry/core/componentstatus`.

use serde_json::{Value, json};
use steersman_machinery::group::GroupResource;
use steersman_machinery::status::Status;

use super::{Answer, output};
use crate::registry::resource::Resource;
use crate::service::Call;

/// What the store is called.
const STORE: &str = "etcd-0";

/// Answers with the state of one component.
pub(super) fn get(call: &Call, resource: &Resource) -> Answer {
    let output = output::negotiate(call, resource)?;
    match call.info.name.as_str() {
        STORE => output::object(call, resource, (200, &store()), output),
        // Upstream names the resource in the singular here.
        name => Err(Status::not_found(&GroupResource::new("", "componentstatus"), name)),
    }
}

fn store() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ComponentStatus",
        "metadata": {"name": STORE},
        "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}],
    })
}
