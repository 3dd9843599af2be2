//! Tells the tests which tools are there (`cfg(kubectl)` and so on), so that those that drive what is absent are reported as
//! ignored. `cargo xtask tools` installs them.

use std::path::Path;
use std::process::Command;

/// Each condition, and what must exist for it below `target/tools`.
const TOOLS: [(&str, &str); 4] = [
    ("kubectl", "bin/kubectl"),
    ("helm", "bin/helm"),
    ("python_client", "python/.package"),
    ("node_client", "node/.package"),
];

/// What runs containers if it is on the PATH; each is a condition of its name. Debian has them as packages.
const RUNTIMES: [&str; 2] = ["containerd", "runc"];

fn main() {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools");
    // Cargo looks at the folders' contents to see whether to ask again; they have to exist for that.
    for folder in ["bin", "python", "node", "kind"] {
        std::fs::create_dir_all(tools.join(folder)).expect("target can be written to");
        println!("cargo::rerun-if-changed={}/.package", tools.join(folder).display());
    }
    // Programs that only a distribution has.
    println!("cargo::rerun-if-env-changed=PATH");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    condition("kind", is_there("kind") || tools.join("kind/kind").is_file());
    // Root alone may do all that it takes to run a container; in some places not even root.
    let is_root = said("unshare", &["--mount", "--net", "--pid", "--fork", "id", "-u"]).as_deref() == Some("0");
    for runtime in RUNTIMES {
        condition(runtime, is_root && is_there(runtime));
    }
    let rootless = said("podman", &["info", "--format", "{{.Host.Security.Rootless}}"]);
    condition("podman", is_root && rootless.as_deref() == Some("false"));
    // Whether a program can be given folders of its own.
    condition("own_folders", said("unshare", &["--map-root-user", "--mount", "true"]).is_some());
    println!("cargo::rerun-if-env-changed=STEERSMAN_E2E_KUBECONFIG");
    condition("given_cluster", std::env::var_os("STEERSMAN_E2E_KUBECONFIG").is_some());
    for (name, proof) in TOOLS {
        condition(name, tools.join(proof).is_file());
    }
}

/// What a program prints, if it succeeds.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn condition(name: &str, holds: bool) {
    println!("cargo::rustc-check-cfg=cfg({name})");
    if holds {
        println!("cargo::rustc-cfg={name}");
    }
}
