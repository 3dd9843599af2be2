//! ReplicaSets. Source: `k8s.io/kubernetes/pkg/registry/apps/replicaset/strategy.go`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::meta;

use super::check::{self, Cursor};
use super::pod_template;
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of ReplicaSets.
#[derive(Clone, Copy, Debug)]
pub struct ReplicaSet;

const COUNTS: &[&str] = &[
    "replicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "availableReplicas",
    "observedGeneration",
    "terminatingReplicas",
];

impl Strategy for ReplicaSet {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, has_status: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec", "replicas"], 1);
        pod_template::default(object, &["spec", "template"]);
        meta::set_default(object, &["status", "replicas"], 0);
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({"replicas": 0}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| validate(&root.at("spec")))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            validate(&root.at("spec"));
            pod_template::immutable_selector(&root.at("spec"), old);
        })
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
}

fn validate(spec: &Cursor<'_>) {
    spec.at("replicas").not_negative();
    spec.at("minReadySeconds").not_negative();
    if pod_template::validate_selector(spec, "deployment") {
        pod_template::validate_running(spec);
    } else {
        spec.at("selector").invalid_selector("invalid label selector");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: Value, expect: &[&str]) {
        let mut object = json!({"metadata": {"name": "web"}, "spec": spec});
        ReplicaSet.default(&mut object);
        assert_eq!(check::messages(&ReplicaSet.validate(&object)), expect);
    }

    #[test]
    fn replica_sets_select_their_own_pods() {
        let template =
            json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}});
        check(json!({"selector": {"matchLabels": {"app": "web"}}, "template": template}), &[]);
        check(
            json!({"replicas": -1, "minReadySeconds": -5, "selector": {"matchLabels": {"app": "db"}}, "template": template}),
            &[
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.minReadySeconds: Invalid value: -5: must be greater than or equal to 0",
                "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
            ],
        );
        check(
            json!({}),
            &[
                "spec.selector: Required value",
                "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
                "spec.template.spec.containers: Required value",
            ],
        );
    }

    #[test]
    fn status_counts_are_consistent() {
        let object = json!({"status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": 3}});
        assert_eq!(
            check::messages(&ReplicaSet.validate_status_update(&object, &object)),
            [
                "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
            ]
        );
    }
}
