//! RuntimeClasses. Source: `k8s.io/kubernetes/pkg/apis/node/validation`.

use serde_json::Value;
use steersman_machinery::field::ErrorList;
use steersman_machinery::names;

use super::check;
use super::pod::{resources, scheduling};
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of runtime classes.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeClass;

impl Strategy for RuntimeClass {
    fn rules(&self) -> Rules {
        Rules { create_on_update: true, unconditional_update: false, ..Rules::DEFAULT }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            root.at("handler").must_be_named(names::dns1123_label);
            let overhead = root.at("overhead");
            // Upstream's path is that of a container's limits.
            resources::overhead(&overhead.with(overhead.value.get("podFixed"), overhead.path.clone()));
            let scheduling_of = root.at("scheduling");
            scheduling_of.at("nodeSelector").labels();
            scheduling::tolerations(&scheduling_of.at("tolerations"));
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(object);
        errors.extend(check::collect(object, |root| root.at("handler").immutable(old.get("handler"))));
        errors
    }
}
