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

/// What is used if it is on the PATH; each is a condition of its name.
const PROGRAMS: [&str; 2] = ["kind", "runc"];

fn main() {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools");
    // Cargo looks at the folders' contents to see whether to ask again; they have to exist for that.
    for folder in ["bin", "python", "node"] {
        std::fs::create_dir_all(tools.join(folder)).expect("target can be written to");
        println!("cargo::rerun-if-changed={}/.package", tools.join(folder).display());
    }
    // Programs that only a distribution has.
    println!("cargo::rerun-if-env-changed=PATH");
    let path = std::env::var_os("PATH").unwrap_or_default();
    for program in PROGRAMS {
        condition(program, std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    }
    // Whether a program can be given folders of its own.
    let own_folders = Command::new("unshare").args(["--map-root-user", "--mount", "true"]).output();
    condition("own_folders", own_folders.is_ok_and(|output| output.status.success()));
    println!("cargo::rerun-if-env-changed=STEERSMAN_E2E_KUBECONFIG");
    condition("given_cluster", std::env::var_os("STEERSMAN_E2E_KUBECONFIG").is_some());
    for (name, proof) in TOOLS {
        condition(name, tools.join(proof).is_file());
    }
}

fn condition(name: &str, holds: bool) {
    println!("cargo::rustc-check-cfg=cfg({name})");
    if holds {
        println!("cargo::rustc-cfg={name}");
    }
}
