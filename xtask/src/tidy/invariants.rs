//! ARCHITECTURE.md names the tests that hold its invariants: they have to exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Finding;

const MAP: &str = "ARCHITECTURE.md";

/// One finding for every test that the map names and that is in no file.
pub(super) fn check(root: &Path, files: &[PathBuf]) -> Result<Vec<Finding>> {
    let map = std::fs::read_to_string(root.join(MAP))?;
    let mut missing: BTreeSet<&str> = named_tests(&map).collect();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let source = std::fs::read_to_string(root.join(file))?;
        missing.retain(|name| !source.contains(&format!("fn {name}(")));
    }
    let findings = missing.into_iter().map(|name| {
        let message = format!("names the test {name}, which does not exist: write it, or correct the sentence");
        Finding::in_file(Path::new(MAP), message)
    });
    Ok(findings.collect())
}

/// What stands in backticks and looks like the name of a test: several words joined by underscores.
fn named_tests(map: &str) -> impl Iterator<Item = &str> {
    let quoted = map.split('`').skip(1).step_by(2);
    quoted.filter(|text| {
        let is_name = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        is_name && text.matches('_').count() >= 3
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tests_are_told_from_other_code() {
        let map = "Held by `a_cat_has_four_legs` and\n`no_dog_has_five`; see `work_queue`, `Cluster`, `a::b_c_d_e`.";
        assert_eq!(named_tests(map).collect::<Vec<_>>(), ["a_cat_has_four_legs", "no_dog_has_five"]);
    }
}
