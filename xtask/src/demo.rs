//! `cargo xtask demo`: builds the command and lets it show the control loop.

use anyhow::Result;
use clap::Args;
use xshell::cmd;

use crate::workspace;

/// How to show it.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Leave the cluster running at the end, serve it, and print the kubeconfig's path.
    #[arg(long)]
    keep: bool,
}

/// Fails unless every stage of the demonstration converged.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let shell = workspace::shell()?;
    let keep = arguments.keep.then_some("--keep");
    cmd!(shell, "cargo build --quiet --package steersman --bin steersman").quiet().run()?;
    cmd!(
        shell,
        "cargo run --quiet --package steersman --bin steersman -- demo --manifest samples/nginx.yaml {keep...}"
    )
    .quiet()
    .run()?;
    Ok(())
}
