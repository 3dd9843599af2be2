//! `cargo xtask ci`: what `.ci/run` runs.

use anyhow::Result;
use xshell::cmd;

use crate::{test, tidy, workspace};

/// Formatting, lints, tidy, tests; stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    let shell = workspace::shell()?;
    cmd!(shell, "cargo fmt --all --check").run()?;
    cmd!(shell, "cargo clippy --workspace --all-targets -- -D warnings").run()?;
    tidy::run()?;
    test::run(&test::Arguments::default())
}
