//! `ResourceQuota`: what is made in a namespace is charged to its quotas and refused if one of them is used up.
//! Source: Kubernetes doc "Resource Quotas"; `k8s.io/apiserver/pkg/admission/plugin/resourcequota`.
//!
//! A quota's `status.used` is written together with the object that was charged, so that it is exact however many clients
//! create at once, and nothing has to be given back when the store refuses the object. (Upstream writes the quota first and
//! lets its controller find out what became of the object.)

mod check;

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::managed_fields::Writer;
use steersman_machinery::meta;
use steersman_machinery::quota::{Evaluator, is_ignored};
use steersman_machinery::resource_list;
use steersman_machinery::status::Status;
use steersman_store::{Expect, Write};

use self::check::{Charge, Request, check};
use super::{Attributes, Charges, Operation, Plugin, pass};
use crate::object;
use crate::registry::resource::Resource;
use crate::server::Server;

/// Who owns `status.used`.
const MANAGER: &str = "kube-apiserver";

pub(super) struct ResourceQuota;

impl Plugin for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn charge<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a Value) -> Charges<'a> {
        let resource = &attributes.resource.storage;
        if !attributes.resource.namespaced || is_ignored(resource) {
            return pass();
        }
        let evaluator = Evaluator::of(resource);
        if !handles(&evaluator, attributes, object) {
            return pass();
        }
        async move { charge(attributes, &evaluator, object).await }.boxed().right_future()
    }
}

/// Whether a write can change what its object costs.
fn handles(evaluator: &Evaluator, attributes: &Attributes<'_>, object: &Value) -> bool {
    let is = |group: &str, name: &str| attributes.resource.group == group && attributes.resource.name == name;
    match (attributes.operation, attributes.subresource) {
        (Operation::Create, "") => true,
        // What a running pod asks for is changed by its subresource; else, only the scope that it is in can change.
        (Operation::Update, "") if is("", "pods") => attributes.old.is_some_and(|old| {
            steersman_machinery::quota::is_terminating(old) != steersman_machinery::quota::is_terminating(object)
        }),
        (Operation::Update, "") => evaluator.changes(),
        (Operation::Update, "resize") => is("", "pods"),
        (Operation::Update, "status") => is("", "persistentvolumeclaims"),
        _ => false,
    }
}

async fn charge(attributes: &Attributes<'_>, evaluator: &Evaluator, object: &Value) -> Result<Vec<Write>, Status> {
    let snapshot = attributes.server.snapshot("resourcequotas").await?;
    let entries: Vec<_> = snapshot.range(Some(attributes.namespace), None).cloned().collect();
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let catalog = attributes.server.catalog();
    let resource = catalog.find("", "v1", "resourcequotas").ok_or_else(Status::no_such_resource)?;
    let quotas: Vec<Value> = entries.iter().map(|entry| object::decode(entry, resource)).collect();
    let request = Request {
        object,
        old: attributes.old,
        // A status tells what is: it is charged, but not refused.
        enforced: attributes.subresource != "status",
        now: attributes.server.clock.now(),
    };
    let charges = check(&quotas, evaluator, &request).map_err(|why| attributes.forbidden(object, why))?;
    let write = |charge: &Charge| {
        let quota = used(attributes.server, resource, &quotas[charge.quota], charge);
        object::put(resource, &quota, Expect::Revision(entries[charge.quota].revision))
    };
    Ok(charges.iter().map(write).collect())
}

/// The quota with what it has charged.
fn used(server: &Server, resource: &Resource, quota: &Value, charge: &Charge) -> Value {
    let mut charged = quota.clone();
    meta::set(&mut charged, &["status", "used"], resource_list::to_value(&charge.used));
    let writer = Writer {
        manager: MANAGER,
        subresource: "status",
        api_version: &resource.api_version(),
        now: server.clock.now(),
        ty: resource.object_type.root(),
        reset_fields: &[&["spec"]],
        alike: None,
    };
    writer.update(Some(quota), charged)
}
