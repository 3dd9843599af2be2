//! The labels of a namespace: a level and a version of the standards for each of three modes.

use std::fmt;

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::meta;

/// What the labels begin with.
pub(super) const PREFIX: &str = "pod-security.kubernetes.io/";

/// How strict a standard is; the stricter, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Everything is allowed.
    Privileged,
    /// Known ways to more power over the node are not.
    Baseline,
    /// Only what is hardened is.
    Restricted,
}

/// A version of the standards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Of Kubernetes 1.x.
    Minor(u32),
    /// The newest that there is.
    Latest,
}

/// What pods are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standard {
    pub(super) level: Level,
    pub(super) version: Version,
}

/// What becomes of pods that do not meet a standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// They are refused.
    pub(super) enforce: Standard,
    /// They are noted.
    pub(super) audit: Standard,
    /// Their makers are warned.
    pub(super) warn: Standard,
}

impl Default for Policy {
    fn default() -> Self {
        let everything = Standard { level: Level::Privileged, version: Version::Latest };
        Self { enforce: everything, audit: everything, warn: everything }
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            Version::Latest => write!(f, "{level}:latest"),
            Version::Minor(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

impl Policy {
    /// What the labels of a namespace say, and what is wrong with them. A level that cannot be read is enforced as the
    /// strictest; for the other modes, it is left out. A namespace that says what is enforced and not of what is warned warns
    /// of the same: templates are not refused, and their makers should know.
    pub(super) fn of(namespace: &Value, defaults: &Self) -> (Self, ErrorList) {
        let mut errors = ErrorList::new();
        let mut standard = |mode: &str, default: Standard, fallback: Level| Standard {
            level: read(namespace, mode, level, &mut errors).unwrap_or(Ok(default.level)).unwrap_or(fallback),
            version: read(namespace, &format!("{mode}-version"), version, &mut errors)
                .unwrap_or(Ok(default.version))
                .unwrap_or(Version::Latest),
        };
        let mut policy = Self {
            enforce: standard("enforce", defaults.enforce, Level::Restricted),
            audit: standard("audit", defaults.audit, Level::Privileged),
            warn: standard("warn", defaults.warn, Level::Privileged),
        };
        let says = |label: &str| meta::label(namespace, &format!("{PREFIX}{label}"));
        let enforces = says("enforce").is_some_and(|text| level(text).is_ok());
        if enforces && says("warn").is_none() && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if says("warn-version").is_none() {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, errors)
    }
}

impl Policy {
    /// Whether everything is allowed.
    pub(super) fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|standard| standard.level == Level::Privileged)
    }

    /// What it asks for, as upstream's warnings show it.
    pub(super) fn in_short(&self) -> String {
        let modes = [("enforce", self.enforce), ("audit", self.audit), ("warn", self.warn)];
        let asked = modes.iter().filter(|(_, standard)| standard.level != Level::Privileged);
        asked.map(|(mode, standard)| format!("{mode}={standard}")).collect::<Vec<_>>().join(", ")
    }
}

/// The value of a label, if it is there.
fn read<T>(
    namespace: &Value,
    label: &str,
    parse: fn(&str) -> Result<T, &'static str>,
    errors: &mut ErrorList,
) -> Option<Result<T, ()>> {
    let label = format!("{PREFIX}{label}");
    let text = meta::label(namespace, &label)?;
    Some(parse(text).map_err(|why| {
        errors.push(FieldError::invalid_str(&Path::from("metadata.labels").key(&label), text, why));
    }))
}

pub(super) fn level(text: &str) -> Result<Level, &'static str> {
    match text {
        "privileged" => Ok(Level::Privileged),
        "baseline" => Ok(Level::Baseline),
        "restricted" => Ok(Level::Restricted),
        _ => Err("must be one of privileged, baseline, restricted"),
    }
}

pub(super) fn version(text: &str) -> Result<Version, &'static str> {
    let minor = text.strip_prefix("v1.").filter(|minor| *minor == "0" || !minor.starts_with('0'));
    let minor = minor.filter(|minor| minor.bytes().all(|byte| byte.is_ascii_digit()));
    match (text, minor.and_then(|minor| minor.parse().ok())) {
        ("latest", _) => Ok(Version::Latest),
        (_, Some(minor)) => Ok(Version::Minor(minor)),
        _ => Err("must be \"latest\" or \"v1.x\""),
    }
}
