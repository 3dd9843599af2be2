//! Which tests the runner leaves out, and why: the reasons that stand in their `#[ignore = "…"]`.

use anyhow::Result;
use xshell::Shell;

use crate::workspace;

/// `file: reason` for every test that is always ignored.
pub(crate) fn reasons(shell: &Shell) -> Result<Vec<String>> {
    let mut reasons = Vec::new();
    for file in workspace::files()? {
        if file.extension().is_some_and(|extension| extension == "rs") {
            let source = shell.read_file(&file)?;
            reasons.extend(in_source(&source).map(|reason| format!("{}: {reason}", file.display())));
        }
    }
    reasons.dedup();
    Ok(reasons)
}

fn in_source(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix("#[ignore = \"")?;
        rest.strip_suffix("\"]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_found_where_the_attribute_stands_alone() {
        let source = "#[test]\n    #[ignore = \"needs a cluster\"]\nfn a() {}\n#[cfg_attr(x, ignore = \"no\")]\n";
        assert_eq!(in_source(source).collect::<Vec<_>>(), ["needs a cluster"]);
    }
}
