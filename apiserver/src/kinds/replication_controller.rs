//! ReplicationControllers. Source: `k8s.io/kubernetes/pkg/registry/core/replicationcontroller/strategy.go`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::meta;

use super::check::{self, Cursor};
use super::pod_template;
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of ReplicationControllers.
#[derive(Clone, Copy, Debug)]
pub struct ReplicationController;

const COUNTS: &[&str] =
    &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];

impl Strategy for ReplicationController {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, has_status: true, ..Rules::DEFAULT }
    }

    fn orphans_by_default(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec"], json!({}));
        if meta::at(object, &["spec", "template"]).is_some_and(Value::is_object) {
            pod_template::default(object, &["spec", "template"]);
        }
        let labels = meta::at(object, &["spec", "template", "metadata", "labels"]).cloned();
        if let Some(labels) = labels.filter(|labels| labels.as_object().is_some_and(|labels| !labels.is_empty())) {
            for path in [&["spec", "selector"], &["metadata", "labels"]] {
                if meta::pairs(object, path).next().is_none() {
                    meta::set(object, path, labels.clone());
                }
            }
        }
        meta::set_default(object, &["spec", "replicas"], 1);
        meta::set_default(object, &["status", "replicas"], 0);
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({"replicas": 0}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| validate(&root.at("spec")))
    }

    fn validate_status_update(&self, object: &Value, _old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let limited = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
            pod_template::validate_counts(&root.at("status"), COUNTS, &limited);
        })
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        pod_template::warnings(object, old, &["spec", "template"])
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let replicas = meta::at(object, &["status", "replicas"]).and_then(Value::as_i64);
        vec![("status.replicas", replicas.unwrap_or_default().to_string())]
    }
}

fn validate(spec: &Cursor<'_>) {
    spec.at("minReadySeconds").not_negative();
    let selector = spec.at("selector");
    selector.must_be_set();
    spec.at("replicas").not_negative();
    let template = spec.at("template");
    if !template.is_set() {
        template.required("");
        return;
    }
    let labels = template.down(&["metadata", "labels"]);
    let selects = selector.entries().all(|(key, value)| labels.key(key).value == value.value);
    if !selects {
        labels.invalid("`selector` does not match template `labels`");
    }
    pod_template::validate(&template);
    pod_template::always(&template, "ReplicationController");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: Value, expect: &[&str]) {
        let mut object = json!({"metadata": {"name": "web"}, "spec": spec});
        ReplicationController.default(&mut object);
        assert_eq!(check::messages(&ReplicationController.validate(&object)), expect);
    }

    #[test]
    fn selector_and_labels_come_from_the_template() {
        let template =
            json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}});
        check(json!({"template": template}), &[]);
        check(
            json!({"selector": {"a": "b"}, "template": template}),
            &[
                r#"spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`"#,
            ],
        );
        check(
            json!({"replicas": -1}),
            &[
                "spec.selector: Required value",
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.template: Required value",
            ],
        );
    }
}
