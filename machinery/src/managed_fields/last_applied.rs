//! The way from client-side to server-side `kubectl apply`: the annotation of the former vouches for the latter.
//! Source: Kubernetes doc "Server-Side Apply", section "Upgrading from client-side apply to server-side apply".

use serde_json::Value;

use super::{Conflict, Writer};
use crate::field_set::FieldSet;
use crate::meta;
use crate::patch::apply::{Duplicates, compare, field_set, validate};

/// The manager for which this is done: what `kubectl apply --server-side` calls itself.
pub(super) const MANAGER: &str = "kubectl";
const ANNOTATION: [&str; 3] = ["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"];
/// How large all annotations of an object may be, keys and values together.
const MAX_ANNOTATION_BYTES: usize = 256 * 1024;

/// The conflicts that are left when those are dropped on fields that client-side apply set and nobody changed since.
pub(super) fn remaining(writer: &Writer<'_>, live: &Value, conflicts: Vec<Conflict>) -> Vec<Conflict> {
    let Some(allowed) = unchanged_since(writer, live) else {
        return conflicts;
    };
    let rest = |conflict: Conflict| Conflict { fields: conflict.fields.difference(&allowed), ..conflict };
    let rest = conflicts.into_iter().map(rest);
    rest.filter(|conflict| !conflict.fields.is_empty()).collect()
}

/// The fields whose live value is that of the annotation.
fn unchanged_since(writer: &Writer<'_>, live: &Value) -> Option<FieldSet> {
    let config: Value = serde_json::from_str(meta::text(live, &ANNOTATION)).ok()?;
    let fits = validate(&config, writer.ty, Duplicates::Refused).is_empty();
    if !fits || meta::text(&config, &["apiVersion"]) != writer.api_version {
        return None;
    }
    let changes = compare(&config, live, writer.ty);
    let changed = changes.removed.union(&changes.modified).union(&changes.added);
    Some(field_set(&config, writer.ty).difference(&changed))
}

/// Writes the configuration into the annotation, if there is one, so that client-side apply goes on from there.
pub(super) fn rewrite(object: &mut Value, mut config: Value) {
    if meta::text(object, &ANNOTATION).is_empty() {
        return;
    }
    meta::remove(&mut config, &ANNOTATION);
    meta::set(object, &ANNOTATION, go_json(&config) + "\n");
    let size: usize = meta::annotations(object).map(|(key, value)| key.len() + value.len()).sum();
    if size > MAX_ANNOTATION_BYTES {
        meta::remove(object, &ANNOTATION);
    }
}

/// JSON as Go writes it: with `<`, `>` and `&` escaped.
fn go_json(value: &Value) -> String {
    let json = value.to_string();
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
