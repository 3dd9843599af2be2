//! Flags that all components have, with upstream's names. Source: Kubernetes doc "kube-controller-manager".

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use jiff::SignedDuration;

/// Flags that all components have. Flatten it into the component's own. What is not given is taken from the configuration
/// file, or has its default.
#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// How to reach the API server.
    #[command(flatten)]
    pub client: ClientFlags,
    /// Whether, and how, replicas agree on who works.
    #[command(flatten)]
    pub election: ElectionFlags,
    /// Where health and metrics are served.
    #[command(flatten)]
    pub serving: ServingFlags,
    /// What is logged, and how.
    #[command(flatten)]
    pub log: LogFlags,
}

/// How to reach the API server.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "client")]
pub struct ClientFlags {
    /// The kubeconfig that says where the API server is and with which credentials to speak to it. Without it, a component in
    /// a pod uses the pod's service account.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The URL of the API server, if not that of the kubeconfig.
    #[arg(long, value_name = "URL")]
    pub master: Option<String>,
    /// Requests a second to the API server on the long run. Without it, or if it is negative, there is no limit but the
    /// server's own, which is obeyed.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub kube_api_qps: Option<f64>,
    /// Requests to the API server at once before --kube-api-qps counts.
    #[arg(long, value_name = "N")]
    pub kube_api_burst: Option<u32>,
}

/// Whether, and how, replicas agree on who works.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "election")]
pub struct ElectionFlags {
    /// Whether to work only while holding the lease, so that there may be several replicas. Yes by default.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = ArgAction::Set)]
    pub leader_elect: Option<bool>,
    /// How long other replicas wait after the last renewal of the lease that they saw. 15s by default.
    #[arg(long, value_name = "DURATION")]
    pub leader_elect_lease_duration: Option<SignedDuration>,
    /// How long the leader tries to renew the lease before it gives up. 10s by default.
    #[arg(long, value_name = "DURATION")]
    pub leader_elect_renew_deadline: Option<SignedDuration>,
    /// The time between two attempts to take or renew the lease. 2s by default.
    #[arg(long, value_name = "DURATION")]
    pub leader_elect_retry_period: Option<SignedDuration>,
    /// The name of the lease. The component's name by default.
    #[arg(long, value_name = "NAME")]
    pub leader_elect_resource_name: Option<String>,
    /// The namespace of the lease. kube-system by default.
    #[arg(long, value_name = "NAMESPACE")]
    pub leader_elect_resource_namespace: Option<String>,
}

/// Where health and metrics are served: over plain HTTP, since there is nothing in them to be kept secret, and to check who
/// asks the component would have to be allowed to review tokens. On the loopback unless told otherwise.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "serving")]
pub struct ServingFlags {
    /// The address at which health and metrics are served, over plain HTTP. 127.0.0.1 by default.
    #[arg(long, value_name = "ADDRESS")]
    pub bind_address: Option<IpAddr>,
    /// The port at which health and metrics are served, over plain HTTP; 0 takes a free one, which is logged.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

/// What is logged, and how.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "log")]
pub struct LogFlags {
    /// How lines of the log look.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub log_format: LogFormat,
    /// How much is logged: 0 to 3 what is done, 4 and 5 what is decided too, 6 and more everything.
    #[arg(short, long = "v", value_name = "N", default_value_t = 0)]
    pub verbosity: u8,
    /// What is logged, as a filter such as `info` or `warn,steersman_framework::queue=debug`; counts more than -v.
    #[arg(long, value_name = "FILTER")]
    pub log_level: Option<String>,
    /// The URL of a collector that takes traces over OTLP/HTTP, for instance http://localhost:4318. Without it none are made.
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<http::Uri>,
    /// How many of a million traces are made. All by default.
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "N")]
    pub otlp_sampling_per_million: Option<u64>,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line, with upstream's keys: `ts`, `level`, `msg`, `v`, `err`.
    Json,
}
