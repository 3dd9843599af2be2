//! What the scheduler counts, with upstream's names and buckets. Source: `pkg/scheduler/metrics`.
//!
//! Those of the queue, of plugins and of what is kept for equal pods are counted where they are. Left out is what upstream counts
//! behind gates that are off by default: its queue of API calls, and cycles of pod groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use steersman_framework::metrics::{Buckets, Counter, Family, Gauge, Histogram, Metrics};
use steersman_framework::runtime::Context;
use tokio::time::Instant;

use crate::cache::Cache;
use crate::cluster_event::ClusterEvent;
use crate::cycle::Took;
use crate::informers::SOURCES;
use crate::profile::Point;
use crate::queue::{Queue, QueuedPod};
use crate::status::Code;

const ATTEMPT: Buckets = Buckets::Exponential { start: 0.001, factor: 2.0, count: 15 };
const POINT: Buckets = Buckets::Exponential { start: 0.0001, factor: 2.0, count: 12 };

static ATTEMPTS: Family =
    Family::counter("scheduler_schedule_attempts_total", "Attempts to schedule a pod, by how they ended.");
static ATTEMPT_TIMES: Family = Family::histogram(
    "scheduler_scheduling_attempt_duration_seconds",
    "How long attempts took, with the binding if there was one.",
    ATTEMPT,
);
static ALGORITHM: Family = Family::histogram(
    "scheduler_scheduling_algorithm_duration_seconds",
    "How long it took to find a node for a pod, or to find out that there is none.",
    ATTEMPT,
);
static POINTS: Family = Family::histogram(
    "scheduler_framework_extension_point_duration_seconds",
    "How long all plugins of an extension point took.",
    POINT,
);
static SLI: Family = Family::histogram(
    "scheduler_pod_scheduling_sli_duration_seconds",
    "How long it took until a pod was bound, from when it was ready first, by the attempts that were needed.",
    Buckets::Exponential { start: 0.01, factor: 2.0, count: 20 },
);
static POD_ATTEMPTS: Family = Family::histogram(
    "scheduler_pod_scheduling_attempts",
    "How many attempts pods needed until they were bound.",
    Buckets::Exact(&[1.0, 2.0, 4.0, 8.0, 16.0]),
);
static PREEMPTIONS: Family =
    Family::counter("scheduler_preemption_attempts_total", "Attempts to make room for a pod by asking others to go.");
static VICTIMS: Family = Family::histogram(
    "scheduler_preemption_victims",
    "How many pods were asked to go for one.",
    Buckets::Exponential { start: 1.0, factor: 2.0, count: 7 },
);
static EVICTIONS: Family = Family::counter(
    "scheduler_preemption_goroutines_execution_total",
    "Times that victims were asked to go, by result.",
);
static EVICTION_TIMES: Family = Family::histogram(
    "scheduler_preemption_goroutines_duration_seconds",
    "How long it took to ask all victims of a pod to go, by result.",
    Buckets::Exponential { start: 0.01, factor: 2.0, count: 20 },
);
static AFTER_FLUSH: Family = Family::counter(
    "scheduler_pod_scheduled_after_flush_total",
    "Pods that were bound after they were tried again because they had waited long, and for no other reason.",
);
static PERMIT_WAITS: Family = Family::histogram(
    "scheduler_permit_wait_duration_seconds",
    "How long pods were held by Permit plugins, by how it ended.",
    ATTEMPT,
);
static PENDING: Family = Family::gauge("scheduler_pending_pods", "Pods that wait, by where in the queue.");
static CACHE: Family =
    Family::gauge("scheduler_cache_size", "Nodes, pods on nodes, and pods whose binding is under way.");

static HANDLING: Family = Family::histogram(
    "scheduler_event_handling_duration_seconds",
    "How long it took to take in a change that the API server told of, with moving the pods that it may help.",
    POINT,
);
static GOROUTINES: Family =
    Family::gauge("scheduler_goroutines", "What is under way beside the loop, by what it does.");

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ended {
    Scheduled,
    Unschedulable,
    Error,
}

/// What the scheduler counts.
#[derive(Clone)]
pub(super) struct Instruments {
    metrics: Metrics,
    algorithm: Histogram,
    preemptions: Counter,
    victims: Histogram,
    pending: [Gauge; 4],
    cache: [Gauge; 3],
    binding: Gauge,
    prioritizing: Gauge,
    shown: [usize; 3],
    synced: Arc<AtomicUsize>,
}

impl Instruments {
    pub(super) fn new(context: &Context) -> Self {
        let metrics = context.metrics.clone();
        let synced = Arc::new(AtomicUsize::new(0));
        let listed = Arc::clone(&synced);
        context.health.ready("sched-handler-sync", move || match listed.load(Ordering::Relaxed) {
            SOURCES => Ok(()),
            count => Err(format!("waiting for handlers to sync: {count} of {SOURCES} resources are listed")),
        });
        let pending = ["active", "backoff", "unschedulable", "gated"];
        Self {
            algorithm: metrics.histogram(&ALGORITHM, &[]),
            preemptions: metrics.counter(&PREEMPTIONS, &[]),
            victims: metrics.histogram(&VICTIMS, &[]),
            pending: pending.map(|queue| metrics.gauge(&PENDING, &[("queue", queue)])),
            cache: ["nodes", "pods", "assumed_pods"].map(|kind| metrics.gauge(&CACHE, &[("type", kind)])),
            binding: metrics.gauge(&GOROUTINES, &[("operation", "binding")]),
            prioritizing: metrics.gauge(&GOROUTINES, &[("operation", "prioritizing_extender")]),
            shown: [usize::MAX; 3],
            metrics,
            synced,
        }
    }

    pub(super) fn is_recording(&self) -> bool {
        self.metrics.is_recording()
    }

    /// The moment, if it is of use.
    pub(super) fn now(&self) -> Option<Instant> {
        self.is_recording().then(Instant::now)
    }

    /// A node was looked for, from `begun` on.
    pub(super) fn decided(&self, profile: &str, begun: Option<Instant>, took: &[Took]) {
        let Some(begun) = begun else { return };
        self.algorithm.observe_duration(begun.elapsed());
        for Took { point, code, time } in took {
            self.point(profile, *point, *code, *time);
        }
    }

    /// The plugins of an extension point ran from `begun` on.
    pub(super) fn ran(&self, profile: &str, point: Point, code: Code, begun: Option<Instant>) {
        if let Some(begun) = begun {
            self.point(profile, point, code, begun.elapsed());
        }
    }

    fn point(&self, profile: &str, point: Point, code: Code, time: Duration) {
        let (point, status) = (format!("{point:?}"), format!("{code:?}"));
        let labels = [("extension_point", point.as_str()), ("profile", profile), ("status", status.as_str())];
        self.metrics.histogram(&POINTS, &labels).observe_duration(time);
    }

    /// A pod was held by Permit plugins from `begun` on.
    pub(super) fn permitted(&self, code: Code, begun: Option<Instant>) {
        if let Some(begun) = begun {
            let result = format!("{code:?}");
            self.metrics.histogram(&PERMIT_WAITS, &[("result", &result)]).observe_duration(begun.elapsed());
        }
    }

    /// An attempt ended.
    pub(super) fn attempted(&self, queued: &QueuedPod, ended: Ended) {
        if !self.is_recording() {
            return;
        }
        let result = match ended {
            Ended::Scheduled => "scheduled",
            Ended::Unschedulable => "unschedulable",
            Ended::Error => "error",
        };
        let labels = [("profile", &*queued.pod.spec.scheduler_name), ("result", result)];
        self.metrics.counter(&ATTEMPTS, &labels).increment();
        if let Some(begun) = queued.taken {
            self.metrics.histogram(&ATTEMPT_TIMES, &labels).observe_duration(begun.elapsed());
        }
        if matches!(ended, Ended::Scheduled) {
            self.metrics.histogram(&POD_ATTEMPTS, &[]).observe(f64::from(queued.attempts));
            let attempts = if queued.attempts >= 15 { "15+".to_owned() } else { queued.attempts.to_string() };
            let time = queued.first_ready.map(|first| first.elapsed()).unwrap_or_default();
            self.metrics.histogram(&SLI, &[("attempts", &attempts)]).observe_duration(time);
            if queued.flushed {
                self.metrics.counter(&AFTER_FLUSH, &[]).increment();
            }
        }
    }

    /// A binding begins (1) or ends (-1).
    pub(super) fn binding(&self, amount: i64) {
        self.binding.add(amount);
    }

    /// An extender is asked for scores (1), or has answered (-1).
    pub(super) fn prioritizing(&self, amount: i64) {
        self.prioritizing.add(amount);
    }

    /// Room was looked for by preemption.
    pub(super) fn preemption(&self) {
        self.preemptions.increment();
    }

    /// So many pods were asked to go.
    pub(super) fn victims(&self, count: usize) {
        self.victims.observe(u32::try_from(count).map_or(f64::MAX, f64::from));
    }

    /// Victims were asked to go, from `begun` on; whether all could be.
    pub(super) fn evicted(&self, begun: Instant, all: bool) {
        let labels = [("result", if all { "success" } else { "error" })];
        self.metrics.counter(&EVICTIONS, &labels).increment();
        self.metrics.histogram(&EVICTION_TIMES, &labels).observe_duration(begun.elapsed());
    }

    /// Shows the numbers of pods and nodes as they are now.
    pub(super) fn show(&mut self, queue: &Queue, cache: &Cache, synced: usize) {
        self.synced.store(synced, Ordering::Relaxed);
        if !self.is_recording() {
            return;
        }
        let set = |gauge: &Gauge, count: usize| gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        let (nodes, pods, assumed) = cache.sizes();
        set(&self.cache[0], nodes);
        set(&self.cache[1], pods);
        set(&self.cache[2], assumed);
        let (active, backoff, unschedulable) = queue.lengths();
        let lengths = [active, backoff, unschedulable];
        if lengths == self.shown {
            return;
        }
        self.shown = lengths;
        let gated = queue.count_gated();
        for (gauge, count) in self.pending.iter().zip([active, backoff, unschedulable - gated, gated]) {
            set(gauge, count);
        }
    }
}

/// How long it takes to take in what the API server tells.
pub(super) struct Handling {
    metrics: Metrics,
    begun: Option<Instant>,
    known: Vec<(ClusterEvent, Histogram)>,
}

impl Handling {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self { metrics: metrics.clone(), begun: None, known: Vec::new() }
    }

    /// Taking in a change begins.
    pub(super) fn begin(&mut self) {
        self.begun = self.metrics.is_recording().then(Instant::now);
    }

    /// It has come to this event, and pods were moved for it.
    pub(super) fn ended(&mut self, event: ClusterEvent) {
        let Some(begun) = self.begun else { return };
        let time = begun.elapsed();
        if let Some((_, histogram)) = self.known.iter().find(|(known, _)| *known == event) {
            return histogram.observe_duration(time);
        }
        let histogram = self.metrics.histogram(&HANDLING, &[("event", &event.label())]);
        histogram.observe_duration(time);
        self.known.push((event, histogram));
    }
}
