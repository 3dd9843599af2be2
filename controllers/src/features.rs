//! Switches of single behaviours: those of kube-controller-manager's `--feature-gates` that concern our controllers.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Which behaviours are on. Parse it from `Name=true,Other=false`; what is not named keeps its default.
/// Source: `k8s.io/kubernetes/pkg/features`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// `DeploymentReplicaSetTerminatingReplicas`: whether `status.terminatingReplicas` is written (KEP-3973).
    pub terminating_replicas: bool,
    /// `PodDeletionCost`: whether the annotation `controller.kubernetes.io/pod-deletion-cost` counts when a ReplicaSet
    /// shrinks (KEP-2255).
    pub pod_deletion_cost: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self { terminating_replicas: true, pod_deletion_cost: true }
    }
}

/// Whether `status.terminatingReplicas` is told. API servers before 1.35 drop the field; what they dropped once is not sent
/// again, so that a status that cannot be had is not written at every sync.
pub(crate) struct Terminating(AtomicBool);

impl Terminating {
    pub(crate) fn new(features: Features) -> Self {
        Self(AtomicBool::new(features.terminating_replicas))
    }

    pub(crate) fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Compares what was sent with what the server made of it.
    pub(crate) fn wrote(&self, sent: Option<i32>, kept: Option<i32>) {
        if sent.is_some() && kept.is_none() && self.0.swap(false, Ordering::Relaxed) {
            tracing::info!("the API server does not keep status.terminatingReplicas; it is not told any more");
        }
    }
}

/// What cannot be read as a switch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFeature {
    /// There is no such switch.
    #[error("there is no feature gate {0:?}; there are: DeploymentReplicaSetTerminatingReplicas, PodDeletionCost")]
    Unknown(String),
    /// Neither on nor off.
    #[error("feature gate {0:?} has to be set to true or false, as in Name=true")]
    Unset(String),
}

impl FromStr for Features {
    type Err = InvalidFeature;

    fn from_str(text: &str) -> Result<Self, InvalidFeature> {
        let mut features = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, value) = entry.split_once('=').ok_or_else(|| InvalidFeature::Unset(entry.to_owned()))?;
            let on = value.parse().map_err(|_| InvalidFeature::Unset(name.to_owned()))?;
            match name {
                "DeploymentReplicaSetTerminatingReplicas" => features.terminating_replicas = on,
                "PodDeletionCost" => features.pod_deletion_cost = on,
                _ => return Err(InvalidFeature::Unknown(name.to_owned())),
            }
        }
        Ok(features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_read_as_kube_controller_manager_does() {
        assert_eq!("".parse(), Ok(Features::default()));
        let off = Features { pod_deletion_cost: false, ..Features::default() };
        assert_eq!("PodDeletionCost=false, DeploymentReplicaSetTerminatingReplicas=true".parse(), Ok(off));
        let error = |text: &str| text.parse::<Features>().unwrap_err().to_string();
        assert!(error("Nothing=true").starts_with("there is no feature gate \"Nothing\""));
        assert_eq!(
            error("PodDeletionCost=maybe"),
            "feature gate \"PodDeletionCost\" has to be set to true or false, as in Name=true"
        );
    }
}
