//! How the status of a job may change: counts do not fall, what is finished stays so, and each end is announced before.
//! Source: `ValidateJobStatusUpdate` of `k8s.io/kubernetes/pkg/apis/batch/validation`, `getStatusValidationOptions` of
//! `pkg/registry/batch/job`. Most rules are looked at only when one of the fields changes that they are about.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::clock::parse_time;
use steersman_machinery::meta;

use super::indexes;
use crate::kinds::check::{self, Cursor};

const COUNTS: [&str; 5] = ["active", "succeeded", "failed", "ready", "terminating"];

/// A job with the parts that rules ask for.
struct View<'a> {
    object: &'a Value,
}

impl<'a> View<'a> {
    fn status(&self, field: &str) -> Option<&'a Value> {
        meta::at(self.object, &["status", field]).filter(|value| !value.is_null())
    }

    fn spec(&self, field: &str) -> Option<&'a Value> {
        meta::at(self.object, &["spec", field]).filter(|value| !value.is_null())
    }

    fn number(&self, field: &str) -> i64 {
        self.status(field).and_then(Value::as_i64).unwrap_or_default()
    }

    fn text(&self, field: &str) -> &'a str {
        self.status(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn is(&self, condition: &str) -> bool {
        meta::items(self.object, &["status", "conditions"])
            .iter()
            .any(|it| meta::text(it, &["type"]) == condition && meta::text(it, &["status"]) == "True")
    }

    fn is_finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }

    fn is_indexed(&self) -> bool {
        self.spec("completionMode").and_then(Value::as_str) == Some("Indexed")
    }

    fn completions(&self) -> Option<i64> {
        self.spec("completions").and_then(Value::as_i64)
    }
}

/// What is wrong with the change of the status from that of `old`.
pub(super) fn validate(root: &Cursor<'_>, old: &Value) {
    let status = root.at("status");
    let (new, old) = (View { object: root.value }, View { object: old });
    for field in COUNTS {
        status.at(field).not_negative();
    }
    uncounted(&status.at("uncountedTerminatedPods"));
    let changed = |fields: &[&str]| fields.iter().any(|field| !check::same(new.status(field), old.status(field)));
    let turned = |conditions: &[&str]| conditions.iter().any(|it| new.is(it) != old.is(it));
    ends(&status, &new, &turned);
    times(&status, &new, changed(&["startTime"]), changed(&["completionTime"]) || turned(&["Complete"]));
    announced(&status, &new, &turned);
    let finished = new.is_finished() != old.is_finished();
    leftovers(&status, &new, &|fields| finished || changed(fields));
    index_lists(&status, &new, &changed);
    if (finished || changed(&["terminating"])) && new.number("terminating") > 0 && new.is_finished() {
        status.at("terminating").invalid("terminating>0 is invalid for finished job");
    }
    if changed(&["ready", "active"]) && new.number("ready") > new.number("active") {
        status.at("ready").invalid("cannot set more ready pods than active");
    }
    exclusive(&status, &new);
    transitions(&status, &new, &old);
}

fn uncounted(pods: &Cursor<'_>) {
    let mut seen = BTreeSet::new();
    for list in ["succeeded", "failed"] {
        for uid in pods.at(list).items() {
            if uid.text().is_empty() {
                uid.invalid_text("must not be empty");
            } else {
                uid.once(&mut seen);
            }
        }
    }
}

fn conditions(status: &Cursor<'_>, why: impl Into<String>) {
    status.at("conditions").invalid_as("", why);
}

/// A job comes to one end.
fn ends(status: &Cursor<'_>, new: &View<'_>, turned: &dyn Fn(&[&str]) -> bool) {
    for other in ["Failed", "FailureTarget"] {
        if turned(&["Complete", other]) && new.is("Complete") && new.is(other) {
            conditions(status, format!("cannot set Complete=True and {other}=true conditions"));
        }
    }
}

fn times(status: &Cursor<'_>, new: &View<'_>, started: bool, completed: bool) {
    let completion = status.at("completionTime");
    if completed && completion.is_set() && !new.is("Complete") {
        completion.invalid("cannot set completionTime when there is no Complete=True condition");
    }
    if completed && !completion.is_set() && new.is("Complete") {
        completion.required("completionTime is required for Complete jobs");
    }
    let time = |field| parse_time(new.text(field));
    if (started || completed)
        && let (Some(start), Some(end)) = (time("startTime"), time("completionTime"))
        && end < start
    {
        completion.invalid("completionTime cannot be set before startTime");
    }
}

/// Each end has a condition that comes before it.
fn announced(status: &Cursor<'_>, new: &View<'_>, turned: &dyn Fn(&[&str]) -> bool) {
    for (end, before) in [("Failed", "FailureTarget"), ("Complete", "SuccessCriteriaMet")] {
        if turned(&[end, before]) && new.is(end) && !new.is(before) {
            conditions(status, format!("cannot set {end}=True condition without the {before}=true condition"));
        }
    }
}

/// What a finished job has not any more.
fn leftovers(status: &Cursor<'_>, new: &View<'_>, concerned: &dyn Fn(&[&str]) -> bool) {
    if !new.is_finished() {
        return;
    }
    if concerned(&["active"]) && new.number("active") > 0 {
        status.at("active").invalid("active>0 is invalid for finished job");
    }
    if concerned(&["startTime"]) && new.status("startTime").is_none() {
        status.at("startTime").required("startTime is required for finished job");
    }
    let pods = status.at("uncountedTerminatedPods");
    let some = ["succeeded", "failed"].into_iter().any(|list| !pods.at(list).is_empty());
    if concerned(&["uncountedTerminatedPods"]) && some {
        let list = |name: &str| match pods.at(name).value {
            Value::Null => "null".to_owned(),
            list => list.to_string(),
        };
        let shown = format!("{{\"Succeeded\":{},\"Failed\":{}}}", list("succeeded"), list("failed"));
        pods.invalid_as(shown, "uncountedTerminatedPods needs to be empty for finished job");
    }
}

fn index_lists(status: &Cursor<'_>, new: &View<'_>, changed: &dyn Fn(&[&str]) -> bool) {
    let (completed, failed) = (status.at("completedIndexes"), status.at("failedIndexes"));
    let (completed_changed, failed_changed) = (changed(&["completedIndexes"]), changed(&["failedIndexes"]));
    let per_index = new.spec("backoffLimitPerIndex").is_some();
    if let Some(completions) = new.completions() {
        if completed_changed && let Err(error) = indexes::count(completed.text(), completions) {
            completed.invalid_text(format!("error parsing completedIndexes: {error}"));
        }
        if failed_changed
            && per_index
            && let Err(error) = indexes::count(failed.text(), completions)
        {
            failed.invalid_text(format!("error parsing failedIndexes: {error}"));
        }
    }
    if completed_changed && !completed.is_empty() && !new.is_indexed() {
        completed.invalid("cannot set non-empty completedIndexes when non-indexed completion mode");
    }
    if failed_changed && failed.is_set() && !per_index {
        failed.invalid("cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if (completed_changed || failed_changed)
        && let Some(completions) = new.completions()
        && let Some(index) = indexes::overlap(completed.text(), failed.text(), completions)
    {
        failed.invalid(format!("failedIndexes and completedIndexes overlap at index: {index}"));
    }
}

fn exclusive(status: &Cursor<'_>, new: &View<'_>) {
    for other in ["Failed", "FailureTarget"] {
        if new.is("SuccessCriteriaMet") && new.is(other) {
            conditions(status, format!("cannot set SuccessCriteriaMet=True and {other}=true conditions"));
        }
    }
    if new.spec("successPolicy").is_some() && !new.is("SuccessCriteriaMet") && new.is("Complete") {
        conditions(status, "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True");
    }
}

fn transitions(status: &Cursor<'_>, new: &View<'_>, old: &View<'_>) {
    for end in ["Failed", "Complete", "FailureTarget"] {
        if old.is(end) && !new.is(end) {
            conditions(status, format!("cannot disable the terminal {end}=True condition"));
        }
    }
    if new.number("failed") < old.number("failed") {
        status.at("failed").invalid_as(new.number("failed").to_string(), "cannot decrease the failed counter");
    }
    // An indexed job whose parallelism follows its completions may be scaled down.
    let elastic = new.is_indexed() && new.completions() == new.spec("parallelism").and_then(Value::as_i64);
    if !elastic && new.number("succeeded") < old.number("succeeded") {
        status.at("succeeded").invalid_as(new.number("succeeded").to_string(), "cannot decrease the succeeded counter");
    }
    let both = |field: &str| Some((new.status(field)?, old.status(field)?));
    if both("completionTime").is_some_and(|(new, old)| new != old) {
        status.at("completionTime").invalid("completionTime cannot be mutated");
    }
    let suspended = new.spec("suspend") == Some(&Value::Bool(true));
    if old.status("startTime").is_some() && new.status("startTime") != old.status("startTime") && !suspended {
        status.at("startTime").required("startTime cannot be removed for unsuspended job");
    }
    if old.is("SuccessCriteriaMet") && !new.is("SuccessCriteriaMet") {
        conditions(status, "cannot disable the SuccessCriteriaMet=True condition");
    }
    if old.is("Complete") && !old.is("SuccessCriteriaMet") && new.is("SuccessCriteriaMet") {
        conditions(status, "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
    }
}
