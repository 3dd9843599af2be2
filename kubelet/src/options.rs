//! What the simulated nodes look like, and how long things take on them.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Taint;

/// What [`run`](crate::run) is to simulate.
#[derive(Clone, Debug)]
pub struct Options {
    /// The nodes, template after template.
    pub nodes: Vec<NodeTemplate>,
    /// How long a lease is good for without being renewed; written into it (upstream: 40 s).
    pub lease_duration: Duration,
    /// How often each node renews its lease (upstream: a quarter of the duration, 10 s).
    pub lease_renew_interval: Duration,
    /// How often each node reports its status although nothing changed (upstream: 5 min).
    pub status_interval: Duration,
    /// From a pod being bound to its containers running. With zero, a pod is Running with the first write.
    pub start_delay: Duration,
    /// From a container running to its being ready.
    pub ready_delay: Duration,
    /// From a pod being deleted to its containers having stopped; never longer than the pod's grace period.
    pub termination_delay: Duration,
}

/// A number of nodes that are alike.
#[derive(Clone, Debug)]
pub struct NodeTemplate {
    /// The name; `{}` stands for the number of the node within its template, from 0. Needed if there are several.
    pub name: String,
    /// How many.
    pub count: usize,
    /// Labels besides `kubernetes.io/hostname`, `kubernetes.io/os` and `kubernetes.io/arch`, which they override.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Resource → quantity, such as `cpu` → `8`.
    pub capacity: BTreeMap<String, String>,
    /// What of the capacity pods may take; all of it if nothing is said.
    pub allocatable: Option<BTreeMap<String, String>>,
    /// The taints that the nodes register with.
    pub taints: Vec<Taint>,
}

impl Default for Options {
    /// One node; everything as fast as it gets.
    fn default() -> Self {
        Self {
            nodes: vec![NodeTemplate::default()],
            lease_duration: Duration::from_secs(40),
            lease_renew_interval: Duration::from_secs(10),
            status_interval: Duration::from_secs(300),
            start_delay: Duration::ZERO,
            ready_delay: Duration::ZERO,
            termination_delay: Duration::ZERO,
        }
    }
}

impl Options {
    /// `count` default nodes, `node-0` and on.
    pub fn with_nodes(count: usize) -> Self {
        Self { nodes: vec![NodeTemplate { count, ..NodeTemplate::default() }], ..Self::default() }
    }
}

impl Default for NodeTemplate {
    /// A node of a usual size: 8 CPUs, 32 GiB, 110 pods (upstream's limit).
    fn default() -> Self {
        let capacity = [("cpu", "8"), ("ephemeral-storage", "100Gi"), ("memory", "32Gi"), ("pods", "110")];
        Self {
            name: "node-{}".to_owned(),
            count: 1,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            capacity: capacity
                .into_iter()
                .map(|(resource, quantity)| (resource.to_owned(), quantity.to_owned()))
                .collect(),
            allocatable: None,
            taints: Vec::new(),
        }
    }
}
