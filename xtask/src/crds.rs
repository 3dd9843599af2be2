//! `cargo xtask crds`: writes the CustomResourceDefinitions of our own kinds to `crds/yaml`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::workspace;

/// Where the definitions are, below the workspace.
const FOLDER: &str = "crds/yaml";

/// Writes the files, or with `check` fails if a committed one is stale.
pub(crate) fn run(check: bool) -> Result<()> {
    let root = workspace::root();
    if check {
        let stale = stale(&root)?;
        ensure!(stale.is_empty(), "stale: {}: run `cargo xtask crds`", stale.join(", "));
        return Ok(());
    }
    for (path, text) in files()? {
        let path = root.join(path);
        fs::create_dir_all(root.join(FOLDER)).with_context(|| format!("making {FOLDER}"))?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// The committed files that differ from what would be written.
pub(crate) fn stale(root: &Path) -> Result<Vec<String>> {
    let files = files()?.into_iter();
    let stale = files.filter(|(path, text)| fs::read_to_string(root.join(path)).ok().as_ref() != Some(text));
    Ok(stale.map(|(path, _)| path.display().to_string()).collect())
}

fn files() -> Result<Vec<(PathBuf, String)>> {
    let definitions = steersman_crds::definitions().into_iter();
    let header = "# Written by `cargo xtask crds` from the table of built-in types. Do not edit.\n";
    definitions
        .map(|definition| {
            let yaml = serde_saphyr::to_string(&definition.object).context("writing YAML")?;
            Ok((Path::new(FOLDER).join(definition.file), format!("{header}{yaml}")))
        })
        .collect()
}
