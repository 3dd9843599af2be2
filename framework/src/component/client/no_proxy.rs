//! The environment's proxy, and `NO_PROXY`: for which servers it is not meant. Source: Go's
//! `golang.org/x/net/http/httpproxy`.

use std::env;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use http::Uri;

/// The proxy that the environment has for a server.
///
/// # Errors
/// If it is no URL.
pub(super) fn of_environment(server: &Uri) -> Result<Option<Uri>> {
    of(server, |name| env::var(name).ok())
}

fn of(server: &Uri, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Uri>> {
    let either = |name: &str| {
        let value = |name: &str| variable(name).filter(|value| !value.is_empty());
        value(name).or_else(|| value(&name.to_ascii_lowercase()))
    };
    let name = if server.scheme_str() == Some("http") { "HTTP_PROXY" } else { "HTTPS_PROXY" };
    let Some(proxy) = either(name) else { return Ok(None) };
    if is_excepted(server.host().unwrap_or_default(), &either("NO_PROXY").unwrap_or_default()) {
        return Ok(None);
    }
    // Without a scheme it is one that is spoken to in plain HTTP.
    let url = if proxy.contains("://") { proxy } else { format!("http://{proxy}") };
    url.parse().map(Some).with_context(|| format!("{name} is not a URL"))
}

/// Whether `host` is among the exceptions: a list of names, which count for what is below them too, addresses, networks, or
/// `*` for all. The machine itself is always an exception.
fn is_excepted(host: &str, exceptions: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    let mut entries = exceptions.split(',').map(|entry| entry.trim().to_ascii_lowercase());
    entries.any(|entry| {
        let entry = entry.as_str();
        match (address, entry.split_once('/')) {
            _ if entry.is_empty() => false,
            _ if entry == "*" => true,
            (Some(address), Some((network, bits))) => is_in(address, network, bits),
            (Some(address), None) => entry.parse() == Ok(address),
            (None, _) => {
                let name = entry.trim_start_matches("*.").trim_start_matches('.');
                let below = host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
                below || (host == name && !entry.starts_with('.') && !entry.starts_with("*."))
            }
        }
    })
}

fn is_in(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let mask = |width: u32| u128::MAX.checked_shl(width.saturating_sub(bits)).unwrap_or(0);
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if bits <= 32 => {
            let differs = u128::from(u32::from(address) ^ u32::from(network));
            differs & mask(32) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if bits <= 128 => {
            (u128::from(address) ^ u128::from(network)) & mask(128) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_has_a_proxy_for_each_scheme() {
        let check = |server: &str, variables: &[(&str, &str)], expect: Option<&str>| {
            let variable =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            let found = of(&server.parse().unwrap(), variable).unwrap();
            assert_eq!(found, expect.map(|url| url.parse().unwrap()), "{server} {variables:?}");
        };
        let (secure, plain) = (("HTTPS_PROXY", "http://proxy:3128"), ("http_proxy", "other:80"));
        check("https://10.0.0.1:443", &[secure, plain], Some("http://proxy:3128"));
        check("http://10.0.0.1", &[secure, plain], Some("http://other:80"));
        check("https://10.0.0.1:443", &[plain], None);
        check("https://10.0.0.1:443", &[secure, ("NO_PROXY", "10.0.0.0/8")], None);
        check("https://10.0.0.1:443", &[secure, ("NO_PROXY", ""), ("no_proxy", "10.0.0.1")], None);
        check("https://127.0.0.1:6443", &[secure], None);
        assert!(of(&"https://a".parse().unwrap(), |_| Some("http://[".to_owned())).is_err());
    }

    #[test]
    fn names_count_for_what_is_below_them() {
        let check = |host: &str, exceptions: &str, expect: bool| {
            assert_eq!(is_excepted(host, exceptions), expect, "{host} in {exceptions:?}");
        };
        check("api.example.com", "", false);
        check("localhost", "", true);
        check("127.0.0.1", "", true);
        check("[::1]", "", true);
        check("api.example.com", "a.com, example.com", true);
        check("example.com", "example.com", true);
        check("example.com", ".example.com", false);
        check("api.example.com", "*.example.com", true);
        check("notexample.com", "example.com", false);
        check("api.example.com", "*", true);
        check("10.0.3.4", "10.0.0.0/16", true);
        check("10.1.3.4", "10.0.0.0/16", false);
        check("10.1.3.4", "0.0.0.0/0", true);
        check("10.1.3.4", "10.1.3.4", true);
        check("fd00::1", "fd00::/8", true);
        check("fe00::1", "fd00::/8", false);
        check("10.1.3.4", "10.0.0.0/x", false);
    }
}
