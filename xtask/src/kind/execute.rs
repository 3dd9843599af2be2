//! Does what a plan says: prints each command, stops at the first that fails and takes it back.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::plan::{Run, Step};

/// Does the steps in the folder `root`; programs are looked for in `tools` first.
pub(super) fn execute(steps: &[Step], root: &Path, tools: &Path) -> Result<()> {
    let machine = Machine { root: root.to_owned(), path: search_path(tools)? };
    // All that is missing at once.
    let missing: Vec<String> = steps.iter().filter_map(|step| machine.missing(step)).collect();
    ensure!(missing.is_empty(), "something is missing:\n{}", missing.join("\n"));
    steps.iter().try_for_each(|step| machine.execute(step))
}

/// docker if it is there; else podman if that is.
pub(super) fn engine() -> String {
    let path = env::var_os("PATH").unwrap_or_default();
    let has = |program: &&str| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    ["docker", "podman"].into_iter().find(has).unwrap_or("docker").to_owned()
}

struct Machine {
    root: PathBuf,
    path: std::ffi::OsString,
}

fn search_path(tools: &Path) -> Result<std::ffi::OsString> {
    let own = env::var_os("PATH").unwrap_or_default();
    env::join_paths(std::iter::once(tools.to_owned()).chain(env::split_paths(&own))).context("the PATH is not usable")
}

impl Machine {
    fn missing(&self, step: &Step) -> Option<String> {
        let Step::Require { program, hint } = step else { return None };
        let found = env::split_paths(&self.path).any(|folder| folder.join(program).is_file());
        if !found {
            return Some(format!("  {program}: {hint}"));
        }
        // docker's client alone is not enough.
        let is_engine = matches!(program.as_str(), "docker" | "podman");
        let answers = !is_engine
            || self.command(&[program.clone(), "info".to_owned()]).is_ok_and(|mut command| {
                command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
            });
        (!answers)
            .then(|| format!("  {program} is installed, but its engine does not answer (`{program} info`): {hint}"))
    }

    fn execute(&self, step: &Step) -> Result<()> {
        match step {
            Step::Require { .. } => Ok(()),
            Step::Write { path, content } => self.write(path, content),
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
        if let Some((probe, line)) = &run.unless {
            let output = self.command(probe)?.stderr(Stdio::null()).output().with_context(|| probe.join(" "))?;
            if String::from_utf8_lossy(&output.stdout).lines().any(|printed| printed == line) {
                println!("= {text}: done before");
                return Ok(());
            }
        }
        println!("+ {text}");
        let status = self.command(&run.command)?.status().with_context(|| text.clone())?;
        if status.success() {
            return Ok(());
        }
        if let Some(undo) = &run.undo {
            println!("+ {}", undo.join(" "));
            // What failed is what counts.
            let _ = self.command(undo)?.status();
        }
        bail!("`{text}` failed ({status}); what was done before stays: the same command goes on from there")
    }

    fn command(&self, words: &[String]) -> Result<Command> {
        let [program, arguments @ ..] = words else { bail!("an empty command") };
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.root).env("PATH", &self.path);
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &[&str]) -> Run {
        Run { command: command.iter().map(|word| (*word).to_owned()).collect(), ..Run::default() }
    }

    fn words(command: &str) -> Vec<String> {
        command.split_whitespace().map(str::to_owned).collect()
    }

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("steersman-xtask-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_fails_is_taken_back_and_ends_it() {
        let root = folder("undo");
        let steps = [
            Step::Write { path: "below/a".into(), content: "x".to_owned() },
            Step::Run(Run { undo: Some(words("touch undone")), ..run(&["false"]) }),
            Step::Run(run(&["touch", "after"])),
        ];
        let error = execute(&steps, &root, &root).unwrap_err().to_string();
        assert!(error.starts_with("`false` failed"), "{error}");
        assert!(root.join("below/a").is_file() && root.join("undone").is_file() && !root.join("after").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_was_done_before_is_not_done_again() {
        let root = folder("again");
        let unless = |probe: &str| Some((words(probe), "steersman".to_owned()));
        let steps = [
            Step::Run(Run { unless: unless("echo steersman"), ..run(&["touch", "again"]) }),
            Step::Run(Run { unless: unless("echo steersman-two"), ..run(&["touch", "first"]) }),
        ];
        execute(&steps, &root, &root).unwrap();
        assert!(root.join("first").exists() && !root.join("again").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn everything_that_is_missing_is_told_at_once_and_nothing_is_begun() {
        let root = folder("missing");
        let require = |program: &str| Step::Require { program: program.to_owned(), hint: "get it" };
        let steps = [Step::Run(run(&["touch", "begun"])), require("no-such-a"), require("sh"), require("no-such-b")];
        let error = execute(&steps, &root, &root).unwrap_err().to_string();
        assert_eq!(error, "something is missing:\n  no-such-a: get it\n  no-such-b: get it");
        assert!(!root.join("begun").exists());
        fs::remove_dir_all(root).unwrap();
    }
}
