//! Nodes. Source: `k8s.io/kubernetes/pkg/registry/core/node/strategy.go`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::{meta, names};

use super::check::{self, Cursor, text};
use super::pod::resources;
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of nodes. A kubelet registers its node with a status, so a new node keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Node;

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
const NODE_INFO: &[&str] = &[
    "architecture",
    "bootID",
    "containerRuntimeVersion",
    "kernelVersion",
    "kubeProxyVersion",
    "kubeletVersion",
    "machineID",
    "operatingSystem",
    "osImage",
    "systemUUID",
];

impl Strategy for Node {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        Rules { has_status: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec"], json!({}));
        for field in NODE_INFO {
            meta::set_default(object, &["status", "nodeInfo", field], "");
        }
        meta::set_default(object, &["status", "daemonEndpoints", "kubeletEndpoint", "Port"], 0);
        if let Some(capacity) = meta::at(object, &["status", "capacity"]).cloned()
            && capacity.is_object()
        {
            meta::set_default(object, &["status", "allocatable"], capacity);
        }
        pod_cidrs(object);
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        self.default(object);
    }

    fn keeps_status_on_create(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| validate(&root))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        // Upstream says of much twice what is wrong with it.
        check::collect(object, |root| {
            validate(&root);
            change(&root, old);
        })
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| change(&root, old))
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let cordoned = meta::at(object, &["spec", "unschedulable"]) == Some(&Value::Bool(true));
        vec![("spec.unschedulable", cordoned.to_string())]
    }

    fn selects_by_namespace(&self) -> bool {
        false
    }
}

/// `podCIDR` is the first of `podCIDRs`; where they differ, the old field decides.
fn pod_cidrs(object: &mut Value) {
    let one = meta::text(object, &["spec", "podCIDR"]).to_owned();
    let first =
        meta::items(object, &["spec", "podCIDRs"]).first().and_then(Value::as_str).unwrap_or_default().to_owned();
    if one.is_empty() && !first.is_empty() {
        meta::set(object, &["spec", "podCIDR"], first);
    } else if one != first {
        meta::set(object, &["spec", "podCIDRs"], json!([one]));
    }
}

fn validate(root: &Cursor<'_>) {
    let spec = root.at("spec");
    taints(&root.with(Some(spec.at("taints").value), "metadata.taints".into()));
    amounts(root);
    let swap = root.at("status").at("nodeInfo").at("swap").at("capacity");
    if swap.is_set() {
        root.with(Some(swap.value), "metadata.nodeSwapStatus.capacity".into()).greater_than_zero();
    }
    declared_features(&root.at("status").at("declaredFeatures"));
    let cidrs = spec.at("podCIDRs");
    for cidr in cidrs.items() {
        cidr.named(text::cidr);
    }
    if cidrs.len() < 2 {
        return;
    }
    if let Some(wrong) = cidrs.items().find(|cidr| text::sloppy_cidr(cidr.text()).is_none()) {
        let why = format!(
            "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[{}]: {:?} (invalid CIDR address: {})",
            cidrs.items().position(|cidr| cidr.text() == wrong.text()).unwrap_or_default(),
            "<nil>",
            wrong.text()
        );
        cidrs.push(FieldError::internal(&cidrs.path, why));
    }
    let families: BTreeSet<bool> = cidrs.items().map(|cidr| cidr.text().contains(':')).collect();
    if cidrs.len() > families.len() {
        cidrs.invalid("may specify no more than one CIDR for each IP family");
    }
}

/// What is wrong with a change, beside what is wrong with the node by itself.
fn change(root: &Cursor<'_>, old: &Value) {
    amounts(root);
    declared_features(&root.at("status").at("declaredFeatures"));
    addresses(root);
    set_once(root, old);
    taints(&root.with(root.value.pointer("/spec/taints"), "metadata.taints".into()));
    let id = root.at("spec").at("externalID");
    if id.text() != meta::text(old, &["spec", "externalID"]) {
        id.forbidden("may not be updated");
    }
}

fn amounts(root: &Cursor<'_>) {
    for list in ["capacity", "allocatable"] {
        let list = root.at("status").at(list);
        for (name, entry) in list.entries() {
            let place = entry.with(Some(entry.value), list.path.child(name));
            resources::quantity(&place, name);
        }
    }
}

/// What a node says that it can: names like `MyFeature/part`, sorted, each once.
fn declared_features(features: &Cursor<'_>) {
    let mut last: Option<Cursor<'_>> = None;
    for feature in features.items() {
        let name = feature.text();
        // Upstream compares a name with the next one before it looks at that.
        match &last {
            Some(last) if last.text() == name => feature.duplicate(),
            Some(last) if last.text() > name => feature.invalid_text("list must be sorted alphabetically"),
            _ => {}
        }
        let part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
        let well_formed = name.bytes().next().is_some_and(|b| b.is_ascii_uppercase()) && name.split('/').all(part);
        if name.len() > 253 {
            feature.invalid_text(format!("invalid feature name {name:?}: must be no more than 253 characters"));
        } else if !well_formed {
            feature.invalid_text(format!("invalid feature name {name:?}: {FEATURE_RULE}"));
        }
        last = Some(feature);
    }
}

const FEATURE_RULE: &str = "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes";

/// Taints: one of each pair of key and effect.
fn taints(taints: &Cursor<'_>) {
    let mut seen = BTreeSet::new();
    for taint in taints.items() {
        let (key, value, effect) = (taint.at("key"), taint.at("value"), taint.at("effect"));
        key.named(names::qualified_name);
        let complaints = names::label_value(value.text());
        if !complaints.is_empty() {
            value.invalid_text(complaints.join(";"));
        }
        if effect.is_empty() {
            effect.required("");
        } else {
            effect.one_of(EFFECTS);
        }
        if !seen.insert((key.text(), effect.text())) {
            let mut error = FieldError::duplicate(&taint.path, taint.value);
            error.value = format!(
                "{{\"Key\":{},\"Value\":{},\"Effect\":{},\"TimeAdded\":{}}}",
                json!(key.text()),
                json!(value.text()),
                json!(effect.text()),
                taint.at("timeAdded").value
            );
            error.detail = "taints must be unique by key and effect pair".to_owned();
            taint.push(error);
        }
    }
}

fn addresses(root: &Cursor<'_>) {
    let mut seen = BTreeSet::new();
    for address in root.at("status").at("addresses").items() {
        let (sort, text) = (address.at("type").text(), address.at("address").text());
        if !seen.insert((sort, text)) {
            let mut error = FieldError::duplicate(&address.path, address.value);
            error.value = format!("{{\"Type\":{},\"Address\":{}}}", json!(sort), json!(text));
            address.push(error);
        }
    }
}

fn set_once(root: &Cursor<'_>, old: &Value) {
    let spec = root.at("spec");
    let before = meta::items(old, &["spec", "podCIDRs"]);
    let cidrs = spec.at("podCIDRs");
    let rule = "node updates may not change podCIDR except from \"\" to valid";
    if !before.is_empty() && cidrs.len() != before.len() {
        cidrs.forbidden(rule);
    } else {
        cidrs.items().zip(before).filter(|(after, before)| after.value != *before).for_each(|_| cidrs.forbidden(rule));
    }
    let provider = spec.at("providerID");
    let before = meta::text(old, &["spec", "providerID"]);
    if !before.is_empty() && provider.text() != before {
        provider.forbidden("node updates may not change providerID except from \"\" to valid");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_are_unique_and_well_formed() {
        let object = json!({"spec": {"taints": [
            {"key": "a", "effect": "NoSchedule"},
            {"key": "a", "effect": "NoSchedule"},
            {"key": "b", "effect": "Sometimes"},
        ]}});
        assert_eq!(
            check::messages(&Node.validate(&object)),
            [
                r#"metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair"#,
                r#"metadata.taints[2].effect: Unsupported value: "Sometimes": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute""#,
            ]
        );
    }

    #[test]
    fn cidr_and_provider_are_set_once() {
        let old = json!({"spec": {"podCIDR": "10.0.1.0/24", "podCIDRs": ["10.0.1.0/24"], "providerID": "kind://a"}});
        let new = json!({"spec": {"podCIDR": "10.0.2.0/24", "podCIDRs": ["10.0.2.0/24"], "providerID": "kind://b"}});
        assert_eq!(
            check::messages(&Node.validate_update(&new, &old)),
            [
                r#"spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid"#,
                r#"spec.providerID: Forbidden: node updates may not change providerID except from "" to valid"#,
            ]
        );
    }

    #[test]
    fn allocatable_and_cidrs_are_filled_in() {
        let mut object = json!({"spec": {"podCIDR": "10.0.1.0/24"}, "status": {"capacity": {"cpu": "4"}}});
        Node.default(&mut object);
        assert_eq!(object["spec"]["podCIDRs"], json!(["10.0.1.0/24"]));
        assert_eq!(object["status"]["allocatable"], json!({"cpu": "4"}));
    }
}
