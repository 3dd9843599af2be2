//! The command line of `steersman`.

mod demo;
mod ready;
mod schedule;
mod stop;
mod up;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::Served;

/// A Kubernetes control plane with simulated nodes, in one process.
#[derive(Parser, Debug)]
#[command(name = "steersman", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Starts a cluster and serves it until Ctrl-C.
    Up(Box<up::Up>),
    /// Waits until components are ready.
    Ready(ready::Ready),
    /// Shows the control loop at work, step by step.
    Demo(demo::Demo),
    /// Schedules pods in a cluster that was dumped to a file, and tells why they go where they go.
    Schedule(Box<schedule::Schedule>),
}

/// The program: does what it is called and told to do, and says on the standard error what went wrong.
///
/// Behind the feature `programs`, `steersman-controllers` and `steersman-scheduler` are other names of it: in an image they
/// are links to one file.
pub fn main() -> ExitCode {
    #[cfg(feature = "programs")]
    match called().as_deref() {
        Some("steersman-controllers") => return steersman_controllers::command::main(),
        Some("steersman-scheduler") => {
            return steersman_scheduler_plugin::command::main(steersman_scheduler_plugin::Registry::default());
        }
        _ => {}
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The name under which it was started.
#[cfg(feature = "programs")]
fn called() -> Option<String> {
    let path = std::env::args_os().next()?;
    Some(Path::new(&path).file_name()?.to_string_lossy().into_owned())
}

/// Parses the arguments and does what they say.
fn run() -> Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let mut runtime = match &arguments.command {
        Command::Up(up) => runtime_of(up.threads.get()),
        _ => runtime_of(1),
    };
    let runtime = runtime.enable_all().event_interval(TURNS_BEFORE_SOCKETS).build().context("no runtime")?;
    runtime.block_on(async {
        match arguments.command {
            Command::Up(up) => up::run(&up).await,
            Command::Ready(ready) => ready::run(&ready).await,
            // As a task of its own it takes turns with the components, and tells what they do while they do it.
            Command::Demo(demo) => tokio::spawn(demo::run(demo)).await?,
            Command::Schedule(schedule) => schedule::run(&schedule),
        }
    })
}

/// One thread does for most: everything that waits, waits for messages, and one heap is smaller than several.
fn runtime_of(threads: usize) -> tokio::runtime::Builder {
    if threads == 1 {
        return tokio::runtime::Builder::new_current_thread();
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(threads);
    runtime
}

/// After how many turns of tasks sockets are asked for news. Tokio's 61 are many when each sends a piece of a long list: whoever
/// sends a small request meanwhile is not noticed before.
const TURNS_BEFORE_SOCKETS: u32 = 4;

/// Tells how to reach the cluster.
fn print_connection(served: &Served, kubeconfig: &Path) {
    let path = std::path::absolute(kubeconfig).unwrap_or_else(|_| kubeconfig.to_owned());
    let text = format!(
        "\nThe cluster is ready at {}. To connect:\n\n    export KUBECONFIG={}\n    kubectl get nodes\n\nCtrl-C ends it.\n",
        served.url(),
        path.display()
    );
    // The cluster runs on if nobody wants to read this (`steersman up | head -1`).
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
