//! Rust files: not too long, with module docs, and no `mod.rs`.

use std::path::Path;

use super::Finding;
use super::source::Source;

/// A file above this is several files.
const MAX_FILE_LINES: usize = 800;

/// A function above this is several functions.
const MAX_FUNCTION_LINES: usize = 70;

/// Stands in the first lines of a file that a command writes.
const GENERATED: &str = "@generated";

/// Checks one Rust file.
pub(super) fn check(file: &Path, content: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if file.file_name().is_some_and(|name| name == "mod.rs") {
        findings.push(Finding::in_file(file, "is called mod.rs: call it after its module, foo.rs beside foo/"));
    }
    let is_unit_test = file.file_name().is_some_and(|name| name == "tests.rs");
    if !is_unit_test && !content.trim_start().starts_with("//!") {
        findings.push(Finding::at_line(file, 1, "has no module docs: begin with `//!` and say what it is for"));
    }
    let generated = content.lines().take(5).any(|line| line.contains(GENERATED));
    if !generated && !is_test(file) {
        findings.extend(check_sizes(file, content));
    }
    findings
}

/// Whether the whole file is a test: `foo/tests.rs`, below a `tests` module, or an integration test.
fn is_test(file: &Path) -> bool {
    let in_tests = file.parent().is_some_and(|folder| {
        folder.components().any(|part| part.as_os_str() == "tests") && !file.starts_with("tests/src")
    });
    in_tests || file.file_name().is_some_and(|name| name == "tests.rs")
}

fn check_sizes(file: &Path, content: &str) -> Vec<Finding> {
    let source = Source::parse(content);
    let mut findings = Vec::new();
    let lines = source.production_lines();
    if lines > MAX_FILE_LINES {
        let message = format!("has {lines} lines without its tests; the limit is {MAX_FILE_LINES}: split it");
        findings.push(Finding::in_file(file, message));
    }
    for function in source.functions() {
        if function.lines > MAX_FUNCTION_LINES {
            let message = format!(
                "`{}` has {} lines; the limit is {MAX_FUNCTION_LINES}: split it",
                function.name, function.lines
            );
            findings.push(Finding::at_line(file, function.line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function_of(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[track_caller]
    fn check_content(file: &str, content: &str, expect: &[&str]) {
        let findings: Vec<String> = check(Path::new(file), content).iter().map(Finding::to_string).collect();
        assert_eq!(findings.len(), expect.len(), "{findings:?}");
        for (finding, part) in findings.iter().zip(expect) {
            assert!(finding.contains(part), "{finding} does not say {part}");
        }
    }

    #[test]
    fn sizes_count_production_lines_only() {
        let docs = "//! Docs.\n";
        check_content("a.rs", &format!("{docs}{}", function_of(70)), &[]);
        check_content("a.rs", &format!("{docs}{}", function_of(71)), &["a.rs:2: `long` has 71 lines"]);
        let tests = format!("{docs}#[cfg(test)]\nmod tests {{\n{}}}\n", function_of(900));
        check_content("a.rs", &tests, &[]);
        check_content("a/tests.rs", &format!("{docs}{}", function_of(900)), &[]);
        let long = format!("{docs}{}", "const A: u8 = 0;\n".repeat(800));
        check_content("a.rs", &long, &["has 801 lines"]);
        check_content("a.rs", &format!("//! {GENERATED}\n{long}"), &[]);
    }

    #[test]
    fn every_module_has_docs_and_none_is_called_mod() {
        check_content("a.rs", "fn a() {}\n", &["no module docs"]);
        // What `a/tests.rs` is for needs no words.
        check_content("a/tests.rs", "fn a() {}\n", &[]);
        check_content("a/mod.rs", "//! Docs.\n", &["is called mod.rs"]);
    }
}
