//! Tells the tests which tools are there (`cfg(kubectl)` and so on), so that those that drive what is absent are reported as
//! ignored. `cargo xtask tools` installs them.

use std::path::Path;

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
        println!("cargo::rustc-check-cfg=cfg({program})");
        if std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
            println!("cargo::rustc-cfg={program}");
        }
    }
    for (condition, proof) in TOOLS {
        println!("cargo::rustc-check-cfg=cfg({condition})");
        if tools.join(proof).is_file() {
            println!("cargo::rustc-cfg={condition}");
        }
    }
}
