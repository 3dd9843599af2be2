//! `steersman up`: a cluster at a port, until it is told to stop.

mod authentication;
mod front_proxy;
mod requests;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use steersman_apiserver::admission;
use steersman_apiserver::features::{Feature, Features, RuntimeConfig};

use super::{print_connection, stop};
use crate::scheduler::{self, Configuration};
use crate::{ApiGroups, Cluster, ClusterBuilder, ControllerSelection, Error};

/// What to start and where. Names and formats are those of kube-apiserver, kube-controller-manager and kube-scheduler.
#[derive(Args, Debug)]
pub(crate) struct Up {
    /// The address to listen at.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// The port to listen at; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 6443)]
    port: u16,
    /// Threads that share the work. One is enough for kubectl and for tests; more serve many clients, and thousands of pods,
    /// sooner.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(super) threads: NonZeroUsize,
    /// How many nodes to simulate.
    #[arg(long, value_name = "N", default_value_t = 3)]
    nodes: usize,
    /// Which controllers to run: `all`, `none`, or names separated by commas.
    #[arg(long, value_name = "LIST", default_value = "all")]
    controllers: ControllerSelection,
    /// Of which API groups Deployments and ReplicaSets are kept: `apps`, `apps.steersman.dev` or `both`.
    #[arg(long, value_name = "GROUP", default_value_t)]
    api_group: ApiGroups,
    /// Leave the scheduler out.
    #[arg(long, conflicts_with = "scheduler_config")]
    no_scheduler: bool,
    /// A KubeSchedulerConfiguration.
    #[arg(long, value_name = "FILE")]
    scheduler_config: Option<PathBuf>,
    /// Where to write the kubeconfig. Only its owner may read it.
    #[arg(long, value_name = "FILE", default_value = "steersman.kubeconfig")]
    kubeconfig: PathBuf,
    /// Keep the cluster in this folder, so that it goes on where it was when it is started again. Only its owner may read it.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    authentication: authentication::Flags,
    #[command(flatten)]
    front_proxy: front_proxy::Flags,
    #[command(flatten)]
    requests: requests::Flags,
    /// Admission plugins to have besides those that are on by default, separated by commas.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    enable_admission_plugins: Vec<String>,
    /// Admission plugins to leave out, separated by commas.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    disable_admission_plugins: Vec<String>,
    /// An AdmissionConfiguration of apiserver.config.k8s.io/v1: what single admission plugins are configured with.
    #[arg(long, value_name = "FILE")]
    admission_control_config_file: Option<PathBuf>,
    /// Features of the API to switch on that are off by default: `Name=true`, separated by commas.
    #[arg(long, value_name = "LIST")]
    feature_gates: Option<Features>,
    /// Versions and resources to serve or not: `scheduling.k8s.io/v1alpha2=true`, separated by commas.
    #[arg(long, value_name = "LIST")]
    runtime_config: Option<RuntimeConfig>,
    /// Let pods have privileged containers.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL")]
    allow_privileged: bool,
}

/// Starts, tells how to connect, and stops cleanly when it is told to.
pub(crate) async fn run(up: &Up) -> Result<()> {
    let builder = builder(up)?;
    let mut cluster = builder.start().await?;
    let served = match cluster.serve(SocketAddr::new(up.bind, up.port)).await {
        Err(error @ Error::AddressInUse(_)) => bail!("{error} with --port"),
        served => served?,
    };
    served.write_kubeconfig(&up.kubeconfig)?;
    print_connection(&served, &up.kubeconfig);
    let ended = tokio::select! {
        biased;
        stopped = stop::requested() => stopped,
        error = cluster.failed() => Err(error.into()),
    };
    served.stop().await;
    cluster.stop().await;
    ended
}

fn builder(up: &Up) -> Result<ClusterBuilder> {
    let mut builder = Cluster::builder()
        .seed(seed())
        .nodes(up.nodes)
        .controllers(up.controllers.clone())
        .api_groups(up.api_group)
        .authentication(up.authentication.options()?)
        .flow_control(up.requests.flow_control())
        .enable_admission(up.enable_admission_plugins.clone())
        .disable_admission(up.disable_admission_plugins.clone())
        .refuse_privileged(!up.allow_privileged)
        .api_features(up.feature_gates.clone().unwrap_or_default())
        .runtime_config(up.runtime_config.clone().unwrap_or_default());
    if let Some(path) = &up.admission_control_config_file {
        builder = builder.admission_configuration(admission_configuration(path)?);
    }
    if let Some(log) = up.requests.audit_log()? {
        builder = builder.audit_log(log);
    }
    if let Some(proxy) = up.front_proxy.read()? {
        builder = builder.front_proxy(proxy);
    }
    if let Some(folder) = &up.data_dir {
        builder = builder.data_dir(folder);
    }
    if up.no_scheduler {
        builder = builder.without_scheduler();
    }
    if let Some(path) = &up.scheduler_config {
        let configuration = Configuration::from_yaml(&read(path)?).with_context(|| path.display().to_string())?;
        builder = builder.scheduler(scheduler_options(up, configuration));
    } else if !up.no_scheduler {
        builder = builder.scheduler(scheduler_options(up, Configuration::default()));
    }
    Ok(builder)
}

/// Files that the configuration names are found from where it is.
fn admission_configuration(path: &Path) -> Result<admission::Configuration> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let named = |name: &str| read(&folder.join(name)).map_err(|error| format!("{error:#}"));
    let configuration = admission::Configuration::from_yaml(&read(path)?, named).map_err(anyhow::Error::msg);
    configuration.with_context(|| path.display().to_string())
}

/// The gates of the API that concern the scheduler switch it, too.
fn scheduler_options(up: &Up, configuration: Configuration) -> scheduler::Options {
    let gangs = up.feature_gates.as_ref().is_some_and(|gates| gates.has(Feature::GangScheduling));
    let configuration = if gangs { configuration.with_gang_scheduling() } else { configuration };
    scheduler::Options { configuration, ..scheduler::Options::default() }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A seed that differs from one start to the next; the system's randomness is behind it.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
