//! Steersman's own custom resource types, as CustomResourceDefinitions.
//!
//! `apps.steersman.dev/v1` has a `Deployment` and a `ReplicaSet` with the spec and status of `apps/v1`, for clusters whose
//! own controllers cannot be switched off. The definitions are derived from the table of built-in types, so that they say
//! exactly what `apps/v1` says; `cargo xtask crds` writes them to `crds/yaml`.

mod structural;
mod workloads;

use serde_json::Value;

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

/// All definitions, sorted by file name.
pub fn definitions() -> Vec<Definition> {
    [workloads::deployment(), workloads::replica_set()]
        .into_iter()
        .map(|object| {
            let plural = object["spec"]["names"]["plural"].as_str().unwrap_or_default();
            Definition { file: format!("{APPS_GROUP}_{plural}.yaml"), object }
        })
        .collect()
}

#[cfg(test)]
mod tests;
