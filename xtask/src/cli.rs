//! The command line.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{bench, ci, codegen, crds, demo, image, kind, test, tidy, tools};

/// The project's commands.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a cluster and shows the control loop at work, step by step.
    Demo(demo::Arguments),
    /// Runs all tests, offline.
    Test(test::Arguments),
    /// Everything that a change must pass: formatting, lints, tidy, tests.
    Ci,
    /// Checks the rules of the house: who imports whom, sizes, module docs, generated files.
    Tidy,
    /// Writes the table of built-in types from Kubernetes' OpenAPI definitions.
    Codegen {
        /// Writes nothing; fails if the committed table is stale.
        #[arg(long)]
        check: bool,
    },
    /// Writes the definitions of our own kinds to crds/yaml.
    Crds {
        /// Writes nothing; fails if a committed definition is stale.
        #[arg(long)]
        check: bool,
    },
    /// Puts the tools that the end-to-end tests drive into target/tools.
    Tools,
    /// Writes an image of all programs as an OCI archive; needs no container engine.
    Image(image::Arguments),
    /// Makes a kind cluster that is steered by our controllers and our scheduler.
    KindUp(kind::Up),
    /// Deletes it.
    KindDown(kind::Common),
    /// Builds the programs anew and replaces those that run in it.
    KindLoad(kind::Common),
    /// Measures.
    Bench(bench::Arguments),
}

/// Parses the arguments and does what they say.
pub(crate) fn run() -> Result<()> {
    match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Ci => ci::run(),
        Command::Tidy => tidy::run(),
        Command::Codegen { check } => codegen::run(check),
        Command::Crds { check } => crds::run(check),
        Command::Tools => tools::run(),
        Command::Image(arguments) => image::run(&arguments),
        Command::KindUp(up) => kind::up(&up),
        Command::KindDown(common) => kind::down(&common),
        Command::KindLoad(common) => kind::load(&common),
        Command::Bench(arguments) => bench::run(&arguments),
    }
}
