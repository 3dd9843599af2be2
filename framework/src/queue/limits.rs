//! How soon keys that failed come again. Source: `k8s.io/client-go/util/workqueue` (`DefaultTypedControllerRateLimiter`).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::rate_limit::TokenBucket;

/// The first delay of a key that failed; doubles with each failure in a row.
pub const BACKOFF_BASE: Duration = Duration::from_millis(5);
/// The longest delay of a key that keeps failing.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1000);

/// The delay before retry number `failures` (0 for the first): 5 ms, 10 ms, 20 ms, … at most 1000 s.
pub fn backoff(failures: u32) -> Duration {
    Limits::default().backoff(failures)
}

/// How soon keys that failed come again: each after its own delay, and all together no more often than so many a second.
/// The longer of both delays counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The first delay of a key; it doubles with each failure in a row.
    pub base: Duration,
    /// The longest delay of a key.
    pub max: Duration,
    /// Failures of all keys a second on the long run; without a limit if it is not positive.
    pub per_second: f64,
    /// Failures of all keys at once.
    pub burst: u32,
}

impl Default for Limits {
    /// Upstream's.
    fn default() -> Self {
        Self { base: BACKOFF_BASE, max: BACKOFF_MAX, per_second: 10.0, burst: 100 }
    }
}

impl Limits {
    fn backoff(&self, failures: u32) -> Duration {
        self.base.saturating_mul(1_u32.checked_shl(failures.min(30)).unwrap_or(u32::MAX)).min(self.max)
    }
}

/// The failures so far.
pub(super) struct Limiter<K> {
    limits: Limits,
    bucket: TokenBucket,
    failures: BTreeMap<K, u32>,
}

impl<K: Ord + Clone> Limiter<K> {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, bucket: TokenBucket::new(limits.per_second, limits.burst), failures: BTreeMap::new() }
    }

    /// Counts a failure; when to try again.
    pub(super) fn failed(&mut self, key: &K, now: Instant) -> Duration {
        self.backed_off(key).max(self.bucket.reserve(now))
    }

    /// The same without counting it against the limit of all keys.
    pub(super) fn backed_off(&mut self, key: &K) -> Duration {
        let failures = self.failures.entry(key.clone()).or_default();
        *failures = failures.saturating_add(1);
        self.limits.backoff(*failures - 1)
    }

    pub(super) fn forget(&mut self, key: &K) {
        self.failures.remove(key);
    }

    pub(super) fn failures(&self, key: &K) -> u32 {
        self.failures.get(key).copied().unwrap_or_default()
    }
}
