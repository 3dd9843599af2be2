//! `cargo xtask bench controllers`: how fast the Deployment and ReplicaSet controllers make pods, in process and over TLS.
//!
//! The first argument is the `steersman` command that serves over TLS; the second, if there is one, divides all sizes; the
//! others are parts of names: of `in process 100 x 100`, say.
//! Kubernetes' own controllers were measured on two cores, see [`PEER`].
#![expect(clippy::print_stdout, reason = "the figures are for a person at a terminal")]

mod growth;
mod load;
mod world;

use std::path::PathBuf;

use anyhow::{Context, Result};
use load::Load;
use world::World;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As many as the peer had cores.
const THREADS: usize = 2;
/// Pods a second that kube-controller-manager 1.36.2 makes of 100 Deployments of 100, its limit on queries lifted, on two
/// cores that it shares with kube-apiserver and etcd: 10,000 pods in 9.4 s.
const PEER: f64 = 1070.0;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next().map(PathBuf::from).context("the argument is the command to measure")?;
    let divisor = arguments.next().map_or(Ok(1), |text| text.to_string_lossy().parse::<usize>());
    let divisor = divisor.context("the second argument divides the sizes")?.max(1);
    let parts: Vec<String> = arguments.map(|part| part.to_string_lossy().into_owned()).collect();
    println!("kube-controller-manager 1.36.2 made {PEER} pods/s (100 Deployments of 100, recorded, 2 cores)\n");
    println!(
        "{:<10} {:>16} {:>10} {:>10} {:>8} {:>12} {:>11} {:>10}",
        "", "deployments", "exist", "pods/s", "x peer", "CPU per pod", "ready", "rolled"
    );
    let loads = [(100, 100), (1, 10_000), (10_000, 1)].map(|(deployments, replicas)| {
        let root = (divisor as f64).sqrt();
        let part = |count: usize| if count == 1 { 1 } else { ((count as f64) / root) as usize };
        match (deployments, replicas) {
            (1, all) => Load { deployments: 1, replicas: all / divisor },
            (all, 1) => Load { deployments: all / divisor, replicas: 1 },
            (some, others) => Load { deployments: part(some), replicas: part(others) },
        }
    });
    for world in [World::InProcess, World::Tls(command)] {
        for load in &loads {
            let name = format!("{} {} x {}", world.name(), load.deployments, load.replicas);
            if !parts.iter().all(|part| name.contains(part)) {
                continue;
            }
            runtime()?.block_on(load::measure(&world, load))?;
        }
    }
    if !parts.is_empty() {
        return Ok(());
    }
    println!();
    runtime()?.block_on(growth::measure(&[100 / divisor.min(10), 1_000 / divisor.min(100), 10_000 / divisor]))
}

/// A runtime for each measurement: what one leaves behind does not weigh on the next.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?)
}
