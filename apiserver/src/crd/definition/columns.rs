//! The rules for printer columns, selectable fields and the paths of the scale subresource.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::meta;

use crate::crd::json_path::JsonPath;

const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MAX_SELECTABLE: usize = 8;

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
        let json_path = text("jsonPath");
        if json_path.is_empty() {
            errors.push(FieldError::required(&path.child("jsonPath"), ""));
        } else if !json_path.starts_with('.') && !json_path.starts_with('{') {
            let detail = "must be a simple json path starting with .";
            errors.push(FieldError::invalid_str(&path.child("jsonPath"), json_path, detail));
        } else if JsonPath::parse(json_path).is_none() {
            let detail = "is an invalid JSONPath";
            errors.push(FieldError::invalid_str(&path.child("jsonPath"), json_path, detail));
        }
    }
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
        } else if JsonPath::parse(value).is_none_or(|path| path.fields().is_none()) {
            errors.push(FieldError::invalid_str(&path, value, "must be a simple dotted path"));
        } else if !prefixes.iter().any(|prefix| value.starts_with(prefix)) {
            errors.push(FieldError::invalid_str(&path, value, detail));
        }
    }
}

pub(super) fn check_selectable(version: &Value, schema: &Value, path: &Path, errors: &mut ErrorList) {
    let declared = meta::items(version, &["selectableFields"]);
    if declared.len() > MAX_SELECTABLE {
        errors.push(FieldError::too_many(path, declared.len(), MAX_SELECTABLE));
    }
    let mut seen = BTreeSet::new();
    for (index, field) in declared.iter().enumerate() {
        let json_path = meta::text(field, &["jsonPath"]);
        let path = path.index(index).child("jsonPath");
        if json_path.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        if let Some(detail) = unselectable(json_path, schema) {
            errors.push(FieldError::invalid_str(&path, json_path, detail));
        }
        if !seen.insert(json_path) {
            errors.push(FieldError::duplicate(&path, &Value::from(json_path)));
        }
    }
}

/// Why a field can't be selected by.
fn unselectable(json_path: &str, schema: &Value) -> Option<&'static str> {
    let Some(path) = JsonPath::parse(json_path).filter(|_| json_path.starts_with('.')) else {
        return Some("is an invalid path: does not start with .");
    };
    let Some(fields) = path.fields() else {
        return Some("must be a simple dotted path without lists");
    };
    if fields.first() == Some(&"metadata") {
        return Some("must not point to fields in metadata");
    }
    let found = fields.iter().try_fold(schema, |schema, name| meta::at(schema, &["properties", name]));
    match found.map(|schema| meta::text(schema, &["type"])) {
        None => Some("is an invalid path: does not refer to a valid field"),
        Some("string" | "boolean" | "integer") => None,
        Some(_) => Some(
            "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                         formats are allowed.",
        ),
    }
}
