//! What is counted of single plugins. Source: `pkg/scheduler/framework/runtime/instrumented_plugins.go`,
//! `pkg/scheduler/metrics`.

use steersman_framework::metrics::{Buckets, Counter, Family, Histogram, Metrics};
use tokio::time::Instant;

use super::Point;
use crate::cycle_state::CycleState;
use crate::status::Code;

static EVALUATIONS: Family = Family::counter(
    "scheduler_plugin_evaluation_total",
    "How often plugins were asked, at PreFilter, Filter, PreScore and Score; at Filter and Score once for each node.",
);
static TIMES: Family = Family::histogram(
    "scheduler_plugin_execution_duration_seconds",
    "How long a plugin took each time that it was asked, in one of ten attempts; at Filter and Score the mean over all nodes \
     that it was asked about together.",
    Buckets::Exponential { start: 0.00001, factor: 1.5, count: 20 },
);

static BATCHES: Family = Family::counter(
    "scheduler_batch_attempts_total",
    "Pods for which what had been found out for an equal one served (hint_used), or not (no_hint).",
);
static FLUSHES: Family = Family::counter(
    "scheduler_batch_cache_flushed_total",
    "Times that what was found out for pods could not be kept any longer, or at all, by reason.",
);
static LOOKUPS: Family = Family::histogram(
    "scheduler_get_node_hint_duration_seconds",
    "How long it took to decide by what had been found out for an equal pod (hint), or to find that this is not possible \
     (no_hint).",
    Buckets::Exponential { start: 0.00001, factor: 2.0, count: 12 },
);

/// Counts what keeping decisions for equal pods is good for. Source: `pkg/scheduler/framework/runtime/batch.go`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batches {
    metrics: Metrics,
    profile: String,
    used: (Counter, Histogram),
    none: (Counter, Histogram),
}

impl Batches {
    pub(super) fn new(metrics: &Metrics, profile: &str) -> Self {
        let of = |result: &str, hinted: &str| {
            let attempts = metrics.counter(&BATCHES, &[("profile", profile), ("result", result)]);
            (attempts, metrics.histogram(&LOOKUPS, &[("hinted", hinted), ("profile", profile)]))
        };
        let (used, none) = (of("hint_used", "hint"), of("no_hint", "no_hint"));
        Self { metrics: metrics.clone(), profile: profile.to_owned(), used, none }
    }

    /// It was looked for something to decide by, from `begun` on.
    pub(crate) fn looked_up(&self, begun: Option<Instant>, used: bool) {
        let Some(begun) = begun else { return };
        let (attempts, times) = if used { &self.used } else { &self.none };
        attempts.increment();
        times.observe_duration(begun.elapsed());
    }

    /// What was found out can not be kept.
    pub(crate) fn flushed(&self, reason: &'static str) {
        if self.metrics.is_recording() {
            self.metrics.counter(&FLUSHES, &[("profile", &*self.profile), ("reason", reason)]).increment();
        }
    }
}

/// Counts for a plugin at an extension point.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    metrics: Metrics,
    plugin: &'static str,
    point: String,
    evaluations: Counter,
}

impl Measured {
    pub(super) fn new(metrics: &Metrics, profile: &str, plugin: &'static str, point: Point) -> Self {
        let name = format!("{point:?}");
        let counted = matches!(point, Point::PreFilter | Point::Filter | Point::PreScore | Point::Score);
        let labels = [("extension_point", &*name), ("plugin", plugin), ("profile", profile)];
        let evaluations = if counted { metrics.counter(&EVALUATIONS, &labels) } else { Counter::default() };
        Self { metrics: metrics.clone(), plugin, point: name, evaluations }
    }

    /// The plugin was asked so often.
    pub(crate) fn asked(&self, count: usize) {
        self.evaluations.add(count as u64);
    }

    /// The moment, if this attempt is one in which plugins are timed.
    pub(crate) fn begin(&self, state: &CycleState) -> Option<Instant> {
        (state.times_plugins && self.metrics.is_recording()).then(Instant::now)
    }

    /// The plugin was asked from `begun` on, and gave each of these answers so often.
    pub(crate) fn answered(&self, begun: Option<Instant>, answers: &[(Code, usize)]) {
        self.answered_at(&self.point, begun, answers);
    }

    /// The same, for what has another name than the extension point.
    pub(crate) fn answered_at(&self, point: &str, begun: Option<Instant>, answers: &[(Code, usize)]) {
        let Some(begun) = begun else { return };
        let count = |answers: usize| u32::try_from(answers).unwrap_or(u32::MAX);
        let all: u32 = answers.iter().map(|(_, answers)| count(*answers)).sum();
        let each = begun.elapsed().as_secs_f64() / f64::from(all.max(1));
        for (code, answers) in answers.iter().filter(|(_, answers)| *answers > 0) {
            let status = format!("{code:?}");
            let labels = [("extension_point", point), ("plugin", self.plugin), ("status", &*status)];
            self.metrics.histogram(&TIMES, &labels).observe_many(each, count(*answers));
        }
    }
}
