//! What the ReplicaSet controller counts. Source: `k8s.io/kubernetes/pkg/controller/replicaset/metrics`.

use steersman_framework::api::Resource;
use steersman_framework::metrics::{Buckets, Counter, Family, Histogram, Metrics};

static STALE: Family = Family::counter(
    "replicaset_controller_stale_sync_skips_total",
    "Syncs that were put off since the caches had not seen the last writes yet.",
);
static AGE_RATIO: Family = Family::histogram(
    "replicaset_controller_sorting_deletion_age_ratio",
    "The age of each ready pod that was chosen to be deleted, as a multiple of the youngest one's. Less than 2 is good.",
    Buckets::Exponential { start: 0.25, factor: 2.0, count: 6 },
);

/// The metrics of one running controller.
pub(super) struct Instruments {
    /// Syncs that were put off.
    pub(super) stale: Counter,
    /// How old the pods are that go.
    pub(super) age_ratio: Histogram,
}

impl Instruments {
    pub(super) fn new(metrics: &Metrics, resource: &Resource) -> Self {
        Self { stale: metrics.counter(&STALE, &resource.labels()), age_ratio: metrics.histogram(&AGE_RATIO, &[]) }
    }
}
