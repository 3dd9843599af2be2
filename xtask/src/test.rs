//! `cargo xtask test`: all tests, without a network except for fetching the tools once.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use xshell::{Shell, cmd};

use crate::{codegen, ignored, tools, workspace};

/// What to run.
#[derive(Args, Default)]
pub(crate) struct Arguments {
    /// A part of a test's name, or a file of tests such as `e2e_cluster`; flags are passed on to the test runner.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs the doc tests, then every other test; the runner's summary comes last.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let shell = workspace::shell()?;
    // The build script of `tests` looks for the tools: they have to be there first.
    for missing in tools::install() {
        println!("note: the tests that need this are ignored: {missing}");
    }
    check_table()?;
    for reason in ignored::reasons(&shell)? {
        println!("note: ignored: {reason}");
    }
    let rest = &arguments.rest;
    if rest.is_empty() {
        cmd!(shell, "cargo test --quiet --workspace --doc").run()?;
    }
    let rest = &selection(rest, &workspace::files()?);
    if has_nextest(&shell) {
        cmd!(shell, "cargo nextest run --workspace {rest...}").run()?;
        return Ok(());
    }
    let all: &[&str] = if rest.iter().any(|word| word == "--test") { &[] } else { &["--lib", "--bins", "--tests"] };
    cmd!(shell, "cargo test --workspace {all...} {rest...}").run()?;
    Ok(())
}

/// The runners' own words: for them the name of a file is no part of a test's name.
fn selection(rest: &[String], files: &[PathBuf]) -> Vec<String> {
    let is_of = |file: &PathBuf, word: &str| {
        let is_test =
            file.extension() == Some(OsStr::new("rs")) && file.parent().is_some_and(|it| it.ends_with("tests"));
        is_test && file.file_stem() == Some(OsStr::new(word))
    };
    let words = rest.iter().flat_map(|word| {
        let of_file = files.iter().any(|file| is_of(file, word)).then(|| "--test".to_owned());
        of_file.into_iter().chain([word.clone()])
    });
    words.collect()
}

/// Compares the table of built-in types with its source, if the source can be had.
fn check_table() -> Result<()> {
    let checked = codegen::run(true);
    let has_source = workspace::root().join(codegen::INSTALL_DIR).is_dir();
    match checked {
        Err(error) if !has_source => {
            println!("note: the table of built-in types is not compared with its source: {error:#}");
            Ok(())
        }
        checked => checked.inspect(|()| println!("note: the table of built-in types is what its source gives")),
    }
}

fn has_nextest(shell: &Shell) -> bool {
    cmd!(shell, "cargo nextest --version").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_tests_stands_for_its_tests() {
        let files = ["tests/tests/e2e_image.rs", "tests/src/site.rs", "apiserver/tests/api.rs"].map(PathBuf::from);
        let check = |words: &str, expect: &str| {
            let rest: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            assert_eq!(selection(&rest, &files).join(" "), expect);
        };
        check("e2e_image", "--test e2e_image");
        check("api", "--test api");
        check("site", "site");
        check("a_part --no-capture", "a_part --no-capture");
        check("", "");
    }
}
