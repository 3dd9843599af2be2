//! `NamespaceExists` and `NamespaceAutoProvision` (both off by default): what is written in a namespace that is missing is
//! refused, or the namespace is made.
//! Source: `kubernetes/plugin/pkg/admission/namespace/{exists,autoprovision}`.

use std::sync::Arc;

use futures::future::FutureExt;
use http::Method;
use serde_json::{Value, json};
use steersman_machinery::group::GroupResource;
use steersman_machinery::status::Status;

use super::{Attributes, Operation, Plugin, Verdict};
use crate::authentication::{SYSTEM_MASTERS, UserInfo};
use crate::handlers;
use crate::server::Server;

/// What becomes of a write in a namespace that is missing.
pub(super) struct NamespacePresence {
    name: &'static str,
    provisions: bool,
}

/// `NamespaceExists`.
pub(super) const EXISTS: NamespacePresence = NamespacePresence { name: "NamespaceExists", provisions: false };
/// `NamespaceAutoProvision`.
pub(super) const AUTO_PROVISION: NamespacePresence =
    NamespacePresence { name: "NamespaceAutoProvision", provisions: true };

impl Plugin for NamespacePresence {
    fn name(&self) -> &'static str {
        self.name
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, _object: &'a mut Value) -> Verdict<'a> {
        async move {
            let makes = attributes.operation == Operation::Create && !attributes.dry_run;
            match self.provisions && makes && is_missing(attributes).await? {
                true => provide(attributes.server, attributes.namespace).await,
                false => Ok(()),
            }
        }
        .boxed()
        .right_future()
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, _object: Option<&'a Value>) -> Verdict<'a> {
        async move {
            match !self.provisions && is_missing(attributes).await? {
                true => Err(Status::not_found(&GroupResource::new("", "namespaces"), attributes.namespace)),
                false => Ok(()),
            }
        }
        .boxed()
        .right_future()
    }
}

async fn is_missing(attributes: &Attributes<'_>) -> Result<bool, Status> {
    if !attributes.resource.namespaced {
        return Ok(false);
    }
    Ok(attributes.server.configuration("namespaces", "", attributes.namespace).await?.is_none())
}

async fn provide(server: &Arc<Server>, name: &str) -> Result<(), Status> {
    let user = UserInfo::known("system:apiserver", &[SYSTEM_MASTERS]);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    // The write that is admitted here ends up in this one: the type of the future would hold itself.
    let made = handlers::perform(server, user, (Method::POST, "/api/v1/namespaces"), &namespace).await;
    match made {
        Err(status) if status.is("AlreadyExists") => Ok(()),
        made => made,
    }
}
