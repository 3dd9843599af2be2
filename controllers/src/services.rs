//! What the controllers of endpoints share: what they read of services, which of them a pod concerns, and which pods a
//! service has. Source: `k8s.io/endpointslice/util`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use steersman_framework::informer::{Cached, Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey, StringMap, null_default};
use steersman_framework::queue::{Priority, WorkQueue};

use crate::objects::Pod;

#[cfg(test)]
mod tests;

/// The annotation that says when that happened which led to the endpoints.
pub(crate) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// The label of the endpoints of a service without an address of its own.
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";
/// How a pod is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// `status.podIPs`.
    pub ips: Vec<String>,
    /// `spec.hostname`.
    pub hostname: String,
    /// `spec.subdomain`.
    pub subdomain: String,
    /// The ports that have names, of all containers that go on running.
    pub ports: Vec<PodPort>,
}

/// A named port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodPort {
    /// The name.
    pub name: String,
    /// The number.
    pub container_port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// What the controllers read of a service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Service {
    /// The metadata.
    pub metadata: Meta,
    /// What is wanted.
    #[serde(deserialize_with = "null_default")]
    pub spec: ServiceSpec,
}

/// `spec` of a service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// The labels that its pods have; a service without any has no pods.
    pub selector: StringMap,
    /// Its ports.
    #[serde(deserialize_with = "null_default")]
    pub ports: Vec<ServicePort>,
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its address; `None` if it is headless.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    /// `IPv4`, `IPv6` or both.
    #[serde(deserialize_with = "null_default")]
    pub ip_families: Vec<String>,
    /// Whether pods that are not ready count as ready.
    pub publish_not_ready_addresses: bool,
    /// Which endpoints clients had better use: `PreferSameZone` (also `PreferClose`), `PreferSameNode`, or empty.
    #[serde(deserialize_with = "null_default")]
    pub traffic_distribution: String,
}

/// A port of a service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// The name; empty if it is the only one.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// What is spoken there.
    pub app_protocol: Option<String>,
    /// The pods' port: a number, or the name of one.
    pub target_port: Value,
}

impl Cached for Service {
    fn meta(&self) -> &Meta {
        &self.metadata
    }

    /// A service is found by one label of its selector; a pod asks for all its labels.
    fn index(&self) -> Vec<String> {
        let first = self.spec.selector.iter().next().filter(|_| self.is_selecting());
        first.map(|(key, value)| selects(&self.metadata.namespace, key, value)).into_iter().collect()
    }
}

fn selects(namespace: &str, key: &str, value: &str) -> String {
    format!("{namespace}/{key}={value}")
}

impl Service {
    /// Whether the endpoints of this service are our affair.
    pub fn is_selecting(&self) -> bool {
        !self.spec.selector.is_empty() && self.spec.kind != "ExternalName"
    }

    /// Whether it has no address of its own.
    pub fn is_headless(&self) -> bool {
        matches!(self.spec.cluster_ip.as_str(), "" | "None")
    }

    /// Whether a pod with these labels belongs to it.
    pub fn matches(&self, labels: &StringMap) -> bool {
        self.is_selecting() && self.spec.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    /// The host name under which its own name finds a pod.
    pub fn hostname<'a>(&self, pod: &'a Pod) -> Option<&'a str> {
        let network = &pod.network;
        let is_set = !network.hostname.is_empty() && network.subdomain == self.metadata.name;
        is_set.then_some(network.hostname.as_str())
    }

    /// The pods that it selects, in order of their names.
    pub(crate) fn pods(&self, pods: &Informer<Pod>) -> Vec<Arc<Pod>> {
        let mut pods = pods.in_namespace(&self.metadata.namespace);
        pods.retain(|pod| self.matches(&pod.metadata.labels));
        pods
    }
}

impl ServicePort {
    /// The port's number in a pod, if the pod has it.
    pub fn number_in(&self, pod: &Pod) -> Option<i32> {
        let Value::String(name) = &self.target_port else {
            return i32::try_from(self.target_port.as_i64()?).ok();
        };
        let found = pod.network.ports.iter().find(|port| port.name == *name && port.protocol == self.protocol);
        found.map(|port| port.container_port)
    }
}

/// An address, whatever way it is written; zeros in front of a number are of no account.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    let without_zeros = || {
        let part = |part: &str| part.trim_start_matches('0').to_owned();
        let parts = text.split('.').map(part).map(|part| if part.is_empty() { "0".to_owned() } else { part });
        parts.collect::<Vec<_>>().join(".").parse().ok()
    };
    text.parse().ok().or_else(without_zeros)
}

/// Whether a pod can be reached at all; a pod that is on its way out only if it is asked for.
pub fn is_reachable(pod: &Pod, with_terminating: bool) -> bool {
    let may_go = with_terminating || !pod.metadata.is_deleting();
    !pod.phase.is_terminal() && !pod.network.ips.is_empty() && may_go
}

/// Queues the services that changed, and those whose pods did.
pub(crate) fn subscribe(services: &Informer<Service>, pods: &Informer<Pod>, queue: &WorkQueue<ObjectKey>) {
    let into = queue.clone();
    services.on_change(move |delta: &Delta<Service>| {
        if let Some(service) = delta.new.as_ref().or(delta.old.as_ref()) {
            into.add_with(service.metadata.key(), if delta.listed { Priority::Low } else { Priority::High });
        }
    });
    let (into, services) = (queue.clone(), services.clone());
    pods.on_change(move |delta: &Delta<Pod>| {
        for key in concerned(delta, &services) {
            into.add(key);
        }
    });
}

/// The services whose endpoints a change of a pod may change.
pub(crate) fn concerned(delta: &Delta<Pod>, services: &Informer<Service>) -> BTreeSet<ObjectKey> {
    let (old, new) = (delta.old.as_deref(), delta.new.as_deref());
    if let (Some(old), Some(new)) = (old, new)
        && !is_news(old, new)
    {
        return BTreeSet::new();
    }
    let versions = [old, new].into_iter().flatten();
    let found = versions.flat_map(|pod| {
        let meta = &pod.metadata;
        let candidates =
            meta.labels.iter().flat_map(|(key, value)| services.indexed(&selects(&meta.namespace, key, value)));
        candidates.filter(|service| service.matches(&meta.labels)).collect::<Vec<_>>()
    });
    found.map(|service| service.metadata.key()).collect()
}

fn is_news(old: &Pod, new: &Pod) -> bool {
    let what = |pod: &Pod| (pod.ready, pod.phase.is_terminal(), pod.metadata.is_deleting());
    what(old) != what(new)
        || old.metadata.uid != new.metadata.uid
        || old.metadata.labels != new.metadata.labels
        || old.network != new.network
        || old.node_name != new.node_name
}

/// Knows when that happened which the endpoints of a service have to follow.
#[derive(Debug, Default)]
pub(crate) struct Triggers(Mutex<BTreeMap<ObjectKey, Seen>>);

#[derive(Debug, Default)]
struct Seen {
    service: Option<Timestamp>,
    pods: BTreeMap<String, Timestamp>,
}

impl Triggers {
    /// The earliest of what has happened since the last call; for a new service, when it was made.
    pub(crate) fn last_change(&self, service: &Service, pods: &[Arc<Pod>]) -> Option<Timestamp> {
        let created = service.metadata.creation_timestamp;
        let times = pods.iter().filter_map(|pod| Some((pod.metadata.name.clone(), pod.ready_since?)));
        let now = Seen { service: created, pods: times.collect() };
        let mut all = self.0.lock();
        let Some(seen) = all.get(&service.metadata.key()) else {
            all.insert(service.metadata.key(), now);
            return created;
        };
        let changed = now.pods.iter().filter(|(name, time)| seen.pods.get(*name).is_none_or(|before| *time > before));
        let service_changed = created.filter(|_| created > seen.service);
        let earliest = changed.map(|(_, time)| *time).chain(service_changed).min();
        all.insert(service.metadata.key(), now);
        earliest
    }

    /// Forgets a service that is gone.
    pub(crate) fn forget(&self, service: &ObjectKey) {
        self.0.lock().remove(service);
    }
}
