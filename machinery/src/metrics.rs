//! What a process counts: counters, gauges and histograms, and their text for Prometheus.
//!
//! There are no globals: a [`Metrics`] is handed to whoever counts. The default one keeps nothing, and its instruments
//! cost a look at an `Option`; [`Metrics::recording`] keeps them. To look up an instrument takes a lock and copies labels, to
//! count is an atomic addition: keep the instrument where something is counted often.
//!
//! ```
//! use steersman_machinery::metrics::{Family, Metrics};
//!
//! static GREETINGS: Family = Family::counter("greetings_total", "How often somebody was greeted.");
//!
//! let metrics = Metrics::recording();
//! let greetings = metrics.counter(&GREETINGS, &[("language", "en")]);
//! greetings.increment();
//! assert!(metrics.render().contains("greetings_total{language=\"en\"} 1\n"));
//! ```

mod family;
mod text;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use family::Kind;
pub use family::{Buckets, Family};

/// Where a process counts. Clones share everything.
#[derive(Clone, Default)]
pub struct Metrics(Option<Arc<Registry>>);

/// The names and values of the labels of one series.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

#[derive(Default)]
struct Registry(Mutex<Families>);

type Key = Vec<(&'static str, String)>;

/// The families with all their series, by name.
type Families = BTreeMap<&'static str, Series>;

/// All series of a family.
#[derive(Clone)]
struct Series {
    family: &'static Family,
    cells: BTreeMap<Key, Cell>,
}

/// One series.
#[derive(Clone)]
enum Cell {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<AtomicI64>),
    Histogram(Arc<Distribution>),
    Live(Arc<dyn Fn() -> Option<f64> + Send + Sync>),
}

struct Distribution {
    bounds: Cow<'static, [f64]>,
    /// How many were in each bucket, the last being all that are larger.
    counts: Vec<AtomicU64>,
    /// The bits of an `f64`.
    sum: AtomicU64,
}

/// Counts upwards.
#[derive(Clone, Debug, Default)]
pub struct Counter(Option<Arc<AtomicU64>>);

/// Shows a number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Option<Arc<AtomicI64>>);

/// Counts how large things are.
#[derive(Clone, Default)]
pub struct Histogram(Option<Arc<Distribution>>);

impl Metrics {
    /// Metrics that are kept, to be [rendered](Self::render).
    pub fn recording() -> Self {
        Self(Some(Arc::default()))
    }

    /// Whether anything is kept: for whoever would have to compute what he counts.
    pub fn is_recording(&self) -> bool {
        self.0.is_some()
    }

    /// The counter of these labels; the same one for everybody who asks. It shows from now on, with 0 at first.
    ///
    /// # Panics
    /// If the family is not one of counters.
    pub fn counter(&self, family: &'static Family, labels: Labels<'_>) -> Counter {
        assert!(matches!(family.kind, Kind::Counter), "{} is not a counter", family.name);
        let cell = self.cell(family, labels, || Cell::Counter(Arc::default()));
        Counter(cell.and_then(|cell| if let Cell::Counter(counter) = cell { Some(counter) } else { None }))
    }

    /// The gauge of these labels; the same one for everybody who asks. It shows from now on, with 0 at first.
    ///
    /// # Panics
    /// If the family is not one of gauges.
    pub fn gauge(&self, family: &'static Family, labels: Labels<'_>) -> Gauge {
        assert!(matches!(family.kind, Kind::Gauge), "{} is not a gauge", family.name);
        let cell = self.cell(family, labels, || Cell::Gauge(Arc::default()));
        Gauge(cell.and_then(|cell| if let Cell::Gauge(gauge) = cell { Some(gauge) } else { None }))
    }

    /// The histogram of these labels; the same one for everybody who asks. It shows from now on, empty at first.
    ///
    /// # Panics
    /// If the family is not one of histograms.
    pub fn histogram(&self, family: &'static Family, labels: Labels<'_>) -> Histogram {
        let Kind::Histogram(buckets) = family.kind else { panic_kind(family) };
        let cell = self.cell(family, labels, || Cell::Histogram(Arc::new(Distribution::new(buckets.bounds()))));
        Histogram(cell.and_then(|cell| if let Cell::Histogram(histogram) = cell { Some(histogram) } else { None }))
    }

    /// A gauge whose value is computed when somebody looks, so that it cannot drift; `None` leaves it out. `value` should
    /// hold what it reads only weakly. It takes the place of an earlier one of the same labels.
    ///
    /// # Panics
    /// If the family is not one of gauges.
    pub fn live(
        &self,
        family: &'static Family,
        labels: Labels<'_>,
        value: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        assert!(matches!(family.kind, Kind::Gauge), "{} is not a gauge", family.name);
        let Some(registry) = &self.0 else { return };
        let mut families = registry.0.lock();
        let series = families.entry(family.name).or_insert_with(|| Series::new(family));
        series.cells.insert(key(labels), Cell::Live(Arc::new(value)));
    }

    /// All that was counted, in Prometheus' text format (version 0.0.4), ordered by name and labels; empty if nothing is
    /// kept.
    pub fn render(&self) -> String {
        text::render(&self.families())
    }

    /// The same of both together: for what is only known when somebody looks. Where both have a series, it is the other's.
    pub fn render_with(&self, other: &Self) -> String {
        let mut families = self.families();
        for (name, series) in other.families() {
            families.entry(name).or_insert_with(|| Series::new(series.family)).cells.extend(series.cells);
        }
        text::render(&families)
    }

    /// A copy, since a live gauge may take locks of its own.
    fn families(&self) -> Families {
        self.0.as_ref().map(|registry| registry.0.lock().clone()).unwrap_or_default()
    }

    fn cell(&self, family: &'static Family, labels: Labels<'_>, new: impl FnOnce() -> Cell) -> Option<Cell> {
        let mut families = self.0.as_ref()?.0.lock();
        let series = families.entry(family.name).or_insert_with(|| Series::new(family));
        Some(series.cells.entry(key(labels)).or_insert_with(new).clone())
    }
}

#[expect(clippy::panic, reason = "the family is chosen in the source")]
fn panic_kind(family: &Family) -> ! {
    panic!("{} is not a histogram", family.name)
}

fn key(labels: Labels<'_>) -> Key {
    labels.iter().map(|&(name, value)| (name, value.to_owned())).collect()
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").field("recording", &self.is_recording()).finish()
    }
}

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Some more.
    pub fn add(&self, count: u64) {
        if let Some(counter) = &self.0 {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// How many there were so far; 0 if nothing is kept.
    pub fn value(&self) -> u64 {
        self.0.as_ref().map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

impl Gauge {
    /// Shows this number from now on.
    pub fn set(&self, value: i64) {
        if let Some(gauge) = &self.0 {
            gauge.store(value, Ordering::Relaxed);
        }
    }

    /// Shows a number larger by this, or smaller.
    pub fn add(&self, difference: i64) {
        if let Some(gauge) = &self.0 {
            gauge.fetch_add(difference, Ordering::Relaxed);
        }
    }
}

impl Histogram {
    /// Whether anything is kept: for whoever would have to measure it first.
    pub fn is_recording(&self) -> bool {
        self.0.is_some()
    }

    /// Counts one of this size.
    pub fn observe(&self, value: f64) {
        self.observe_many(value, 1);
    }

    /// Counts several of this size: for what is too short to be measured one by one, the mean of them.
    pub fn observe_many(&self, value: f64, count: u32) {
        let Some(distribution) = &self.0 else { return };
        let bucket = distribution.bounds.partition_point(|bound| *bound < value);
        distribution.counts[bucket].fetch_add(u64::from(count), Ordering::Relaxed);
        let add = |bits: u64| Some((f64::from_bits(bits) + value * f64::from(count)).to_bits());
        // Never refused: the closure always gives a value.
        let _ = distribution.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Counts one that took this long, in seconds.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(duration.as_secs_f64());
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Histogram").field("recording", &self.is_recording()).finish()
    }
}

impl Series {
    fn new(family: &'static Family) -> Self {
        Self { family, cells: BTreeMap::new() }
    }
}

impl Distribution {
    fn new(bounds: Cow<'static, [f64]>) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0.0_f64.to_bits()) }
    }
}

#[cfg(test)]
mod tests;
