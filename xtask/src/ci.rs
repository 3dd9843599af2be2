//! `cargo xtask ci`: what `.ci/run` runs.

use std::env;
use std::os::unix::fs::MetadataExt;

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::{test, tidy, workspace};

/// What runs containers: a test of the image and one of kind's configuration need these.
const PACKAGES: [&str; 3] = ["containerd", "podman", "runc"];

/// Formatting, lints, tidy, tests; stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    let shell = workspace::shell()?;
    // The machine of a person is left as it is.
    if env::var_os("CI").is_some()
        && let Err(error) = install(&shell)
    {
        println!("note: the tests that need a container runtime are ignored: {error:#}");
    }
    cmd!(shell, "cargo fmt --all --check").run()?;
    cmd!(shell, "cargo clippy --workspace --all-targets -- -D warnings").run()?;
    tidy::run()?;
    test::run(&test::Arguments::default())
}

/// Installs what is missing where that is a matter of seconds: as root, with apt.
fn install(shell: &Shell) -> Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &&str| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing: Vec<&str> = PACKAGES.into_iter().filter(|program| !is_there(program)).collect();
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if missing.is_empty() || !is_root || !is_there(&"apt-get") {
        return Ok(());
    }
    let quiet = ["-qq", "-o=Dpkg::Use-Pty=0"];
    cmd!(shell, "apt-get {quiet...} update").run()?;
    let install = ["install", "--yes", "--no-install-recommends"];
    cmd!(shell, "apt-get {quiet...} {install...} {missing...}").env("DEBIAN_FRONTEND", "noninteractive").run()?;
    Ok(())
}
