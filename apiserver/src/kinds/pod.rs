//! Pods. Source: `k8s.io/kubernetes/pkg/registry/core/pod/strategy.go`, Kubernetes doc "Pod Lifecycle".

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::meta;
use steersman_machinery::pod::qos;

use self::proven::Proven;
use super::check;
use crate::registry::strategy::{Rules, Strategy, restore};

pub(crate) mod annotations;
pub(crate) mod comparison;
pub(crate) mod containers;
pub(crate) mod defaults;
pub(crate) mod environment;
pub(crate) mod mounts;
pub(crate) mod probes;
mod proven;
pub(crate) mod resources;
pub(crate) mod scheduling;
pub(crate) mod security;
mod status;
mod subresources;
mod update;
pub(crate) mod validation;
pub(crate) mod volumes;
pub(crate) mod warnings;

pub use subresources::{EphemeralContainers, Resize};

/// Whether an error says that the cluster has no privileged containers, which the server may be told otherwise.
pub(crate) fn is_about_privileges(error: &FieldError) -> bool {
    matches!(error.detail.as_str(), security::NO_PRIVILEGES | security::NO_HOST_PROCESSES)
}

/// The strategy of pods.
#[derive(Debug, Default)]
pub struct Pod {
    proven: Proven,
}

const RULES: Rules =
    Rules { tracks_generation: true, has_status: true, returns_deleted_object: true, ..Rules::DEFAULT };

impl Strategy for Pod {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        RULES
    }

    fn default(&self, object: &mut Value) {
        default(object);
    }

    fn prepare_for_create(&self, object: &mut Value, now: Timestamp) {
        positive_grace(object);
        scheduling::merge_label_keys(object);
        let mut status = json!({"phase": "Pending", "qosClass": qos::class(object)});
        if !meta::items(object, &["spec", "schedulingGates"]).is_empty() {
            status["conditions"] = json!([{
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "lastProbeTime": null,
                "lastTransitionTime": check::text::seconds(now),
            }]);
        }
        meta::set(object, &["status"], status);
    }

    /// Keeps the priority that admission gave the pod, although the client may not know of it.
    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        positive_grace(object);
        for field in ["priority", "preemptionPolicy"] {
            if meta::at(object, &["spec", field]).is_none_or(Value::is_null) {
                restore(object, old, &["spec", field]);
            }
        }
    }

    fn prepare_for_status_update(&self, object: &mut Value, old: &Value) {
        restore(object, old, &["metadata", "ownerReferences"]);
        if meta::text(object, &["status", "qosClass"]).is_empty() {
            restore(object, old, &["status", "qosClass"]);
        }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        if self.proven.knows(object) {
            return ErrorList::new();
        }
        let errors = check::collect(object, |root| {
            validation::pod(&root);
            validation::new_pod(&root);
        });
        if errors.is_empty() && warnings::all(object, &[]).is_empty() {
            self.proven.note(object);
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| update::pod(&root, old))
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> ErrorList {
        status::update(object, old)
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        match old {
            Some(old) if !self.spec_changed(object, old) => Vec::new(),
            None if self.proven.knows(object) => Vec::new(),
            _ => warnings::all(object, &[]),
        }
    }

    fn grace_period(&self, object: &Value, requested: Option<i64>) -> Option<i64> {
        let own = meta::at(object, &["spec", "terminationGracePeriodSeconds"]).and_then(Value::as_i64);
        let unscheduled = meta::text(object, &["spec", "nodeName"]).is_empty();
        let ended = matches!(meta::text(object, &["status", "phase"]), "Succeeded" | "Failed");
        Some(match requested.or(own).unwrap_or_default() {
            _ if unscheduled || ended => 0,
            seconds if seconds < 0 => 1,
            seconds => seconds,
        })
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let text = |path: &[&str]| meta::text(object, path).to_owned();
        let host_network = meta::at(object, &["spec", "hostNetwork"]) == Some(&Value::Bool(true));
        let ip = meta::items(object, &["status", "podIPs"])
            .first()
            .map_or(String::new(), |ip| meta::text(ip, &["ip"]).to_owned());
        vec![
            ("spec.nodeName", text(&["spec", "nodeName"])),
            ("spec.host", text(&["spec", "nodeName"])),
            ("spec.restartPolicy", text(&["spec", "restartPolicy"])),
            ("spec.schedulerName", text(&["spec", "schedulerName"])),
            ("spec.serviceAccountName", text(&["spec", "serviceAccountName"])),
            ("spec.hostNetwork", host_network.to_string()),
            ("status.phase", text(&["status", "phase"])),
            ("status.podIP", ip),
            ("status.podIPs", String::new()),
            ("status.nominatedNodeName", text(&["status", "nominatedNodeName"])),
        ]
    }
}

/// Fills in what a pod leaves open.
fn default(object: &mut Value) {
    if !object.get("spec").is_some_and(Value::is_object) {
        meta::set(object, &["spec"], json!({}));
    }
    if let Some(spec) = object.get_mut("spec") {
        defaults::pod_spec(spec);
        defaults::pod_only(spec);
    }
    defaults::pod_status(object);
}

/// A negative grace period means the shortest one.
fn positive_grace(object: &mut Value) {
    let grace = meta::at(object, &["spec", "terminationGracePeriodSeconds"]).and_then(Value::as_i64);
    if grace.is_some_and(|seconds| seconds < 0) {
        meta::set(object, &["spec", "terminationGracePeriodSeconds"], 1);
    }
}
