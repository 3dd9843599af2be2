//! Semantic versions.
//!
//! Source: `k8s.io/apiserver/pkg/cel/library/semverlib.go`; semver.org for the order.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Outcome, fail, no_overload};
use crate::value::{Opaque, Value};

/// A version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Semver {
    numbers: [u64; 3],
    before: Vec<String>,
}

impl Semver {
    fn parse(text: &str) -> Result<Self, String> {
        let (rest, build) = match text.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (text, None),
        };
        let (numbers, before) = match rest.split_once('-') {
            Some((numbers, before)) => (numbers, Some(before)),
            None => (rest, None),
        };
        let parts: Vec<&str> = numbers.split('.').collect();
        let [major, minor, patch] = parts[..] else { return Err("No Major.Minor.Patch elements found".to_owned()) };
        let identifier = |it: &str| !it.is_empty() && it.chars().all(|it| it.is_ascii_alphanumeric() || it == '-');
        let before: Vec<String> = before.map(|it| it.split('.').map(str::to_owned).collect()).unwrap_or_default();
        for part in &before {
            let numeric = part.chars().all(|it| it.is_ascii_digit());
            if !identifier(part) || (numeric && part.len() > 1 && part.starts_with('0')) {
                return Err(format!("Invalid character(s) found in prerelease {}", super::strings::quoted(part)));
            }
        }
        if !build.is_none_or(|build| build.split('.').all(identifier)) {
            return Err("Invalid character(s) found in build meta data".to_owned());
        }
        let numbers = [number(major, "major")?, number(minor, "minor")?, number(patch, "patch")?];
        Ok(Self { numbers, before })
    }

    /// With the forms allowed that are common: a leading `v`, fewer than three numbers, leading zeros.
    fn normalized(text: &str) -> String {
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (numbers, rest) = text.split_at(end);
        let trimmed = |it: &str| match it.trim_start_matches('0') {
            "" if !it.is_empty() => "0".to_owned(),
            other => other.to_owned(),
        };
        let mut parts: Vec<String> = numbers.split('.').map(trimmed).collect();
        if rest.is_empty() {
            while parts.len() < 3 {
                parts.push("0".to_owned());
            }
        }
        format!("{}{rest}", parts.join("."))
    }

    /// The order of versions: one before a release is less than the release.
    pub fn compare(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.before.is_empty(), other.before.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let parts = self.before.iter().zip(&other.before).map(|(one, other)| compare_parts(one, other));
                let first = parts.into_iter().find(|order| order.is_ne());
                first.unwrap_or_else(|| self.before.len().cmp(&other.before.len()))
            }
        })
    }
}

fn number(text: &str, name: &str) -> Result<u64, String> {
    if text.is_empty() || !text.chars().all(|it| it.is_ascii_digit()) {
        return Err(format!("Invalid character(s) found in {name} number {}", super::strings::quoted(text)));
    }
    if text.len() > 1 && text.starts_with('0') {
        let name = format!("{}{}", name[..1].to_ascii_uppercase(), &name[1..]);
        return Err(format!("{name} number must not contain leading zeroes {}", super::strings::quoted(text)));
    }
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {}: value out of range", super::strings::quoted(text)))
}

fn compare_parts(one: &str, other: &str) -> Ordering {
    match (one.parse::<u64>(), other.parse::<u64>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => one.cmp(other),
    }
}

fn read(args: &[Value<'_>]) -> Option<Result<Semver, String>> {
    match args {
        [Value::Text(text)] | [Value::Text(text), Value::Bool(false)] => Some(Semver::parse(text.as_str())),
        [Value::Text(text), Value::Bool(true)] => Some(Semver::parse(&Semver::normalized(text.as_str()))),
        _ => None,
    }
}

pub(crate) fn semver<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match read(args) {
        Some(Ok(version)) => Ok(Value::Opaque(Opaque::Semver(Arc::new(version)))),
        Some(Err(error)) => fail(error),
        None => no_overload(),
    }
}

pub(crate) fn is_semver<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match read(args) {
        Some(result) => Ok(Value::Bool(result.is_ok())),
        None => no_overload(),
    }
}

fn part<'a>(args: &[Value<'a>], at: usize) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Semver(version))] => {
            Ok(Value::Int(i64::try_from(version.numbers[at]).unwrap_or(i64::MAX)))
        }
        _ => no_overload(),
    }
}

pub(crate) fn major<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    part(args, 0)
}

pub(crate) fn minor<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    part(args, 1)
}

pub(crate) fn patch<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    part(args, 2)
}
