//! What metrics are called, what they mean, and how histograms are divided.

use std::borrow::Cow;

/// A metric's name, meaning and kind; a `static` beside the code that counts.
#[derive(Debug)]
pub struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram(Buckets),
}

/// The upper bounds of a histogram's buckets, smallest first; the one of all that is larger comes by itself.
#[derive(Clone, Copy, Debug)]
pub enum Buckets {
    /// These.
    Exact(&'static [f64]),
    /// `start`, `start · factor`, `start · factor²`, …: `count` of them.
    Exponential {
        /// The first bound.
        start: f64,
        /// What each is multiplied by to give the next.
        factor: f64,
        /// How many there are.
        count: usize,
    },
}

impl Family {
    /// One that counts upwards; its name ends in `_total`.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Counter }
    }

    /// One that goes up and down.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Gauge }
    }

    /// One that counts sizes, each in its bucket; durations are in seconds.
    pub const fn histogram(name: &'static str, help: &'static str, buckets: Buckets) -> Self {
        Self { name, help, kind: Kind::Histogram(buckets) }
    }
}

impl Buckets {
    /// The bounds, computed step by step as Go's client does, so that they are the same numbers to the last bit.
    pub(super) fn bounds(self) -> Cow<'static, [f64]> {
        match self {
            Self::Exact(bounds) => Cow::Borrowed(bounds),
            Self::Exponential { start, factor, count } => {
                std::iter::successors(Some(start), |bound| Some(bound * factor)).take(count).collect()
            }
        }
    }
}
