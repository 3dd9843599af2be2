//! ControllerRevisions. Source: `k8s.io/kubernetes/pkg/registry/apps/controllerrevision/strategy.go`.

use serde_json::Value;
use steersman_machinery::field::ErrorList;

use super::check;
use crate::registry::strategy::Strategy;

/// The strategy of ControllerRevisions: what a revision holds never changes.
#[derive(Clone, Copy, Debug)]
pub struct ControllerRevision;

impl Strategy for ControllerRevision {
    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            if !root.at("data").is_set() {
                root.at("data").required("data is mandatory");
            }
            root.at("revision").not_negative();
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        let mut errors = check::collect(object, |root| root.at("data").immutable(old.get("data")));
        errors.extend(self.validate(object));
        errors
    }
}
