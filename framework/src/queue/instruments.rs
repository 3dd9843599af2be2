//! What a queue counts. Source: `k8s.io/component-base/metrics/prometheus/workqueue`.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use crate::metrics::{Buckets, Counter, Family, Gauge, Histogram, Metrics};

const BUCKETS: Buckets = Buckets::Exponential { start: 10e-9, factor: 10.0, count: 10 };

static DEPTH: Family = Family::gauge("workqueue_depth", "Keys that are ready to be worked on.");
static ADDS: Family = Family::counter("workqueue_adds_total", "Keys that were added, without those already there.");
static WAITS: Family = Family::histogram(
    "workqueue_queue_duration_seconds",
    "How long keys were ready before they were worked on.",
    BUCKETS,
);
static WORK: Family = Family::histogram("workqueue_work_duration_seconds", "How long keys were worked on.", BUCKETS);
static RETRIES: Family = Family::counter("workqueue_retries_total", "Keys that were put back to come again later.");
static UNFINISHED: Family = Family::gauge(
    "workqueue_unfinished_work_seconds",
    "How long the keys that are worked on have been so, added up. Growth means that some are stuck.",
);
static LONGEST: Family = Family::gauge(
    "workqueue_longest_running_processor_seconds",
    "How long the key that has been worked on longest has been so.",
);

/// What a queue counts; nothing by default.
#[derive(Default)]
pub(super) struct Instruments {
    pub(super) depth: Gauge,
    pub(super) adds: Counter,
    pub(super) retries: Counter,
    pub(super) waits: Histogram,
    pub(super) work: Histogram,
}

impl Instruments {
    pub(super) fn new(name: &str, metrics: &Metrics) -> Self {
        let labels = &[("name", name)];
        Self {
            depth: metrics.gauge(&DEPTH, labels),
            adds: metrics.counter(&ADDS, labels),
            retries: metrics.counter(&RETRIES, labels),
            waits: metrics.histogram(&WAITS, labels),
            work: metrics.histogram(&WORK, labels),
        }
    }
}

/// Shows what is computed when somebody looks.
pub(super) fn live<K: Ord + Send + 'static>(name: &str, metrics: &Metrics, queue: &Arc<Inner<K>>) {
    let labels = &[("name", name)];
    let weak = Arc::downgrade(queue);
    let ages = move || -> Option<Vec<Duration>> {
        let queue = weak.upgrade()?;
        let state = queue.state.lock();
        Some(state.processing.values().map(|since| since.elapsed()).collect())
    };
    let sum = ages.clone();
    metrics.live(&UNFINISHED, labels, move || Some(sum()?.iter().sum::<Duration>().as_secs_f64()));
    metrics.live(&LONGEST, labels, move || Some(ages()?.into_iter().max().unwrap_or_default().as_secs_f64()));
}
