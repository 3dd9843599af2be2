//! `NO_PROXY`: for which servers the environment's proxy is not meant. Source: Go's `golang.org/x/net/http/httpproxy`.

use std::env;
use std::net::IpAddr;

/// What the environment says.
pub(super) fn exceptions() -> String {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    variable("NO_PROXY").or_else(|| variable("no_proxy")).unwrap_or_default()
}

/// Whether `host` is among the exceptions: a list of names, which count for what is below them too, addresses, networks, or
/// `*` for all. The machine itself is always an exception.
pub(super) fn is_excepted(host: &str, exceptions: &str) -> bool {
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
