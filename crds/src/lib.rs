//! Steersman's own custom resource types, as CustomResourceDefinitions.
//!
//! `apps.steersman.dev/v1` has a `Deployment` and a `ReplicaSet` with the spec and status of `apps/v1`, for clusters whose
//! own controllers cannot be switched off. The definitions are derived from the table of built-in types, so that they say
//! exactly what `apps/v1` says; `cargo xtask crds` writes them to `crds/yaml`. `scheduling.x-k8s.io/v1alpha1` has what the
//! scheduler's plugins for gangs and elastic quotas read.

mod scheduling;
mod structural;
mod workloads;

use serde_json::Value;

pub use scheduling::GROUP as SCHEDULING_GROUP;

/// The API group of our own workload kinds.
pub const APPS_GROUP: &str = "apps.steersman.dev";

/// A definition and the name of the file that has it.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The name of the file in `crds/yaml`.
    pub file: String,
    /// The CustomResourceDefinition (`apiextensions.k8s.io/v1`).
    pub object: Value,
}

/// The definitions of our own workload kinds, sorted by file name.
pub fn definitions() -> Vec<Definition> {
    [workloads::deployment(), workloads::replica_set()].into_iter().map(Definition::of).collect()
}

/// The definitions that scheduling plugins read, sorted by file name: scheduler-plugins' `ElasticQuota` and `PodGroup`.
pub fn scheduling_definitions() -> Vec<Definition> {
    [scheduling::elastic_quota(), scheduling::pod_group()].into_iter().map(Definition::of).collect()
}

impl Definition {
    fn of(object: Value) -> Self {
        let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
        let (group, plural) = (text(&object["spec"]["group"]), text(&object["spec"]["names"]["plural"]));
        Self { file: format!("{group}_{plural}.yaml"), object }
    }
}

#[cfg(test)]
mod tests;
