//! Access to `metadata` of an object in its JSON form. Reading never fails: what is absent or has another type is empty.
//! Source: `metav1.ObjectMeta`.

use serde_json::{Value, json};

use crate::Object;
use crate::group::{GroupVersion, GroupVersionKind};

/// The finalizer of a foreground deletion.
pub const FINALIZER_FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of a deletion that orphans the dependents.
pub const FINALIZER_ORPHAN: &str = "orphan";

/// The text at `path` of `value`; empty if there is none.
pub fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The value at `path` below `value`.
pub fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| value.get(step))
}

/// The value at `path` below `value`, for writing; `None` if a step is absent or not an object.
pub fn at_mut<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, step| value.get_mut(step))
}

/// The object at `path`, made where it is absent (or is something else than an object).
pub fn object_at<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Object {
    let mut here = value;
    for step in path {
        here = as_object(here).entry((*step).to_owned()).or_insert_with(|| json!({}));
    }
    as_object(here)
}

fn as_object(value: &mut Value) -> &mut Object {
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it was just made an object")
}

/// Takes the field at the end of `path` away.
pub fn remove(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    at_mut(value, parents)?.as_object_mut()?.remove(*last)
}

/// Sets the field at the end of `path`, making its parents where they are absent.
pub fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    if let Some((last, parents)) = path.split_last() {
        object_at(value, parents).insert((*last).to_owned(), new.into());
    }
}

/// Sets the field at the end of `path` to `default` if it is absent or null.
pub fn set_default(value: &mut Value, path: &[&str], default: impl Into<Value>) {
    if at(value, path).is_none_or(Value::is_null) {
        set(value, path, default);
    }
}

/// The items of the list at `path`; none if there is no list.
pub fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `metadata.name`.
pub fn name(object: &Value) -> &str {
    text(object, &["metadata", "name"])
}

/// `metadata.namespace`; empty for a cluster-scoped object.
pub fn namespace(object: &Value) -> &str {
    text(object, &["metadata", "namespace"])
}

/// `metadata.uid`.
pub fn uid(object: &Value) -> &str {
    text(object, &["metadata", "uid"])
}

/// `metadata.resourceVersion` as it stands.
pub fn resource_version(object: &Value) -> &str {
    text(object, &["metadata", "resourceVersion"])
}

/// `metadata.generation`; 0 if absent.
pub fn generation(object: &Value) -> i64 {
    at(object, &["metadata", "generation"]).and_then(Value::as_i64).unwrap_or_default()
}

/// The pairs of `metadata.labels`, in order of their keys.
pub fn labels(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    pairs(object, &["metadata", "labels"])
}

/// The pairs of `metadata.annotations`, in order of their keys.
pub fn annotations(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    pairs(object, &["metadata", "annotations"])
}

/// The entries of the map of texts at `path`.
pub fn pairs<'a>(object: &'a Value, path: &[&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    at(object, path)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
}

/// One label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    at(object, &["metadata", "labels", key])?.as_str()
}

/// One annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    at(object, &["metadata", "annotations", key])?.as_str()
}

/// The texts of `metadata.finalizers`.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    items(object, &["metadata", "finalizers"]).iter().filter_map(Value::as_str)
}

/// `metadata.deletionTimestamp`; set while an object waits for its finalizers or its grace period.
pub fn deletion_timestamp(object: &Value) -> Option<&str> {
    at(object, &["metadata", "deletionTimestamp"])?.as_str()
}

/// `metadata.deletionGracePeriodSeconds`.
pub fn deletion_grace_period(object: &Value) -> Option<i64> {
    at(object, &["metadata", "deletionGracePeriodSeconds"])?.as_i64()
}

/// The owner with `controller: true`.
pub fn controller_of(object: &Value) -> Option<&Value> {
    items(object, &["metadata", "ownerReferences"])
        .iter()
        .find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))
}

/// `apiVersion` and `kind` as they stand.
pub fn gvk(object: &Value) -> GroupVersionKind {
    GroupVersion::parse(text(object, &["apiVersion"])).with_kind(text(object, &["kind"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_empty() {
        let object = json!({"metadata": {"name": "a", "labels": {"x": "1"}}});
        assert_eq!(name(&object), "a");
        assert_eq!(namespace(&object), "");
        assert_eq!(labels(&object).collect::<Vec<_>>(), [("x", "1")]);
        assert_eq!(finalizers(&object).count(), 0);
        assert_eq!(deletion_timestamp(&object), None);
    }

    #[test]
    fn writing_makes_the_parents() {
        let mut object = json!({});
        set(&mut object, &["spec", "replicas"], 1);
        set_default(&mut object, &["spec", "replicas"], 2);
        set_default(&mut object, &["spec", "paused"], false);
        assert_eq!(object, json!({"spec": {"replicas": 1, "paused": false}}));
        assert_eq!(remove(&mut object, &["spec", "paused"]), Some(json!(false)));
        assert_eq!(remove(&mut object, &["status", "x"]), None);
    }
}
