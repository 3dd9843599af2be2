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

/// An IP address; leading zeros are not allowed.
pub(crate) fn ip(text: &str) -> Vec<String> {
    if text.parse::<IpAddr>().is_ok() {
        return Vec::new();
    }
    let octets: Vec<&str> = text.split('.').collect();
    let sloppy = octets.len() == 4
        && octets.iter().all(|octet| octet.len() > 1 && octet.starts_with('0') || octet.parse::<u8>().is_ok())
        && octets
            .iter()
            .all(|octet| octet.trim_start_matches('0').parse::<u8>().is_ok() || octet.trim_matches('0').is_empty());
    if sloppy {
        return vec!["must not have leading 0s".to_owned()];
    }
    vec![IP_RULE.to_owned()]
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

/// A network, `10.0.0.0/8`.
pub(crate) fn cidr(text: &str) -> Vec<String> {
    match parse_cidr(text) {
        Some(_) => Vec::new(),
        None => vec![CIDR_RULE.to_owned()],
    }
}

/// A point in time as `metav1.Time` writes it: RFC 3339, whole seconds.
pub(crate) fn seconds(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
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
        let cases: [(Check, &str, &[&str]); 14] = [
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
            (cidr, "10.0.0.0/33", &[CIDR_RULE]),
            (wildcard_subdomain, "*.a.b", &[]),
        ];
        for (check, text, expect) in cases {
            assert_eq!(check(text), expect, "{text}");
        }
    }
}
