//! The Node and Lease objects as they go to the API server.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::clock::{format_micro_time, format_time};

use super::{KUBELET_VERSION, Node, Nodes};
use crate::options::Options;

/// Where nodes are.
pub(super) const NODES: &str = "/api/v1/nodes";

/// Where their leases are.
pub(super) const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// The kubelet's conditions: type, status, reason, message.
const CONDITIONS: [[&str; 4]; 4] = [
    ["MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
    ["DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
    ["PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"],
    ["Ready", "True", "KubeletReady", "kubelet is posting ready status"],
];

/// The node as it registers.
pub(super) fn node(nodes: &Nodes, node: &Node, now: Timestamp) -> Value {
    let template = nodes.template(node);
    let (first, size) = node.pods;
    let cidr = format!("{first}/{}", 32 - size.ilog2());
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node.name,
            "labels": labels(nodes, node),
            "annotations": template.annotations,
        },
        "spec": {
            "podCIDR": cidr,
            "podCIDRs": [cidr],
            "taints": template.taints,
        },
        "status": status(nodes, node, now),
    })
}

/// The labels that the kubelet sets, and the template's.
pub(super) fn labels(nodes: &Nodes, node: &Node) -> Value {
    let mut labels = json!({
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
    });
    for (key, value) in &nodes.template(node).labels {
        labels[key] = json!(value);
    }
    labels
}

/// The whole status.
pub(super) fn status(nodes: &Nodes, node: &Node, now: Timestamp) -> Value {
    let template = nodes.template(node);
    let mut conditions = heartbeat(now);
    for condition in conditions["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastTransitionTime"] = json!(format_time(now));
    }
    json!({
        "addresses": [
            { "type": "InternalIP", "address": node.address },
            { "type": "Hostname", "address": node.name },
        ],
        "allocatable": template.allocatable.as_ref().unwrap_or(&template.capacity),
        "capacity": template.capacity,
        "conditions": conditions["conditions"],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": identifier(&node.name, "boot"),
            "containerRuntimeVersion": concat!("steersman://", env!("CARGO_PKG_VERSION")),
            "kernelVersion": "6.12.0",
            "kubeProxyVersion": "",
            "kubeletVersion": KUBELET_VERSION,
            "machineID": identifier(&node.name, "machine").replace('-', ""),
            "operatingSystem": "linux",
            "osImage": "Simulated by Steersman",
            "systemUUID": identifier(&node.name, "system"),
        },
    })
}

/// The part of the status that says that the node is still alive. A condition's `lastTransitionTime` stays as it is.
pub(super) fn heartbeat(now: Timestamp) -> Value {
    let conditions = CONDITIONS.map(|[kind, status, reason, message]| {
        json!({
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": format_time(now),
        })
    });
    json!({ "conditions": conditions })
}

/// The lease of a node; it goes when the node goes.
pub(super) fn lease(node: &Node, uid: &str, options: &Options, now: Timestamp) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": node.name,
            "namespace": "kube-node-lease",
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": node.name, "uid": uid }],
        },
        "spec": {
            "holderIdentity": node.name,
            "leaseDurationSeconds": options.lease_duration.as_secs(),
            "renewTime": format_micro_time(now),
        },
    })
}

/// What a renewal changes.
pub(super) fn renewal(node: &Node, options: &Options, now: Timestamp) -> Value {
    json!({
        "spec": {
            "holderIdentity": node.name,
            "leaseDurationSeconds": options.lease_duration.as_secs(),
            "renewTime": format_micro_time(now),
        },
    })
}

/// A UUID that depends on nothing but its inputs, so that a node is the same in each run.
fn identifier(name: &str, purpose: &str) -> String {
    let hash = |salt: u8| crate::pod::stable_hash(&(name, purpose, salt));
    let (high, low) = (hash(0), hash(1));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}
