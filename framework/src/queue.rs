//! A work queue of keys: each key is in it at most once, and is never handed to two workers at a time.
//! Source: `k8s.io/client-go/util/workqueue`, and controller-runtime's priority queue.
//!
//! ```
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
//! # runtime.block_on(async {
//! use std::time::Duration;
//! use steersman_framework::queue::{Priority, WorkQueue};
//!
//! let queue = WorkQueue::default();
//! queue.add_with("listed", Priority::Low);
//! queue.add("changed");
//! queue.add("changed");
//! assert_eq!(queue.next().await, "changed");
//! queue.done(&"changed");
//! assert_eq!(queue.next().await, "listed");
//! // It failed: again, after a while.
//! queue.add_rate_limited("listed");
//! queue.done(&"listed");
//! assert_eq!(queue.next().await, "listed");
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Every operation costs a logarithm of the number of keys. The order depends on nothing but the order of calls and tokio's
//! clock. It is first in, first out in each priority, so that a key that comes again and again waits for all others each time;
//! changes go before what is merely looked at again, which still gets a turn now and then.

mod instruments;
mod limits;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::Metrics;
use instruments::Instruments;
use limits::Limiter;
pub use limits::{BACKOFF_BASE, BACKOFF_MAX, Limits, backoff};

/// Of so many keys handed out one is of [`Priority::Low`], if any waits: so that a flood of changes does not starve the rest,
/// and the rest costs a change no more than a sixteenth.
const LOW_TURN: u32 = 16;

/// What is added after longer than this comes after this: a century is as good as never, and any clock can tell it.
const LATEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// How urgent an entry is. Within one priority the order is first in, first out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Something changed.
    High,
    /// Something is looked at again without need, for instance the initial list or a resync; never starves a change.
    Low,
}

/// A queue of keys. Clones share everything.
///
/// A key that is added while it is processed is not handed out before [`done`](Self::done) was called for it, but then
/// it is: the change that came meanwhile is not lost.
pub struct WorkQueue<K>(Arc<Inner<K>>);

struct Inner<K> {
    state: Mutex<State<K>>,
    changed: Notify,
    metrics: Metrics,
}

struct State<K> {
    /// What is to be handed out, in order.
    ready: BTreeMap<(Priority, u64), K>,
    /// Where a key stands in `ready`, and since when it is there.
    places: BTreeMap<K, ((Priority, u64), Instant)>,
    /// Keys that wait for their time.
    delayed: BTreeMap<(Instant, u64), K>,
    /// When a key in `delayed` is due.
    due: BTreeMap<K, (Instant, u64)>,
    /// What is worked on, and since when.
    processing: BTreeMap<K, Instant>,
    /// Keys that were added while they were processed, and when first.
    again: BTreeMap<K, (Priority, Instant)>,
    limiter: Limiter<K>,
    sequence: u64,
    /// Keys handed out since the last one of low priority.
    since_low: u32,
    instruments: Instruments,
}

impl<K> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Ord + Clone> Default for WorkQueue<K> {
    /// A queue with upstream's limits that counts nothing.
    fn default() -> Self {
        Self::of(Limits::default(), Metrics::default(), Instruments::default())
    }
}

impl<K: Ord + Clone + Send + 'static> WorkQueue<K> {
    /// A queue with upstream's limits whose metrics (`workqueue_…`) have this name.
    pub fn named(name: &str, metrics: &Metrics) -> Self {
        Self::limited(name, metrics, Limits::default())
    }

    /// The same with other limits.
    pub fn limited(name: &str, metrics: &Metrics, limits: Limits) -> Self {
        let queue = Self::of(limits, metrics.clone(), Instruments::new(name, metrics));
        instruments::live(name, metrics, &queue.0);
        queue
    }
}

impl<K: Ord + Clone> WorkQueue<K> {
    fn of(limits: Limits, metrics: Metrics, instruments: Instruments) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                ready: BTreeMap::new(),
                places: BTreeMap::new(),
                delayed: BTreeMap::new(),
                due: BTreeMap::new(),
                processing: BTreeMap::new(),
                again: BTreeMap::new(),
                limiter: Limiter::new(limits),
                sequence: 0,
                since_low: 0,
                instruments,
            }),
            changed: Notify::new(),
            metrics,
        }))
    }

    /// Where the queue counts, for whoever works it off.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Adds a key because something changed.
    pub fn add(&self, key: K) {
        self.add_with(key, Priority::High);
    }

    /// Adds a key with a priority. A key that is in the queue already keeps its place, or moves up.
    pub fn add_with(&self, key: K, priority: Priority) {
        self.0.state.lock().add(key, priority, Instant::now());
        self.0.changed.notify_one();
    }

    /// Adds a key after a delay. If it waits already the earlier time counts.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        self.0.state.lock().add_at(key, Instant::now() + delay.min(LATEST));
        self.0.changed.notify_one();
    }

    /// Adds a key that failed, after a delay that doubles with each failure in a row, and is longer if too many keys fail
    /// ([`Limits`]).
    pub fn add_rate_limited(&self, key: K) {
        let delay = {
            let mut state = self.0.state.lock();
            state.instruments.retries.increment();
            state.limiter.failed(&key, Instant::now())
        };
        self.add_after(key, delay);
    }

    /// Adds a key that could not be worked on yet, after a delay that doubles each time in a row. Unlike a failure it does not
    /// count against the limit of all keys.
    pub fn add_backed_off(&self, key: K) {
        let delay = {
            let mut state = self.0.state.lock();
            state.instruments.retries.increment();
            state.limiter.backed_off(&key)
        };
        self.add_after(key, delay);
    }

    /// Forgets the failures of a key.
    pub fn forget(&self, key: &K) {
        self.0.state.lock().limiter.forget(key);
    }

    /// How often a key failed in a row.
    pub fn failures(&self, key: &K) -> u32 {
        self.0.state.lock().limiter.failures(key)
    }

    /// How many keys are ready to be handed out.
    pub fn len(&self) -> usize {
        self.0.state.lock().ready.len()
    }

    /// Whether no key is ready.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing is ready, delayed or processed.
    pub fn is_idle(&self) -> bool {
        let state = self.0.state.lock();
        state.ready.is_empty() && state.delayed.is_empty() && state.processing.is_empty()
    }

    /// Hands the next key out; waits until there is one. Call [`done`](Self::done) when its work is finished. Dropping
    /// the future loses nothing.
    pub async fn next(&self) -> K {
        loop {
            // Created before the look, so that an addition between the look and the wait is noticed.
            let changed = self.0.changed.notified();
            let wake = {
                let mut state = self.0.state.lock();
                let now = Instant::now();
                state.mature(now);
                if let Some(key) = state.take(now) {
                    return key;
                }
                state.delayed.first_key_value().map(|((at, _), _)| *at)
            };
            match wake {
                None => changed.await,
                Some(at) => {
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
            }
        }
    }

    /// Says that the work for `key` is finished. If it was added meanwhile it is ready again.
    pub fn done(&self, key: &K) {
        let mut state = self.0.state.lock();
        if let Some(since) = state.processing.remove(key) {
            state.instruments.work.observe_duration(since.elapsed());
        }
        if let Some((priority, since)) = state.again.remove(key) {
            state.put(key.clone(), priority, since);
            drop(state);
            self.0.changed.notify_one();
        }
    }
}

impl<K: Ord + Clone> State<K> {
    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn add(&mut self, key: K, priority: Priority, now: Instant) {
        if self.processing.contains_key(&key) {
            if !self.again.contains_key(&key) {
                self.instruments.adds.increment();
            }
            let again = self.again.entry(key).or_insert((priority, now));
            again.0 = priority.min(again.0);
            return;
        }
        let Some((place, since)) = self.places.get(&key).copied() else {
            self.instruments.adds.increment();
            return self.put(key, priority, now);
        };
        if place.0 > priority {
            self.ready.remove(&place);
            self.put(key, priority, since);
        }
    }

    /// Puts a key at the end of its priority.
    fn put(&mut self, key: K, priority: Priority, since: Instant) {
        let place = (priority, self.next_sequence());
        self.places.insert(key.clone(), (place, since));
        self.ready.insert(place, key);
        self.show_depth();
    }

    /// Takes the next key out to be worked on.
    fn take(&mut self, now: Instant) -> Option<K> {
        let first_low = || self.ready.range((Priority::Low, 0)..).next().map(|(place, _)| *place);
        let low = if self.since_low + 1 >= LOW_TURN { first_low() } else { None };
        let place = low.or_else(|| self.ready.first_key_value().map(|(place, _)| *place))?;
        self.since_low = if place.0 == Priority::Low { 0 } else { self.since_low.saturating_add(1) };
        let key = self.ready.remove(&place)?;
        if let Some((_, since)) = self.places.remove(&key) {
            self.instruments.waits.observe_duration(now.saturating_duration_since(since));
        }
        self.processing.insert(key.clone(), now);
        self.show_depth();
        Some(key)
    }

    fn show_depth(&self) {
        self.instruments.depth.set(i64::try_from(self.ready.len()).unwrap_or(i64::MAX));
    }

    fn add_at(&mut self, key: K, at: Instant) {
        if let Some(place) = self.due.get(&key).copied() {
            if place.0 <= at {
                return;
            }
            self.delayed.remove(&place);
        }
        let place = (at, self.next_sequence());
        self.due.insert(key.clone(), place);
        self.delayed.insert(place, key);
    }

    /// Moves what is due to the ready keys.
    fn mature(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let key = entry.remove();
            self.due.remove(&key);
            self.add(key, Priority::High, now);
        }
    }
}

#[cfg(test)]
mod tests;
