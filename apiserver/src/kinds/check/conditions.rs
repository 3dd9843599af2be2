//! Conditions in the form that all kinds share.
//! Source: `k8s.io/apimachinery/pkg/apis/meta/v1/validation` (`ValidateConditions`).

use std::collections::BTreeSet;

use steersman_machinery::field::FieldError;
use steersman_machinery::names;

use super::Cursor;

const STATUSES: &[&str] = &["False", "True", "Unknown"];
const REASON_RULE: &str = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";
const MAX_REASON: usize = 1024;
const MAX_MESSAGE: usize = 32 * 1024;

/// Checks a list of conditions of which each type stands once.
pub(crate) fn validate(conditions: &Cursor<'_>) {
    let mut seen = BTreeSet::new();
    for condition in conditions.items() {
        condition.at("type").once(&mut seen);
        one(&condition);
    }
}

fn one(condition: &Cursor<'_>) {
    condition.at("type").named(names::qualified_name);
    let status = condition.at("status");
    if !STATUSES.contains(&status.text()) {
        status.not_supported(STATUSES);
    }
    let generation = condition.at("observedGeneration");
    if generation.int().is_some_and(|generation| generation < 0) {
        generation.invalid("must be greater than or equal to zero");
    }
    if condition.at("lastTransitionTime").is_empty() {
        condition.at("lastTransitionTime").required("must be set");
    }
    let reason = condition.at("reason");
    if reason.is_empty() {
        reason.required("must be set");
    } else if !is_reason(reason.text()) {
        reason.invalid(REASON_RULE);
    }
    for (field, max) in [("reason", MAX_REASON), ("message", MAX_MESSAGE)] {
        let field = condition.at(field);
        if field.text().len() > max {
            field.push(FieldError::too_long(&field.path, max));
        }
    }
}

fn is_reason(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b',' | b':');
    let last = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(inner)
        && text.bytes().last().is_some_and(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{collect, messages};
    use super::*;

    #[test]
    fn conditions_are_complete() {
        let good = json!({"type": "A", "status": "True", "reason": "Done,And:Dusted_", "lastTransitionTime": "t"});
        let check = |field: &str, value: serde_json::Value, expect: &[&str]| {
            let mut condition = good.clone();
            condition[field] = value;
            let found = messages(&collect(&json!([condition]), |root| validate(&root)));
            let found: Vec<&str> = found.iter().map(|it| it.trim_start_matches("[0].")).collect();
            assert_eq!(found, expect);
        };
        check("message", json!(""), &[]);
        check(
            "observedGeneration",
            json!(-1),
            &["observedGeneration: Invalid value: -1: must be greater than or equal to zero"],
        );
        check("reason", json!("a,"), &[&format!("reason: Invalid value: \"a,\": {REASON_RULE}")]);
        check("lastTransitionTime", json!(null), &["lastTransitionTime: Required value: must be set"]);
        check(
            "status",
            json!("Maybe"),
            &[r#"status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown""#],
        );
        check("message", json!("x".repeat(MAX_MESSAGE + 1)), &["message: Too long: may not be more than 32768 bytes"]);
        let twice = messages(&collect(&json!([good, good]), |root| validate(&root)));
        assert_eq!(twice, [r#"[1].type: Duplicate value: "A""#]);
    }
}
