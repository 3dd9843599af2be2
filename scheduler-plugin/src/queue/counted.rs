//! What the queue counts. Source: `pkg/scheduler/metrics`, `pkg/scheduler/backend/queue`.

use std::cell::RefCell;

use steersman_framework::metrics::{Buckets, Family, Gauge, Metrics};
use tokio::time::Instant;

use super::QueuedPod;
use crate::cluster_event::{ClusterEvent, EventObject, Happening, QueueingHint};

static INCOMING: Family = Family::counter(
    "scheduler_queue_incoming_pods_total",
    "Pods that were put into a queue (active, backoff, unschedulable), by what happened.",
);
static REJECTED: Family = Family::gauge(
    "scheduler_unschedulable_pods",
    "Pods that were rejected and not tried again yet, by the plugin that did; a pod counts for each of them.",
);
static IN_FLIGHT: Family = Family::gauge(
    "scheduler_inflight_events",
    "Events that are remembered for pods that are being scheduled, and those pods (PodPopped).",
);
static HINTS: Family = Family::histogram(
    "scheduler_queueing_hint_execution_duration_seconds",
    "How long plugins took to say whether an event helps a pod: the mean over all pods that were waiting when it happened.",
    Buckets::Exponential { start: 0.00001, factor: 1.5, count: 20 },
);

/// Counts for a queue.
#[derive(Debug, Default)]
pub(super) struct Counted {
    metrics: Metrics,
    /// Pods that were taken out.
    popped: Gauge,
    /// Events that are remembered, by their kind, and whether they happened to the waiting pod itself.
    remembered: Vec<(ClusterEvent, bool, Gauge)>,
}

impl Counted {
    pub(super) fn new(metrics: Metrics) -> Self {
        let popped = metrics.gauge(&IN_FLIGHT, &[("event", "PodPopped")]);
        Self { metrics, popped, remembered: Vec::new() }
    }

    pub(super) fn is_recording(&self) -> bool {
        self.metrics.is_recording()
    }

    /// A pod came into one of the queues.
    pub(super) fn came_in(&self, queue: &str, event: &str) {
        if self.is_recording() {
            self.metrics.counter(&INCOMING, &[("event", event), ("queue", queue)]).increment();
        }
    }

    /// A pod counts for its rejectors, or no longer.
    pub(super) fn rejectors(&self, queued: &QueuedPod, amount: i64) {
        if self.is_recording() {
            queued.rejectors().for_each(|plugin| self.rejector(queued, plugin, amount));
        }
    }

    /// The same for one of them.
    pub(super) fn rejector(&self, queued: &QueuedPod, plugin: &str, amount: i64) {
        if self.is_recording() {
            let labels = [("plugin", plugin), ("profile", &*queued.pod.spec.scheduler_name)];
            self.metrics.gauge(&REJECTED, &labels).add(amount);
        }
    }

    /// So many pods are out.
    pub(super) fn popped(&self, count: usize) {
        self.popped.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// An event is remembered (1), or no longer (-1).
    pub(super) fn remembered(&mut self, happening: &Happening, amount: i64) {
        if !self.is_recording() {
            return;
        }
        let own = matches!(happening.object, EventObject::Pod(_));
        let known = self.remembered.iter().find(|(event, its, _)| *event == happening.event && *its == own);
        if let Some((_, _, gauge)) = known {
            return gauge.add(amount);
        }
        let gauge = self.metrics.gauge(&IN_FLIGHT, &[("event", &happening.label())]);
        gauge.add(amount);
        self.remembered.push((happening.event, own, gauge));
    }

    /// Plugins are going to be asked about an event.
    pub(super) fn ask(&self) -> Hints {
        Hints { begun: self.is_recording().then(Instant::now), given: RefCell::default() }
    }

    /// They were.
    pub(super) fn asked(&self, hints: Hints, happening: &Happening) {
        let given = hints.given.into_inner();
        let (Some(begun), false) = (hints.begun, given.is_empty()) else { return };
        let all: u32 = given.iter().map(|(_, _, count)| count).sum();
        let (each, event) = (begun.elapsed().as_secs_f64() / f64::from(all.max(1)), happening.label());
        for (plugin, hint, count) in given {
            let hint = if hint == QueueingHint::Queue { "Queue" } else { "QueueSkip" };
            let labels = [("event", &*event), ("hint", hint), ("plugin", plugin)];
            self.metrics.histogram(&HINTS, &labels).observe_many(each, count);
        }
    }
}

/// What plugins say about one event, counted.
pub(super) struct Hints {
    begun: Option<Instant>,
    given: RefCell<Vec<(&'static str, QueueingHint, u32)>>,
}

impl Hints {
    /// Notes what a plugin says, and hands it on.
    pub(super) fn note(&self, plugin: &'static str, hint: QueueingHint) -> QueueingHint {
        if self.begun.is_some() {
            let mut given = self.given.borrow_mut();
            match given.iter_mut().find(|(name, its, _)| *name == plugin && *its == hint) {
                Some((_, _, count)) => *count += 1,
                None => given.push((plugin, hint, 1)),
            }
        }
        hint
    }
}
