//! Time as an input: nothing in the project reads a clock except through [`Clock`].

use std::sync::Arc;

use jiff::Timestamp;

/// Tells what time it is. Implementations live where time may be read (`steersman_framework::clock`).
pub trait Clock: Send + Sync + 'static {
    /// The present moment, UTC.
    fn now(&self) -> Timestamp;
}

/// A clock that several components share.
pub type SharedClock = Arc<dyn Clock>;

/// A clock that stands still; for tests of pure functions.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// `metav1.Time` as it goes over the wire: RFC 3339, UTC, whole seconds (`2026-05-01T10:00:00Z`).
pub fn format_time(time: Timestamp) -> String {
    truncate_to_second(time).to_string()
}

/// `metav1.MicroTime` as it goes over the wire: RFC 3339, UTC, six fractional digits.
pub fn format_micro_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// Reads a `metav1.Time` or `metav1.MicroTime`; `None` if the text is not RFC 3339.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Cuts the fraction of a second off, as `metav1.Time` does.
pub fn truncate_to_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_whole_seconds_and_micro_times_six_digits() {
        let time: Timestamp = "2026-05-01T10:00:00.7654321Z".parse().unwrap();
        assert_eq!(format_time(time), "2026-05-01T10:00:00Z");
        assert_eq!(format_micro_time(time), "2026-05-01T10:00:00.765432Z");
        assert_eq!(parse_time("2026-05-01T12:00:00+02:00"), parse_time("2026-05-01T10:00:00Z"));
        assert_eq!(parse_time("yesterday"), None);
    }
}
