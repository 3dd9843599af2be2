//! The values of `format` that are enforced.
//! Source: `k8s.io/apiextensions-apiserver/pkg/apiserver/validation/formats.go`, `k8s.io/kube-openapi/pkg/validation/strfmt`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::Date;
use regex::Regex;
use steersman_machinery::names;

/// Whether a text has a format.
type Check = fn(&str) -> bool;

/// Formats of texts that are enforced, with the check.
const CHECKED: [(&str, Check); 26] = [
    ("bsonobjectid", |text| text.len() == 24 && is_hex(text)),
    ("byte", |text| STANDARD.decode(text).is_ok()),
    ("cidr", is_cidr),
    ("creditcard", is_credit_card),
    ("date", |text| text.len() == 10 && text.parse::<Date>().is_ok()),
    ("date-time", is_date_time),
    ("datetime", is_date_time),
    ("duration", |text| matches(&DURATION, text)),
    ("email", |text| matches(&EMAIL, text)),
    ("hexcolor", |text| matches(&HEX_COLOR, text)),
    ("hostname", is_hostname),
    ("ipv4", |text| text.parse::<Ipv4Addr>().is_ok()),
    ("ipv6", |text| text.parse::<Ipv6Addr>().is_ok()),
    ("isbn", |text| is_isbn10(text) || is_isbn13(text)),
    ("isbn10", is_isbn10),
    ("isbn13", is_isbn13),
    ("k8s-long-name", |text| names::dns1123_subdomain(text).is_empty()),
    ("k8s-short-name", |text| names::dns1123_label(text).is_empty()),
    ("mac", is_mac),
    ("rgbcolor", |text| matches(&RGB_COLOR, text)),
    ("ssn", |text| matches(&SSN, text)),
    ("uri", |text| matches(&URI, text)),
    ("uuid", |text| is_uuid(text, None)),
    ("uuid3", |text| is_uuid(text, Some('3'))),
    ("uuid4", |text| is_uuid(text, Some('4'))),
    ("uuid5", |text| is_uuid(text, Some('5'))),
];
/// Formats that are known but not checked here: those of numbers, and passwords.
const UNCHECKED: [&str; 5] = ["double", "float", "int32", "int64", "password"];

/// Whether a definition may use the format without a warning.
pub fn is_known(format: &str) -> bool {
    UNCHECKED.contains(&format) || CHECKED.iter().any(|(name, _)| *name == format)
}

/// Whether the text has the format. Everything has a format that is not known.
pub(super) fn fits(format: &str, text: &str) -> bool {
    match CHECKED.iter().find(|(name, _)| *name == format) {
        Some((_, check)) => check(text),
        None => true,
    }
}

type Pattern = LazyLock<Option<Regex>>;

static DURATION: Pattern = LazyLock::new(|| {
    let go = r"[+-]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)";
    let words = r"\d+\s*(ns|nano|us|micro|ms|milli|s|sec|second|m|min|minute|h|hr|hour|d|day|w|wk|week)s?";
    Regex::new(&format!("^({go}|{words})$")).ok()
});
static EMAIL: Pattern = LazyLock::new(|| Regex::new(r"^[^\s@<>]+@[^\s@<>]+$").ok());
static HEX_COLOR: Pattern = LazyLock::new(|| Regex::new("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$").ok());
static RGB_COLOR: Pattern = LazyLock::new(|| {
    let part = r"\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*";
    Regex::new(&format!(r"^rgb\({part},{part},{part}\)$")).ok()
});
static SSN: Pattern = LazyLock::new(|| Regex::new(r"^\d{3}[- ]?\d{2}[- ]?\d{4}$").ok());
static URI: Pattern = LazyLock::new(|| Regex::new(r"^([a-zA-Z][a-zA-Z0-9+.-]*:|/)\S*$").ok());
static DATE_TIME: Pattern =
    LazyLock::new(|| Regex::new(r"^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$").ok());

fn matches(pattern: &Pattern, text: &str) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_date_time(text: &str) -> bool {
    matches(&DATE_TIME, text) && text.parse::<Timestamp>().is_ok()
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let max = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= max)
}

fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |c: char| c.is_alphanumeric() || c == '-';
        (1..=63).contains(&label.len()) && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 255 && text.split('.').all(is_label)
}

fn is_mac(text: &str) -> bool {
    let groups = |separator: char, digits: usize| -> Option<usize> {
        let groups: Vec<&str> = text.split(separator).collect();
        let fits = groups.iter().all(|group| group.len() == digits && is_hex(group));
        fits.then(|| groups.len() * digits / 2)
    };
    let bytes = groups(':', 2).or_else(|| groups('-', 2)).or_else(|| groups('.', 4));
    matches!(bytes, Some(6 | 8 | 20))
}

fn is_uuid(text: &str, version: Option<char>) -> bool {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let dashes_fit = match text.len() {
        32 => !text.contains('-'),
        36 => text.char_indices().all(|(at, c)| matches!(at, 8 | 13 | 18 | 23) == (c == '-')),
        _ => false,
    };
    let variant = |c: char| matches!(c, '8' | '9' | 'a' | 'b' | 'A' | 'B');
    dashes_fit
        && digits.len() == 32
        && is_hex(&digits)
        && version.is_none_or(|version| {
            digits.chars().nth(12) == Some(version) && (version == '3' || digits.chars().nth(16).is_some_and(variant))
        })
}

fn digits_of(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | ' ')).collect()
}

fn is_isbn10(text: &str) -> bool {
    let digits = digits_of(text);
    let value = |(at, c): (usize, char)| match c {
        'X' if at == 9 => Some(10),
        c => c.to_digit(10),
    };
    let values: Option<Vec<u32>> = digits.chars().enumerate().map(value).collect();
    values.is_some_and(|values| {
        values.len() == 10
            && values.iter().zip((1..=10).rev()).map(|(value, weight)| value * weight).sum::<u32>() % 11 == 0
    })
}

fn is_isbn13(text: &str) -> bool {
    let values: Option<Vec<u32>> = digits_of(text).chars().map(|c| c.to_digit(10)).collect();
    values.is_some_and(|values| {
        let weighted = values.iter().zip([1, 3].into_iter().cycle()).map(|(value, weight)| value * weight);
        values.len() == 13 && weighted.sum::<u32>() % 10 == 0
    })
}

fn is_credit_card(text: &str) -> bool {
    let values: Option<Vec<u32>> = digits_of(text).chars().map(|c| c.to_digit(10)).collect();
    values.is_some_and(|values| {
        let doubled = values.iter().rev().enumerate().map(|(at, value)| match at % 2 {
            0 => *value,
            _ if value * 2 > 9 => value * 2 - 9,
            _ => value * 2,
        });
        (13..=16).contains(&values.len()) && doubled.sum::<u32>() % 10 == 0
    })
}
