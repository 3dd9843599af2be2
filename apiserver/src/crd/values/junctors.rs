//! `allOf`, `anyOf`, `oneOf` and `not`. Their errors have no field but name the path.

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};

use crate::crd::structural::Structural;

pub(super) fn check(value: &Value, schema: &Structural, path: &Path, errors: &mut ErrorList) {
    let rules = &schema.rules;
    let faults_of = |schema: &Structural| {
        let mut faults = ErrorList::new();
        super::node(value, None, schema, path, &mut faults);
        faults
    };
    let mut complain = |what: String, faults: ErrorList| {
        let detail = format!("\"{}\" must {what}", path.as_str());
        errors.push(FieldError::invalid_str(&Path::default(), "", detail));
        errors.extend(faults);
    };
    if !rules.any_of.is_empty() {
        let faults: Vec<ErrorList> = rules.any_of.iter().map(faults_of).collect();
        if faults.iter().all(|faults| !faults.is_empty()) {
            complain("validate at least one schema (anyOf)".to_owned(), least(faults));
        }
    }
    if !rules.one_of.is_empty() {
        let faults: Vec<ErrorList> = rules.one_of.iter().map(faults_of).collect();
        let found = faults.iter().filter(|faults| faults.is_empty()).count();
        let only = "validate one and only one schema (oneOf)";
        match found {
            1 => {}
            0 => complain(format!("{only}. Found none valid"), least(faults)),
            _ => complain(format!("{only}. Found {found} valid alternatives"), ErrorList::new()),
        }
    }
    if !rules.all_of.is_empty() {
        let faults: Vec<ErrorList> = rules.all_of.iter().map(faults_of).collect();
        let valid = faults.iter().filter(|faults| faults.is_empty()).count();
        if valid < faults.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            complain(format!("validate all the schemas (allOf){none}"), faults.concat());
        }
    }
    if let Some(not) = &rules.not
        && faults_of(not).is_empty()
    {
        complain("not validate the schema (not)".to_owned(), ErrorList::new());
    }
}

/// The faults of the alternative that fits best.
fn least(faults: Vec<ErrorList>) -> ErrorList {
    faults.into_iter().min_by_key(Vec::len).unwrap_or_default()
}
