//! Does what a plan says: prints each command, stops at the first that fails and takes it back.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::plan::{Probe, Run, Step};

/// Does the steps in the folder `root`; programs are looked for in the folders of `path`.
pub(super) fn execute(steps: &[Step], root: &Path, path: OsString) -> Result<()> {
    let machine = Machine { root: root.to_owned(), path };
    // All that is missing at once.
    let missing: Vec<String> = steps.iter().filter_map(|step| machine.missing(step)).collect();
    ensure!(missing.is_empty(), "something is missing:\n{}", missing.join("\n"));
    steps.iter().try_for_each(|step| machine.execute(step))
}

/// Where programs are looked for: kubectl and helm are those of `tools`, kind is that of whoever has one.
pub(super) fn search_path(tools: &Path) -> Result<OsString> {
    let own = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(tools.join("bin")).chain(env::split_paths(&own)).chain([tools.join("kind")]);
    env::join_paths(folders).context("the PATH is not usable")
}

/// By which kind itself is told of an engine.
pub(super) const PROVIDER: &str = "KIND_EXPERIMENTAL_PROVIDER";

/// What kind was told to take; docker if it is there; else podman if that is.
pub(super) fn engine(told: Option<&str>, path: &OsStr) -> String {
    if let Some(engine @ ("docker" | "podman")) = told {
        return engine.to_owned();
    }
    ["docker", "podman"].into_iter().find(|program| is_there(path, program)).unwrap_or("docker").to_owned()
}

fn is_there(path: &OsStr, program: &str) -> bool {
    env::split_paths(path).any(|folder| folder.join(program).is_file())
}

struct Machine {
    root: PathBuf,
    path: OsString,
}

impl Machine {
    fn missing(&self, step: &Step) -> Option<String> {
        let Step::Require { program, version, hint } = step else { return None };
        if !is_there(&self.path, program) {
            return Some(format!("  {program}: {hint}"));
        }
        // docker's client alone is not enough.
        if matches!(program.as_str(), "docker" | "podman") && self.says(&[program, "info"]).is_none() {
            return Some(format!(
                "  {program} is installed, but its engine does not answer (`{program} info`): {hint}"
            ));
        }
        let (wanted, said) = (version.as_ref()?, self.says(&[program, "version"])?);
        // What does not tell a version is somebody's own.
        let found = version_in(&said).filter(|found| found < wanted)?;
        Some(format!("  {program} is too old ({}.{}): {hint}", found.0, found.1))
    }

    /// What a command prints; `None` if it fails.
    fn says(&self, words: &[&str]) -> Option<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let output = self.command(&words).ok()?.stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn execute(&self, step: &Step) -> Result<()> {
        match step {
            Step::Require { .. } => Ok(()),
            Step::Write { path, content } => self.write(path, content),
            Step::Remove { path } => {
                println!("+ remove {}", path.display());
                match fs::remove_file(self.root.join(path)) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        Err(error).with_context(|| path.display().to_string())
                    }
                    _ => Ok(()),
                }
            }
            Step::Run(run) => self.run(run),
            Step::Say(text) => {
                println!("{text}");
                Ok(())
            }
        }
    }

    fn write(&self, path: &Path, content: &str) -> Result<()> {
        println!("+ write {}", path.display());
        let path = self.root.join(path);
        let folder = path.parent().context("a file is in a folder")?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        fs::write(&path, content).with_context(|| path.display().to_string())
    }

    fn run(&self, run: &Run) -> Result<()> {
        let text = run.command.join(" ");
        if let Some((undo, marker)) = &run.undo
            && self.root.join(marker).is_file()
        {
            println!("! `{text}` was interrupted before; what it left is taken back");
            self.take_back(undo, marker)?;
        }
        if self.holds(run.unless.as_ref())? == Some(true) {
            println!("= {text}: done before");
            return Ok(());
        }
        if self.holds(run.when.as_ref())? == Some(false) {
            println!("= {text}: not needed");
            return Ok(());
        }
        println!("+ {text}");
        if let Some((_, marker)) = &run.undo {
            self.write(marker, &text)?;
        }
        let status = self.command(&run.command)?.status().with_context(|| text.clone())?;
        match &run.undo {
            Some((_, marker)) if status.success() => fs::remove_file(self.root.join(marker))?,
            // What failed is what counts. What could not be taken back now is when it is tried again.
            Some((undo, marker)) => drop(self.take_back(undo, marker)),
            None => {}
        }
        if status.success() {
            return Ok(());
        }
        let hint = run.hint.as_ref().map(|hint| format!("\n  {hint}")).unwrap_or_default();
        bail!("`{text}` failed ({status}); what was done before stays: the same command goes on from there{hint}")
    }

    fn take_back(&self, undo: &[String], marker: &Path) -> Result<()> {
        let text = undo.join(" ");
        println!("+ {text}");
        let status = self.command(undo)?.status().with_context(|| text.clone())?;
        ensure!(status.success(), "`{text}` failed ({status}): what is left half-made has to be removed by hand");
        fs::remove_file(self.root.join(marker)).with_context(|| marker.display().to_string())
    }

    /// Whether a command prints a line; `None` if nothing is asked.
    fn holds(&self, probe: Option<&Probe>) -> Result<Option<bool>> {
        let Some((command, line)) = probe else { return Ok(None) };
        let output = self.command(command)?.stderr(Stdio::null()).output().with_context(|| command.join(" "))?;
        Ok(Some(String::from_utf8_lossy(&output.stdout).lines().any(|printed| printed == line)))
    }

    fn command(&self, words: &[String]) -> Result<Command> {
        let [program, arguments @ ..] = words else { bail!("an empty command") };
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.root).env("PATH", &self.path);
        // The plan says which engine kind is to take.
        command.env_remove(PROVIDER);
        Ok(command)
    }
}

/// The first `MAJOR.MINOR` in what a program says of its version.
fn version_in(said: &str) -> Option<(u32, u32)> {
    said.split(|letter: char| letter.is_whitespace() || matches!(letter, 'v' | '"' | ':')).find_map(|word| {
        let mut parts = word.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests;
