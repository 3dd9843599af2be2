//! Where the workspace is and which files belong to it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace").to_owned()
}

/// A shell that stands in the workspace's root.
pub(crate) fn shell() -> Result<Shell> {
    let shell = Shell::new()?;
    shell.change_dir(root());
    Ok(shell)
}

/// The files that git tracks or would track, relative to the root, sorted; without those that were deleted.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    let shell = shell()?;
    let listing = cmd!(shell, "git ls-files --cached --others --exclude-standard -z")
        .quiet()
        .read()
        .context("tidy needs git to know which files belong to the project")?;
    let root = root();
    let mut files: Vec<PathBuf> = listing
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|file| root.join(file).is_file())
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}
