//! The component kit: what a program around a controller needs, so that its own code is only the controller. Needs the
//! feature `component`.
//!
//! [`start`] runs a program's main function; [`run`] connects to the API server, serves health and metrics, waits for the
//! lease if replicas are to agree, runs the work, and stops it when the system says so or the lease is lost:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use clap::Parser;
//! use steersman_framework::component::{self, Component, FileSettings, Flags, Identity, Settings};
//! use steersman_framework::runtime::Context;
//!
//! const IDENTITY: Identity = Identity { name: "motd-controller", version: "1.0", port: 8080 };
//!
//! async fn motd(context: Context) {
//!     // Informers, a queue, a worker loop: until `context.shutdown` is requested.
//! # let _ = context;
//! }
//!
//! /// Gives every namespace a ConfigMap `motd`.
//! #[derive(Parser)]
//! struct Arguments {
//!     #[command(flatten)]
//!     flags: Flags,
//! }
//!
//! fn main() -> ExitCode {
//!     let arguments = Arguments::parse();
//!     component::start(&arguments.flags.log.clone(), async move {
//!         let settings = Settings::new(IDENTITY, &arguments.flags, &FileSettings::default())?;
//!         component::run(Component::new(IDENTITY, settings), |context| async move {
//!             motd(context).await;
//!             Ok(())
//!         })
//!         .await
//!     })
//! }
//! ```
//!
//! The connection takes what a kubeconfig may say: client certificates, tokens, token files (read again when they change),
//! programs that give credentials, proxies. What the server puts off (429, 503) is tried again when it says so; what may have
//! been done is not done twice ([`client::polite`]). Everything survives an API server that restarts: informers and the
//! election try again for ever.

pub mod client;
mod flags;
mod logging;
mod serving;
mod settings;
mod signals;

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kube::Client;
use serde_json::{Value, json};
use steersman_machinery::random::Random;

pub use flags::{ClientFlags, ElectionFlags, Flags, LogFlags, LogFormat, ServingFlags};
pub use serving::{Answer, Routes};
pub use settings::{
    ClientConnection, ClientSettings, ElectionSettings, FileSettings, Identity, LeaderElection, Settings,
};

use crate::clock::SystemClock;
use crate::health::Health;
use crate::leader_election::lead_by;
use crate::metrics::{Family, Metrics};
use crate::runtime::{Context, Shutdown};
use client::polite::{Manners, polite};

/// How long what is in flight may take after the word to stop; less than the 30 seconds that a pod is given.
const GRACE: Duration = Duration::from_secs(25);
/// Of the time in which the lease has to be renewed, an answer may take this part before it is asked for over another
/// connection as well.
const SHARE_OF_AN_ATTEMPT: u32 = 8;
/// How long the last traces may take to be sent; together with [`GRACE`] less than the 30 seconds that a pod is given.
#[cfg(feature = "otlp")]
const LAST_TRACES: Duration = Duration::from_secs(3);
/// After how many turns of tasks sockets are asked for news: often, so that a busy component still answers probes.
const TURNS_BEFORE_SOCKETS: u32 = 16;

static BUILD_INFO: Family =
    Family::gauge("kubernetes_build_info", "Always 1; its labels say what this program is, and of which version.");

/// A program around a controller.
pub struct Component {
    identity: Identity,
    settings: Settings,
    configz: BTreeMap<String, Value>,
    routes: Routes,
}

impl Component {
    /// One that behaves as `settings` say.
    pub fn new(identity: Identity, settings: Settings) -> Self {
        let general = serde_json::to_value(&settings).unwrap_or_default();
        let configz = BTreeMap::from([("component".to_owned(), general)]);
        Self { identity, settings, configz, routes: Routes::default() }
    }

    /// Shows these settings of its own at `/configz`. They must not hold secrets.
    #[must_use]
    pub fn configz(mut self, name: &str, settings: Value) -> Self {
        self.configz.insert(name.to_owned(), settings);
        self
    }

    /// Serves more than health and metrics.
    #[must_use]
    pub fn routes(mut self, routes: Routes) -> Self {
        self.routes = routes;
        self
    }
}

/// Runs a program's main function on a runtime of one thread, with a log. Its end is told by the exit code, and by a line on
/// the standard error if it went wrong.
pub fn start(log: &LogFlags, main: impl Future<Output = Result<()>>) -> ExitCode {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().event_interval(TURNS_BEFORE_SOCKETS).build().context("no runtime");
    let ended = runtime.and_then(|runtime| {
        let ended = runtime.block_on(logged(log, main));
        // A program that gives credentials may hang; nobody waits for it.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(feature = "otlp"))]
async fn logged(log: &LogFlags, main: impl Future<Output = Result<()>>) -> Result<()> {
    logging::init(log)?;
    main.await
}

/// Logs, and sends traces where they are wanted, until after the end.
#[cfg(feature = "otlp")]
async fn logged(log: &LogFlags, main: impl Future<Output = Result<()>>) -> Result<()> {
    let Some(endpoint) = log.otlp_endpoint.clone() else {
        logging::init(log)?;
        return main.await;
    };
    let program = std::env::args_os().next().map(std::path::PathBuf::from);
    let program = program.as_deref().and_then(Path::file_name).and_then(std::ffi::OsStr::to_str);
    let mut options = crate::otlp::Options::default();
    options.service = program.map_or(options.service, str::to_owned);
    options.sampling_per_million = log.otlp_sampling_per_million.unwrap_or(options.sampling_per_million);
    let collector = client::connect(&kube::Config::new(endpoint), &Metrics::default()).context("--otlp-endpoint")?;
    let (spans, exporter) = crate::otlp::exporter(options, collector, Arc::new(SystemClock), Random::seeded(seed()));
    logging::init_traced(log, spans)?;
    let (trigger, shutdown) = Shutdown::new();
    let exporting = tokio::spawn(exporter.run(shutdown));
    let ended = main.await;
    trigger.trigger();
    // A collector that does not answer holds nobody up.
    let _ = tokio::time::timeout(LAST_TRACES, exporting).await;
    ended
}

/// Reads a configuration file.
///
/// # Errors
/// If it cannot be read; the error names it.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Runs the work, as the leader if there is to be one, until the system says to stop. The work gets a context with a client
/// that keeps to the limits, and returns when the context's shutdown is requested.
///
/// # Errors
/// If the API server cannot be reached in principle, the port is taken, the lease was lost, or the work failed or ended by
/// itself: the program should end, and be started anew.
pub async fn run<F>(component: Component, work: impl FnOnce(Context) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let Component { identity, settings, configz, routes } = component;
    let signals = signals::Signals::listen()?;
    let (trigger, shutdown) = Shutdown::new();
    let metrics = Metrics::recording();
    metrics.gauge(&BUILD_INFO, &[("git_version", identity.version), ("name", identity.name)]).set(1);
    let health = Health::default();
    let random = Random::seeded(seed());
    let configuration = client::configuration(identity, &settings.client).await?;
    let client = client::connect(&configuration, &metrics)?;
    // The lease has a connection of its own, which is given up when it hangs: pings find that out too late.
    let patience = settings.leader_election.as_ref().map(|election| election.renew_deadline / SHARE_OF_AN_ATTEMPT);
    let lease = patience.map(|patience| client::connect_impatient(&configuration, &metrics, patience)).transpose()?;
    let context = Context { metrics, health, ..Context::new(client, Arc::new(SystemClock), random, shutdown) };
    let configz = json!(configz).to_string();
    routes.add("/configz", move |_| Answer::json(configz.clone()));
    let stopping = context.shutdown.clone();
    context.health.ready("shutdown", move || if stopping.is_requested() { Err("stopping".to_owned()) } else { Ok(()) });
    let listener = serving::listen(settings.serving).await?;
    let (_serving, until_the_end) = Shutdown::new();
    let served = serving::Served { metrics: context.metrics.clone(), health: context.health.clone(), routes };
    let serving = tokio::spawn(served.serve(listener, until_the_end));
    tracing::info!(name = identity.name, version = identity.version, server = %configuration.cluster_url, "starting");
    let shutdown = context.shutdown.clone();
    let late = async {
        shutdown.requested().await;
        tokio::time::sleep(GRACE).await;
    };
    let ended = tokio::select! {
        biased;
        ended = steer(context, &settings, lease, work) => ended,
        () = signals.obey(trigger) => Ok(()),
        () = late => Err(anyhow::anyhow!("what was in flight did not end in {} seconds", GRACE.as_secs())),
    };
    serving.abort();
    if ended.is_ok() {
        tracing::info!("stopped");
    }
    ended
}

async fn steer<F>(
    context: Context,
    settings: &Settings,
    lease: Option<Client>,
    work: impl FnOnce(Context) -> F,
) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let manners = Manners {
        qps: settings.client.qps,
        burst: settings.client.burst,
        random: context.random.fork(),
        metrics: context.metrics.clone(),
    };
    let shutdown = context.shutdown.clone();
    let mut ended = Ok(());
    let done = &mut ended;
    // Waiting and trying again come before the fence that keeps late writes back, so that a write is not late after a wait.
    let work = |context: Context| async move {
        *done = work(Context { client: polite(&context.client, manners), ..context }).await;
    };
    match (&settings.leader_election, lease) {
        (Some(election), Some(lease)) => lead_by(lease, context, election.election(replica()), work).await?,
        _ => work(context).await,
    }
    if ended.is_ok() && !shutdown.is_requested() {
        bail!("the work ended without a reason");
    }
    ended
}

/// A name for this replica, which no other has. Source: `k8s.io/kubernetes/cmd/kube-controller-manager`.
fn replica() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname"));
    let host = host.ok().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    format!("{}_{}", host.unwrap_or_else(|| "localhost".to_owned()), Random::seeded(seed()).uuid())
}

/// A seed that differs from one start to the next; the system's randomness is behind it.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
