//! `cargo xtask crds`: writes the CustomResourceDefinitions of our own kinds to `crds/yaml`, and to the chart that
//! installs them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::workspace;

/// Where the definitions are, below the workspace. A chart can only hold what is in its own folder.
const FOLDERS: [&str; 2] = ["crds/yaml", "charts/steersman/files/crds"];
/// The same for what plugins of the scheduler read.
const SCHEDULING_FOLDERS: [&str; 2] = ["crds/yaml", "charts/steersman/files/crds-scheduling"];

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
        let folder = path.parent().context("a file is in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
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
    let header = "# Written by `cargo xtask crds` from the table of built-in types. Do not edit.\n";
    let mut files = Vec::new();
    for definition in steersman_crds::definitions() {
        let yaml = serde_saphyr::to_string(&definition.object).context("writing YAML")?;
        let text = format!("{header}{yaml}");
        files.extend(FOLDERS.map(|folder| (Path::new(folder).join(&definition.file), text.clone())));
    }
    // What scheduler-plugins would install is for whoever switches those plugins on.
    let header = "# Written by `cargo xtask crds`. Do not edit.\n";
    for definition in steersman_crds::scheduling_definitions() {
        let yaml = serde_saphyr::to_string(&definition.object).context("writing YAML")?;
        let text = format!("{header}{yaml}");
        files.extend(SCHEDULING_FOLDERS.map(|folder| (Path::new(folder).join(&definition.file), text.clone())));
    }
    Ok(files)
}
