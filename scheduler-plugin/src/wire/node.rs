//! Nodes.

use serde::Deserialize;

use super::{Map, Metadata, nullable};

/// `v1.Taint`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// The key.
    pub key: String,
    /// The value.
    #[serde(deserialize_with = "nullable")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// `v1.Node`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// The metadata.
    pub metadata: Metadata,
    /// The wish.
    #[serde(deserialize_with = "nullable")]
    pub spec: NodeSpec,
    /// The state.
    #[serde(deserialize_with = "nullable")]
    pub status: NodeStatus,
}

/// `v1.NodeSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// Whether the node was cordoned.
    #[serde(deserialize_with = "nullable")]
    pub unschedulable: bool,
    /// Taints.
    #[serde(deserialize_with = "nullable")]
    pub taints: Vec<Taint>,
}

/// `v1.NodeStatus`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// What it says that it can do.
    #[serde(deserialize_with = "nullable")]
    pub declared_features: Vec<String>,
    /// What pods can have.
    #[serde(deserialize_with = "nullable")]
    pub allocatable: Map,
    /// Images on the node.
    #[serde(deserialize_with = "nullable")]
    pub images: Vec<ContainerImage>,
}

/// `v1.ContainerImage`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerImage {
    /// Names of the image.
    #[serde(deserialize_with = "nullable")]
    pub names: Vec<String>,
    /// Its size.
    #[serde(deserialize_with = "nullable")]
    pub size_bytes: i64,
}
