//! The configuration file of `steersman-controllers`:
//!
//! ```yaml
//! apiVersion: controllers.config.steersman.dev/v1
//! kind: ControllersConfiguration
//! controllers: ["*", -namespace]      # as --controllers
//! concurrentSyncs:                    # as --concurrent-…-syncs, by the controllers' names
//!   deployment: 10
//! rootCAFile: /etc/kubernetes/ca.crt  # as --root-ca-file
//! apiGroup: apps                      # as --api-group
//! featureGates:                       # as --feature-gates
//!   PodDeletionCost: false
//! shard: 0/1                          # as --shard
//! clientConnection:                   # as in a KubeSchedulerConfiguration
//!   kubeconfig: /etc/kubernetes/controllers.conf
//!   qps: 100
//!   burst: 200
//! leaderElection:                     # as in a KubeSchedulerConfiguration
//!   leaderElect: true
//!   leaseDuration: 15s
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Deserialize;
use steersman_framework::component::{ClientConnection, FileSettings, LeaderElection};

use crate::selection::full_name;
use crate::{ApiGroups, Features, Shard};

const API_VERSION: &str = "controllers.config.steersman.dev/v1";
const KIND: &str = "ControllersConfiguration";

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct File {
    /// As `--controllers`.
    pub(super) controllers: Option<String>,
    /// By the controllers' full names.
    pub(super) concurrent_syncs: BTreeMap<&'static str, usize>,
    /// As `--root-ca-file`.
    pub(super) root_ca_file: Option<PathBuf>,
    /// As `--api-group`.
    pub(super) api_group: Option<ApiGroups>,
    /// As `--feature-gates`.
    pub(super) feature_gates: Option<Features>,
    /// As `--shard`.
    pub(super) shard: Option<Shard>,
    /// What all components have.
    pub(super) general: FileSettings,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[derive(Default)]
struct Wire {
    api_version: String,
    kind: String,
    controllers: Option<Vec<String>>,
    concurrent_syncs: BTreeMap<String, usize>,
    #[serde(rename = "rootCAFile")]
    root_ca_file: Option<PathBuf>,
    api_group: Option<String>,
    feature_gates: Option<BTreeMap<String, bool>>,
    shard: Option<String>,
    client_connection: ClientConnection,
    leader_election: LeaderElection,
}

impl File {
    /// Reads the file; what it does not know it refuses.
    pub(super) fn from_yaml(text: &str) -> Result<Self> {
        let wire: Wire = serde_saphyr::from_str(text)?;
        if (wire.api_version.as_str(), wire.kind.as_str()) != (API_VERSION, KIND) {
            bail!("expected {KIND} of {API_VERSION}, not {:?} of {:?}", wire.kind, wire.api_version);
        }
        let mut concurrent_syncs = BTreeMap::new();
        for (name, count) in &wire.concurrent_syncs {
            concurrent_syncs.insert(full_name(name)?, *count);
        }
        let gates = wire.feature_gates.map(|gates| {
            let gates: Vec<String> = gates.iter().map(|(name, on)| format!("{name}={on}")).collect();
            gates.join(",")
        });
        Ok(Self {
            api_group: wire.api_group.map(|group| group.parse()).transpose()?,
            feature_gates: gates.map(|gates| gates.parse()).transpose()?,
            shard: wire.shard.map(|shard| shard.parse()).transpose()?,
            controllers: wire.controllers.map(|names| names.join(",")),
            concurrent_syncs,
            root_ca_file: wire.root_ca_file,
            general: FileSettings { client_connection: wire.client_connection, leader_election: wire.leader_election },
        })
    }
}
