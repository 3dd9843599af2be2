//! `cargo xtask bench scale`: time, processor time and memory of a whole cluster in one process, against its size.
//!
//! Each size is measured in a process of its own: API server, all controllers, scheduler and 5,000 simulated nodes; pods are
//! created through the API, and counted when they run. Arguments: `--plot FILE`, `--threads N`, `--nodes N`, then numbers of
//! pods. Memory is read from `/proc`, so this needs Linux.
#![expect(clippy::print_stdout, reason = "the figures are for a person at a terminal")]

#[allow(dead_code, reason = "shared with the other benchmark, which uses all of it")]
#[path = "../bench_scheduler/load.rs"]
mod load;
mod plot;
#[allow(dead_code, reason = "shared with the other benchmark, which uses all of it")]
#[path = "../bench_scheduler/report.rs"]
mod report;
#[allow(dead_code, reason = "shared with the other benchmark, which uses all of it")]
#[path = "../bench_scheduler/workload.rs"]
mod workload;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use load::{Observer, WITH_NODE, create};
use serde::{Deserialize, Serialize};
use serde_json::json;
use steersman::Cluster;
use tokio::time::Instant;
use workload::Template;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is measured unless sizes are given: up to the limit that upstream publishes for a cluster.
const SIZES: [usize; 5] = [10_000, 25_000, 50_000, 100_000, 150_000];
const NODES: usize = 5_000;
/// Pods of a namespace; one of 150,000 pods would be unusual.
const NAMESPACES: usize = 10;

/// What came out for one size. Times in seconds since the first pod was created.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) nodes: usize,
    pub(crate) pods: usize,
    /// From nothing to 5,000 ready nodes.
    pub(crate) nodes_ready: f64,
    pub(crate) created: f64,
    pub(crate) scheduled: f64,
    pub(crate) running: f64,
    pub(crate) cpu: f64,
    /// Resident, in MB: with nodes only, when all pods run, and the most.
    pub(crate) empty: f64,
    pub(crate) resident: f64,
    pub(crate) peak: f64,
}

struct Arguments {
    plot: Option<PathBuf>,
    threads: usize,
    nodes: usize,
    sizes: Vec<usize>,
    /// Measures one size here.
    here: bool,
}

fn arguments() -> Result<Arguments> {
    let mut parsed = Arguments { plot: None, threads: 2, nodes: NODES, sizes: Vec::new(), here: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--plot" => parsed.plot = Some(value()?.into()),
            "--threads" => parsed.threads = value()?.parse()?,
            "--nodes" => parsed.nodes = value()?.parse()?,
            "--here" => parsed.here = true,
            size => parsed.sizes.push(size.parse().with_context(|| format!("{size} is no number of pods"))?),
        }
    }
    if parsed.sizes.is_empty() {
        parsed.sizes = SIZES.to_vec();
    }
    Ok(parsed)
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    if arguments.here {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.threads).enable_all().build()?;
        // As a task, so that it takes turns with everything else.
        let task = runtime.spawn(measure(arguments.nodes, arguments.sizes[0]));
        println!("{}", serde_json::to_string(&runtime.block_on(task)??)?);
        return Ok(());
    }
    println!(
        "{:>8} {:>8} {:>8} {:>10} {:>8} {:>8} {:>10}",
        "pods", "created", "running", "scheduled", "CPU", "MB", "peak MB"
    );
    let mut all = Vec::new();
    for size in &arguments.sizes {
        let output = Command::new(std::env::current_exe()?)
            .args(["--here", "--threads", &arguments.threads.to_string(), "--nodes", &arguments.nodes.to_string()])
            .arg(size.to_string())
            .stderr(std::process::Stdio::inherit())
            .output()?;
        ensure!(output.status.success(), "{size} pods: {}", output.status);
        let figures: Figures = serde_json::from_slice(&output.stdout)?;
        println!(
            "{:>8} {:>7.1}s {:>7.1}s {:>9.1}s {:>7.1}s {:>8.0} {:>10.0}",
            figures.pods,
            figures.created,
            figures.running,
            figures.scheduled,
            figures.cpu,
            figures.resident,
            figures.peak
        );
        all.push(figures);
    }
    if let Some(file) = arguments.plot {
        std::fs::write(&file, plot::plot(&all))?;
        println!("plotted in {}", file.display());
    }
    Ok(())
}

async fn measure(nodes: usize, pods: usize) -> Result<Figures> {
    let start = Instant::now();
    let cluster = Cluster::builder().nodes(nodes).start().await?;
    let nodes_ready = start.elapsed().as_secs_f64();
    let empty = memory("VmRSS")?;
    let client = cluster.client_of("bench");
    for number in 0..NAMESPACES {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("scale-{number}")}});
        load::send(&client, "POST", "/api/v1/namespaces", object.to_string()).await?;
    }
    // The service accounts, without which no pod can be created.
    let account = async |number: usize| {
        let path = format!("/api/v1/namespaces/scale-{number}/serviceaccounts/default");
        while load::send(&client, "GET", &path, String::new()).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    for number in 0..NAMESPACES {
        account(number).await;
    }
    let mut scheduled = Observer::start(&client, None, WITH_NODE).await?;
    let mut running = Observer::start(&client, None, "status.phase%3DRunning").await?;
    let (start, busy) = (Instant::now(), report::cpu_time());
    for number in 0..NAMESPACES {
        let share = pods / NAMESPACES + usize::from(number < pods % NAMESPACES);
        create(&client, &[pod(&format!("scale-{number}"))], (0, share)).await?;
    }
    let created = start.elapsed().as_secs_f64();
    scheduled.wait(pods).await?;
    let was_scheduled = start.elapsed().as_secs_f64();
    running.wait(pods).await?;
    let took = start.elapsed().as_secs_f64();
    let cpu = (report::cpu_time() - busy).as_secs_f64();
    let (resident, peak) = (memory("VmRSS")?, memory("VmHWM")?);
    Ok(Figures {
        nodes,
        pods,
        nodes_ready,
        created,
        scheduled: was_scheduled,
        running: took,
        cpu,
        empty,
        resident,
        peak,
    })
}

/// A small pod; its node has room for 80 of them.
fn pod(namespace: &str) -> Template {
    let container =
        json!({"name": "main", "image": "app:1", "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}}});
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod-{i}", "labels": {"app": "scale"}},
        "spec": {"containers": [container]},
    });
    Template::new(format!("/api/v1/namespaces/{namespace}/pods"), &pod)
}

/// A figure of `/proc/self/status` in MB.
fn memory(name: &str) -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such figure")?;
    let kib: f64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0 / 1e6)
}
