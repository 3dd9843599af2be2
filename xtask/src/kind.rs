//! `cargo xtask kind-up`, `kind-down`, `kind-load`: a real cluster on this machine, by kind, whose Deployments and
//! ReplicaSets are ours. Whatever was done by halves is taken back; whatever was done is not done again.

mod config;
mod execute;
mod plan;

use std::env;

use anyhow::Result;
use clap::Args;

use self::plan::{Scheduler, Step, Wanted};
use crate::{image, tools, workspace};

/// Which cluster.
#[derive(Args)]
pub(crate) struct Common {
    /// The cluster's name.
    #[arg(long, default_value = "steersman")]
    name: String,
    /// What runs the nodes; whichever is there, if none is given.
    #[arg(long, value_parser = ["docker", "podman"])]
    engine: Option<String>,
    /// Only print what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// What to make.
#[derive(Args)]
pub(crate) struct Up {
    #[command(flatten)]
    common: Common,
    /// Whether our scheduler is a second one, or the default for every pod.
    #[arg(long, value_enum, default_value = "second")]
    scheduler: Scheduler,
    /// The image of the nodes, with its digest.
    #[arg(long, value_name = "IMAGE", default_value = config::NODE_IMAGE)]
    node_image: String,
}

/// `kind-up`.
pub(crate) fn up(arguments: &Up) -> Result<()> {
    let wanted = Wanted {
        scheduler: arguments.scheduler,
        node_image: arguments.node_image.clone(),
        ..wanted(&arguments.common)
    };
    run(&plan::up(&wanted), arguments.common.dry_run)
}

/// `kind-down`.
pub(crate) fn down(common: &Common) -> Result<()> {
    run(&plan::down(&wanted(common)), common.dry_run)
}

/// `kind-load`.
pub(crate) fn load(common: &Common) -> Result<()> {
    run(&plan::load(&wanted(common)), common.dry_run)
}

fn wanted(common: &Common) -> Wanted {
    Wanted {
        cluster: common.name.clone(),
        engine: common.engine.clone().unwrap_or_else(engine),
        node_image: config::NODE_IMAGE.to_owned(),
        scheduler: Scheduler::Second,
        image: image::DEFAULT_NAME.to_owned(),
        tag: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn engine() -> String {
    let told = env::var(execute::PROVIDER).ok();
    execute::engine(told.as_deref(), &env::var_os("PATH").unwrap_or_default())
}

fn run(steps: &[Step], dry_run: bool) -> Result<()> {
    if dry_run {
        steps.iter().for_each(|step| println!("{step}"));
        return Ok(());
    }
    // Others may be on the path: that they are missing is told by the step that needs them.
    for missing in tools::install_programs_of_people() {
        println!("note: {missing}");
    }
    let path = execute::search_path(&workspace::root().join("target/tools"))?;
    execute::execute(steps, &workspace::root(), path)
}
