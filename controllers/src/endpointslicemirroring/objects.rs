//! Endpoints as the controllers read them.

use serde::Deserialize;
use steersman_framework::informer::Cached;
use steersman_framework::meta::{Meta, null_default};

use crate::endpoints::plan::Subset;
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

/// Whether an annotation is about the Endpoints object itself.
pub(crate) fn is_own_annotation(key: &str) -> bool {
    matches!(key, TRIGGER_TIME | LAST_APPLIED)
}
