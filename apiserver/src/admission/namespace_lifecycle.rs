//! `NamespaceLifecycle`: nothing is created in a namespace that is missing or terminating; the system's own namespaces
//! are not deleted.

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::group::GroupResource;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::{Attributes, Operation, Plugin, Verdict};

/// The namespaces that may not be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) struct NamespaceLifecycle;

impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        async move {
            // One may ask what is allowed in a namespace that does not exist.
            let asks = attributes.is("authorization.k8s.io", "localsubjectaccessreviews");
            if attributes.operation != Operation::Create || !attributes.resource.namespaced || asks {
                return Ok(());
            }
            let namespaces = GroupResource::new("", "namespaces");
            let Some(namespace) = attributes.server.configuration("namespaces", "", attributes.namespace).await? else {
                return Err(Status::not_found(&namespaces, attributes.namespace));
            };
            match meta::deletion_timestamp(&namespace) {
                Some(_) => Err(terminating(attributes, object)),
                None => Ok(()),
            }
        }
        .boxed()
        .right_future()
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, _object: Option<&'a Value>) -> Verdict<'a> {
        let immortal = attributes.operation == Operation::Delete
            && attributes.is("", "namespaces")
            && IMMORTAL.contains(&attributes.name);
        let verdict = match immortal {
            true => Err(forbidden(attributes, "this namespace may not be deleted")),
            false => Ok(()),
        };
        futures::future::ready(verdict).left_future()
    }
}

fn forbidden(attributes: &Attributes<'_>, why: &str) -> Status {
    Status::forbidden(&attributes.resource.group_resource(), attributes.name, why)
}

fn terminating(attributes: &Attributes<'_>, object: &Value) -> Status {
    let namespace = attributes.namespace;
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let cause = format!("namespace {namespace} is being terminated");
    attributes.forbidden(object, why).with_cause("NamespaceTerminating", cause, "metadata.namespace")
}
