//! EndpointSlices as the controller reads and writes them.

use serde::{Deserialize, Serialize};
use steersman_framework::informer::Cached;
use steersman_framework::meta::{Meta, null_default};

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
        let ours = self.metadata.labels.get(MANAGED_BY) == Some(MANAGER);
        let service = self.metadata.labels.get(SERVICE_NAME).filter(|_| ours);
        service.map(|service| slices_of(&self.metadata.namespace, service)).into_iter().collect()
    }
}

/// The index key of the slices of a service.
pub(crate) fn slices_of(namespace: &str, service: &str) -> String {
    format!("{namespace}/{service}")
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

/// `conditions` of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Conditions {
    /// Whether new connections should go there.
    pub ready: Option<bool>,
    /// Whether it answers.
    pub serving: Option<bool>,
    /// Whether it is on its way out.
    pub terminating: Option<bool>,
}

/// What is behind an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct TargetRef {
    /// `Pod`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its identity.
    pub uid: String,
}

impl TargetRef {
    /// A reference to a pod.
    pub fn pod(meta: &Meta) -> Self {
        let kind = "Pod".to_owned();
        Self { kind, name: meta.name.clone(), namespace: meta.namespace.clone(), uid: meta.uid.clone() }
    }
}
