//! The servers that are measured, as processes of their own.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::client::{Connection, request};

/// The bearer token of an administrator.
pub(crate) const TOKEN: &str = "bench";

/// A server and what it needs.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    processes: Vec<Child>,
}

/// This very program, as the server.
pub(crate) async fn steersman() -> Result<Target> {
    let port = free_port()?;
    let process = Command::new(std::env::current_exe()?)
        .args(["serve", &port.to_string()])
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the server")?;
    Target { name: "steersman", port, processes: vec![process] }.ready().await
}

/// etcd and kube-apiserver from a folder, as envtest installs them.
pub(crate) async fn genuine(assets: &Path, folder: &Path) -> Result<Target> {
    let (client, peer, port) = (free_port()?, free_port()?, free_port()?);
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let quiet = |command: &mut Command| -> Result<Child> {
        let command = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        Ok(command.kill_on_drop(true).spawn()?)
    };
    let etcd = quiet(
        Command::new(assets.join("etcd"))
            .arg("--data-dir")
            .arg(folder.join("etcd"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--unsafe-no-fsync"]),
    )
    .context("cannot start etcd")?;
    let key = folder.join("service-account.key");
    std::fs::write(&key, rcgen::KeyPair::generate()?.serialize_pem())?;
    let api_server = quiet(
        Command::new(assets.join("kube-apiserver"))
            .args(["--etcd-servers", &client, "--secure-port", &port.to_string(), "--bind-address", "127.0.0.1"])
            .args(["--service-account-issuer", "https://localhost", "--authorization-mode", "AlwaysAllow"])
            .args(["--service-cluster-ip-range", "10.0.0.0/16", "--disable-admission-plugins", "ServiceAccount"])
            .args(["--enable-priority-and-fairness=false", "--max-requests-inflight=4000"])
            .args(["--max-mutating-requests-inflight=2000", "--cert-dir"])
            .arg(folder.join("certificates"))
            .arg("--service-account-key-file")
            .arg(&key)
            .arg("--service-account-signing-key-file")
            .arg(&key)
            .arg("--token-auth-file")
            .arg(tokens(folder)?),
    )
    .context("cannot start kube-apiserver")?;
    Target { name: "kube-apiserver", port, processes: vec![api_server, etcd] }.ready().await
}

impl Target {
    async fn ready(self) -> Result<Self> {
        let start = Instant::now();
        let asked = request("GET", "/readyz", b"");
        loop {
            if let Ok(mut connection) = Connection::open(self.port).await
                && connection.call(&asked).await.is_ok_and(|answer| answer.code == 200)
            {
                return Ok(self);
            }
            ensure!(start.elapsed() < Duration::from_secs(60), "{} is not ready after 60 s", self.name);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Resident memory of all its processes, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        let mut bytes = 0;
        for process in &self.processes {
            let id = process.id().context("the process has ended")?;
            let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
            bytes += line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024;
        }
        Ok(bytes)
    }

    /// The time that its processes have computed.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let ids = self.processes.iter().map(|process| process.id().context("the process has ended"));
        ids.map(|id| cpu_of(&id?.to_string())).sum()
    }
}

/// The time that a process has computed; `self` is this one.
pub(crate) fn cpu_of(process: &str) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).context("no times in stat");
    // Linux counts in hundredths of a second.
    Ok(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
}

fn tokens(folder: &Path) -> Result<std::path::PathBuf> {
    let path = folder.join("tokens.csv");
    std::fs::write(&path, format!("{TOKEN},bench,bench,system:masters\n"))?;
    Ok(path)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
