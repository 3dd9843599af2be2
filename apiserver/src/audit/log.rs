//! The audit log: events as lines of JSON. Source: `audit.k8s.io/v1` `Event`; `k8s.io/apiserver/plugin/pkg/audit/log`.

use std::fmt;
use std::io::Write;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman_machinery::clock::format_micro_time;
use steersman_machinery::meta;

use super::policy::{Decision, Policy, Stage};
use super::trail::About;
use crate::authentication::UserInfo;

/// Where events go, and which.
pub struct Log {
    pub(super) policy: Policy,
    writer: Mutex<Box<dyn Write + Send>>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// What is known of a request at a stage.
pub(super) struct Known<'a> {
    pub(super) about: &'a About,
    pub(super) decision: &'a Decision,
    pub(super) user: &'a UserInfo,
    pub(super) impersonated: Option<&'a UserInfo>,
    pub(super) outcome: Option<&'a Value>,
    pub(super) request: Option<&'a Value>,
    pub(super) response: Option<&'a Value>,
}

impl Log {
    /// Writes the events that the policy wants. Each is written whole, so that nothing is lost when the process ends.
    pub fn new(policy: Policy, writer: Box<dyn Write + Send>) -> Self {
        Self { policy, writer: Mutex::new(writer) }
    }

    pub(super) fn write(&self, stage: Stage, now: Timestamp, known: &Known<'_>) {
        if known.decision.omit_stages.contains(&stage) {
            return;
        }
        let mut line = event(stage, now, known).to_string();
        line.push('\n');
        let mut writer = self.writer.lock();
        if let Err(error) = writer.write_all(line.as_bytes()).and_then(|()| writer.flush()) {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }
}

fn event(stage: Stage, now: Timestamp, known: &Known<'_>) -> Value {
    let about = known.about;
    let mut event = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": known.decision.level.as_str(),
        "auditID": about.audit_id, "stage": stage.as_str(), "requestURI": about.uri, "verb": about.info.verb,
        "user": known.user.to_json(),
        "requestReceivedTimestamp": format_micro_time(about.received), "stageTimestamp": format_micro_time(now),
    });
    let mut add = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            event[field] = value;
        }
    };
    add("impersonatedUser", known.impersonated.map(UserInfo::to_json));
    add("sourceIPs", (!about.source_ips.is_empty()).then(|| json!(about.source_ips)));
    add("userAgent", (!about.user_agent.is_empty()).then(|| json!(about.user_agent)));
    add("objectRef", about.info.is_resource.then(|| object_reference(known)));
    add("responseStatus", known.outcome.cloned());
    for (field, object) in [("requestObject", known.request), ("responseObject", known.response)] {
        add(field, object.map(|object| without_owners(object, known.decision.omit_managed_fields)));
    }
    let annotations = about.annotations.get();
    add("annotations", (!annotations.is_empty()).then(|| json!(annotations)));
    event
}

/// The object of a request. What the path leaves open, the body may say.
fn object_reference(known: &Known<'_>) -> Value {
    let info = &known.about.info;
    let from_body = |field: &str| known.request.map(|it| meta::text(it, &["metadata", field])).unwrap_or_default();
    let name = if info.name.is_empty() { from_body("name") } else { &info.name };
    let mut reference = json!({"resource": info.resource});
    for (field, value) in [
        ("namespace", info.namespace.as_str()),
        ("name", name),
        ("uid", from_body("uid")),
        ("apiGroup", info.group.as_str()),
        ("apiVersion", info.version.as_str()),
        ("resourceVersion", from_body("resourceVersion")),
        ("subresource", info.subresource.as_str()),
    ] {
        if !value.is_empty() {
            reference[field] = json!(value);
        }
    }
    reference
}

fn without_owners(object: &Value, omit: bool) -> Value {
    let mut object = object.clone();
    if omit {
        meta::remove(&mut object, &["metadata", "managedFields"]);
        for item in object.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            meta::remove(item, &["metadata", "managedFields"]);
        }
    }
    object
}
