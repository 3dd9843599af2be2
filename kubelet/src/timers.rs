//! Many timers, one sleep: the earliest is known, and equal moments fire in order of their keys.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

/// At most one timer for each key.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    by_time: BTreeSet<(Instant, K)>,
    by_key: BTreeMap<K, Instant>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// Sets the timer of `key`, or moves it.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        if let Some(before) = self.by_key.insert(key, at) {
            self.by_time.remove(&(before, key));
        }
        self.by_time.insert((at, key));
    }

    /// Forgets the timer of `key`.
    pub(crate) fn clear(&mut self, key: K) {
        if let Some(at) = self.by_key.remove(&key) {
            self.by_time.remove(&(at, key));
        }
    }

    /// Takes a timer out that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, key) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.clear(key);
        Some(key)
    }

    /// Sleeps until the first timer is due; for ever if there is none. Cancel safe.
    pub(crate) async fn sleep(&self) {
        match self.by_time.first() {
            Some((at, _)) => tokio::time::sleep_until(*at).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn timers_fire_in_order_of_time_then_key() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        for (key, seconds) in [(3, 1), (2, 9), (1, 2), (4, 1), (5, 3)] {
            timers.set(key, at(seconds));
        }
        timers.set(2, at(2));
        timers.clear(5);
        let mut fired = Vec::new();
        while fired.len() < 4 {
            timers.sleep().await;
            while let Some(key) = timers.pop_due(Instant::now()) {
                fired.push((key, start.elapsed().as_secs()));
            }
        }
        assert_eq!(fired, [(3, 1), (4, 1), (1, 2), (2, 2)]);
        assert_eq!(timers.pop_due(at(99)), None);
    }
}
