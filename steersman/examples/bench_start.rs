//! `cargo xtask bench start`: how long a cluster takes to start, and how much memory it holds.
//!
//! The argument is the `steersman` command to measure. Memory is read from `/proc`, so this needs Linux.
#![expect(clippy::print_stdout, reason = "the figures are for a person at a terminal")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use steersman::Cluster;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Enough for a median.
const STARTS: usize = 21;
/// Pods of the memory measurement, and nodes that have room for them (110 pods each).
const PODS: usize = 10_000;
const NODES: usize = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let command = std::env::args_os().nth(1).map(PathBuf::from).context("the argument is the command to measure")?;
    println!("{:<52} {:>10} {:>10}", "", "measured", "aim");
    report("API server in process: ready to first answer", &ms(in_process(None).await?), "5 ms");
    report("the same with controllers, scheduler and 3 nodes", &ms(in_process(Some(3)).await?), "");
    let folder = std::env::temp_dir().join(format!("steersman-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = processes(&command, &folder).await;
    std::fs::remove_dir_all(&folder)?;
    measured
}

async fn processes(command: &Path, folder: &Path) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let (process, _, took) = start(command, folder, 3).await?;
        times.push(took);
        drop(process);
    }
    report("`steersman up`: process start to /readyz over TLS", &ms(median(times)), "50 ms");

    let (process, _, _) = start(command, folder, 3).await?;
    sleep(Duration::from_secs(2)).await;
    report("resident memory, idle, 3 nodes", &mib(resident(&process)?), "20 MB");
    drop(process);

    let (process, client, _) = start(command, folder, NODES).await?;
    let took = run_pods(&client).await?;
    let label = format!("resident memory with {PODS} pods on {NODES} nodes");
    report(&label, &mib(resident(&process)?), "100 MB");
    report(&format!("time until the {PODS} pods were ready"), &format!("{:.1} s", took.as_secs_f64()), "");
    Ok(())
}

fn report(what: &str, figure: &str, aim: &str) {
    println!("{what:<52} {figure:>10} {aim:>10}");
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

fn mib(kib: u64) -> String {
    format!("{:.1} MB", kib as f64 * 1024.0 / 1e6)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// From the builder to the first list: the API server alone, or with everything and that many nodes.
async fn in_process(nodes: Option<usize>) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let start = Instant::now();
        let builder = match nodes {
            Some(nodes) => Cluster::builder().nodes(nodes),
            None => Cluster::builder().without_controllers().without_scheduler(),
        };
        let cluster = builder.start().await?;
        let namespaces = Api::<Namespace>::all(cluster.client()).list(&ListParams::default()).await?;
        times.push(start.elapsed());
        ensure!(!namespaces.items.is_empty(), "there are no namespaces");
    }
    Ok(median(times))
}

/// Starts the command; returns when /readyz has answered, with the time since before the start.
async fn start(command: &Path, folder: &Path, nodes: usize) -> Result<(Child, Client, Duration)> {
    let kubeconfig = folder.join("kubeconfig");
    // Another start's kubeconfig may lie there.
    let _ = std::fs::remove_file(&kubeconfig);
    let start = Instant::now();
    let process = Command::new(command)
        .args(["up", "--port", "0", "--nodes", &nodes.to_string(), "--kubeconfig"])
        .arg(&kubeconfig)
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", command.display()))?;
    // The file appears whole, when the port is served.
    while !kubeconfig.exists() {
        ensure!(start.elapsed() < Duration::from_secs(30), "it is not ready after 30 s");
        sleep(Duration::from_micros(200)).await;
    }
    let kubeconfig = Kubeconfig::read_from(&kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let client = Client::try_from(config)?;
    let request = http::Request::get("/readyz").body(Vec::new())?;
    let answer = client.request_text(request).await?;
    ensure!(answer == "ok", "/readyz answers {answer}");
    Ok((process, client, start.elapsed()))
}

/// Resident memory in KiB.
fn resident(process: &Child) -> Result<u64> {
    let id = process.id().context("the process has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Has a Deployment make the pods, and waits until all are ready.
async fn run_pods(client: &Client) -> Result<Duration> {
    let start = Instant::now();
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let deployment = serde_json::from_value(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "many"},
        "spec": {
            "replicas": PODS,
            "selector": {"matchLabels": {"app": "many"}},
            "template": {
                "metadata": {"labels": {"app": "many"}},
                "spec": {"containers": [{"name": "main", "image": "app:1"}]},
            },
        },
    }))?;
    deployments.create(&PostParams::default(), &deployment).await?;
    loop {
        let status = deployments.get_status("many").await?.status.unwrap_or_default();
        if status.available_replicas == Some(PODS as i32) {
            break;
        }
        ensure!(start.elapsed() < Duration::from_secs(300), "after 300 s the status is {status:?}");
        sleep(Duration::from_millis(100)).await;
    }
    let took = start.elapsed();
    let pods = Api::<Pod>::default_namespaced(client.clone()).list_metadata(&ListParams::default().limit(1)).await?;
    ensure!(!pods.items.is_empty(), "there are no pods");
    // What the rollout left in queues is written now.
    sleep(Duration::from_secs(2)).await;
    Ok(took)
}
