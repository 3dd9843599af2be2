//! The image that `cargo xtask image` writes without a container engine: its digests are right, it is the same when it is made
//! again, and a container runtime runs it as nobody in particular, on a file system that cannot be written to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use steersman_tests::site::texts;

/// The names of the program in the image.
const PROGRAMS: [&str; 3] = ["steersman", "steersman-controllers", "steersman-scheduler"];

/// An image of the program as this test has it, unpacked.
struct Image {
    home: tempfile::TempDir,
}

impl Image {
    fn make() -> Self {
        let home = tempfile::tempdir().unwrap();
        let image = Self { home };
        let programs = image.path("programs");
        fs::create_dir(&programs).unwrap();
        // A fifth of the size: names of functions help nobody here.
        run(Command::new("strip").arg("-o").arg(programs.join(PROGRAMS[0])).arg(env!("CARGO_BIN_EXE_cluster_process")));
        image.pack("image.tar");
        fs::create_dir(image.path("layout")).unwrap();
        run(Command::new("tar").arg("xf").arg(image.path("image.tar")).arg("-C").arg(image.path("layout")));
        image
    }

    /// Has it written to a file. Nothing is compressed: this is about what is in it.
    fn pack(&self, file: &str) {
        let mut xtask = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        xtask.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
        xtask.args(["run", "--quiet", "--package", "xtask", "--", "image", "--compression", "0", "--programs"]);
        run(xtask.arg(self.path("programs")).arg("--out").arg(self.path(file)));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path("layout").join(path)).unwrap()).unwrap()
    }

    /// A document that a descriptor names.
    fn blob(&self, descriptor: &Value) -> Value {
        self.json(&blob_path(descriptor))
    }

    fn manifest(&self) -> Value {
        self.blob(&self.json("index.json")["manifests"][0])
    }

    /// The root file system.
    fn root(&self) -> PathBuf {
        let root = self.path("bundle/rootfs");
        fs::create_dir_all(&root).unwrap();
        for layer in self.manifest()["layers"].as_array().unwrap() {
            let layer = self.path("layout").join(blob_path(layer));
            run(Command::new("tar").arg("xzf").arg(layer).arg("-C").arg(&root));
        }
        root
    }
}

fn blob_path(descriptor: &Value) -> String {
    format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"))
}

fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

#[test]
fn the_image_is_what_its_digests_say_and_runs_as_nobody() {
    let image = Image::make();
    // Whoever made it made the digests as well: another program is asked.
    let blobs = image.path("layout/blobs/sha256");
    for blob in fs::read_dir(&blobs).unwrap() {
        let blob = blob.unwrap();
        let sum = run(Command::new("sha256sum").arg(blob.path()));
        assert!(sum.starts_with(blob.file_name().to_str().unwrap()), "{sum}");
    }
    let manifest = image.manifest();
    let config = image.blob(&manifest["config"]);
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], json!(["/usr/local/bin/steersman"]));
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.licenses"], "Apache-2.0");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), manifest["layers"].as_array().unwrap().len());
    for descriptor in manifest["layers"].as_array().unwrap() {
        let size = fs::metadata(image.path("layout").join(blob_path(descriptor))).unwrap().len();
        assert_eq!(descriptor["size"], size);
    }

    let root = image.root();
    for name in PROGRAMS {
        assert!(root.join("usr/local/bin").join(name).is_file(), "{name} is missing");
    }
    let bill: Value =
        serde_json::from_slice(&fs::read(root.join("usr/share/sbom/steersman.cdx.json")).unwrap()).unwrap();
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert!(!root.join("bin/sh").exists(), "there is nothing in it that is not needed");

    image.pack("again.tar");
    assert!(fs::read(image.path("image.tar")).unwrap() == fs::read(image.path("again.tar")).unwrap(), "it differs");
}

#[test]
#[cfg_attr(not(runc), ignore = "needs runc")]
fn a_runtime_runs_every_program_without_rights() {
    let image = Image::make();
    image.root();
    let bundle = image.path("bundle");
    run(Command::new("runc").arg("spec").current_dir(&bundle));
    let written: Value = serde_json::from_slice(&fs::read(bundle.join("config.json")).unwrap()).unwrap();
    let state = image.path("state");
    let runc = |name: &str, arguments: &[&str]| {
        let mut config = written.clone();
        config["process"]["terminal"] = json!(false);
        config["process"]["user"] = json!({"uid": 65532, "gid": 65532});
        config["process"]["args"] = json!(arguments);
        config["process"]["noNewPrivileges"] = json!(true);
        config["process"]["capabilities"] = json!({});
        config["root"]["readonly"] = json!(true);
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        let mut runc = Command::new("runc");
        runc.arg("--root").arg(&state).args(["run", "--bundle"]).arg(&bundle);
        texts(&runc.arg(format!("steersman-e2e-{}-{name}", std::process::id())).output().unwrap())
    };
    for name in PROGRAMS {
        let (printed, complained) = runc(name, &[&format!("/usr/local/bin/{name}"), "--version"]);
        assert_eq!(printed.trim(), format!("{name} {}", env!("CARGO_PKG_VERSION")), "{complained}");
    }
    // Nothing of the root can be written to: the kubeconfig cannot be.
    let (_, complained) =
        runc("writes", &["/usr/local/bin/steersman", "up", "--port", "0", "--kubeconfig", "/kubeconfig"]);
    assert!(complained.contains("Read-only file system"), "{complained}");
}
