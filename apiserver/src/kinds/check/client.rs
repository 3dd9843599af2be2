//! Where a webhook is called: a URL, or a service in the cluster.
//! Source: `k8s.io/apiserver/pkg/util/webhook` (`ValidateWebhookURL`, `ValidateWebhookService`).

use steersman_machinery::names;

use super::Cursor;

const FORM: &str = "; desired format: https://host[/path]";

/// The parts of a URL that matter here.
struct Url<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    host: &'a str,
    fragment: &'a str,
    query: &'a str,
}

impl<'a> Url<'a> {
    /// Takes a URL apart. What is no URL at all is one without a scheme and a host, as for Go.
    fn of(text: &'a str) -> Self {
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let legal = |scheme: &&str| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        };
        let (scheme, rest) = rest.split_once(':').filter(|(scheme, _)| legal(scheme)).unwrap_or(("", rest));
        let authority = rest.strip_prefix("//").map(|rest| rest.split('/').next().unwrap_or_default());
        let authority = authority.unwrap_or_default();
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        Self { scheme, user, host, fragment, query }
    }
}

/// A URL of a webhook.
pub(crate) fn url(url: &Cursor<'_>) {
    let text = url.text();
    if let Some(why) = malformed(text) {
        url.required(&format!("url must be a valid URL: parse {text:?}: {why}{FORM}"));
        return;
    }
    let parts = Url::of(text);
    if !parts.scheme.eq_ignore_ascii_case("https") {
        url.invalid_str(&parts.scheme.to_lowercase(), format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if parts.host.is_empty() {
        url.invalid_str("", format!("host must be provided{FORM}"));
    }
    if let Some(user) = parts.user {
        url.invalid_str(user, "user information is not permitted in the URL");
    }
    if !parts.fragment.is_empty() {
        url.invalid_str(parts.fragment, "fragments are not permitted in the URL");
    }
    if !parts.query.is_empty() {
        url.invalid_str(parts.query, "query parameters are not permitted in the URL");
    }
}

/// What Go's parser of URLs says of a text that is none.
fn malformed(text: &str) -> Option<String> {
    if text.bytes().any(|b| b < b' ' || b == 0x7f) {
        return Some("net/url: invalid control character in URL".to_owned());
    }
    if text.starts_with(':') {
        return Some("missing protocol scheme".to_owned());
    }
    let authority = text.split_once("//").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let host = authority.unwrap_or_default().rsplit('@').next().unwrap_or_default();
    if let Some(space) = host.chars().find(|c| " \"<>".contains(*c)) {
        return Some(format!("invalid character {:?} in host name", space.to_string()));
    }
    let port = if host.starts_with('[') {
        host.rsplit_once(']').map(|(_, port)| port)
    } else {
        host.find(':').map(|at| &host[at..])
    };
    let port = port.filter(|port| !port.is_empty())?;
    let digits = port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    (!digits).then(|| format!("invalid port {port:?} after host"))
}

/// A service of a webhook.
pub(crate) fn service(service: &Cursor<'_>) {
    // Upstream hands the two over the wrong way round (its issue 141353): what is missing is told of the other one.
    for (missing, told) in [("namespace", "name"), ("name", "namespace")] {
        if service.at(missing).is_empty() {
            service.at(told).required(&format!("service {told} is required"));
        }
    }
    let port = service.at("port");
    if port.is_set() && !(1..=65535).contains(&port.int().unwrap_or_default()) {
        port.invalid("port is not valid: must be between 1 and 65535, inclusive");
    }
    path(&service.at("path"));
}

fn path(path: &Cursor<'_>) {
    let text = path.text();
    match text {
        "" | "/" => return,
        "//" => return path.invalid("segment[0] may not be empty"),
        _ => {}
    }
    if !text.starts_with('/') {
        path.invalid("must start with a '/'");
    }
    // Upstream drops the first character, whatever it is.
    let rest = text.char_indices().nth(1).map_or("", |(at, _)| &text[at..]);
    for (index, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            path.invalid(format!("segment[{index}] may not be empty"));
            continue;
        }
        for complaint in names::dns1123_subdomain(step) {
            path.invalid(format!("segment[{index}]: {complaint}"));
        }
    }
}
