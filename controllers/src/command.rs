//! The command line of `steersman-controllers`. Needs the feature `component`.

mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser};
use serde_json::json;
use steersman_framework::component::{self, Component, Flags, Identity, Settings};

use crate::{ApiGroups, ControllerSelection, Features, Options, Shard};
use file::File;

/// The port is kube-controller-manager's.
const IDENTITY: Identity = Identity { name: "steersman-controllers", version: env!("CARGO_PKG_VERSION"), port: 10257 };

/// Kubernetes' controllers, against any API server. Flags are kube-controller-manager's where it has them.
#[derive(Parser, Debug)]
#[command(name = IDENTITY.name, version)]
struct Arguments {
    /// A ControllersConfiguration. Flags count more.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which controllers to run: names separated by commas, `*` for all, `-name` for all but that one. All by default.
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    controllers: Option<String>,
    /// A certificate authority (PEM) that the ConfigMap kube-root-ca.crt of each namespace is to hold; without it there is none.
    #[arg(long, value_name = "FILE")]
    root_ca_file: Option<PathBuf>,
    /// Of which API group the Deployments and ReplicaSets are kept: `apps`, `apps.steersman.dev` or `both`.
    #[arg(long, value_name = "GROUP")]
    api_group: Option<ApiGroups>,
    /// Behaviours to switch on or off, such as `PodDeletionCost=false`, separated by commas.
    #[arg(long, value_name = "LIST")]
    feature_gates: Option<Features>,
    /// Which part of the namespaces this process and its stand-bys see to: `0/3` is the first of three.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    #[command(flatten)]
    concurrent: Concurrent,
    #[command(flatten)]
    flags: Flags,
}

/// How many objects each controller works on at a time.
#[derive(Args, Debug, Default)]
#[group(id = "concurrent")]
struct Concurrent {
    /// Deployments worked on at a time. 5 by default.
    #[arg(long, value_name = "N")]
    concurrent_deployment_syncs: Option<usize>,
    /// ReplicaSets worked on at a time. 5 by default.
    #[arg(long, value_name = "N")]
    concurrent_replicaset_syncs: Option<usize>,
    /// Objects that the garbage collector works on at a time. 20 by default.
    #[arg(long, value_name = "N")]
    concurrent_gc_syncs: Option<usize>,
    /// Namespaces worked on at a time. 10 by default.
    #[arg(long, value_name = "N")]
    concurrent_namespace_syncs: Option<usize>,
    /// ResourceQuotas worked on at a time. 5 by default.
    #[arg(long, value_name = "N")]
    concurrent_resource_quota_syncs: Option<usize>,
    /// Services whose Endpoints are worked on at a time. 5 by default.
    #[arg(long, value_name = "N")]
    concurrent_endpoint_syncs: Option<usize>,
    /// Services whose EndpointSlices are worked on at a time. 5 by default.
    #[arg(long, value_name = "N")]
    concurrent_service_endpoint_syncs: Option<usize>,
    /// Finished Jobs worked on at a time. 5 by default.
    #[arg(long, value_name = "N")]
    concurrent_ttl_after_finished_syncs: Option<usize>,
}

impl Concurrent {
    /// By the controllers' names.
    fn by_name(&self) -> impl Iterator<Item = (&'static str, usize)> {
        [
            ("deployment-controller", self.concurrent_deployment_syncs),
            ("replicaset-controller", self.concurrent_replicaset_syncs),
            ("garbage-collector-controller", self.concurrent_gc_syncs),
            ("namespace-controller", self.concurrent_namespace_syncs),
            ("resourcequota-controller", self.concurrent_resource_quota_syncs),
            ("endpoints-controller", self.concurrent_endpoint_syncs),
            ("endpointslice-controller", self.concurrent_service_endpoint_syncs),
            ("ttl-after-finished-controller", self.concurrent_ttl_after_finished_syncs),
        ]
        .into_iter()
        .filter_map(|(name, count)| Some((name, count?)))
    }
}

/// Parses the arguments and runs the controllers until the system says to stop.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    component::start(&arguments.flags.log.clone(), run(arguments))
}

async fn run(arguments: Arguments) -> Result<()> {
    let file = match &arguments.config {
        Some(path) => File::from_yaml(&component::read(path)?).with_context(|| path.display().to_string())?,
        None => File::default(),
    };
    let options = options(&arguments, &file)?;
    options.check()?;
    let mut settings = Settings::new(IDENTITY, &arguments.flags, &file.general)?;
    if let Some(election) = &mut settings.leader_election {
        election.resource_name = options.shard.lease(&election.resource_name);
    }
    let shown = json!({"controllers": options.controllers.to_string(), "concurrentSyncs": &options.concurrent});
    let component = Component::new(IDENTITY, settings).configz("controllers", shown);
    component::run(component, |context| async move { Ok(crate::run(context, options).await?) }).await
}

/// What flags, file and defaults come to.
fn options(arguments: &Arguments, file: &File) -> Result<Options> {
    let controllers = match arguments.controllers.as_ref().or(file.controllers.as_ref()) {
        Some(list) => list.parse().context("--controllers")?,
        None => ControllerSelection::all(),
    };
    let root_ca = arguments.root_ca_file.as_ref().or(file.root_ca_file.as_ref());
    let mut concurrent = BTreeMap::from([("namespace-controller", 10)]);
    concurrent.extend(file.concurrent_syncs.iter().map(|(name, count)| (*name, *count)));
    concurrent.extend(arguments.concurrent.by_name());
    Ok(Options {
        controllers,
        api_groups: arguments.api_group.or(file.api_group).unwrap_or_default(),
        features: arguments.feature_gates.or(file.feature_gates).unwrap_or_default(),
        shard: arguments.shard.or(file.shard).unwrap_or(Shard::WHOLE),
        concurrent,
        root_ca: root_ca.map(|path| component::read(path)).transpose()?,
        ..Options::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(flags: &str, file: &str) -> Result<Options> {
        let words = [IDENTITY.name].into_iter().chain(flags.split_whitespace());
        let file = if file.is_empty() { File::default() } else { File::from_yaml(file)? };
        options(&Arguments::try_parse_from(words)?, &file)
    }

    const FILE: &str = "apiVersion: controllers.config.steersman.dev/v1
kind: ControllersConfiguration
controllers: ['*', -deployment]
concurrentSyncs: {replicaset: 7, garbage-collector: 3}
leaderElection: {leaderElect: false}
apiGroup: apps.steersman.dev
featureGates: {PodDeletionCost: false}
shard: 1/2
";

    #[test]
    fn flags_count_more_than_the_file_and_the_file_more_than_the_defaults() {
        let defaults = parsed("", "").unwrap();
        assert_eq!(defaults.controllers, ControllerSelection::all());
        assert_eq!((defaults.syncs("namespace-controller"), defaults.syncs("replicaset-controller")), (10, 5));
        assert_eq!(defaults.syncs("garbage-collector-controller"), 20);
        let file = parsed("", FILE).unwrap();
        assert!(!file.controllers.contains("deployment-controller"));
        assert_eq!((file.syncs("replicaset-controller"), file.syncs("garbage-collector-controller")), (7, 3));
        assert_eq!((file.api_groups, file.shard), (ApiGroups::Steersman, "1/2".parse().unwrap()));
        assert_eq!(file.features, "PodDeletionCost=false".parse().unwrap());
        let both = parsed("--controllers -namespace,* --concurrent-gc-syncs 9", FILE).unwrap();
        assert!(
            both.controllers.contains("deployment-controller") && !both.controllers.contains("namespace-controller")
        );
        assert_eq!(parsed("--api-group both --shard 0/1", FILE).unwrap().api_groups, ApiGroups::Both);
        assert_eq!((both.syncs("replicaset-controller"), both.syncs("garbage-collector-controller")), (7, 9));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |flags: &str, file: &str, expect: &str| {
            let options = parsed(flags, file).and_then(|options| Ok(options.check()?));
            let error = format!("{:#}", options.unwrap_err());
            assert!(error.contains(expect), "{error}");
        };
        check("--controllers job", "", "there is no controller \"job\"");
        check("--concurrent-deployment-syncs 0", "", "deployment-controller");
        check("", "kind: Deployment", "ControllersConfiguration");
        check("", &FILE.replace("replicaset: 7", "job: 7"), "there is no controller \"job\"");
        check("", &FILE.replace("leaderElect:", "elect:"), "elect");
        check("", &FILE.replace("concurrentSyncs", "syncs"), "syncs");
    }
}
