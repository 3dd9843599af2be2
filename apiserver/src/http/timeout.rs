//! The `timeout` of a request, in Go's notation of durations. Source: Go's `time.ParseDuration`.

use std::time::Duration;

use steersman_machinery::status::Status;

use super::query::Query;

/// How long a request may take, its body included. Source: kube-apiserver's `--request-timeout`.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

const UNITS: [&str; 8] = ["ns", "us", "\u{b5}s", "\u{3bc}s", "ms", "s", "m", "h"];

/// Refuses a timeout that is no duration. Requests are answered long before any that is one.
pub fn check(query: &Query) -> Result<(), Status> {
    let text = query.text("timeout");
    let refuse = |why| Status::bad_request(format!("invalid timeout specified in the request URL - time: {why}"));
    if text.is_empty() { Ok(()) } else { check_duration(text).map_err(refuse) }
}

fn check_duration(text: &str) -> Result<(), String> {
    let invalid = || format!("invalid duration {text:?}");
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(());
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, tail) = rest.split_at(digits);
        if number.parse::<f64>().is_err() {
            return Err(invalid());
        }
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        match tail.split_at(end) {
            ("", _) => return Err(format!("missing unit in duration {text:?}")),
            (unit, _) if !UNITS.contains(&unit) => return Err(format!("unknown unit {unit:?} in duration {text:?}")),
            (_, next) => rest = next,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_durations() {
        let check = |text: &str, expect: &str| {
            let got =
                check(&Query::parse(&format!("timeout={text}"))).map_or_else(|status| status.message, |()| "ok".into());
            assert!(got.ends_with(expect), "{text}: {got}");
        };
        for text in ["", "0", "0s", "1.5s", "1h2m3s", "-5s", "10ms"] {
            check(text, "ok");
        }
        check("abc", "invalid timeout specified in the request URL - time: invalid duration \"abc\"");
        check("30", "missing unit in duration \"30\"");
        check("3x", "unknown unit \"x\" in duration \"3x\"");
        check("1s.", "invalid duration \"1s.\"");
    }
}
