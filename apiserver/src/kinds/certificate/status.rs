//! What was decided about a request, and the certificate that came of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use steersman_machinery::meta;

use super::pem;
use crate::kinds::check::Cursor;

const CONDITIONS: [&str; 2] = ["status", "conditions"];
const CERTIFICATE: [&str; 2] = ["status", "certificate"];
const DECISIONS: [&str; 2] = ["Approved", "Denied"];
/// Conditions that are true if they are there.
const ONLY_TRUE: [&str; 3] = ["Approved", "Denied", "Failed"];
const EXCLUSIVE: &str = "Approved and Denied conditions are mutually exclusive";

fn of_type<'a>(object: &'a Value, sort: &'a str) -> impl Iterator<Item = (usize, &'a Value)> {
    let conditions = meta::items(object, &CONDITIONS).iter().enumerate();
    conditions.filter(move |(_, condition)| meta::text(condition, &["type"]) == sort)
}

/// Who writes the status leaves the decisions as they are. If there are more or fewer, validation says so.
pub(super) fn keep_decisions(object: &mut Value, old: &Value) {
    for sort in DECISIONS {
        let places: Vec<usize> = of_type(object, sort).map(|(at, _)| at).collect();
        let before: Vec<Value> = of_type(old, sort).map(|(_, condition)| condition.clone()).collect();
        if places.len() != before.len() {
            continue;
        }
        for (at, before) in places.into_iter().zip(before) {
            let condition = meta::at_mut(object, &CONDITIONS).and_then(|conditions| conditions.get_mut(at));
            *condition.expect("it was found there") = before;
        }
    }
}

/// Fills in when conditions were written and since when they are as they are.
pub(super) fn stamp(object: &mut Value, old: &Value, now: &str) {
    let before = meta::items(old, &CONDITIONS);
    let Some(conditions) = meta::at_mut(object, &CONDITIONS).and_then(Value::as_array_mut) else { return };
    for condition in conditions {
        meta::set_default(condition, &["lastUpdateTime"], now);
        let same = |field: &str, it: &Value| meta::text(it, &[field]) == meta::text(condition, &[field]);
        let known = before.iter().find(|it| same("type", it) && same("status", it));
        let since = known.map(|it| meta::text(it, &["lastTransitionTime"])).filter(|since| !since.is_empty());
        let since = since.unwrap_or(now).to_owned();
        meta::set_default(condition, &["lastTransitionTime"], since);
    }
}

/// Checks conditions and certificate, as far as they are new: what was stored before is borne with.
pub(super) fn validate(root: &Cursor<'_>, old: &Value) {
    conditions(&root.down(&CONDITIONS), old);
    let certificate = root.down(&CERTIFICATE);
    let before = meta::text(old, &CERTIFICATE);
    if certificate.text() != before
        && pem::check_certificates(before).is_ok()
        && let Err(why) = pem::check_certificates(certificate.text())
    {
        certificate.invalid_str("<certificate data>", why);
    }
    for sort in ONLY_TRUE {
        if of_type(root.value, sort).count() < of_type(old, sort).count() {
            root.down(&CONDITIONS).forbidden(format!("updates may not remove a condition of type {sort:?}"));
        }
    }
}

/// Decisions are made by way of `approval`.
pub(super) fn no_new_decisions(root: &Cursor<'_>, old: &Value) {
    for sort in DECISIONS {
        if of_type(root.value, sort).count() > of_type(old, sort).count() {
            root.down(&CONDITIONS).forbidden(format!("updates may not add a condition of type {sort:?}"));
        }
    }
}

/// A certificate is issued once.
pub(super) fn certificate_stays(root: &Cursor<'_>, old: &Value) {
    let (certificate, before) = (root.down(&CERTIFICATE), meta::text(old, &CERTIFICATE));
    if !before.is_empty() && certificate.text() != before {
        certificate.forbidden("updates may not modify existing certificate content");
    }
}

fn conditions(conditions: &Cursor<'_>, old: &Value) {
    let before: Vec<&str> = meta::items(old, &CONDITIONS).iter().map(|it| meta::text(it, &["type"])).collect();
    let both_before = DECISIONS.iter().all(|sort| before.contains(sort));
    let twice_before = before.iter().collect::<BTreeSet<_>>().len() < before.len();
    let mut seen = BTreeSet::new();
    for condition in conditions.items() {
        let (sort, status) = (condition.at("type"), condition.at("status"));
        if !before.contains(&"") {
            sort.must_be_set();
        }
        let allowed: &[&str] = if ONLY_TRUE.contains(&sort.text()) { &["True"] } else { &["False", "True", "Unknown"] };
        if status.is_empty() {
            status.required("");
        } else if !allowed.contains(&status.text()) {
            status.not_supported(allowed);
        }
        let other = DECISIONS.iter().find(|other| DECISIONS.contains(&sort.text()) && **other != sort.text());
        if !both_before && other.is_some_and(|other| seen.contains(*other)) {
            sort.invalid(EXCLUSIVE);
        }
        if !seen.insert(sort.text().to_owned()) && !twice_before {
            sort.push(steersman_machinery::field::FieldError::duplicate(&sort.path, &json!(sort.text())));
        }
    }
}
