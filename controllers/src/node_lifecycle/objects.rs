//! What is read of nodes and their leases.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use steersman_framework::informer::Cached;
use steersman_framework::meta::{Meta, null_default, time};

/// What is read of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// The metadata.
    pub metadata: Meta,
    /// What is wanted.
    #[serde(deserialize_with = "null_default")]
    pub spec: NodeSpec,
    /// What was observed.
    #[serde(deserialize_with = "null_default")]
    pub status: NodeStatus,
}

/// `spec` of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// What keeps pods away.
    #[serde(deserialize_with = "null_default")]
    pub taints: Vec<Taint>,
    /// Whether somebody has closed it.
    pub unschedulable: bool,
}

/// What keeps pods away from a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    /// What it is about.
    pub key: String,
    /// More about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
    /// Since when.
    #[serde(deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub time_added: Option<Timestamp>,
}

impl Taint {
    /// Whether it has this key and effect.
    pub fn is(&self, key: &str, effect: &str) -> bool {
        self.key == key && self.effect == effect
    }
}

/// `status` of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// The conditions.
    #[serde(deserialize_with = "null_default")]
    pub conditions: Vec<NodeCondition>,
    /// What pods may have of it.
    #[serde(deserialize_with = "null_default")]
    pub allocatable: Allocatable,
}

/// `status.allocatable` of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Allocatable {
    /// Processors, as a quantity; may be empty.
    pub cpu: String,
}

/// A condition of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCondition {
    /// What is stated.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// When the kubelet said so last.
    #[serde(deserialize_with = "time")]
    pub last_heartbeat_time: Option<Timestamp>,
    /// When the status changed last.
    #[serde(deserialize_with = "time")]
    pub last_transition_time: Option<Timestamp>,
    /// Why, for programs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Node {
    /// The condition of that type.
    pub fn condition(&self, kind: &str) -> Option<&NodeCondition> {
        self.status.conditions.iter().find(|condition| condition.kind == kind)
    }
}

impl Cached for Node {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// What is read of the lease by which a node says that it lives.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// The metadata.
    pub metadata: Meta,
    /// Its content.
    #[serde(deserialize_with = "null_default")]
    pub spec: LeaseSpec,
}

/// `spec` of a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    /// When it was renewed last, as it stands: it is only compared.
    #[serde(deserialize_with = "null_default")]
    pub renew_time: String,
}

impl Cached for Lease {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}
