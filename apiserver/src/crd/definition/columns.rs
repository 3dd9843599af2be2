//! The rules for printer columns, selectable fields and the paths of the scale subresource.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::meta;

use crate::crd::json_path::JsonPath;

const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MAX_SELECTABLE: usize = 8;
const UNSELECTABLE: &str = "must point to a field of type string, boolean or integer. Enum string fields and strings \
                            with formats are allowed.";

pub(super) fn check_columns(version: &Value, path: &Path, errors: &mut ErrorList) {
    for (index, column) in meta::items(version, &["additionalPrinterColumns"]).iter().enumerate() {
        let path = path.index(index);
        let text = |name: &str| meta::text(column, &[name]);
        if text("name").is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        match text("type") {
            "" => {
                let detail = format!("must be one of {}", TYPES.join(","));
                errors.push(FieldError::required(&path.child("type"), detail));
            }
            known if TYPES.contains(&known) => {}
            other => {
                let detail = format!("must be one of {}", TYPES.join(","));
                errors.push(FieldError::invalid_str(&path.child("type"), other, detail));
            }
        }
        let format = text("format");
        if !format.is_empty() && !FORMATS.contains(&format) {
            let detail = format!("must be one of {}", FORMATS.join(","));
            errors.push(FieldError::invalid_str(&path.child("format"), format, detail));
        }
        // Upstream's path has the name of its own type's field.
        let path = path.child("JSONPath");
        match text("jsonPath") {
            "" => errors.push(FieldError::required(&path, "")),
            json_path => {
                check_simple(json_path, &path, errors);
            }
        }
    }
}

/// A path that is at least begun as one.
fn check_simple(json_path: &str, path: &Path, errors: &mut ErrorList) -> bool {
    if !json_path.starts_with('.') {
        errors.push(FieldError::invalid_str(path, json_path, "must be a simple json path starting with ."));
    }
    json_path.starts_with('.')
}

pub(super) fn check_scale(version: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(scale) = meta::at(version, &["subresources", "scale"]).filter(|scale| scale.is_object()) else {
        return;
    };
    let rules: [(&str, bool, &[&str], &str); 3] = [
        ("specReplicasPath", true, &[".spec."], "should be a json path under .spec"),
        ("statusReplicasPath", true, &[".status."], "should be a json path under .status"),
        ("labelSelectorPath", false, &[".spec.", ".status."], "should be a json path under either .spec or .status"),
    ];
    for (name, required, prefixes, detail) in rules {
        let value = meta::text(scale, &[name]);
        let path = path.child(name);
        if value.is_empty() {
            if required {
                errors.push(FieldError::required(&path, ""));
            }
        } else if check_simple(value, &path, errors) && !prefixes.iter().any(|prefix| value.starts_with(prefix)) {
            errors.push(FieldError::invalid_str(&path, value, detail));
        }
    }
}

pub(super) fn check_selectable(version: &Value, schema: &Value, path: &Path, errors: &mut ErrorList) {
    let mut seen = BTreeSet::new();
    for (index, field) in meta::items(version, &["selectableFields"]).iter().enumerate() {
        let json_path = meta::text(field, &["jsonPath"]);
        let path = path.index(index).child("jsonPath");
        if json_path.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        let mut wrong = |detail: &str| errors.push(FieldError::invalid_str(&path, json_path, detail));
        let parsed = JsonPath::parse(json_path).filter(|_| json_path.starts_with('.'));
        let Some(fields) = parsed.as_ref().and_then(JsonPath::fields) else {
            wrong(match parsed {
                Some(_) => "must be a simple dotted path without lists",
                None => "is an invalid path: does not start with .",
            });
            continue;
        };
        let found = fields.iter().try_fold(schema, |schema, name| meta::at(schema, &["properties", name]));
        let Some(found) = found else {
            wrong("is an invalid path: does not refer to a valid field");
            continue;
        };
        if fields.first() == Some(&"metadata") {
            wrong("must not point to fields in metadata");
        }
        if !matches!(meta::text(found, &["type"]), "string" | "boolean" | "integer") {
            wrong(UNSELECTABLE);
        }
        if !seen.insert(json_path) {
            errors.push(FieldError::duplicate(&path, &Value::from(json_path)));
        }
    }
    if seen.len() > MAX_SELECTABLE {
        errors.push(FieldError::too_many(path, seen.len(), MAX_SELECTABLE));
    }
}
