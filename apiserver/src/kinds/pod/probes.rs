//! What is wrong with probes and lifecycle hooks.

use crate::kinds::check::{Cursor, text};

/// What a probe may do.
pub(super) const OF_PROBES: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc"];
/// What a hook of a container's life may do.
pub(super) const OF_HOOKS: &[&str] = &["exec", "httpGet", "tcpSocket", "sleep"];
const HEADER_RULE: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";

/// A liveness or startup probe: one success is enough.
pub(super) fn liveness(probe: &Cursor<'_>, grace: i64) {
    common(probe, grace);
    let threshold = probe.at("successThreshold");
    if probe.is_set() && threshold.int() != Some(1) {
        threshold.invalid_as(threshold.int().unwrap_or_default().to_string(), "must be 1");
    }
}

/// A readiness probe: it ends nothing, so it has no grace period.
pub(super) fn readiness(probe: &Cursor<'_>, grace: i64) {
    common(probe, grace);
    let period = probe.at("terminationGracePeriodSeconds");
    if period.is_set() {
        period.invalid("must not be set for readinessProbes");
    }
}

fn common(probe: &Cursor<'_>, grace: i64) {
    if !probe.is_set() {
        return;
    }
    handler(probe, OF_PROBES, grace);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        probe.at(field).not_negative();
    }
    probe.at("terminationGracePeriodSeconds").positive();
}

/// What a probe or hook does: exactly one of the kinds of handler, which are tried in the order of `kinds`.
pub(super) fn handler(handler: &Cursor<'_>, kinds: &[&str], grace: i64) {
    let mut count = 0;
    for name in kinds {
        let action = handler.at(name);
        if !action.is_set() {
            continue;
        }
        count += 1;
        if count > 1 {
            action.forbidden("may not specify more than 1 handler type");
            continue;
        }
        match *name {
            "exec" => drop(action.at("command").must_be_set()),
            "httpGet" => http_get(&action),
            "tcpSocket" | "grpc" => port(&action.at("port")),
            _ => sleep(&action, grace),
        }
    }
    if count == 0 {
        handler.required("must specify a handler type");
    }
}

fn http_get(action: &Cursor<'_>) {
    action.at("path").must_be_set();
    port(&action.at("port"));
    let scheme = action.at("scheme");
    if !matches!(scheme.text(), "HTTP" | "HTTPS") {
        scheme.not_supported(&["HTTP", "HTTPS"]);
    }
    let headers = action.at("httpHeaders");
    for header in headers.items() {
        let name = header.at("name");
        if name.is_empty() || !name.text().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            headers.invalid_str(name.text(), HEADER_RULE);
        }
    }
}

fn sleep(action: &Cursor<'_>, grace: i64) {
    let seconds = action.at("seconds").int().unwrap_or_default();
    if seconds < 0 || seconds > grace {
        action.invalid_as(
            seconds.to_string(),
            format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})"),
        );
    }
}

/// A port by number or by name.
pub(crate) fn port(port: &Cursor<'_>) {
    if port.value.is_string() {
        port.named(text::port_name);
    } else {
        port.port();
    }
}
