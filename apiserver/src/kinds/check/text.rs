//! What texts may look like besides names: keys of configuration, ports, percentages, addresses.
//! Source: `k8s.io/apimachinery/pkg/util/validation`.

use std::net::IpAddr;

/// What is wrong with a text that should be a percentage.
pub(crate) const PERCENT_RULE: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
const CONFIG_KEY_RULE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const ENV_NAME_RULE: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const IP_RULE: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const CIDR_RULE: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
const WILDCARD_RULE: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// The number of a percentage, `25%`.
pub(crate) fn percent(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%')?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

const UNDERSCORE_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";

/// A DNS name of whose parts all but the last character may be underscores.
pub(crate) fn subdomain_with_underscore(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > 253 {
        complaints.push("must be no more than 253 characters".to_owned());
    }
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let fine = text.split('.').all(|part| {
        let bytes = part.strip_prefix('_').unwrap_or(part).as_bytes();
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
    });
    if !fine {
        complaints.push(UNDERSCORE_RULE.to_owned());
    }
    complaints
}

/// A key of a ConfigMap or a Secret.
pub(crate) fn config_key(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > 253 {
        complaints.push("must be no more than 253 characters".to_owned());
    }
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(fine) {
        complaints.push(CONFIG_KEY_RULE.to_owned());
    }
    match text {
        "." => complaints.push("must not be '.'".to_owned()),
        ".." => complaints.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => complaints.push("must not start with '..'".to_owned()),
        _ => {}
    }
    complaints
}

/// The name of an environment variable.
pub(crate) fn env_name(text: &str) -> Vec<String> {
    let fine = |b: u8| (b' '..=b'~').contains(&b) && b != b'=';
    if text.is_empty() || !text.bytes().all(fine) { vec![ENV_NAME_RULE.to_owned()] } else { Vec::new() }
}

/// The name of a port: an IANA service name.
pub(crate) fn port_name(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > 15 {
        complaints.push("must be no more than 15 characters");
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        complaints.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    } else if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        complaints.push("must contain at least one letter (a-z)");
    }
    if text.contains("--") {
        complaints.push("must not contain consecutive hyphens");
    }
    if text.starts_with('-') || text.ends_with('-') {
        complaints.push("must not begin or end with a hyphen");
    }
    complaints.into_iter().map(str::to_owned).collect()
}

/// An IP address; leading zeros are not allowed, nor IPv4 in the clothes of IPv6.
pub(crate) fn ip(text: &str) -> Vec<String> {
    let rule = match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => "must not be an IPv4-mapped IPv6 address",
        Ok(_) => return Vec::new(),
        Err(_) if sloppy_ip(text).is_some() => "must not have leading 0s",
        Err(_) => IP_RULE,
    };
    vec![rule.to_owned()]
}

/// An address as it was understood before leading zeros were refused: `010.0.0.1` is `10.0.0.1`.
pub(crate) fn sloppy_ip(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip);
    }
    let (head, v4) = text.rfind(':').map_or(("", text), |at| text.split_at(at + 1));
    let octets: Option<Vec<String>> = v4
        .split('.')
        .map(|octet| {
            let digits = !octet.is_empty() && octet.len() <= 9 && octet.bytes().all(|b| b.is_ascii_digit());
            let number: u8 = digits.then(|| octet.parse::<u32>().ok())??.try_into().ok()?;
            Some(number.to_string())
        })
        .collect();
    format!("{head}{}", octets.filter(|octets| octets.len() == 4)?.join(".")).parse().ok()
}

/// What makes an address unfit for an endpoint: it is nobody's, this machine's, this link's, or a group's.
pub(crate) fn not_for_endpoints(text: &str) -> Vec<String> {
    let Ok(ip) = text.parse::<IpAddr>() else {
        return vec!["must be a valid IP address".to_owned()];
    };
    let (local, group) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.segments()[0] & 0xffc0 == 0xfe80, ip.segments()[0] == 0xff02),
    };
    let mut complaints = Vec::new();
    if ip.is_unspecified() {
        complaints.push(format!("may not be unspecified ({text})"));
    }
    if ip.is_loopback() {
        complaints.push("may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned());
    }
    if local {
        complaints.push("may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned());
    }
    if group {
        complaints.push("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned());
    }
    complaints
}

/// An address and the length of its network prefix.
pub(crate) fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    if bits.is_empty() || !bits.bytes().all(|b| b.is_ascii_digit()) || (bits.len() > 1 && bits.starts_with('0')) {
        return None;
    }
    let bits: u8 = bits.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some((address, bits))
}

/// Whether an address lies in a network.
pub(crate) fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
        IpAddr::V6(ip) => u128::from(ip),
    };
    let different = number(network) ^ number(address);
    network.is_ipv4() == address.is_ipv4() && different.leading_zeros() >= u32::from(bits)
}

/// A network, `10.0.0.0/8`: nothing is set beyond its prefix.
pub(crate) fn cidr(text: &str) -> Vec<String> {
    let rule = match parse_cidr(text) {
        None if sloppy_cidr(text).is_some() => "must not have leading 0s in IP or prefix length",
        None => CIDR_RULE,
        Some((IpAddr::V6(ip), _)) if ip.to_ipv4_mapped().is_some() => "must not have an IPv4-mapped IPv6 address",
        Some((ip, bits)) if masked(ip, bits) != ip => "must not have bits set beyond the prefix length",
        Some(_) => return Vec::new(),
    };
    vec![rule.to_owned()]
}

/// A network as it was understood before leading zeros were refused.
pub(crate) fn sloppy_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let digits = !bits.is_empty() && bits.len() <= 9 && bits.bytes().all(|b| b.is_ascii_digit());
    let (ip, bits) = (sloppy_ip(address)?, digits.then(|| bits.parse::<u8>().ok())??);
    (bits <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, bits))
}

/// The first address of the network that `ip` lies in.
pub(crate) fn masked(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or_default();
            IpAddr::V4((u32::from(ip) & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or_default();
            IpAddr::V6((u128::from(ip) & mask).into())
        }
    }
}

/// What is said of the address at `place` that is valid but not as it should be written.
pub(crate) fn ip_warnings(place: &str, text: &str) -> Vec<String> {
    match (text.parse::<IpAddr>(), sloppy_ip(text)) {
        (Ok(IpAddr::V6(ip)), _) if ip.to_ipv4_mapped().is_none() && ip.to_string() != text => {
            vec![format!("{place}: IPv6 address {text:?} should be in RFC 5952 canonical format (\"{ip}\")")]
        }
        (Ok(IpAddr::V6(ip)), _) if ip.to_ipv4_mapped().is_some() => {
            let plain = ip.to_canonical();
            vec![non_standard(place, "IP address", text, &plain.to_string())]
        }
        (Err(_), Some(ip)) => vec![non_standard(place, "IP address", text, &ip.to_canonical().to_string())],
        _ => Vec::new(),
    }
}

fn non_standard(place: &str, what: &str, text: &str, use_this: &str) -> String {
    let future = "will be considered invalid in a future Kubernetes release";
    format!("{place}: non-standard {what} {text:?} {future}: use {use_this:?}")
}

/// What is said of the network at `place` that is valid but not as it should be written.
pub(crate) fn cidr_warnings(place: &str, text: &str) -> Vec<String> {
    let Some((ip, bits)) = parse_cidr(text) else {
        return Vec::new();
    };
    let first = masked(ip, bits);
    if first != ip {
        let single = format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 });
        let rule = format!("is ambiguous in this context (should be \"{first}/{bits}\" or {single:?}?)");
        return vec![format!("{place}: CIDR value {text:?} {rule}")];
    }
    let canonical = format!("{ip}/{bits}");
    if ip.is_ipv6() && canonical != text {
        return vec![format!(
            "{place}: IPv6 CIDR value {text:?} should be in RFC 5952 canonical format ({canonical:?})"
        )];
    }
    Vec::new()
}

/// A point in time as `metav1.Time` writes it: RFC 3339, whole seconds.
pub(crate) fn seconds(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What is wrong with a path of which the first part is a domain, `acme.io/foo`, and with which part of it.
pub(crate) fn domain_prefixed_path(path: &str) -> Vec<(&str, String)> {
    let parts = path.split_once('/').filter(|(host, path)| !host.is_empty() && !path.is_empty());
    let Some((host, rest)) = parts else {
        return vec![(path, "must be a domain-prefixed path (such as \"acme.io/foo\")".to_owned())];
    };
    let mut complaints: Vec<_> =
        steersman_machinery::names::dns1123_subdomain(host).into_iter().map(|complaint| (host, complaint)).collect();
    if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b)) {
        let rule = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
        complaints.push((rest, rule.to_owned()));
    }
    complaints
}

/// A DNS name whose first part is `*`.
pub(crate) fn wildcard_subdomain(text: &str) -> Vec<String> {
    let fine =
        text.strip_prefix("*.").is_some_and(|rest| steersman_machinery::names::dns1123_subdomain(rest).is_empty());
    if fine { Vec::new() } else { vec![WILDCARD_RULE.to_owned()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_judged_as_upstream_does() {
        type Check = fn(&str) -> Vec<String>;
        let cases: [(Check, &str, &[&str]); 20] = [
            (config_key, "a.B_c-1", &[]),
            (config_key, "bad key", &[CONFIG_KEY_RULE]),
            (config_key, "..", &["must not be '..'"]),
            (config_key, "..a", &["must not start with '..'"]),
            (env_name, "A B", &[]),
            (env_name, "a=b", &[ENV_NAME_RULE]),
            (port_name, "http", &[]),
            (port_name, "123", &["must contain at least one letter (a-z)"]),
            (port_name, "a--b", &["must not contain consecutive hyphens"]),
            (ip, "10.0.0.1", &[]),
            (ip, "01.1.1.1", &["must not have leading 0s"]),
            (ip, "10.0.0.300", &[IP_RULE]),
            (ip, "::ffff:10.0.0.1", &["must not be an IPv4-mapped IPv6 address"]),
            (ip, "::ffff:010.0.0.1", &["must not have leading 0s"]),
            (cidr, "10.0.0.0/33", &[CIDR_RULE]),
            (cidr, "10.0.0.1/8", &["must not have bits set beyond the prefix length"]),
            (cidr, "010.0.0.0/8", &["must not have leading 0s in IP or prefix length"]),
            (cidr, "10.0.0.0/08", &["must not have leading 0s in IP or prefix length"]),
            (cidr, "::ffff:10.0.0.0/104", &["must not have an IPv4-mapped IPv6 address"]),
            (wildcard_subdomain, "*.a.b", &[]),
        ];
        for (check, text, expect) in cases {
            assert_eq!(check(text), expect, "{text}");
        }
    }
}
