//! EndpointSlices as the controller reads and writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use steersman_framework::informer::Cached;
use steersman_framework::meta::{Meta, null_default};

use crate::endpointslicemirroring::MANAGER as MIRRORING;

/// The label that names the service of a slice.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that says who looks after a slice.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// What it says of those that are ours.
pub const MANAGER: &str = "endpointslice-controller.k8s.io";

/// What the controller reads of an EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Slice {
    /// The metadata.
    pub metadata: Meta,
    /// `IPv4`, `IPv6` or `FQDN`.
    pub address_type: String,
    /// The ports that all its endpoints have.
    #[serde(deserialize_with = "null_default")]
    pub ports: Vec<Port>,
    /// The endpoints.
    #[serde(deserialize_with = "null_default")]
    pub endpoints: Vec<Endpoint>,
}

impl Cached for Slice {
    fn meta(&self) -> &Meta {
        &self.metadata
    }

    /// A slice of ours is found by its service.
    fn index(&self) -> Vec<String> {
        let (labels, namespace) = (&self.metadata.labels, &self.metadata.namespace);
        let Some(service) = labels.get(SERVICE_NAME) else { return Vec::new() };
        match labels.get(MANAGED_BY) {
            Some(MANAGER) => vec![slices_of(namespace, service)],
            Some(MIRRORING) => vec![mirrors_of(namespace, service)],
            _ => Vec::new(),
        }
    }
}

/// The index key of the slices of a service.
pub(crate) fn slices_of(namespace: &str, service: &str) -> String {
    format!("{namespace}/{service}")
}

/// The index key of the slices that mirror Endpoints.
pub(crate) fn mirrors_of(namespace: &str, endpoints: &str) -> String {
    format!("mirrors of {namespace}/{endpoints}")
}

/// A port of an EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Port {
    /// The name of the service's port.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// The number.
    pub port: Option<i32>,
    /// `TCP`, `UDP` or `SCTP`.
    #[serde(deserialize_with = "null_default")]
    pub protocol: String,
    /// What is spoken there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

/// A pod of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Its addresses of one family.
    pub addresses: Vec<String>,
    /// Whether it can be used.
    #[serde(deserialize_with = "null_default")]
    pub conditions: Conditions,
    /// Its name within the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Who had better use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hints: Option<Hints>,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// The zone of that node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
}

impl Endpoint {
    /// Whether this is the same endpoint, perhaps in another state.
    pub fn is_same(&self, other: &Self) -> bool {
        self.addresses == other.addresses && self.hostname == other.hostname && self.target_ref == other.target_ref
    }
}

/// `hints` of an endpoint: clients there had better use it rather than others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hints {
    /// In these zones.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub for_zones: Vec<Named>,
    /// On these nodes.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub for_nodes: Vec<Named>,
}

/// A zone or a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Named {
    /// Its name.
    pub name: String,
}

/// `conditions` of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Conditions {
    /// Whether new connections should go there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Whether it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<bool>,
    /// Whether it is on its way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminating: Option<bool>,
}

/// What is behind an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct TargetRef {
    /// `Pod`, where we make it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its identity.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// What else somebody wrote of it.
    #[serde(flatten)]
    pub more: BTreeMap<String, String>,
}

impl TargetRef {
    /// A reference to a pod.
    pub fn pod(meta: &Meta) -> Self {
        let kind = "Pod".to_owned();
        let (name, namespace, uid) = (meta.name.clone(), meta.namespace.clone(), meta.uid.clone());
        Self { kind, name, namespace, uid, more: BTreeMap::new() }
    }
}
