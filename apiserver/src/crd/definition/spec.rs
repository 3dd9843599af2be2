//! The rules for `spec`: group, scope, names, versions, conversion.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::{meta, names};

use super::{columns, schema};

pub(super) fn check(object: &Value, errors: &mut ErrorList) {
    let empty = Value::Null;
    let spec = object.get("spec").unwrap_or(&empty);
    let path = Path::new("spec");
    check_group(spec, &path, errors);
    match meta::text(spec, &["scope"]) {
        "" => errors.push(FieldError::required(&path.child("scope"), "")),
        "Cluster" | "Namespaced" => {}
        other => errors.push(FieldError::not_supported(&path.child("scope"), other, &["Cluster", "Namespaced"])),
    }
    check_versions(spec, &path, errors);
    check_names(spec, &path.child("names"), errors);
    for (version, place) in places(spec, &path) {
        check_version(version, &place, errors);
    }
    check_conversion(spec, &path.child("conversion"), errors);
}

fn check_group(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let group = meta::text(spec, &["group"]);
    let path = path.child("group");
    let complaints = names::dns1123_subdomain(group);
    if group.is_empty() {
        errors.push(FieldError::required(&path, ""));
    } else if !complaints.is_empty() {
        errors.push(FieldError::invalid_str(&path, group, complaints.join(",")));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid_str(&path, group, "should be a domain with at least one dot"));
    }
}

fn check_versions(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let versions = meta::items(spec, &["versions"]);
    let path = path.child("versions");
    let mut seen = BTreeSet::new();
    let mut unique = true;
    for (index, version) in versions.iter().enumerate() {
        let name = meta::text(version, &["name"]);
        unique &= seen.insert(name);
        let at = path.index(index);
        dns1035(name, &at.child("name"), "", errors);
        let warning = meta::at(version, &["deprecationWarning"]).and_then(Value::as_str);
        if let Some(warning) = warning {
            check_deprecation(version, warning, &at.child("deprecationWarning"), errors);
        }
        if meta::at(version, &["schema", "openAPIV3Schema"]).is_none_or(Value::is_null) {
            let schema = at.child("schema").child("openAPIV3Schema");
            errors.push(FieldError::required(&schema, "schemas are required"));
        }
    }
    let shown = if versions.is_empty() { Value::Null } else { Value::Array(versions.to_vec()) };
    if !unique {
        errors.push(FieldError::invalid(&path, &shown, "must contain unique version names"));
    }
    let is_stored = |version: &&Value| version.get("storage") == Some(&Value::Bool(true));
    if versions.iter().filter(is_stored).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(&path, &shown, detail));
    }
}

fn check_deprecation(version: &Value, warning: &str, path: &Path, errors: &mut ErrorList) {
    const MAX: usize = 256;
    let complaint = if version.get("deprecated") != Some(&Value::Bool(true)) {
        "can only be set for deprecated versions"
    } else if warning.len() > MAX {
        "must be <= 256 characters long"
    } else if warning.is_empty() {
        "must not be an empty string"
    } else if warning.chars().any(char::is_control) {
        "must only contain printable UTF-8 characters; non-printable character found"
    } else {
        return;
    };
    errors.push(FieldError::invalid_str(path, warning, complaint));
}

/// Each version with the place at which its schema, columns and subresources are reported: the whole definition if all
/// versions have the same (upstream keeps them there), otherwise the version.
fn places<'a>(spec: &'a Value, path: &Path) -> Vec<(&'a Value, Place)> {
    let versions = meta::items(spec, &["versions"]);
    let same = |name: &str| {
        let of = |version: &'a Value| version.get(name).filter(|value| !value.is_null());
        versions.windows(2).all(|pair| of(&pair[0]) == of(&pair[1]))
    };
    let (schema, columns, subresources, selectable) =
        (same("schema"), same("additionalPrinterColumns"), same("subresources"), same("selectableFields"));
    let place = |(index, version): (usize, &'a Value)| {
        let at = path.child("versions").index(index);
        let choose = |shared: bool, name: &str| -> Option<Path> {
            match (shared, index) {
                (true, 0) => Some(path.child(name)),
                (true, _) => None,
                (false, _) => Some(at.child(name)),
            }
        };
        let schema_name = if schema { "validation" } else { "schema" };
        let place = Place {
            schema: choose(schema, schema_name).map(|path| path.child("openAPIV3Schema")),
            columns: choose(columns, "additionalPrinterColumns"),
            subresources: choose(subresources, "subresources"),
            selectable: choose(selectable, "selectableFields"),
        };
        (version, place)
    };
    versions.iter().enumerate().map(place).collect()
}

/// Where the parts of a version are reported; `None` if they were for an earlier one.
struct Place {
    schema: Option<Path>,
    columns: Option<Path>,
    subresources: Option<Path>,
    selectable: Option<Path>,
}

fn check_version(version: &Value, place: &Place, errors: &mut ErrorList) {
    let props = meta::at(version, &["schema", "openAPIV3Schema"]).filter(|schema| schema.is_object());
    if let (Some(props), Some(path)) = (props, &place.schema) {
        let has_status = meta::at(version, &["subresources", "status"]).is_some_and(Value::is_object);
        schema::check(props, has_status, path, errors);
    }
    if let Some(path) = &place.subresources {
        columns::check_scale(version, &path.child("scale"), errors);
    }
    if let Some(path) = &place.columns {
        columns::check_columns(version, path, errors);
    }
    if let (Some(path), Some(props)) = (&place.selectable, props) {
        columns::check_selectable(version, props, path, errors);
    }
}

fn check_names(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let text = |name: &str| meta::text(spec, &["names", name]);
    for name in ["plural", "singular", "kind", "listKind"] {
        if text(name).is_empty() {
            errors.push(FieldError::required(&path.child(name), ""));
        }
    }
    for name in ["plural", "singular"] {
        if !text(name).is_empty() {
            dns1035(text(name), &path.child(name), "", errors);
        }
    }
    for name in ["kind", "listKind"] {
        let complaints = names::dns1035_label(&text(name).to_lowercase());
        if !text(name).is_empty() && !complaints.is_empty() {
            let detail = format!("may have mixed case, but should otherwise match: {}", complaints.join(","));
            errors.push(FieldError::invalid_str(&path.child(name), text(name), detail));
        }
    }
    let list = |name: &'static str| meta::items(spec, &["names", name]).iter().filter_map(Value::as_str).enumerate();
    for (index, name) in list("shortNames") {
        dns1035(name, &path.child("shortNames").index(index), "", errors);
    }
    if !text("kind").is_empty() && text("kind") == text("listKind") {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid_str(&path.child("listKind"), text("listKind"), detail));
    }
    for (index, name) in list("categories") {
        dns1035(name, &path.child("categories").index(index), "", errors);
    }
}

fn dns1035(name: &str, path: &Path, prefix: &str, errors: &mut ErrorList) {
    let complaints = names::dns1035_label(name);
    if !complaints.is_empty() {
        errors.push(FieldError::invalid_str(path, name, format!("{prefix}{}", complaints.join(","))));
    }
}

fn check_conversion(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(conversion) = spec.get("conversion").filter(|conversion| conversion.is_object()) else {
        return;
    };
    let webhook = conversion.get("webhook").filter(|webhook| webhook.is_object());
    match (meta::text(conversion, &["strategy"]), webhook) {
        ("None", None) => {}
        ("None", Some(_)) => {
            let detail = "should not be set when strategy is not set to Webhook";
            errors.push(FieldError::forbidden(&path.child("webhook"), detail));
        }
        ("Webhook", Some(webhook)) => check_webhook(webhook, &path.child("webhook"), errors),
        ("Webhook", None) => {
            let detail = "required when strategy is set to Webhook";
            errors.push(FieldError::required(&path.child("webhook").child("clientConfig"), detail));
        }
        ("", _) => errors.push(FieldError::required(&path.child("strategy"), "")),
        (other, _) => {
            errors.push(FieldError::not_supported(&path.child("strategy"), other, &["None", "Webhook"]));
        }
    }
}

fn check_webhook(webhook: &Value, path: &Path, errors: &mut ErrorList) {
    let client = path.child("clientConfig");
    let has = |name: &str| meta::at(webhook, &["clientConfig", name]).is_some_and(|value| !value.is_null());
    match (webhook.get("clientConfig").is_some(), has("url"), has("service")) {
        (false, ..) => errors.push(FieldError::required(&client, "required when strategy is set to Webhook")),
        (true, true, true) | (true, false, false) => {
            errors.push(FieldError::required(&client, "exactly one of url or service is required"));
        }
        _ => {}
    }
    let versions = meta::items(webhook, &["conversionReviewVersions"]);
    let path = path.child("conversionReviewVersions");
    if versions.is_empty() {
        errors.push(FieldError::required(&path, ""));
    } else if !versions.iter().any(|version| version == "v1" || version == "v1beta1") {
        let shown = Value::Array(versions.to_vec());
        errors.push(FieldError::invalid(&path, &shown, "must include at least one of v1, v1beta1"));
    }
}
