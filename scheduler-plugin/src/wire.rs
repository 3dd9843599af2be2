//! Pods, nodes and namespaces as the API sends them, cut down to what scheduling reads.
//!
//! A full `k8s_openapi` pod takes several kilobytes; of a bound pod the scheduler needs a few hundred bytes, most of
//! them shared with its siblings. So decoding already leaves everything else out.

mod affinity;
mod devices;
mod node;
mod pod;
mod storage;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use steersman_framework::meta::time;

pub use affinity::*;
pub use devices::*;
pub use node::*;
pub use pod::*;
pub use storage::*;

/// Reads `null` as the default, as Kubernetes does.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// Names to texts; ordered, so that equal maps hash equally.
pub type Map = BTreeMap<String, String>;

/// The metadata that scheduling reads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// The name.
    pub name: String,
    /// The namespace; empty for objects that have none.
    #[serde(deserialize_with = "nullable")]
    pub namespace: String,
    /// The uid.
    #[serde(deserialize_with = "nullable")]
    pub uid: String,
    /// The labels.
    #[serde(deserialize_with = "nullable")]
    pub labels: Map,
    /// The resource version.
    #[serde(deserialize_with = "nullable")]
    pub resource_version: String,
    /// The generation.
    #[serde(deserialize_with = "nullable")]
    pub generation: i64,
    /// When the object was created.
    #[serde(deserialize_with = "time")]
    pub creation_timestamp: Option<Timestamp>,
    /// When the object is to be gone, if it was deleted.
    #[serde(deserialize_with = "time")]
    pub deletion_timestamp: Option<Timestamp>,
    /// Who owns the object.
    #[serde(deserialize_with = "nullable")]
    pub owner_references: Vec<OwnerReference>,
}

/// An owner.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// The owner's group and version.
    pub api_version: String,
    /// The owner's kind.
    pub kind: String,
    /// The owner's name.
    pub name: String,
    /// Whether this owner is the controller.
    #[serde(deserialize_with = "nullable")]
    pub controller: bool,
}

/// An object of which only the metadata is read (namespaces).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// The metadata.
    pub metadata: Metadata,
}

/// A Service, ReplicationController, ReplicaSet or StatefulSet: an object that selects pods.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Selecting {
    /// The metadata.
    pub metadata: Metadata,
    /// Its selector, in the form of its kind.
    #[serde(deserialize_with = "nullable")]
    pub spec: SelectingSpec,
}

/// The selector of a [`Selecting`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SelectingSpec {
    /// A map (Service, ReplicationController) or a label selector (ReplicaSet, StatefulSet).
    pub selector: Option<serde_json::Value>,
}

/// `policy/v1.PodDisruptionBudget`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// The metadata.
    pub metadata: Metadata,
    /// The wish.
    #[serde(deserialize_with = "nullable")]
    pub spec: BudgetSpec,
    /// The state.
    #[serde(deserialize_with = "nullable")]
    pub status: BudgetStatus,
}

/// `policy/v1.PodDisruptionBudgetSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BudgetSpec {
    /// The pods that are protected.
    pub selector: Option<LabelSelector>,
}

/// `policy/v1.PodDisruptionBudgetStatus`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetStatus {
    /// How many more may go.
    #[serde(deserialize_with = "nullable")]
    pub disruptions_allowed: i64,
    /// Those that were asked to go and are still there, by name.
    #[serde(deserialize_with = "nullable")]
    pub disrupted_pods: BTreeMap<String, serde::de::IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn any_time_that_a_server_stores_can_be_read() {
        for (written, expected) in [
            (json!("2026-05-01T10:00:00Z"), Some("2026-05-01T10:00:00Z")),
            (json!("2026-05-01T10:00:00.5+02:00"), Some("2026-05-01T08:00:00.5Z")),
            // Later than what can be reckoned with.
            (json!("9999-12-31T23:59:59Z"), Some("9999-12-30T22:00:00.999999999Z")),
            (json!(null), None),
        ] {
            let metadata = json!({"name": "p", "creationTimestamp": written, "deletionTimestamp": written});
            let condition = json!({"type": "Ready", "status": "True", "lastTransitionTime": written});
            let pod: Pod =
                from_value(json!({"metadata": metadata, "status": {"startTime": written, "conditions": [condition]}}))
                    .unwrap();
            let claim: ResourceClaim =
                from_value(json!({"metadata": metadata, "status": {"allocation": {"allocationTimestamp": written}}}))
                    .unwrap();
            let allocated = claim.status.allocation.and_then(|it| it.allocation_timestamp);
            let status = &pod.status;
            let read = [
                pod.metadata.creation_timestamp,
                pod.metadata.deletion_timestamp,
                status.start_time,
                status.conditions[0].last_transition_time,
                allocated,
            ];
            for time in read {
                assert_eq!(time.map(|time| time.to_string()).as_deref(), expected, "{written}");
            }
        }
    }
}
