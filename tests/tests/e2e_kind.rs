//! The configuration that `cargo xtask kind-up` writes, read by the real kind. No container engine is needed: one that only
//! answers what kind asks stands in for it, and ends kind when an image has to be pulled.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What `kind` asks of `docker` before it makes a node.
const ENGINE: &str = r#"#!/bin/sh
echo "$*" >> "$LOG"
case "$1" in
info) echo '{"MemoryLimit":true,"PidsLimit":true,"CPUShares":true,"CgroupDriver":"systemd","CgroupVersion":"2"}' ;;
ps) ;;
pull) kill $PPID ;;
*) exit 1 ;;
esac
"#;

struct Kind {
    home: tempfile::TempDir,
}

impl Kind {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let engine = home.path().join("docker");
        std::fs::write(&engine, ENGINE).unwrap();
        std::fs::set_permissions(&engine, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { home }
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn create(&self, configuration: &Path) -> Output {
        let path = std::env::var("PATH").unwrap();
        let mut kind = Command::new("kind");
        kind.env("PATH", format!("{}:{path}", self.home.path().display())).env("LOG", self.log());
        kind.env("HOME", self.home.path()).args(["create", "cluster", "--name", "steersman", "--config"]);
        kind.arg(configuration).arg("--kubeconfig").arg(self.home.path().join("kubeconfig"));
        kind.output().unwrap()
    }
}

#[test]
#[cfg_attr(not(kind), ignore = "needs kind 0.33 on the PATH")]
fn kind_accepts_the_configuration_up_to_the_image_of_the_nodes() {
    let kind = Kind::new();
    let configuration = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/src/kind/goldens/cluster.yaml");
    kind.create(&configuration);
    let asked = std::fs::read_to_string(kind.log()).unwrap();
    let pulled = asked.lines().find_map(|line| line.strip_prefix("pull ")).expect("kind wants the image of the nodes");
    assert!(pulled.starts_with("kindest/node:v1.36.") && pulled.contains("@sha256:"), "{pulled}");

    // The control: what is wrong is refused before that.
    let text = std::fs::read_to_string(configuration).unwrap();
    let wrong = kind.home.path().join("wrong.yaml");
    std::fs::write(&wrong, text.replace("role: worker", "roll: worker")).unwrap();
    let output = kind.create(&wrong);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("field roll not found"), "{complaint}");
}
