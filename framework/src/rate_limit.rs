//! A [token bucket](token_bucket) in tokio's time.

use std::time::Duration;

use steersman_machinery::token_bucket;
use tokio::time::Instant;

/// A bucket of `burst` tokens that is filled again at `per_second`.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// use std::time::Duration;
/// use steersman_framework::rate_limit::TokenBucket;
///
/// let now = tokio::time::Instant::now();
/// let mut bucket = TokenBucket::new(10.0, 2);
/// let waits: Vec<u128> = (0..4).map(|_| bucket.reserve(now).as_millis()).collect();
/// assert_eq!(waits, [0, 0, 100, 200]);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TokenBucket {
    bucket: token_bucket::TokenBucket,
    since: Option<Instant>,
}

impl TokenBucket {
    /// A full bucket. A rate that is not positive means that there is no limit.
    pub fn new(per_second: f64, burst: u32) -> Self {
        Self { bucket: token_bucket::TokenBucket::new(per_second, burst), since: None }
    }

    /// Takes a token, now or in advance; gives how long to wait until it is there.
    pub fn reserve(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.since.unwrap_or(now));
        self.since = Some(self.since.map_or(now, |since| since.max(now)));
        self.bucket.fill(passed);
        self.bucket.reserve()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_then_the_rate_counts() {
        let mut bucket = TokenBucket::new(20.0, 30);
        let start = Instant::now();
        let waits: Vec<u128> = (0..32).map(|_| bucket.reserve(start).as_millis()).collect();
        assert!(waits[..30].iter().all(|wait| *wait == 0));
        assert_eq!(waits[30..], [50, 100]);
        let later = start + Duration::from_secs(100);
        assert_eq!((0..30).map(|_| bucket.reserve(later)).max(), Some(Duration::ZERO), "never more than the burst");
        assert_eq!(bucket.reserve(later).as_millis(), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn no_rate_is_no_limit() {
        let mut bucket = TokenBucket::new(-1.0, 0);
        assert!((0..1000).all(|_| bucket.reserve(Instant::now()).is_zero()));
    }
}
