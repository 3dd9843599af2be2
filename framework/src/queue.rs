//! A work queue of keys: each key is in it at most once, and is never handed to two workers at a time.
//! Source: `k8s.io/client-go/util/workqueue`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The first delay of a key that failed; doubles with each failure in a row.
pub const BACKOFF_BASE: Duration = Duration::from_millis(5);
/// The longest delay of a key that keeps failing.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1000);

/// How urgent an entry is. Within one priority the order is first in, first out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Something changed.
    High,
    /// Something is looked at again without need, for instance the initial list or a resync; never starves a change.
    Low,
}

/// The delay before retry number `failures` (0 for the first): 5 ms, 10 ms, 20 ms, … at most 1000 s.
pub fn backoff(failures: u32) -> Duration {
    BACKOFF_BASE.saturating_mul(1_u32.checked_shl(failures.min(30)).unwrap_or(u32::MAX)).min(BACKOFF_MAX)
}

/// A queue of keys. Clones share everything.
///
/// A key that is added while it is processed is not handed out before [`done`](Self::done) was called for it, but then
/// it is: the change that came meanwhile is not lost.
pub struct WorkQueue<K>(Arc<Inner<K>>);

struct Inner<K> {
    state: Mutex<State<K>>,
    changed: Notify,
}

struct State<K> {
    /// What is to be handed out, in order.
    ready: BTreeMap<(Priority, u64), K>,
    /// Where a key stands in `ready`.
    places: BTreeMap<K, (Priority, u64)>,
    /// Keys that wait for their time.
    delayed: BTreeMap<(Instant, u64), K>,
    /// When a key in `delayed` is due.
    due: BTreeMap<K, (Instant, u64)>,
    processing: BTreeSet<K>,
    /// Keys that were added while they were processed.
    again: BTreeMap<K, Priority>,
    failures: BTreeMap<K, u32>,
    sequence: u64,
}

impl<K> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Ord + Clone> Default for WorkQueue<K> {
    fn default() -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                ready: BTreeMap::new(),
                places: BTreeMap::new(),
                delayed: BTreeMap::new(),
                due: BTreeMap::new(),
                processing: BTreeSet::new(),
                again: BTreeMap::new(),
                failures: BTreeMap::new(),
                sequence: 0,
            }),
            changed: Notify::new(),
        }))
    }
}

impl<K: Ord + Clone> WorkQueue<K> {
    /// Adds a key because something changed.
    pub fn add(&self, key: K) {
        self.add_with(key, Priority::High);
    }

    /// Adds a key with a priority. A key that is in the queue already keeps its place, or moves up.
    pub fn add_with(&self, key: K, priority: Priority) {
        self.0.state.lock().add(key, priority);
        self.0.changed.notify_one();
    }

    /// Adds a key after a delay. If it waits already the earlier time counts.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        self.0.state.lock().add_at(key, Instant::now() + delay);
        self.0.changed.notify_one();
    }

    /// Adds a key that failed, after a delay that doubles with each failure in a row.
    pub fn add_rate_limited(&self, key: K) {
        let failures = {
            let mut state = self.0.state.lock();
            let failures = state.failures.entry(key.clone()).or_default();
            *failures += 1;
            *failures - 1
        };
        self.add_after(key, backoff(failures));
    }

    /// Forgets the failures of a key.
    pub fn forget(&self, key: &K) {
        self.0.state.lock().failures.remove(key);
    }

    /// How often a key failed in a row.
    pub fn failures(&self, key: &K) -> u32 {
        self.0.state.lock().failures.get(key).copied().unwrap_or_default()
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
                state.mature(Instant::now());
                if let Some((_, key)) = state.ready.pop_first() {
                    state.places.remove(&key);
                    state.processing.insert(key.clone());
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
        state.processing.remove(key);
        if let Some(priority) = state.again.remove(key) {
            state.add(key.clone(), priority);
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

    fn add(&mut self, key: K, priority: Priority) {
        if self.processing.contains(&key) {
            let again = self.again.entry(key).or_insert(priority);
            *again = priority.min(*again);
            return;
        }
        if let Some(place) = self.places.get(&key).copied() {
            if place.0 <= priority {
                return;
            }
            self.ready.remove(&place);
        }
        let place = (priority, self.next_sequence());
        self.places.insert(key.clone(), place);
        self.ready.insert(place, key);
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
            self.add(key, Priority::High);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn take(queue: &WorkQueue<&'static str>) -> Option<&'static str> {
        queue.next().now_or_never()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_in_the_queue_once_and_in_order() {
        let queue = WorkQueue::default();
        for key in ["b", "a", "b", "c"] {
            queue.add(key);
        }
        assert_eq!([take(&queue), take(&queue), take(&queue), take(&queue)], [Some("b"), Some("a"), Some("c"), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_while_processed_runs_again_after() {
        let queue = WorkQueue::default();
        queue.add("a");
        assert_eq!(take(&queue), Some("a"));
        queue.add("a");
        assert_eq!(take(&queue), None, "never two workers at a time");
        queue.done(&"a");
        assert_eq!(take(&queue), Some("a"));
        queue.done(&"a");
        assert!(queue.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_overtakes_a_resync_and_moves_a_key_up() {
        let queue = WorkQueue::default();
        queue.add_with("resync", Priority::Low);
        queue.add_with("both", Priority::Low);
        queue.add("change");
        queue.add("both");
        assert_eq!([take(&queue), take(&queue), take(&queue)], [Some("change"), Some("both"), Some("resync")]);
    }

    #[tokio::test(start_paused = true)]
    async fn delayed_keys_come_when_due_and_the_earlier_time_counts() {
        let queue = WorkQueue::default();
        let start = Instant::now();
        queue.add_after("a", Duration::from_secs(60));
        queue.add_after("b", Duration::from_secs(30));
        queue.add_after("a", Duration::from_secs(10));
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed().as_secs(), 10);
        assert_eq!(queue.next().await, "b");
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_double_the_delay_until_forgotten() {
        let queue = WorkQueue::default();
        let mut delays = Vec::new();
        for _ in 0..4 {
            let before = Instant::now();
            queue.add_rate_limited("a");
            let key = queue.next().await;
            queue.done(&key);
            delays.push(before.elapsed().as_millis());
        }
        assert_eq!(delays, [5, 10, 20, 40]);
        assert_eq!(queue.failures(&"a"), 4);
        queue.forget(&"a");
        assert_eq!(queue.failures(&"a"), 0);
        assert_eq!(backoff(40), BACKOFF_MAX);
    }
}
