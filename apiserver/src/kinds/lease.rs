//! Leases. Source: `k8s.io/kubernetes/pkg/apis/coordination/validation`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::meta;

use super::check;
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of leases.
#[derive(Clone, Copy, Debug)]
pub struct Lease;

/// What coordinated leader election would need; the feature is off, so the fields are dropped.
const COORDINATED: [&str; 2] = ["strategy", "preferredHolder"];

impl Strategy for Lease {
    fn rules(&self) -> Rules {
        Rules { create_on_update: true, unconditional_update: false, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        for field in COORDINATED {
            meta::remove(object, &["spec", field]);
        }
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        for field in COORDINATED {
            if meta::at(old, &["spec", field]).is_none() {
                meta::remove(object, &["spec", field]);
            }
        }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            spec.at("leaseDurationSeconds").positive();
            spec.at("leaseTransitions").not_negative();
            let (strategy, preferred) = (spec.at("strategy"), spec.at("preferredHolder"));
            if !preferred.is_empty() && strategy.is_empty() {
                preferred.forbidden("can only be set when spec.strategy is set");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_positive() {
        let object = json!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}});
        assert_eq!(
            check::messages(&Lease.validate(&object)),
            [
                "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            ]
        );
    }
}
