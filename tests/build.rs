//! Tells the tests whether kubectl is there (`cfg(kubectl)`), so that those that drive it are reported as ignored if not.

use std::path::Path;

fn main() {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools");
    // Cargo looks at the folder's contents to see whether to ask again; it has to exist for that.
    std::fs::create_dir_all(&tools).expect("target can be written to");
    println!("cargo::rerun-if-changed={}", tools.display());
    println!("cargo::rustc-check-cfg=cfg(kubectl)");
    if tools.join("kubectl/bin/kubectl").is_file() {
        println!("cargo::rustc-cfg=kubectl");
    }
}
