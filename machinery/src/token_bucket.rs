//! A token bucket: so many a second on the long run, so many at once. Source: Go's `golang.org/x/time/rate`.

use std::time::Duration;

/// A bucket of `burst` tokens that is filled again at `per_second`. Whoever has it says how much time has passed.
///
/// ```
/// use std::time::Duration;
/// use steersman_machinery::token_bucket::TokenBucket;
///
/// let mut bucket = TokenBucket::new(10.0, 2);
/// assert_eq!([bucket.take(), bucket.take(), bucket.take()], [true, true, false]);
/// bucket.fill(Duration::from_millis(100));
/// let waits = [bucket.reserve(), bucket.reserve()].map(|wait| wait.as_millis());
/// assert_eq!(waits, [0, 100]);
/// ```
#[derive(Clone, Debug)]
pub struct TokenBucket {
    per_second: f64,
    burst: f64,
    /// Less than none if some are promised.
    tokens: f64,
}

impl TokenBucket {
    /// A full bucket. A rate that is not positive means that there is no limit.
    pub fn new(per_second: f64, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self { per_second, burst, tokens: burst }
    }

    /// Adds the tokens of the time that has passed, as many as there is room for.
    pub fn fill(&mut self, passed: Duration) {
        self.tokens = (self.tokens + passed.as_secs_f64() * self.per_second).min(self.burst);
    }

    /// Takes a token if there is one, and says whether there was.
    pub fn take(&mut self) -> bool {
        let may = self.is_unlimited() || self.tokens >= 1.0;
        if may {
            self.tokens -= 1.0;
        }
        may
    }

    /// Takes a token, now or in advance; gives how long to wait until it is there.
    pub fn reserve(&mut self) -> Duration {
        self.tokens -= 1.0;
        if self.is_unlimited() || self.tokens >= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(-self.tokens / self.per_second).unwrap_or(Duration::MAX)
    }

    fn is_unlimited(&self) -> bool {
        self.per_second <= 0.0 || self.per_second.is_nan()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_takes_nothing_and_what_is_promised_is_owed() {
        let mut bucket = TokenBucket::new(2.0, 3);
        assert_eq!((0..10).filter(|_| bucket.take()).count(), 3);
        bucket.fill(Duration::from_millis(500));
        assert!(bucket.take() && !bucket.take());
        assert_eq!([bucket.reserve(), bucket.reserve()].map(|wait| wait.as_millis()), [500, 1000]);
        bucket.fill(Duration::from_secs(1));
        assert!(!bucket.take(), "both went to those who wait");
        bucket.fill(Duration::from_secs(100));
        assert_eq!((0..10).filter(|_| bucket.take()).count(), 3, "no more are saved up");
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        for rate in [0.0, -1.0, f64::NAN] {
            let mut bucket = TokenBucket::new(rate, 0);
            assert!((0..9).all(|_| bucket.take() && bucket.reserve().is_zero()), "{rate}");
            bucket.fill(Duration::MAX);
            assert!(bucket.take(), "{rate}");
        }
    }
}
