//! Prometheus' text format, version 0.0.4. Source: Prometheus doc "Exposition formats".

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::family::Kind;
use super::{Cell, Distribution, Families, Key, Series};

pub(super) fn render(families: &Families) -> String {
    let mut text = String::new();
    for Series { family, cells } in families.values() {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let help = family.help.replace('\\', r"\\").replace('\n', r"\n");
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {} {help}\n# TYPE {} {kind}", family.name, family.name);
        for (key, cell) in cells {
            series(&mut text, family.name, key, cell);
        }
    }
    text
}

fn series(text: &mut String, name: &str, key: &Key, cell: &Cell) {
    match cell {
        Cell::Counter(counter) => line(text, name, &labels(key, None), counter.load(Ordering::Relaxed)),
        Cell::Gauge(gauge) => line(text, name, &labels(key, None), gauge.load(Ordering::Relaxed)),
        Cell::Live(value) => {
            if let Some(value) = value() {
                line(text, name, &labels(key, None), number(value));
            }
        }
        Cell::Histogram(distribution) => histogram(text, name, key, distribution),
    }
}

fn histogram(text: &mut String, name: &str, key: &Key, distribution: &Distribution) {
    let bounds = distribution.bounds.iter().map(|bound| number(*bound)).chain(["+Inf".to_owned()]);
    let mut count = 0;
    for (bound, bucket) in bounds.zip(&distribution.counts) {
        count += bucket.load(Ordering::Relaxed);
        line(text, &format!("{name}_bucket"), &labels(key, Some(&bound)), count);
    }
    let sum = f64::from_bits(distribution.sum.load(Ordering::Relaxed));
    line(text, &format!("{name}_sum"), &labels(key, None), number(sum));
    line(text, &format!("{name}_count"), &labels(key, None), count);
}

fn line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{name}{labels} {value}");
}

fn labels(key: &Key, bound: Option<&str>) -> String {
    let bound = bound.map(|bound| ("le", bound));
    let all = key.iter().map(|(name, value)| (*name, value.as_str())).chain(bound);
    let pairs: Vec<String> = all.map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

fn escape(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

/// As Go's client writes numbers: small ones with an exponent of two digits.
fn number(value: f64) -> String {
    if value == 0.0 || value.abs() >= 1e-4 {
        return value.to_string();
    }
    let text = format!("{value:e}");
    match text.split_once("e-") {
        Some((digits, exponent)) => format!("{digits}e-{exponent:0>2}"),
        None => text,
    }
}
