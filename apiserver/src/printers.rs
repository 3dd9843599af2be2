//! Table output: the columns that `kubectl get` shows, computed on the server.
//! Source: `kubernetes/pkg/printers/internalversion`; Kubernetes doc "Receiving resources as Tables".

mod cluster;
pub mod duration;
mod network;
mod pod;
mod policy;
mod row;
mod storage;
mod workloads;

use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use row::Native;

/// A column of a Table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `name` marks the column that identifies the row; empty otherwise.
    pub format: String,
    /// What the column shows.
    pub description: String,
    /// 0: always shown; above 0: only with `-o wide`.
    pub priority: i32,
}

/// Prints objects of one kind as rows.
pub trait Printer: Send + Sync {
    /// The columns.
    fn columns(&self) -> Vec<Column>;

    /// The cells of one object, as many as there are columns. Ages are relative to `now`.
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value>;

    /// The conditions of the row; only pods have any (`Completed`).
    fn row_conditions(&self, _object: &Value) -> Vec<Value> {
        Vec::new()
    }
}

impl Column {
    /// The column that every table begins with.
    pub fn name() -> Self {
        Native::new(&[row::NAME], |_| Vec::new()).columns().remove(0)
    }
}

/// What each row of a Table carries besides its cells: the query parameter `includeObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// The metadata of the object.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

/// The value of `includeObject` is none of those that exist; the text is that of the 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Unable to convert to Table as requested: includeObject: Invalid value: {0:?}: \
     must be 'Metadata', 'Object', 'None', or empty"
)]
pub struct BadIncludeObject(String);

impl FromStr for IncludeObject {
    type Err = BadIncludeObject;

    fn from_str(text: &str) -> Result<Self, BadIncludeObject> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            "None" => Ok(Self::None),
            _ => Err(BadIncludeObject(text.to_owned())),
        }
    }
}

/// How a Table is made.
#[derive(Clone, Copy, Debug)]
pub struct TableOptions {
    /// The version of `meta.k8s.io` that was asked for: `v1` or `v1beta1`.
    pub version: &'static str,
    /// Whether the columns are defined; a watch defines them in its first event alone.
    pub columns: bool,
    /// What each row carries.
    pub include: IncludeObject,
    /// The time that ages are relative to.
    pub now: Timestamp,
}

/// The Table of the objects. `metadata` is that of the list or, for a single object, has its resource version.
pub fn table<'a>(
    printer: &dyn Printer,
    objects: impl IntoIterator<Item = &'a Value>,
    metadata: Value,
    options: &TableOptions,
) -> Value {
    let rows: Vec<_> = objects.into_iter().map(|object| table_row(printer, object, options)).collect();
    let columns = if options.columns { json!(printer.columns()) } else { Value::Null };
    json!({
        "kind": "Table",
        "apiVersion": format!("meta.k8s.io/{}", options.version),
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    })
}

fn table_row(printer: &dyn Printer, object: &Value, options: &TableOptions) -> Value {
    let included = match options.include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial(object, options.version),
        IncludeObject::Object => object.clone(),
    };
    let mut row = json!({"cells": printer.cells(object, options.now), "object": included});
    let conditions = printer.row_conditions(object);
    if !conditions.is_empty() {
        row["conditions"] = conditions.into();
    }
    row
}

/// The object as a `PartialObjectMetadata`: nothing but its metadata.
/// `version` is that of `meta.k8s.io`.
pub fn partial(object: &Value, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": object.get("metadata").unwrap_or(&Value::Null),
    })
}

/// The printer of a built-in resource. A resource about which there is nothing particular, custom resources among them,
/// shows its name and the time at which it was made; `scale` of any group is the scale subresource.
pub fn printer_for(group: &str, resource: &str) -> Arc<dyn Printer> {
    let native = match group {
        _ if resource == "scale" => Some(cluster::SCALE),
        "" => core(resource),
        "apps" => apps(resource),
        "networking.k8s.io" | "discovery.k8s.io" => networking(resource),
        "storage.k8s.io" => storage(resource),
        "admissionregistration.k8s.io" => admission(resource),
        _ => other(group, resource),
    };
    Arc::new(native.unwrap_or(cluster::PLAIN))
}

fn core(resource: &str) -> Option<Native> {
    Some(match resource {
        "pods" => pod::POD,
        "services" => network::SERVICE,
        "endpoints" => network::ENDPOINTS,
        "nodes" => cluster::NODE,
        "namespaces" => cluster::NAMESPACE,
        "events" => cluster::EVENT,
        "configmaps" => cluster::CONFIG_MAP,
        "secrets" => cluster::SECRET,
        "serviceaccounts" => cluster::AGED,
        "resourcequotas" => cluster::RESOURCE_QUOTA,
        "componentstatuses" => cluster::COMPONENT_STATUS,
        "podtemplates" => workloads::POD_TEMPLATE,
        "replicationcontrollers" => workloads::REPLICATION_CONTROLLER,
        "persistentvolumes" => storage::VOLUME,
        "persistentvolumeclaims" => storage::CLAIM,
        _ => return None,
    })
}

fn apps(resource: &str) -> Option<Native> {
    Some(match resource {
        "deployments" => workloads::DEPLOYMENT,
        "replicasets" => workloads::REPLICA_SET,
        "daemonsets" => workloads::DAEMON_SET,
        "statefulsets" => workloads::STATEFUL_SET,
        "controllerrevisions" => workloads::CONTROLLER_REVISION,
        _ => return None,
    })
}

fn networking(resource: &str) -> Option<Native> {
    Some(match resource {
        "ingresses" => network::INGRESS,
        "ingressclasses" => network::INGRESS_CLASS,
        "networkpolicies" => network::NETWORK_POLICY,
        "servicecidrs" => network::SERVICE_CIDR,
        "ipaddresses" => network::IP_ADDRESS,
        "endpointslices" => network::ENDPOINT_SLICE,
        _ => return None,
    })
}

fn storage(resource: &str) -> Option<Native> {
    Some(match resource {
        "storageclasses" => storage::STORAGE_CLASS,
        "volumeattributesclasses" => storage::ATTRIBUTES_CLASS,
        "volumeattachments" => storage::ATTACHMENT,
        "csinodes" => storage::CSI_NODE,
        "csidrivers" => storage::CSI_DRIVER,
        "csistoragecapacities" => storage::CSI_CAPACITY,
        _ => return None,
    })
}

fn admission(resource: &str) -> Option<Native> {
    Some(match resource {
        "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => policy::WEBHOOKS,
        "validatingadmissionpolicies" => policy::VALIDATING_POLICY,
        "mutatingadmissionpolicies" => policy::MUTATING_POLICY,
        "validatingadmissionpolicybindings" | "mutatingadmissionpolicybindings" => policy::POLICY_BINDING,
        _ => return None,
    })
}

fn other(group: &str, resource: &str) -> Option<Native> {
    Some(match (group, resource) {
        ("batch", "jobs") => workloads::JOB,
        ("batch", "cronjobs") => workloads::CRON_JOB,
        ("policy", "poddisruptionbudgets") => policy::DISRUPTION_BUDGET,
        ("autoscaling", "horizontalpodautoscalers") => policy::AUTOSCALER,
        ("events.k8s.io", "events") => cluster::EVENT,
        ("coordination.k8s.io", "leases") => cluster::LEASE,
        ("scheduling.k8s.io", "podgroups" | "workloads") => cluster::AGED,
        ("scheduling.k8s.io", "priorityclasses") => cluster::PRIORITY_CLASS,
        ("node.k8s.io", "runtimeclasses") => cluster::RUNTIME_CLASS,
        ("certificates.k8s.io", "certificatesigningrequests") => cluster::SIGNING_REQUEST,
        ("apiregistration.k8s.io", "apiservices") => cluster::API_SERVICE,
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => policy::ROLE_BINDING,
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => policy::FLOW_SCHEMA,
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => policy::PRIORITY_LEVEL,
        ("resource.k8s.io", "deviceclasses" | "resourceclaimtemplates") => cluster::AGED,
        ("resource.k8s.io", "resourceclaims") => policy::RESOURCE_CLAIM,
        ("resource.k8s.io", "resourceslices") => policy::RESOURCE_SLICE,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
