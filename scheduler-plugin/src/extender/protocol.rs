//! What is sent to extenders and comes back. The names of the fields are those of Go: they begin with capital letters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `ExtenderArgs`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FilterArgs<'a> {
    pub(super) pod: &'a Value,
    pub(super) nodes: Option<NodeList>,
    pub(super) node_names: Option<&'a [String]>,
}

/// `v1.NodeList`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct NodeList {
    metadata: Value,
    items: Vec<Value>,
}

impl NodeList {
    pub(super) fn of<'a>(nodes: impl Iterator<Item = &'a Value>) -> Self {
        Self { metadata: Value::Object(serde_json::Map::new()), items: nodes.cloned().collect() }
    }

    pub(super) fn names(self) -> Vec<String> {
        let name = |node: Value| node["metadata"]["name"].as_str().map(str::to_owned);
        self.items.into_iter().filter_map(name).collect()
    }
}

/// `ExtenderFilterResult`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct FilterResult {
    #[serde(alias = "nodes")]
    pub(super) nodes: Option<NodeList>,
    #[serde(alias = "nodeNames", alias = "nodenames")]
    pub(super) node_names: Option<Vec<String>>,
    #[serde(alias = "failedNodes")]
    pub(super) failed_nodes: Option<BTreeMap<String, String>>,
    #[serde(alias = "failedAndUnresolvableNodes")]
    pub(super) failed_and_unresolvable_nodes: Option<BTreeMap<String, String>>,
    #[serde(alias = "error")]
    pub(super) error: String,
}

/// `HostPriority`: a score from 0 to 10.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct HostPriority {
    #[serde(alias = "host")]
    pub(super) host: String,
    #[serde(alias = "score")]
    pub(super) score: i64,
}

/// `ExtenderBindingArgs`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BindingArgs<'a> {
    pub(super) pod_name: &'a str,
    pub(super) pod_namespace: &'a str,
    #[serde(rename = "PodUID")]
    pub(super) pod_uid: &'a str,
    pub(super) node: &'a str,
}

/// `ExtenderBindingResult`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct BindingResult {
    #[serde(alias = "error")]
    pub(super) error: String,
}

/// `ExtenderPreemptionArgs`.
#[derive(Serialize)]
pub(super) struct PreemptionArgs<'a> {
    #[serde(rename = "Pod")]
    pub(super) pod: &'a Value,
    #[serde(rename = "NodeNameToVictims")]
    pub(super) victims: Option<&'a BTreeMap<String, Value>>,
    #[serde(rename = "NodeNameToMetaVictims")]
    pub(super) meta_victims: Option<&'a BTreeMap<String, MetaVictims>>,
}

/// `ExtenderPreemptionResult`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PreemptionResult {
    #[serde(rename = "NodeNameToMetaVictims", alias = "nodeNameToMetaVictims")]
    pub(super) meta_victims: Option<BTreeMap<String, MetaVictims>>,
}

/// `MetaVictims`: those who would have to go, by uid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MetaVictims {
    #[serde(rename = "Pods", alias = "pods")]
    pub(crate) pods: Vec<MetaPod>,
    #[serde(rename = "NumPDBViolations", alias = "numPDBViolations")]
    pub(crate) violations: i64,
}

/// `MetaPod`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MetaPod {
    #[serde(rename = "UID", alias = "uid")]
    pub(crate) uid: String,
}
