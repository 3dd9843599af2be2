//! Generated files are what their generators give. Without the generator's input, the header has to fit at least.

use std::path::Path;

use anyhow::Result;

use super::Finding;
use crate::{codegen, crds};

/// Checks the definitions of our own kinds and the table of built-in types.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let stale = crds::stale(root)?.into_iter();
    let mut findings: Vec<Finding> =
        stale.map(|file| Finding::in_file(Path::new(&file), "is stale: run `cargo xtask crds`".to_owned())).collect();
    findings.extend(check_table(root)?);
    Ok(findings)
}

fn check_table(root: &Path) -> Result<Vec<Finding>> {
    let table = Path::new(codegen::TABLE);
    if root.join(codegen::INSTALL_DIR).is_dir() {
        let stale = codegen::run(true).err();
        return Ok(stale.map(|error| Finding::in_file(table, format!("{error:#}"))).into_iter().collect());
    }
    let committed = std::fs::read_to_string(root.join(table))?;
    Ok(check_header(table, &committed, &codegen::header()).into_iter().collect())
}

fn check_header(table: &Path, committed: &str, header: &str) -> Option<Finding> {
    let message = "was not made by the generator as it is now: run `cargo xtask codegen`";
    (!committed.starts_with(header)).then(|| Finding::in_file(table, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_another_source_is_stale() {
        let check = |committed| check_header(Path::new("table"), committed, "# from 1.36\n").is_some();
        assert!(!check("# from 1.36\nPod\n"));
        assert!(check("# from 1.35\nPod\n"));
    }
}
