//! What holds for all kinds: idempotent defaults, and the lists of the API conventions.

use serde_json::{Value, json};
use steersman_machinery::schema::builtin;

use super::*;

const CREATE_ON_UPDATE: &[&str] = &[
    "clusterrolebindings",
    "clusterroles",
    "endpoints",
    "events",
    "leases",
    "limitranges",
    "rolebindings",
    "roles",
    "runtimeclasses",
    "services",
];
const NEEDS_VERSION: &[&str] = &[
    "apiservices",
    "csidrivers",
    "csinodes",
    "csistoragecapacities",
    "customresourcedefinitions",
    "leases",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "poddisruptionbudgets",
    "runtimeclasses",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
    "volumeattachments",
];
const HAS_GENERATION: &[&str] = &[
    "cronjobs",
    "csidrivers",
    "customresourcedefinitions",
    "daemonsets",
    "deployments",
    "deviceclasses",
    "endpointslices",
    "flowschemas",
    "ingressclasses",
    "ingresses",
    "jobs",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "networkpolicies",
    "poddisruptionbudgets",
    "pods",
    "podtemplates",
    "priorityclasses",
    "prioritylevelconfigurations",
    "replicasets",
    "replicationcontrollers",
    "resourceslices",
    "statefulsets",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
];
const RETURNS_DELETED: &[&str] = &[
    "csidrivers",
    "csinodes",
    "customresourcedefinitions",
    "deviceclasses",
    "namespaces",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "resourceclaims",
    "resourceclaimtemplates",
    "resourcequotas",
    "resourceslices",
    "serviceaccounts",
    "services",
    "storageclasses",
    "volumeattachments",
    "volumeattributesclasses",
];

/// The names of the resources whose rules fulfil `test`, sorted, each once.
fn having(test: impl Fn(&Rules) -> bool) -> Vec<&'static str> {
    let mut names: Vec<&str> = builtin::resources()
        .iter()
        .filter(|info| test(&strategy_in(&info.group, &info.version, &info.resource).rules()))
        .map(|info| info.resource.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn the_rules_of_all_kinds_are_upstreams() {
    assert_eq!(having(|rules| rules.create_on_update), CREATE_ON_UPDATE);
    assert_eq!(having(|rules| !rules.unconditional_update), NEEDS_VERSION);
    assert_eq!(having(|rules| rules.tracks_generation), HAS_GENERATION);
    assert_eq!(having(|rules| rules.returns_deleted_object), RETURNS_DELETED);
    assert_eq!(having(|rules| !rules.garbage_collected), ["events"]);
}

#[test]
fn every_status_subresource_has_a_status() {
    for info in builtin::resources() {
        let served = info.subresources.iter().any(|subresource| subresource.name == "status");
        let rules = strategy_in(&info.group, &info.version, &info.resource).rules();
        assert_eq!(rules.has_status, served, "{}/{}", info.group, info.resource);
    }
}

#[test]
fn defaults_are_idempotent_and_fit_the_schema() {
    for info in builtin::resources() {
        let strategy = strategy_in(&info.group, &info.version, &info.resource);
        let mut object = json!({"metadata": {"name": "a"}, "spec": {}});
        strategy.default(&mut object);
        let once = object.clone();
        strategy.default(&mut object);
        assert_eq!(object, once, "{}/{}", info.group, info.resource);
    }
}

#[test]
fn kinds_select_by_the_same_fields_whatever_the_object() {
    for info in builtin::resources() {
        let strategy = strategy_in(&info.group, &info.version, &info.resource);
        let names = |object: &Value| -> Vec<&str> {
            strategy.selectable_fields(object).into_iter().map(|(name, _)| name).collect()
        };
        let full = json!({"spec": {"nodeName": "n"}, "status": {"phase": "Running"}, "type": "x"});
        assert_eq!(names(&json!({})), names(&full), "{}/{}", info.group, info.resource);
    }
}
