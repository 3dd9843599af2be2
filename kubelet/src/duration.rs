//! Durations as Go writes them, which is how Kubernetes users do.

use std::time::Duration;

/// Nanoseconds of each unit; a unit stands before those that it begins with.
const UNITS: [(&str, f64); 7] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

/// Reads `1h2m3.5s`, `500ms` or `0`. `None` if it is something else, or negative.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let (unit, nanoseconds) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total += number * nanoseconds;
    }
    Duration::try_from_secs_f64(total / 1e9).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_go() {
        let cases = [
            ("0", Some(0)),
            ("5s", Some(5_000)),
            ("500ms", Some(500)),
            ("1.5s", Some(1_500)),
            ("1h2m3s", Some(3_723_000)),
            ("1m", Some(60_000)),
            ("", None),
            ("5", None),
            ("-1s", None),
            ("s", None),
            ("5 s", None),
            ("1d", None),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse(text), milliseconds.map(Duration::from_millis), "{text}");
        }
    }
}
