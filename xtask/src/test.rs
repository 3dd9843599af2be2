//! `cargo xtask test`: all tests, without a network except for fetching the tools once.

use anyhow::Result;
use clap::Args;
use xshell::{Shell, cmd};

use crate::{codegen, ignored, tools, workspace};

/// What to run.
#[derive(Args, Default)]
pub(crate) struct Arguments {
    /// Passed on to the test runner, for example a part of a test's name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs the doc tests, then every other test; the runner's summary comes last.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let shell = workspace::shell()?;
    // The build script of `tests` looks for the tools: they have to be there first.
    for missing in tools::install() {
        println!("note: the tests that need this are ignored: {missing}");
    }
    check_table()?;
    for reason in ignored::reasons(&shell)? {
        println!("note: ignored: {reason}");
    }
    let rest = &arguments.rest;
    if rest.is_empty() {
        cmd!(shell, "cargo test --quiet --workspace --doc").run()?;
    }
    if has_nextest(&shell) {
        cmd!(shell, "cargo nextest run --workspace {rest...}").run()?;
    } else {
        cmd!(shell, "cargo test --workspace --lib --bins --tests {rest...}").run()?;
    }
    Ok(())
}

/// Compares the table of built-in types with its source, if the source can be had.
fn check_table() -> Result<()> {
    let checked = codegen::run(true);
    let has_source = workspace::root().join(codegen::INSTALL_DIR).is_dir();
    match checked {
        Err(error) if !has_source => {
            println!("note: the table of built-in types is not compared with its source: {error:#}");
            Ok(())
        }
        checked => checked.inspect(|()| println!("note: the table of built-in types is what its source gives")),
    }
}

fn has_nextest(shell: &Shell) -> bool {
    cmd!(shell, "cargo nextest --version").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}
