//! `cargo xtask tidy`: the rules of the house that the compiler does not know.
//!
//! Every finding says what is wrong, where, and what to do.

mod dependencies;
mod generated;
mod invariants;
mod sizes;
mod source;
mod text;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::workspace;

/// A rule that is broken somewhere.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The file, and the line if there is one.
    location: String,
    /// What is wrong and what to do.
    message: String,
}

impl Finding {
    fn in_file(file: &Path, message: impl Into<String>) -> Self {
        Self { location: file.display().to_string(), message: message.into() }
    }

    fn at_line(file: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { location: format!("{}:{line}", file.display()), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.location, self.message)
    }
}

/// Prints every finding; fails if there is any.
pub(crate) fn run() -> Result<()> {
    let files = workspace::files()?;
    let mut findings = dependencies::check(&workspace::root())?;
    findings.extend(generated::check(&workspace::root())?);
    findings.extend(invariants::check(&workspace::root(), &files)?);
    findings.extend(check_files(&files)?);
    if findings.is_empty() {
        println!("tidy: {} files are in order", files.len());
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    bail!("tidy: {} findings", findings.len());
}

fn check_files(files: &[PathBuf]) -> Result<Vec<Finding>> {
    let root = workspace::root();
    let mut findings = Vec::new();
    for file in files {
        // A file that is not text has nothing to say here.
        let Ok(content) = String::from_utf8(std::fs::read(root.join(file))?) else {
            continue;
        };
        findings.extend(text::check(file, &content));
        if file.extension().is_some_and(|extension| extension == "rs") {
            findings.extend(sizes::check(file, &content));
        }
    }
    Ok(findings)
}
