//! `AlwaysAdmit` and `AlwaysDeny` (both off by default), and plugins that have nothing to do here.
//! Source: `kubernetes/plugin/pkg/admission/{admit,deny}`.

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::status::Status;

use super::{Attributes, Plugin, Verdict};

/// Says the same to everything.
pub(super) struct Always {
    name: &'static str,
    denies: bool,
}

/// `AlwaysAdmit`.
pub(super) const ADMIT: Always = Always { name: "AlwaysAdmit", denies: false };
/// `AlwaysDeny`.
pub(super) const DENY: Always = Always { name: "AlwaysDeny", denies: true };

/// A plugin of upstream's whose rules are looked at by validation here, or that belongs to a feature that is off. Who
/// switches it on or off by its name is understood.
pub(super) const fn elsewhere(name: &'static str) -> Always {
    Always { name, denies: false }
}

impl Always {
    fn verdict(&self, attributes: &Attributes<'_>, object: &Value) -> Result<(), Status> {
        match self.denies {
            true => Err(attributes.forbidden(object, "admission control is denying all modifications")),
            false => Ok(()),
        }
    }
}

impl Plugin for Always {
    fn name(&self) -> &'static str {
        self.name
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        futures::future::ready(self.verdict(attributes, object)).left_future()
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        futures::future::ready(self.verdict(attributes, object.unwrap_or(&Value::Null))).left_future()
    }
}
