//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write as _};

/// The bounds of the buckets of durations.
/// Source: `apiserver_request_duration_seconds` of `k8s.io/apiserver/pkg/endpoints/metrics`.
pub(super) const SECONDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// The text as far as it is written, and the family that is being written.
#[derive(Default)]
pub(super) struct Text {
    written: String,
    family: &'static str,
    /// What stands before its first sample.
    header: Option<String>,
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.written
    }
}

impl Text {
    /// Begins a family. One without samples is left out.
    pub(super) fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        self.header = Some(format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// A sample of the family.
    pub(super) fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        self.written.extend(self.header.take());
        let _ = write!(self.written, "{}{suffix}{{", self.family);
        for (index, (name, value)) in labels.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.written, "{separator}{name}=\"{value}\"");
        }
        let _ = writeln!(self.written, "}} {value}");
    }

    /// All samples of a distribution of durations: how many there are in each bucket, their sum and their number.
    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], buckets: &[u64], (sum, count): (f64, u64)) {
        let mut below = 0;
        let mut bucket = |bound: &str, value: u64| {
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
            self.sample("_bucket", &labels, value);
        };
        for (bound, inside) in SECONDS.iter().zip(buckets) {
            below += inside;
            bucket(&bound.to_string(), below);
        }
        bucket("+Inf", count);
        self.sample("_sum", labels, sum);
        self.sample("_count", labels, count);
    }
}
