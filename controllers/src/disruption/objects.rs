//! What is read and written of disruption budgets.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use steersman_framework::informer::Cached;
use steersman_framework::meta::{Meta, null_default, time, times};
use steersman_framework::selector::LabelSelector;

/// What is kept of a PodDisruptionBudget.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// The metadata.
    pub metadata: Meta,
    /// What is wanted.
    #[serde(deserialize_with = "null_default")]
    pub spec: BudgetSpec,
    /// What was observed.
    #[serde(deserialize_with = "null_default")]
    pub status: BudgetStatus,
}

impl Cached for Budget {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Budget {
    /// Whether it is about this pod of its namespace. Without a selector it is about none, with an empty one about all.
    pub fn covers(&self, pod: &Meta) -> bool {
        self.spec.selector.as_ref().is_some_and(|selector| selector.matches(&pod.labels))
    }
}

/// `spec` of a PodDisruptionBudget.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetSpec {
    /// How many pods, or which part of them, have to stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_available: Option<Value>,
    /// How many pods, or which part of them, may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<Value>,
    /// Which pods it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Which pods that are not healthy may be evicted all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy_pod_eviction_policy: Option<String>,
}

/// `status` of a PodDisruptionBudget.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetStatus {
    /// The generation that these figures are about.
    #[serde(deserialize_with = "null_default")]
    pub observed_generation: i64,
    /// Pods whose eviction was allowed and that have not been seen to be deleted, and since when.
    #[serde(deserialize_with = "times", skip_serializing_if = "BTreeMap::is_empty")]
    pub disrupted_pods: BTreeMap<String, Timestamp>,
    /// How many pods may be evicted now.
    pub disruptions_allowed: i64,
    /// Healthy pods.
    pub current_healthy: i64,
    /// How many have to be healthy.
    pub desired_healthy: i64,
    /// How many there should be.
    pub expected_pods: i64,
    /// The conditions.
    #[serde(deserialize_with = "null_default")]
    pub conditions: Vec<BudgetCondition>,
}

/// A condition as newer resources have it (`metav1.Condition`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetCondition {
    /// What is stated.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The generation that it is about.
    #[serde(skip_serializing_if = "is_zero")]
    pub observed_generation: i64,
    /// When the status changed last.
    #[serde(deserialize_with = "time")]
    pub last_transition_time: Option<Timestamp>,
    /// Why, for programs.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
