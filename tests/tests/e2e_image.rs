//! The image that `cargo xtask image` writes without a container engine: its digests are right, it is the same when it is made
//! again, and container runtimes run it as nobody in particular, on a file system that cannot be written to.
//!
//! It has the program as this test has it. `STEERSMAN_E2E_IMAGE=target/image/steersman.tar` is for the one that was made in
//! earnest, whose size counts as well.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use steersman_tests::site::texts;

/// The names of the program in the image.
const PROGRAMS: [&str; 3] = ["steersman", "steersman-controllers", "steersman-scheduler"];

/// The most that an image may weigh that was made in earnest: 25 MB.
const LIMIT: u64 = 25_000_000;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// An image, unpacked.
struct Image {
    home: tempfile::TempDir,
    archive: PathBuf,
    /// Somebody else made it.
    is_given: bool,
}

impl Image {
    fn make() -> Self {
        let home = tempfile::tempdir().unwrap();
        let given = std::env::var_os("STEERSMAN_E2E_IMAGE");
        let is_given = given.is_some();
        let archive = given.map_or_else(|| home.path().join("image.tar"), |given| workspace().join(given));
        let image = Self { home, archive, is_given };
        if !is_given {
            let programs = image.path("programs");
            fs::create_dir(&programs).unwrap();
            // A fifth of the size: names of functions help nobody here.
            let program = env!("CARGO_BIN_EXE_cluster_process");
            run(Command::new("strip").arg("-o").arg(programs.join(PROGRAMS[0])).arg(program));
            image.pack("image.tar");
        }
        fs::create_dir(image.path("layout")).unwrap();
        run(Command::new("tar").arg("xf").arg(&image.archive).arg("-C").arg(image.path("layout")));
        image
    }

    /// Has it written to a file. Nothing is compressed: this is about what is in it.
    fn pack(&self, file: &str) {
        let mut xtask = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        xtask.current_dir(workspace());
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

    /// What a runtime calls it.
    fn name(&self) -> String {
        let index = self.json("index.json");
        index["manifests"][0]["annotations"]["io.containerd.image.name"].as_str().unwrap().to_owned()
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
    let mut weight = 0;
    for blob in fs::read_dir(&blobs).unwrap() {
        let blob = blob.unwrap();
        weight += blob.metadata().unwrap().len();
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

    if image.is_given {
        assert!(weight <= LIMIT, "{weight} bytes are too many");
        return;
    }
    image.pack("again.tar");
    assert!(fs::read(&image.archive).unwrap() == fs::read(image.path("again.tar")).unwrap(), "it differs");
}

#[test]
#[cfg_attr(not(runc), ignore = "needs runc and root: apt-get install runc")]
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

/// To kind, a node that is the test's own containerd.
const NODE: &str = r#"#!/bin/sh
case "$*" in
-v) echo 'Docker version 29.1.0, build 1234567' ;;
ps*) echo steersman-control-plane ;;
inspect*) echo control-plane ;;
exec*"containerd config dump") cat "$CONFIG" ;;
"exec --privileged -i "*) shift 4; exec "$@" ;;
"exec --privileged "*) shift 3; exec "$@" ;;
esac
"#;

/// A containerd of the test's own, with nothing of the machine's.
struct Containerd {
    process: Child,
    home: PathBuf,
}

impl Containerd {
    fn start(home: PathBuf) -> Self {
        fs::create_dir(&home).unwrap();
        let folder = home.display();
        let configuration = format!(
            "version = 2\nroot = \"{folder}/root\"\nstate = \"{folder}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{folder}/socket\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n"
        );
        fs::write(home.join("config.toml"), configuration).unwrap();
        let mut containerd = Command::new("containerd");
        containerd.arg("--config").arg(home.join("config.toml")).stderr(Stdio::piped());
        let mut process = containerd.spawn().unwrap();
        let said = BufReader::new(process.stderr.take().unwrap());
        let containerd = Self { process, home };
        let mut lines = said.lines().map_while(Result::ok);
        let booted = lines.any(|line| line.contains("containerd successfully booted"));
        assert!(booted, "containerd ended");
        // It goes on telling.
        std::thread::spawn(move || lines.for_each(drop));
        containerd
    }

    /// Takes an archive as `cargo xtask kind-up` hands it over: by the real kind if that is there, else in its words.
    fn load(&self, archive: &Path) {
        if !cfg!(kind) {
            let import = ["images", "import", "--all-platforms", "--digests", "--snapshotter=native"];
            run(self.ctr(&import).arg(archive));
            return;
        }
        let engine = self.home.join("docker");
        fs::write(&engine, NODE).unwrap();
        fs::set_permissions(&engine, fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let own = std::iter::once(self.home.clone()).chain(std::env::split_paths(&path));
        let folders = std::env::join_paths(own.chain([workspace().join("target/tools/kind")])).unwrap();
        // A program is looked for in the path of whoever starts it.
        let mut kind = Command::new("sh");
        kind.env("PATH", folders).env_remove("KIND_EXPERIMENTAL_PROVIDER").env("CONFIG", self.home.join("config.toml"));
        kind.env("CONTAINERD_ADDRESS", self.home.join("socket")).args(["-c", r#"exec kind "$@""#, "sh"]);
        run(kind.args(["load", "image-archive", "--name", "steersman"]).arg(archive));
    }

    fn ctr(&self, arguments: &[&str]) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.home.join("socket")).args(["--namespace", "k8s.io"]).args(arguments);
        ctr.stdin(Stdio::null());
        ctr
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.ctr(&["tasks", "kill", "--signal", "KILL", "up"]).output();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[cfg_attr(not(all(containerd, runc)), ignore = "needs containerd, runc and root: apt-get install containerd")]
fn containerd_takes_it_as_kind_hands_it_over_and_a_cluster_starts_as_nobody() {
    let image = Image::make();
    let containerd = Containerd::start(image.path("containerd"));
    containerd.load(&image.archive);
    let name = image.name();
    let container = ["run", "--rm", "--read-only", "--snapshotter=native", &name];
    for program in PROGRAMS {
        let path = format!("/usr/local/bin/{program}");
        let printed = run(containerd.ctr(&container).args([program, &path, "--version"]));
        assert_eq!(printed.trim(), format!("{program} {}", env!("CARGO_PKG_VERSION")));
    }

    // Whatever runs it, the image says as whom.
    let mut up = containerd.ctr(&container);
    up.args(["up", "/usr/local/bin/steersman", "up", "--port", "0", "--kubeconfig", "/dev/shm/kubeconfig"]);
    let mut running = up.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("The cluster is ready at ")), "it ended");
    let tasks = run(&mut containerd.ctr(&["tasks", "list"]));
    let task = tasks.lines().find_map(|line| line.strip_prefix("up ")).unwrap();
    let process = task.split_whitespace().next().unwrap();
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let nobody = "65532\t65532\t65532\t65532";
    for line in [&format!("Uid:\t{nobody}"), &format!("Gid:\t{nobody}"), "CapEff:\t0000000000000000", "NoNewPrivs:\t1"]
    {
        assert!(status.lines().any(|found| found == line), "{line} is not in {status}");
    }
    run(Command::new("kill").arg(process));
    assert!(running.wait().unwrap().success(), "it gives way when it is told to");
}
