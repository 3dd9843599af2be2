//! The part of a Pod that a kubelet reads off the wire; everything else is skipped while parsing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// A Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodObject {
    pub(super) metadata: Meta,
    pub(super) spec: Spec,
    pub(super) status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Meta {
    pub(super) namespace: Box<str>,
    pub(super) name: Box<str>,
    pub(super) uid: Box<str>,
    pub(super) resource_version: Box<str>,
    pub(super) generation: i64,
    pub(super) deletion_timestamp: Option<Timestamp>,
    #[serde(deserialize_with = "our_annotations")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    pub(super) finalizers: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) node_name: Box<str>,
    pub(super) restart_policy: Box<str>,
    pub(super) host_network: bool,
    pub(super) active_deadline_seconds: Option<i64>,
    #[serde(deserialize_with = "nullable")]
    pub(super) init_containers: Vec<Container>,
    #[serde(deserialize_with = "nullable")]
    pub(super) containers: Vec<Container>,
    #[serde(deserialize_with = "nullable")]
    pub(super) readiness_gates: Vec<ReadinessGate>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: Box<str>,
    pub(super) image: Box<str>,
    pub(super) restart_policy: Option<Box<str>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ReadinessGate {
    pub(super) condition_type: Box<str>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) phase: Box<str>,
    pub(super) reason: Option<Box<str>>,
    #[serde(rename = "podIP")]
    pub(super) pod_ip: Option<Box<str>>,
    pub(super) start_time: Option<Timestamp>,
    #[serde(deserialize_with = "nullable")]
    pub(super) conditions: Vec<Condition>,
    #[serde(deserialize_with = "nullable")]
    pub(super) init_container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "nullable")]
    pub(super) container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) type_: Box<str>,
    pub(super) status: Box<str>,
    pub(super) last_transition_time: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub(super) name: Box<str>,
    pub(super) image: Box<str>,
    pub(super) ready: bool,
    pub(super) restart_count: u32,
    pub(super) state: ContainerState,
    pub(super) last_state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerState {
    pub(super) running: Option<Running>,
    pub(super) terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Running {
    pub(super) started_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Terminated {
    pub(super) exit_code: i32,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
}

/// A page of a list of pods.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) metadata: PageMeta,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) items: Vec<PodObject>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PageMeta {
    pub(super) resource_version: String,
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
}

/// `null` is an empty list, as Go writes it.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Keeps the annotations that are ours; others can be large (`last-applied-configuration`).
fn our_annotations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let all: Option<BTreeMap<Cow<'de, str>, Cow<'de, str>>> = Option::deserialize(deserializer)?;
    let ours = all.into_iter().flatten().filter(|(key, _)| key.starts_with("steersman.dev/"));
    Ok(ours.map(|(key, value)| (key.into_owned(), value.into_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_kept_and_nulls_are_empty() {
        let pod: PodObject = serde_json::from_value(serde_json::json!({
            "metadata": {
                "name": "a",
                "creationTimestamp": null,
                "annotations": { "steersman.dev/ready": "false", "other": "x\ny" },
                "finalizers": null,
            },
            "spec": { "containers": [{ "name": "c", "image": "i", "env": [] }], "initContainers": null },
            "status": { "podIP": "10.244.0.2", "conditions": null },
        }))
        .unwrap();
        assert_eq!(pod.metadata.annotations.len(), 1);
        assert_eq!(pod.spec.containers.len(), 1);
        assert_eq!(pod.status.pod_ip.as_deref(), Some("10.244.0.2"));
        let bare: PodObject = serde_json::from_str(r#"{"metadata":{"annotations":null}}"#).unwrap();
        assert!(bare.metadata.annotations.is_empty());
    }
}
