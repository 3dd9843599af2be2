//! What a plugin answers: a code, reasons for people, and who said it.
//! Source: `k8s.io/kube-scheduler/framework`, `Status`.

use std::borrow::Cow;
use std::fmt;

/// The kind of an answer. The order is upstream's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The plugin has no objection.
    #[default]
    Success,
    /// Something inside failed; the pod is tried again after a backoff.
    Error,
    /// Not possible now; removing other pods could help.
    Unschedulable,
    /// Not possible, and removing other pods can't help.
    UnschedulableAndUnresolvable,
    /// Only from Permit: wait until somebody allows the pod.
    Wait,
    /// The plugin has nothing to say about this pod; from PreFilter, PreScore and Bind.
    Skip,
    /// An external party has to act first; the pod is retried at once when it has.
    Pending,
}

impl Code {
    /// Whether the pod was refused (and not: an error).
    pub fn is_rejected(self) -> bool {
        matches!(self, Self::Unschedulable | Self::UnschedulableAndUnresolvable | Self::Pending)
    }
}

/// Reasons without an allocation in the usual cases of none and of one constant text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Reasons {
    #[default]
    None,
    One(Cow<'static, str>),
    Many(Vec<Cow<'static, str>>),
}

/// The answer of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    code: Code,
    reasons: Reasons,
    plugin: &'static str,
}

impl Status {
    /// No objection.
    pub const fn success() -> Self {
        Self { code: Code::Success, reasons: Reasons::None, plugin: "" }
    }

    /// An answer of any kind with one reason.
    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reasons: Reasons::One(reason.into()), plugin: "" }
    }

    /// An answer of any kind with several reasons.
    pub fn with_reasons(code: Code, mut reasons: Vec<Cow<'static, str>>) -> Self {
        let reasons = match reasons.len() {
            0 => Reasons::None,
            1 => Reasons::One(reasons.remove(0)),
            _ => Reasons::Many(reasons),
        };
        Self { code, reasons, plugin: "" }
    }

    /// Not possible now; removing other pods could help.
    pub fn unschedulable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unschedulable, reason)
    }

    /// Not possible, and removing other pods can't help.
    pub fn unresolvable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::UnschedulableAndUnresolvable, reason)
    }

    /// Something inside failed.
    pub fn error(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Error, reason)
    }

    /// Nothing to say about this pod.
    pub const fn skip() -> Self {
        Self { code: Code::Skip, reasons: Reasons::None, plugin: "" }
    }

    /// Wait at Permit.
    pub const fn wait() -> Self {
        Self { code: Code::Wait, reasons: Reasons::None, plugin: "" }
    }

    /// The same answer, signed by a plugin. The framework does this; plugins need not.
    #[must_use]
    pub fn by(mut self, plugin: &'static str) -> Self {
        self.plugin = plugin;
        self
    }

    /// The kind of the answer.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The plugin that answered; empty if it was the framework.
    pub fn plugin(&self) -> &'static str {
        self.plugin
    }

    /// The reasons, in the order in which they were given.
    pub fn reasons(&self) -> &[Cow<'static, str>] {
        match &self.reasons {
            Reasons::None => &[],
            Reasons::One(reason) => std::slice::from_ref(reason),
            Reasons::Many(reasons) => reasons,
        }
    }

    /// Whether the plugin has no objection.
    pub fn is_success(&self) -> bool {
        self.code == Code::Success
    }

    /// Whether the plugin has nothing to say.
    pub fn is_skip(&self) -> bool {
        self.code == Code::Skip
    }

    /// Whether the pod was refused (and not: an error).
    pub fn is_rejected(&self) -> bool {
        self.code.is_rejected()
    }

    /// All reasons, joined by `, `.
    pub fn message(&self) -> String {
        self.reasons().join(", ")
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_joins_its_reasons() {
        let status = Status::with_reasons(Code::Unschedulable, vec!["Too many pods".into(), "Insufficient cpu".into()]);
        assert_eq!(status.message(), "Too many pods, Insufficient cpu");
        assert!(status.is_rejected());
        assert!(!Status::error("x").is_rejected());
        assert!(Status::default().is_success());
    }
}
