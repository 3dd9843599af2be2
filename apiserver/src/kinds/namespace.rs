//! Namespaces. Source: `k8s.io/kubernetes/pkg/registry/core/namespace/strategy.go`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::check::{self, Cursor};
use crate::registry::strategy::{Rules, Strategy, restore};

/// The finalizer in `spec.finalizers` that the namespace controller takes away when the namespace is empty.
pub const FINALIZER_KUBERNETES: &str = "kubernetes";
/// The label that always carries the name.
pub const LABEL_NAME: &str = "kubernetes.io/metadata.name";

/// The strategy of namespaces.
#[derive(Clone, Copy, Debug)]
pub struct Namespace;

impl Strategy for Namespace {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        Rules { has_status: true, returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec"], json!({}));
        meta::set_default(object, &["status"], json!({}));
        if meta::text(object, &["status", "phase"]).is_empty() {
            meta::set(object, &["status", "phase"], "Active");
        }
        let name = meta::name(object).to_owned();
        if !name.is_empty() {
            meta::set(object, &["metadata", "labels", LABEL_NAME], name);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({"phase": "Active"}));
        let finalizers = meta::object_at(object, &["spec"]).entry("finalizers").or_insert_with(|| json!([]));
        if !finalizers.is_array() {
            *finalizers = json!([]);
        }
        if let Some(finalizers) = finalizers.as_array_mut()
            && !finalizers.contains(&json!(FINALIZER_KUBERNETES))
        {
            finalizers.push(json!(FINALIZER_KUBERNETES));
        }
        self.default(object);
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        restore(object, old, &["spec", "finalizers"]);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| spec_finalizers(&root, false))
    }

    fn validate_update(&self, object: &Value, _old: &Value) -> ErrorList {
        self.validate(object)
    }

    fn validate_status_update(&self, object: &Value, _old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let (phase, expected, rule) = if meta::deletion_timestamp(object).is_none() {
                ("Active", root.at("status").at("phase"), "may only be 'Active' if `deletionTimestamp` is empty")
            } else {
                (
                    "Terminating",
                    root.at("status").at("phase"),
                    "may only be 'Terminating' if `deletionTimestamp` is not empty",
                )
            };
            if expected.text() != phase {
                expected.with(Some(expected.value), "status.Phase".into()).invalid_text(rule);
            }
        })
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::dns1123_label(name)
    }

    fn prepare_for_delete(&self, object: &mut Value) {
        meta::set(object, &["status", "phase"], "Terminating");
    }

    fn may_be_removed(&self, object: &Value) -> bool {
        meta::items(object, &["spec", "finalizers"]).is_empty()
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("status.phase", meta::text(object, &["status", "phase"]).to_owned())]
    }

    fn selects_by_namespace(&self) -> bool {
        false
    }
}

/// The strategy of `PUT /namespaces/{name}/finalize`: only `spec.finalizers` changes.
#[derive(Clone, Copy, Debug)]
pub struct Finalize;

impl Strategy for Finalize {
    fn rules(&self) -> Rules {
        Namespace.rules()
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        let finalizers = meta::at(object, &["spec", "finalizers"]).cloned();
        for field in ["spec", "status"] {
            restore(object, old, &[field]);
        }
        meta::set(object, &["spec", "finalizers"], finalizers.unwrap_or_default());
        if meta::items(object, &["spec", "finalizers"]).is_empty() {
            meta::remove(object, &["spec", "finalizers"]);
        }
    }

    fn validate_update(&self, object: &Value, _old: &Value) -> ErrorList {
        check::collect(object, |root| spec_finalizers(&root, true))
    }

    fn may_be_removed(&self, object: &Value) -> bool {
        Namespace.may_be_removed(object)
    }
}

/// Whole namespaces are not told which of their finalizers is wrong.
fn spec_finalizers(root: &Cursor<'_>, told_which: bool) {
    let finalizers = root.at("spec").at("finalizers");
    for finalizer in finalizers.items() {
        let path = if told_which { finalizer.path.clone() } else { finalizers.path.clone() };
        let finalizer = finalizer.with(Some(finalizer.value), path);
        finalizer.named(names::qualified_name);
        let standard =
            matches!(finalizer.text(), FINALIZER_KUBERNETES | meta::FINALIZER_ORPHAN | meta::FINALIZER_FOREGROUND);
        if !finalizer.text().contains('/') && !standard {
            finalizer.invalid_text("name is neither a standard finalizer name nor is it fully qualified");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_namespace_is_active_and_held_by_its_finalizer() {
        let mut object = json!({"metadata": {"name": "shop", "labels": {LABEL_NAME: "other"}}});
        Namespace.default(&mut object);
        Namespace.prepare_for_create(&mut object, Timestamp::UNIX_EPOCH);
        assert_eq!(
            object,
            json!({
                "metadata": {"name": "shop", "labels": {LABEL_NAME: "shop"}},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            })
        );
        assert!(!Namespace.may_be_removed(&object));
    }

    #[test]
    fn updates_leave_the_finalizers() {
        let old = json!({"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {"finalizers": ["kubernetes"]}});
        let mut update = json!({"metadata": {"name": "a"}, "spec": {"finalizers": []}});
        Namespace.prepare_for_update(&mut update, &old);
        assert_eq!(update["spec"], old["spec"]);
    }

    #[test]
    fn the_phase_follows_the_deletion() {
        let object = json!({"metadata": {"name": "a"}, "status": {"phase": "Terminating"}});
        assert_eq!(
            check::messages(&Namespace.validate_status_update(&object, &object)),
            [r#"status.Phase: Invalid value: "Terminating": may only be 'Active' if `deletionTimestamp` is empty"#]
        );
    }
}
