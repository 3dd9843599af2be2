//! What must not stand in any file.

use std::path::Path;

use super::Finding;

/// Paths of one machine. In two pieces, so that this file passes.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("../sha", "red")];

/// One finding for every line that names a path of somebody's machine.
pub(super) fn check(file: &Path, content: &str) -> Vec<Finding> {
    let lines = content.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            let path = MACHINE_PATHS.iter().find(|path| line.contains(**path))?;
            let message = format!("names {path}, which no other machine has: name the thing itself, or leave it out");
            Some(Finding::at_line(file, index + 1, message))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_path_is_found_with_its_line() {
        let content = format!("fine\nsee {}notes\n", MACHINE_PATHS[0]);
        let findings = check(Path::new("a.md"), &content);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].location, "a.md:2");
    }
}
