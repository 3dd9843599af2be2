//! Endpoints as the controllers read and write them.

use serde::{Deserialize, Serialize};
use steersman_framework::informer::Cached;
use steersman_framework::meta::{Meta, null_default};

use crate::endpointslice::objects::TargetRef;
use crate::services::TRIGGER_TIME;

/// The label that keeps Endpoints from being mirrored.
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";
/// The annotation of Endpoints with which a leader is elected; they have no service.
pub(crate) const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What is kept of Endpoints.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Endpoints {
    /// The metadata.
    pub metadata: Meta,
    /// The addresses.
    #[serde(deserialize_with = "null_default")]
    pub subsets: Vec<Subset>,
}

impl Cached for Endpoints {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Endpoints {
    /// Whether they are for others to read, as far as they say themselves.
    pub fn is_mirrored(&self) -> bool {
        let meta = &self.metadata;
        meta.labels.get(SKIP_MIRROR) != Some("true") && meta.annotations.get(LEADER).is_none()
    }
}

/// Addresses that have the same ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subset {
    /// Those that can be used.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// Those that can not.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub not_ready_addresses: Vec<Address>,
    /// The ports.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<SubsetPort>,
}

/// A port of a subset: as in a slice, but without a name if that is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubsetPort {
    /// The name of the service's port.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The number.
    pub port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// What is spoken there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

/// An address of a subset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Address {
    /// The address.
    pub ip: String,
    /// Its name within the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// The pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
}

/// Whether an annotation is about the Endpoints object itself.
pub(crate) fn is_own_annotation(key: &str) -> bool {
    matches!(key, TRIGGER_TIME | LAST_APPLIED)
}
