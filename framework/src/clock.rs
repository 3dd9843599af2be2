//! The clocks that the binaries and the tests hand to everything else.
//!
//! ```
//! use steersman_framework::clock::{SystemClock, TokioClock};
//! use steersman_machinery::clock::{Clock, SharedClock};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
//! # runtime.block_on(async {
//! // In a test, ten minutes pass in no time.
//! let clock = TokioClock::starting_at("2026-05-01T10:00:00Z".parse().unwrap());
//! tokio::time::sleep(std::time::Duration::from_secs(600)).await;
//! assert_eq!(clock.now().to_string(), "2026-05-01T10:10:00Z");
//! # });
//! // In a program, time is what it is.
//! let clock: SharedClock = std::sync::Arc::new(SystemClock);
//! # Ok::<(), std::io::Error>(())
//! ```

use jiff::Timestamp;
use steersman_machinery::clock::Clock;
use tokio::time::Instant;

/// The wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the wall clock is read")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that starts at a given moment and follows tokio's time: with `tokio::time::pause`, a virtual clock.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    epoch: Timestamp,
    start: Instant,
}

impl TokioClock {
    /// A clock that shows `epoch` now. Call it inside the runtime whose time it is to follow.
    pub fn starting_at(epoch: Timestamp) -> Self {
        Self { epoch, start: Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let elapsed = jiff::SignedDuration::try_from(self.start.elapsed()).unwrap_or(jiff::SignedDuration::MAX);
        self.epoch.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tokio_clock_follows_virtual_time() {
        let clock = TokioClock::starting_at(Timestamp::UNIX_EPOCH);
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(clock.now().as_second(), 600);
    }
}
