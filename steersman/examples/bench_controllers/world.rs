//! Where the controllers run: in one process with all else, or beside a server that they reach over TLS.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use steersman::Cluster;
use steersman_framework::clock::SystemClock;
use steersman_framework::runtime::{Context as Parts, Shutdown, ShutdownTrigger};
use steersman_machinery::random::Random;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Where the controllers run.
pub(crate) enum World {
    /// In the process of the server.
    InProcess,
    /// Here, and the server is what this command starts.
    Tls(PathBuf),
}

/// A world that runs; it ends when it is dropped.
pub(crate) struct Running {
    /// Speaks to the server.
    pub(crate) client: Client,
    _life: Life,
}

enum Life {
    InProcess { _cluster: Box<Cluster> },
    Tls { _server: Box<Child>, _folder: tempfile::TempDir, _stop: ShutdownTrigger },
}

impl World {
    /// What it is called.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::InProcess => "in process",
            Self::Tls(_) => "over TLS",
        }
    }

    /// Starts it with so many nodes; without any there is no scheduler either, so that pods are made and nothing else.
    pub(crate) async fn start(&self, nodes: usize) -> Result<Running> {
        match self {
            Self::InProcess => {
                let builder = Cluster::builder().nodes(nodes);
                let builder = if nodes == 0 { builder.without_scheduler() } else { builder };
                let cluster = Box::new(builder.start().await?);
                let client = cluster.client();
                Ok(Running { client, _life: Life::InProcess { _cluster: cluster } })
            }
            Self::Tls(command) => start_server(command, nodes).await,
        }
    }
}

async fn start_server(command: &PathBuf, nodes: usize) -> Result<Running> {
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    let mut server = Command::new(command);
    server.args(["up", "--port", "0", "--threads", "2", "--controllers", "none", "--nodes", &nodes.to_string()]);
    server.arg("--kubeconfig");
    server.arg(&kubeconfig).stdout(std::process::Stdio::null()).kill_on_drop(true);
    if nodes == 0 {
        server.arg("--no-scheduler");
    }
    let mut server = server.spawn().with_context(|| format!("cannot start {}", command.display()))?;
    let begun = Instant::now();
    // The file appears whole, when the port is served.
    while !kubeconfig.exists() {
        if let Some(status) = server.try_wait()? {
            bail!("the server ended: {status}");
        }
        ensure!(begun.elapsed() < Duration::from_secs(60), "the server is not ready after 60 s");
        sleep(Duration::from_millis(10)).await;
    }
    let config = Kubeconfig::read_from(&kubeconfig)?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    let (stop, shutdown) = Shutdown::new();
    let client = Client::try_from(config.clone())?;
    let parts = Parts::new(client, Arc::new(SystemClock), Random::seeded(1), shutdown);
    tokio::spawn(steersman_controllers::run(parts, steersman_controllers::Options::default()));
    // A connection of its own: what is asked for here waits behind nothing.
    let client = Client::try_from(config)?;
    Ok(Running { client, _life: Life::Tls { _server: Box::new(server), _folder: folder, _stop: stop } })
}
