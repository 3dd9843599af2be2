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
        // Upstream says of the taints twice what is wrong with them.
        check::collect(object, |root| {
            validate(&root);
            addresses(&root);
            set_once(&root, old);
            taints(&root.with(root.value.pointer("/spec/taints"), "metadata.taints".into()));
        })
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> ErrorList {
        self.validate_update(object, old)
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
    for list in ["capacity", "allocatable"] {
        let list = root.at("status").at(list);
        for (name, entry) in list.entries() {
            let place = entry.with(Some(entry.value), list.path.child(name));
            resources::quantity(&place, name);
        }
    }
    let cidrs = spec.at("podCIDRs");
    for cidr in cidrs.items() {
        cidr.named(text::cidr);
    }
    let families: BTreeSet<bool> = cidrs.items().map(|cidr| cidr.text().contains(':')).collect();
    if cidrs.len() > families.len() {
        cidrs.invalid("may specify no more than one CIDR for each IP family");
    }
}

/// Taints: one of each pair of key and effect.
fn taints(taints: &Cursor<'_>) {
    let mut seen = BTreeSet::new();
    for taint in taints.items() {
        let (key, value, effect) = (taint.at("key"), taint.at("value"), taint.at("effect"));
        key.named(names::qualified_name);
        if !value.is_empty() {
            value.named(names::label_value);
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
    if !before.is_empty() && !check::same(Some(cidrs.value), meta::at(old, &["spec", "podCIDRs"])) {
        cidrs.forbidden("node updates may not change podCIDR except from \"\" to valid");
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
