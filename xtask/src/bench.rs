//! `cargo xtask bench`: measures what the project promises, with optimised builds.

use anyhow::Result;
use clap::{Args, Subcommand};
use xshell::cmd;

use crate::workspace;

/// What to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Time to the first answer and resident memory, in process and as `steersman up`.
    Start,
    /// Writes to the store, in memory and with a log in the system's folder for temporary files, and how long that takes to
    /// open again.
    Store,
    /// Creates, gets, lists, watches and memory of the API server over TLS and in process.
    Api {
        /// The most pods.
        #[arg(long, default_value_t = 100_000)]
        pods: usize,
    },
    /// Deployments of 10,000 pods from apply to all pods existing, ready and replaced, in process and over TLS.
    Controllers {
        /// Divides all sizes.
        #[arg(long, default_value_t = 1)]
        divide: usize,
    },
    /// Upstream's scheduler_perf workloads through the API and the decisions alone, beside upstream's thresholds.
    Scheduler {
        /// Parts of workloads' names; all if there are none.
        names: Vec<String>,
        /// All numbers of nodes and pods times this: 0.1 for a quick look.
        #[arg(long, default_value_t = 1.0)]
        scale: f64,
        /// The scheduler and whoever creates pods speak to the API over TLS, not in process.
        #[arg(long)]
        tls: bool,
        /// Only the decisions, without an API.
        #[arg(long)]
        decisions: bool,
        /// Threads of the process that is measured.
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// Time, processor time and memory of a cluster with 5,000 nodes and up to 150,000 pods in one process.
    Scale {
        /// Numbers of pods; five up to 150,000 if there are none.
        pods: Vec<usize>,
        /// Threads of the process that is measured.
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// What a user waits for a get while another one floods `steersman up` with lists, with fairness and without.
    Fairness {
        /// Without optimisation: the ratio says nearly the same, and nothing is built anew.
        #[arg(long)]
        debug: bool,
    },
}

/// Builds with optimisations, measures, and prints the figures beside their aims.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let shell = workspace::shell()?;
    match &arguments.what {
        What::Start => {
            cmd!(shell, "cargo build --release --package steersman --bin steersman --example bench_start").run()?;
            cmd!(shell, "target/release/examples/bench_start target/release/steersman").run()?;
        }
        What::Store => {
            cmd!(shell, "cargo build --release --package steersman-store --example bench_store").run()?;
            let folder = shell.create_temp_dir()?;
            let folder = folder.path();
            cmd!(shell, "target/release/examples/bench_store {folder}").run()?;
        }
        What::Api { pods } => {
            let pods = pods.to_string();
            cmd!(shell, "cargo build --release --package steersman-apiserver --example bench_api").run()?;
            cmd!(shell, "target/release/examples/bench_api {pods}").run()?;
        }
        What::Controllers { divide } => {
            let divide = divide.to_string();
            cmd!(shell, "cargo build --release --package steersman --bin steersman --example bench_controllers")
                .run()?;
            cmd!(shell, "target/release/examples/bench_controllers target/release/steersman {divide}").run()?;
        }
        What::Scheduler { names, scale, tls, decisions, threads } => {
            let (scale, threads) = (scale.to_string(), threads.to_string());
            if *decisions {
                let example = "bench_decisions";
                cmd!(shell, "cargo build --release --package steersman-scheduler-plugin --example {example}").run()?;
                cmd!(shell, "target/release/examples/{example} --scale {scale} {names...}").run()?;
                return Ok(());
            }
            let flags = tls.then_some("--tls");
            cmd!(shell, "cargo build --release --package steersman-tests --example bench_scheduler").run()?;
            cmd!(
                shell,
                "target/release/examples/bench_scheduler --scale {scale} --threads {threads} {flags...} {names...}"
            )
            .run()?;
        }
        What::Scale { pods, threads } => {
            let (threads, plot) = (threads.to_string(), "docs/performance/scale.svg");
            let pods: Vec<String> = pods.iter().map(ToString::to_string).collect();
            cmd!(shell, "cargo build --release --package steersman-tests --example bench_scale").run()?;
            cmd!(shell, "target/release/examples/bench_scale --threads {threads} --plot {plot} {pods...}").run()?;
        }
        What::Fairness { debug } => {
            let (profile, folder) = if *debug { ("dev", "debug") } else { ("release", "release") };
            cmd!(shell, "cargo build --profile {profile} --package steersman --bin steersman --example bench_fairness")
                .run()?;
            cmd!(shell, "target/{folder}/examples/bench_fairness target/{folder}/steersman").run()?;
        }
    }
    Ok(())
}
