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

fn main() {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools");
    // Cargo looks at the folders' contents to see whether to ask again; they have to exist for that.
    for folder in ["bin", "python", "node"] {
        std::fs::create_dir_all(tools.join(folder)).expect("target can be written to");
        println!("cargo::rerun-if-changed={}/.package", tools.join(folder).display());
    }
    for (condition, proof) in TOOLS {
        println!("cargo::rustc-check-cfg=cfg({condition})");
        if tools.join(proof).is_file() {
            println!("cargo::rustc-cfg={condition}");
        }
    }
}
