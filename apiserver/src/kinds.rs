//! The built-in kinds: what is particular about each of them. One file a kind or family.
//! Source: `k8s.io/kubernetes/pkg/apis` (defaults, validation) and `pkg/registry` (strategies).

use std::sync::Arc;

use crate::registry::strategy::{Plain, Rules, Strategy};

mod check;
pub mod config;
pub mod deployment;
pub mod event;
pub mod lease;
pub mod namespace;
pub mod node;
pub mod pod;
pub mod pod_template;
pub mod replica_set;
pub mod service;
pub mod service_account;

/// The strategy of a built-in resource: `strategy_for("apps", "deployments")`. The core group is the empty text. A
/// resource that this version does not know behaves as [`Plain`].
pub fn strategy_for(group: &str, resource: &str) -> Arc<dyn Strategy> {
    match (group, resource) {
        ("", "configmaps") => Arc::new(config::ConfigMap),
        ("", "events") => Arc::new(event::CoreEvent),
        ("events.k8s.io", "events") => Arc::new(event::Event),
        ("", "namespaces") => Arc::new(namespace::Namespace),
        ("", "nodes") => Arc::new(node::Node),
        ("", "pods") => Arc::new(pod::Pod),
        ("", "podtemplates") => Arc::new(pod_template::PodTemplate),
        ("", "secrets") => Arc::new(config::Secret),
        ("", "services") => Arc::new(service::Service),
        ("", "serviceaccounts") => Arc::new(service_account::ServiceAccount),
        ("apps", "deployments") => Arc::new(deployment::Deployment),
        ("apps", "replicasets") => Arc::new(replica_set::ReplicaSet),
        ("coordination.k8s.io", "leases") => Arc::new(lease::Lease),
        _ => Arc::new(Plain(Rules::DEFAULT)),
    }
}
