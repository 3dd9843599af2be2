//! The worker loop: takes keys out of a queue, runs one worker a key, several keys at a time, and retries what failed.
//!
//! ```
//! use std::time::Duration;
//! use steersman_framework::controller::{self, Outcome, Workers};
//! use steersman_framework::queue::WorkQueue;
//! use steersman_framework::runtime::Shutdown;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
//! # runtime.block_on(async {
//! let queue = WorkQueue::default();
//! queue.add("a");
//! let (trigger, shutdown) = Shutdown::new();
//! let workers = Workers { name: "greeter", concurrency: 5, max_retries: None };
//! let sync = async |key: &'static str| {
//!     // Look, plan, write. An error would bring the key back after a while.
//!     assert_eq!(key, "a");
//!     Ok::<_, std::io::Error>(Outcome::After(Duration::from_secs(3600)))
//! };
//! let stop = async {
//!     tokio::time::sleep(Duration::from_secs(60)).await;
//!     trigger.trigger();
//! };
//! tokio::join!(controller::run(workers, queue, shutdown, sync), stop);
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;
use tracing::Instrument;
use tracing::field::Empty;

use crate::metrics::{Buckets, Counter, Family, Gauge, Histogram, Metrics};
use crate::queue::WorkQueue;
use crate::runtime::Shutdown;

/// What a sync that went well asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, until something changes.
    Done,
    /// To be called again after this time.
    After(Duration),
    /// To be called again soon, with the delay of a failure, without being one.
    Soon,
}

/// How a controller works its queue off.
#[derive(Clone, Copy, Debug)]
pub struct Workers {
    /// The controller's name, for the log.
    pub name: &'static str,
    /// How many keys are processed at a time.
    pub concurrency: usize,
    /// After how many failures in a row a key is dropped until its next event; `None`: never.
    pub max_retries: Option<u32>,
}

/// Source: controller-runtime, `pkg/internal/controller/metrics`, as all in here.
static RECONCILES: Family =
    Family::counter("controller_runtime_reconcile_total", "Keys that were worked on, by how it ended.");
static ERRORS: Family =
    Family::counter("controller_runtime_reconcile_errors_total", "Keys that were worked on without success.");
static PANICS: Family =
    Family::counter("controller_runtime_reconcile_panics_total", "Keys whose work ended in a panic; they come again.");
static TIMES: Family = Family::histogram(
    "controller_runtime_reconcile_time_seconds",
    "How long keys were worked on.",
    Buckets::Exact(&[
        0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5,
        1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0,
    ]),
);
static ACTIVE: Family = Family::gauge("controller_runtime_active_workers", "Keys that are worked on.");
static MOST: Family =
    Family::gauge("controller_runtime_max_concurrent_reconciles", "Keys that may be worked on at a time.");

/// What a worker loop counts.
struct Instruments {
    success: Counter,
    after: Counter,
    soon: Counter,
    error: Counter,
    errors: Counter,
    panics: Counter,
    times: Histogram,
    active: Gauge,
}

impl Instruments {
    fn new(metrics: &Metrics, workers: Workers) -> Self {
        let controller = &[("controller", workers.name)];
        let ended = |how| metrics.counter(&RECONCILES, &[("controller", workers.name), ("result", how)]);
        metrics.gauge(&MOST, controller).set(i64::try_from(workers.concurrency).unwrap_or(i64::MAX));
        Self {
            success: ended("success"),
            after: ended("requeue_after"),
            soon: ended("requeue"),
            error: ended("error"),
            errors: metrics.counter(&ERRORS, controller),
            panics: metrics.counter(&PANICS, controller),
            times: metrics.histogram(&TIMES, controller),
            active: metrics.gauge(&ACTIVE, controller),
        }
    }

    fn ended<E>(&self, begun: Instant, result: &Result<Outcome, Failure<E>>) {
        self.active.add(-1);
        self.times.observe_duration(begun.elapsed());
        match result {
            Ok(Outcome::Done) => self.success.increment(),
            Ok(Outcome::After(_)) => self.after.increment(),
            Ok(Outcome::Soon) => self.soon.increment(),
            Err(failure) => {
                self.error.increment();
                self.errors.increment();
                if matches!(failure, Failure::Panic(_)) {
                    self.panics.increment();
                }
            }
        }
    }
}

/// Why a key comes again.
enum Failure<E> {
    /// The sync said so.
    Error(E),
    /// It did not come to its end, and this is what it said last.
    Panic(String),
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(formatter),
            Self::Panic(words) => write!(formatter, "panicked: {words}"),
        }
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it does not say why").to_owned()
}

/// Processes keys until `shutdown` is requested, then finishes what is in flight and returns.
///
/// All syncs run on the calling task, so they are concurrent but not parallel, and their order depends on nothing but
/// the order of events. One that panics is one that failed: an object that nobody thought of does not end the work for all
/// others (`RecoverPanic`, as controller-runtime has it by default).
pub async fn run<K, F, E>(workers: Workers, queue: WorkQueue<K>, shutdown: Shutdown, sync: impl Fn(K) -> F)
where
    K: Ord + Clone + fmt::Display,
    F: Future<Output = Result<Outcome, E>>,
    E: fmt::Display,
{
    let instruments = Instruments::new(queue.metrics(), workers);
    let mut running = FuturesUnordered::new();
    let mut stopping = false;
    let stop = shutdown.requested();
    let mut stop = std::pin::pin!(stop);
    loop {
        if stopping && running.is_empty() {
            return;
        }
        tokio::select! {
            biased;
            () = &mut stop, if !stopping => stopping = true,
            Some((key, begun, result)) = running.next(), if !running.is_empty() => {
                instruments.ended(begun, &result);
                finish(workers, &queue, key, result);
            }
            key = queue.next(), if !stopping && running.len() < workers.concurrency => {
                instruments.active.add(1);
                let span = tracing::debug_span!("reconcile", controller = workers.name, object = %key, error = Empty);
                let work = span.in_scope(|| sync(key.clone())).instrument(span.clone());
                let begun = Instant::now();
                running.push(async move {
                    let result = match AssertUnwindSafe(work).catch_unwind().await {
                        Ok(result) => result.map_err(Failure::Error),
                        Err(panic) => Err(Failure::Panic(words(&*panic))),
                    };
                    if let Err(error) = &result {
                        span.record("error", tracing::field::display(error));
                    }
                    (key, begun, result)
                });
            }
        }
    }
}

/// The same as soon as what the syncs read is there: the caches, filled for the first time. A sync that looks into an empty cache
/// would take everything for gone.
pub async fn run_when<K, F, E>(
    ready: impl Future<Output = ()>,
    workers: Workers,
    queue: &WorkQueue<K>,
    shutdown: Shutdown,
    sync: impl Fn(K) -> F,
) where
    K: Ord + Clone + fmt::Display,
    F: Future<Output = Result<Outcome, E>>,
    E: fmt::Display,
{
    if shutdown.wait_for(ready).await {
        run(workers, queue.clone(), shutdown, sync).await;
    }
}

fn finish<K: Ord + Clone + fmt::Display, E: fmt::Display>(
    workers: Workers,
    queue: &WorkQueue<K>,
    key: K,
    result: Result<Outcome, Failure<E>>,
) {
    match result {
        Ok(Outcome::Done) => queue.forget(&key),
        Ok(Outcome::After(delay)) => {
            queue.forget(&key);
            queue.add_after(key.clone(), delay);
        }
        Ok(Outcome::Soon) => queue.add_backed_off(key.clone()),
        Err(error) if workers.max_retries.is_some_and(|max| queue.failures(&key) >= max) => {
            tracing::error!(controller = workers.name, object = %key, %error, "giving up until the next change");
            queue.forget(&key);
        }
        Err(error) => {
            if matches!(error, Failure::Panic(_)) {
                tracing::error!(controller = workers.name, object = %key, %error, "sync panicked, retrying");
            } else {
                tracing::debug!(controller = workers.name, object = %key, %error, "sync failed, retrying");
            }
            queue.add_rate_limited(key.clone());
        }
    }
    queue.done(&key);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    fn workers(concurrency: usize, max_retries: Option<u32>) -> Workers {
        Workers { name: "test", concurrency, max_retries }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_run_side_by_side_and_shutdown_lets_them_finish() {
        let (trigger, shutdown) = Shutdown::new();
        let queue = WorkQueue::default();
        for key in ["a", "b", "c"] {
            queue.add(key);
        }
        let log = Arc::new(Mutex::new(Vec::new()));
        let sync = |key: &'static str| {
            let log = Arc::clone(&log);
            async move {
                log.lock().push(format!("start {key}"));
                tokio::time::sleep(Duration::from_secs(1)).await;
                log.lock().push(format!("end {key}"));
                Ok::<_, String>(Outcome::Done)
            }
        };
        let stop = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            trigger.trigger();
        };
        futures::join!(run(workers(2, None), queue.clone(), shutdown, sync), stop);
        assert_eq!(*log.lock(), ["start a", "start b", "end a", "end b"]);
        assert_eq!(queue.len(), 1, "c was not begun");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_key_is_retried_and_then_dropped() {
        let (trigger, shutdown) = Shutdown::new();
        let queue = WorkQueue::default();
        queue.add("a");
        let start = Instant::now();
        let calls = Mutex::new(Vec::new());
        let sync = |_: &'static str| {
            calls.lock().push(start.elapsed().as_millis());
            async { Err::<Outcome, _>("no") }
        };
        let stop = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            trigger.trigger();
        };
        futures::join!(run(workers(1, Some(3)), queue.clone(), shutdown, sync), stop);
        assert_eq!(*calls.lock(), [0, 5, 15, 35]);
        assert!(queue.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn how_syncs_end_is_counted() {
        let (trigger, shutdown) = Shutdown::new();
        let metrics = Metrics::recording();
        let queue = WorkQueue::named("test", &metrics);
        for key in ["after", "bad", "good"] {
            queue.add(key);
        }
        let sync = |key: &'static str| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            match key {
                "good" => Ok(Outcome::Done),
                "after" => Ok(Outcome::After(Duration::from_secs(100))),
                _ => Err("no"),
            }
        };
        let stop = async {
            tokio::time::sleep(Duration::from_millis(1002)).await;
            trigger.trigger();
            metrics.render()
        };
        let ((), text) = futures::join!(run(workers(3, None), queue, shutdown, sync), stop);
        for line in [
            r#"controller_runtime_reconcile_total{controller="test",result="success"} 1"#,
            r#"controller_runtime_reconcile_total{controller="test",result="requeue_after"} 1"#,
            r#"controller_runtime_reconcile_total{controller="test",result="error"} 1"#,
            r#"controller_runtime_reconcile_errors_total{controller="test"} 1"#,
            r#"controller_runtime_reconcile_time_seconds_bucket{controller="test",le="0.9"} 0"#,
            r#"controller_runtime_active_workers{controller="test"} 0"#,
            r#"controller_runtime_max_concurrent_reconciles{controller="test"} 3"#,
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_worked_on_before_all_is_ready_and_nothing_waits_for_that_when_it_is_over() {
        for (ready_after, expect) in [(1, vec![1]), (100, vec![])] {
            let (trigger, shutdown) = Shutdown::new();
            let queue = WorkQueue::default();
            queue.add("a");
            let start = Instant::now();
            let log = Mutex::new(Vec::new());
            let sync = async |_: &'static str| {
                log.lock().push(start.elapsed().as_secs());
                Ok::<_, String>(Outcome::Done)
            };
            let ready = tokio::time::sleep(Duration::from_secs(ready_after));
            let stop = async {
                tokio::time::sleep(Duration::from_secs(10)).await;
                trigger.trigger();
            };
            futures::join!(run_when(ready, workers(1, None), &queue, shutdown, sync), stop);
            assert_eq!((log.into_inner(), start.elapsed().as_secs()), (expect, 10));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sync_that_panics_is_one_that_failed() {
        let (trigger, shutdown) = Shutdown::new();
        let metrics = Metrics::recording();
        let queue = WorkQueue::named("test", &metrics);
        queue.add("bad");
        queue.add("good");
        let log = Mutex::new(Vec::new());
        let sync = async |key: &'static str| {
            log.lock().push(key);
            let tries = log.lock().iter().filter(|tried| **tried == key).count();
            assert!(key != "bad" || tries > 2, "try number {tries}");
            Ok::<_, String>(Outcome::Done)
        };
        let stop = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            trigger.trigger();
        };
        futures::join!(run(workers(1, None), queue, shutdown, sync), stop);
        assert_eq!(*log.lock(), ["bad", "good", "bad", "bad"]);
        let text = metrics.render();
        assert!(text.contains("controller_runtime_reconcile_panics_total{controller=\"test\"} 2\n"), "{text}");
        assert!(text.contains("controller_runtime_reconcile_errors_total{controller=\"test\"} 2\n"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sync_may_ask_to_be_called_again() {
        let (trigger, shutdown) = Shutdown::new();
        let queue = WorkQueue::default();
        queue.add("a");
        let start = Instant::now();
        let calls = Mutex::new(Vec::new());
        let sync = |_: &'static str| {
            let mut calls = calls.lock();
            calls.push(start.elapsed().as_secs());
            let again = if calls.len() < 3 { Outcome::After(Duration::from_secs(601)) } else { Outcome::Done };
            async move { Ok::<_, String>(again) }
        };
        let stop = async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            trigger.trigger();
        };
        futures::join!(run(workers(1, None), queue, shutdown, sync), stop);
        assert_eq!(*calls.lock(), [0, 601, 1202]);
    }
}
