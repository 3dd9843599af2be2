//! The built-in kinds: what is particular about each of them. One file a kind or family.
//! Source: `k8s.io/kubernetes/pkg/apis` (defaults, validation) and `pkg/registry` (strategies).

use std::sync::Arc;

use crate::registry::strategy::{Plain, Rules, Strategy};

mod check;
pub mod config;
pub mod controller_revision;
pub mod cron_job;
pub mod daemon_set;
pub mod deployment;
pub mod event;
pub mod job;
pub mod lease;
pub mod namespace;
pub mod node;
pub mod pod;
pub mod pod_disruption_budget;
pub mod pod_template;
pub mod quota;
pub mod replica_set;
pub mod replication_controller;
pub mod service;
pub mod service_account;
pub mod stateful_set;

/// The strategy of a built-in resource in one of its versions: `strategy_in("autoscaling", "v1",
/// "horizontalpodautoscalers")`. Most resources behave alike in all versions; see [`strategy_for`].
pub fn strategy_in(group: &str, _version: &str, resource: &str) -> Arc<dyn Strategy> {
    strategy_for(group, resource)
}

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
        ("", "limitranges") => Arc::new(quota::LimitRange),
        ("", "replicationcontrollers") => Arc::new(replication_controller::ReplicationController),
        ("", "resourcequotas") => Arc::new(quota::ResourceQuota),
        ("apps", "controllerrevisions") => Arc::new(controller_revision::ControllerRevision),
        ("apps", "daemonsets") => Arc::new(daemon_set::DaemonSet),
        ("apps", "statefulsets") => Arc::new(stateful_set::StatefulSet),
        ("batch", "cronjobs") => Arc::new(cron_job::CronJob),
        ("batch", "jobs") => Arc::new(job::Job),
        ("policy", "poddisruptionbudgets") => Arc::new(pod_disruption_budget::PodDisruptionBudget),
        ("apiextensions.k8s.io", "customresourcedefinitions") => Arc::new(crate::crd::definition::Definition),
        ("apps", "deployments") => Arc::new(deployment::Deployment),
        ("apps", "replicasets") => Arc::new(replica_set::ReplicaSet),
        ("coordination.k8s.io", "leases") => Arc::new(lease::Lease),
        _ => Arc::new(Plain(Rules::DEFAULT)),
    }
}
