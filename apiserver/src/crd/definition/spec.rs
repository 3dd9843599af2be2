//! The rules for `spec`: group, scope, names, versions, conversion.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::{meta, names};

use super::{columns, schema};
use crate::kinds::check;

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
    check_schemas(spec, &path.child("versions"), errors);
    let places = places(spec, &path);
    check_versions(spec, &places, &path.child("versions"), errors);
    check_names(spec, &path.child("names"), errors);
    // What all versions share is said of the definition as a whole, where upstream keeps it.
    for (version, place) in &places {
        check_version(version, &place.shared, errors);
    }
    check_conversion(spec, &path.child("conversion"), errors);
}

fn check_schemas(spec: &Value, path: &Path, errors: &mut ErrorList) {
    for (index, version) in meta::items(spec, &["versions"]).iter().enumerate() {
        if meta::at(version, &["schema", "openAPIV3Schema"]).is_none_or(Value::is_null) {
            let schema = path.index(index).child("schema").child("openAPIV3Schema");
            errors.push(FieldError::required(&schema, "schemas are required"));
        }
    }
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

fn check_versions(spec: &Value, places: &[(&Value, Places)], path: &Path, errors: &mut ErrorList) {
    let versions = meta::items(spec, &["versions"]);
    let mut seen = BTreeSet::new();
    let mut unique = true;
    for (index, (version, place)) in places.iter().enumerate() {
        let name = meta::text(version, &["name"]);
        unique &= seen.insert(name);
        let at = path.index(index);
        dns1035(name, &at.child("name"), "", errors);
        let warning = meta::at(version, &["deprecationWarning"]).and_then(Value::as_str);
        if let Some(warning) = warning {
            check_deprecation(version, warning, &at.child("deprecationWarning"), errors);
        }
        check_version(version, &place.own, errors);
    }
    let shown = if versions.is_empty() { Value::Null } else { Value::Array(versions.to_vec()) };
    if !unique {
        errors.push(FieldError::invalid(path, &shown, "must contain unique version names"));
    }
    let is_stored = |version: &&Value| version.get("storage") == Some(&Value::Bool(true));
    if versions.iter().filter(is_stored).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(path, &shown, detail));
    }
}

fn check_deprecation(version: &Value, warning: &str, path: &Path, errors: &mut ErrorList) {
    const MAX: usize = 256;
    let mut wrong = |detail: &str| errors.push(FieldError::invalid_str(path, warning, detail));
    if version.get("deprecated") != Some(&Value::Bool(true)) {
        return wrong("can only be set for deprecated versions");
    }
    if warning.len() > MAX {
        wrong("must be <= 256 characters long");
    }
    if warning.is_empty() {
        wrong("must not be an empty string");
    }
    if let Some((index, _)) = warning.char_indices().find(|(_, char)| char.is_control()) {
        let only = "must only contain printable UTF-8 characters";
        wrong(&format!("{only}; non-printable character found at index {index}"));
    }
}

/// Each version with the place at which its schema, columns and subresources are reported: the whole definition if all
/// versions have the same (upstream keeps them there), otherwise the version.
fn places<'a>(spec: &'a Value, path: &Path) -> Vec<(&'a Value, Places)> {
    let versions = meta::items(spec, &["versions"]);
    let same = |name: &str| {
        let of = |version: &'a Value| version.get(name).filter(|value| !value.is_null());
        versions.windows(2).all(|pair| of(&pair[0]) == of(&pair[1]))
    };
    let parts = ["schema", "subresources", "additionalPrinterColumns", "selectableFields"];
    let shared = parts.map(same);
    let with_status = |version: &Value| meta::at(version, &["subresources", "status"]).is_some_and(Value::is_object);
    let any_status = versions.iter().any(with_status);
    let place = |(index, version): (usize, &'a Value)| {
        let at = path.child("versions").index(index);
        let choose = |part: usize, here: bool, path: &Path| {
            let name = if here && part == 0 { "validation" } else { parts[part] };
            let path = path.child(name);
            let path = if part == 0 { path.child("openAPIV3Schema") } else { path };
            (shared[part] == here && (!here || index == 0)).then_some(path)
        };
        let place = |here: bool, path: &Path, has_status: bool| Place {
            schema: choose(0, here, path),
            subresources: choose(1, here, path),
            columns: choose(2, here, path),
            selectable: choose(3, here, path),
            has_status,
        };
        (version, Places { own: place(false, &at, with_status(version)), shared: place(true, path, any_status) })
    };
    versions.iter().enumerate().map(place).collect()
}

/// Where the parts of a version are reported: those of its own, and those that all versions share.
struct Places {
    own: Place,
    shared: Place,
}

/// Where parts are reported; `None` if they are reported elsewhere.
struct Place {
    schema: Option<Path>,
    columns: Option<Path>,
    subresources: Option<Path>,
    selectable: Option<Path>,
    /// Whether the status is a subresource.
    has_status: bool,
}

fn check_version(version: &Value, place: &Place, errors: &mut ErrorList) {
    let props = meta::at(version, &["schema", "openAPIV3Schema"]).filter(|schema| schema.is_object());
    if let (Some(props), Some(path)) = (props, &place.schema) {
        schema::check(props, place.has_status, path, errors);
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
    let client = webhook.and_then(|webhook| webhook.get("clientConfig")).filter(|client| client.is_object());
    let versions = webhook.map(|webhook| meta::items(webhook, &["conversionReviewVersions"])).unwrap_or_default();
    // Upstream's paths are those of its own types.
    let (path_of_client, path_of_versions) =
        (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
    let strategy = meta::text(conversion, &["strategy"]);
    match strategy {
        "None" | "Webhook" => {}
        "" => errors.push(FieldError::required(&path.child("strategy"), "")),
        other => errors.push(FieldError::not_supported(&path.child("strategy"), other, &["None", "Webhook"])),
    }
    if strategy == "Webhook" {
        match client {
            Some(client) => check_client(client, &path_of_client, errors),
            None => {
                errors.push(FieldError::required(&path_of_client, "required when strategy is set to Webhook"));
            }
        }
        check_review_versions(versions, &path_of_versions, errors);
        return;
    }
    for (path, present) in [(path_of_client, client.is_some()), (path_of_versions, !versions.is_empty())] {
        if present {
            let detail = "should not be set when strategy is not set to Webhook";
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
}

fn check_client(client: &Value, path: &Path, errors: &mut ErrorList) {
    let has = |name: &str| client.get(name).is_some_and(|value| !value.is_null());
    if has("url") == has("service") {
        errors.push(FieldError::required(path, "exactly one of url or service is required"));
        return;
    }
    errors.extend(check::collect(client, |root| {
        if has("url") {
            check::client::url(&root.with(client.get("url"), path.child("url")));
        } else {
            check::client::service(&root.with(client.get("service"), path.child("service")));
        }
    }));
}

fn check_review_versions(versions: &[Value], path: &Path, errors: &mut ErrorList) {
    if versions.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        let (name, path) = (version.as_str().unwrap_or_default(), path.index(index));
        if versions[..index].contains(version) {
            errors.push(FieldError::invalid_str(&path, name, "duplicate version"));
            continue;
        }
        for complaint in names::dns1035_label(name) {
            errors.push(FieldError::invalid_str(&path, name, complaint));
        }
    }
    if !versions.iter().any(|version| version == "v1" || version == "v1beta1") {
        let shown = Value::Array(versions.to_vec());
        errors.push(FieldError::invalid(path, &shown, "must include at least one of v1, v1beta1"));
    }
}
