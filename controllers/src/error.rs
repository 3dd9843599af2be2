//! Why a sync failed.

use steersman_framework::api;

/// Why a sync failed; it is retried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    /// The server refused, or did not answer.
    #[error("{}", api::message(.0))]
    Api(#[from] kube::Error),
    /// We refused.
    #[error("{0}")]
    Refused(String),
}
