//! What came out, in figures.

use std::time::Duration;

use tokio::time::Instant;

use crate::load::Sample;

/// How fast pods got their nodes.
pub(crate) struct Throughput {
    pub(crate) start: Instant,
    pub(crate) samples: Vec<Sample>,
    /// When the last of them was created.
    pub(crate) created: Duration,
    /// What the whole process has computed meanwhile.
    pub(crate) cpu: Duration,
    /// Events that tell of them, when all was written that was under way.
    pub(crate) told: usize,
}

impl Throughput {
    fn count(&self) -> usize {
        self.samples.last().map_or(0, |(_, count)| *count)
    }

    /// From the first create to the last pod's node.
    pub(crate) fn took(&self) -> Duration {
        self.samples.last().map_or(Duration::ZERO, |(at, _)| at.duration_since(self.start))
    }

    /// Pods in a second, over all.
    pub(crate) fn average(&self) -> f64 {
        self.count() as f64 / self.took().as_secs_f64()
    }

    /// Processor time a pod.
    pub(crate) fn cpu_per_pod(&self) -> Duration {
        self.cpu / u32::try_from(self.count().max(1)).unwrap_or(u32::MAX)
    }

    /// The rate that was reached in all but so many percent of the windows: of one second, or a tenth of the whole if it took
    /// less than ten. The highest rates are reached in the fewest windows, as upstream has it.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let window = Duration::from_secs(1).min(self.took() / 10).max(Duration::from_millis(1));
        let (mut rates, mut before, mut end) = (Vec::new(), 0, self.start + window);
        let mut last = 0;
        for (at, count) in &self.samples {
            while *at >= end {
                rates.push((last - before) as f64 / window.as_secs_f64());
                before = last;
                end += window;
            }
            last = *count;
        }
        rates.sort_by(f64::total_cmp);
        let place = (rates.len() * percent).div_ceil(100).saturating_sub(1);
        rates.get(place).copied().unwrap_or_default()
    }
}

/// Processor time of this process.
pub(crate) fn cpu_time() -> Duration {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return Duration::ZERO };
    // User and system time are the 14th and 15th field, in hundredths of a second; the second is a name in parentheses.
    let after = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = after.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}
