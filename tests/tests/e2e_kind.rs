//! The configuration that `cargo xtask kind-up` writes, read by the real kind, and asked of engines: of one that only answers
//! what kind asks, up to kubeadm; and of podman, which is told that no registry may be reached.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// What `kind` asks of `docker`: nodes that are names in a file, and keep what they are to give to kubeadm, which fails.
const DOCKER: &str = r#"#!/bin/sh
echo "$*" >> "$LOG"
case "$*" in
-v) echo 'Docker version 29.1.0, build 1234567' ;;
info*) echo '{"MemoryLimit":true,"PidsLimit":true,"CPUShares":true,"CgroupDriver":"systemd","CgroupVersion":"2"}' ;;
"inspect --type=image"*) exit 1 ;;
ps*) [ ! -e "$STATE/nodes" ] || cat "$STATE/nodes" ;;
"network ls"*) echo 0123456789ab ;;
"run --name "*) echo "$3" >> "$STATE/nodes" ;;
logs*) echo 'Reached target Multi-User System.' ;;
"inspect"*IPAddress*) echo 172.18.0.2, ;;
"inspect"*role*control-plane) echo control-plane ;;
"inspect"*role*) echo worker ;;
"exec"*"cat /kind/version") echo v1.36.4 ;;
"exec"*"cp /dev/stdin /kind/kubeadm.conf") cat > "$STATE/$4.yaml" ;;
"exec"*" kubeadm "*) exit 1 ;;
esac
"#;

/// The real podman, whose images are the test's own. kind would try to pull four times.
const PODMAN: &str = r#"#!/bin/sh
echo "$*" >> "$LOG"
"$PODMAN" "$@"
status=$?
[ "$1" != pull ] || [ -z "$ONCE" ] || kill $PPID
exit $status
"#;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn golden(name: &str) -> PathBuf {
    workspace().join("xtask/src/kind/goldens").join(name)
}

/// A machine whose engine is a script.
struct Machine {
    home: tempfile::TempDir,
}

impl Machine {
    fn new(engine: &str, script: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(engine);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { home }
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    /// The image that the engine was asked to pull; nothing before that is remembered.
    #[track_caller]
    fn pulled(&self) -> String {
        let asked = std::fs::read_to_string(self.log()).unwrap_or_default();
        let _ = std::fs::remove_file(self.log());
        let pulled = asked.lines().find_map(|line| line.strip_prefix("pull ")).map(str::to_owned);
        pulled.unwrap_or_else(|| panic!("nobody wants the image of the nodes: {asked}"))
    }

    /// A program that finds the engine and, after all others, kind.
    fn command(&self, program: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap();
        let kind = workspace().join("target/tools/kind");
        let folders = [self.home.path().to_owned()].into_iter().chain(std::env::split_paths(&path)).chain([kind]);
        let folders = std::env::join_paths(folders).unwrap();
        let mut command = Command::new(program);
        command.env("PATH", folders).env("LOG", self.log()).env("STATE", self.home.path()).current_dir(workspace());
        command.env_remove("KIND_EXPERIMENTAL_PROVIDER");
        command
    }

    fn create(&self, configuration: &Path) -> Command {
        // A program is looked for in the path of whoever starts it.
        let mut kind = self.command("sh");
        kind.env("HOME", self.home.path()).args(["-c", r#"exec kind "$@""#, "sh"]);
        kind.args(["create", "cluster", "--name", "steersman", "--config"]).arg(configuration);
        kind.arg("--kubeconfig").arg(self.home.path().join("kubeconfig"));
        kind
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
#[cfg_attr(not(kind), ignore = "needs kind 0.33: cargo xtask tools fetches it where apt is")]
fn kind_accepts_the_configuration_and_hands_it_to_kubeadm() {
    let machine = Machine::new("docker", DOCKER);
    let configuration = golden("cluster.yaml");
    let complaint = stderr(&machine.create(&configuration).output().unwrap());
    assert!(complaint.contains("failed to init node with kubeadm"), "{complaint}");
    let pulled = machine.pulled();
    assert!(pulled.starts_with("docker.io/kindest/node:v1.36.") && pulled.contains("@sha256:"), "{pulled}");
    for node in ["control-plane", "worker", "worker2"] {
        let path = machine.home.path().join(format!("steersman-{node}.yaml"));
        let documents: Vec<Value> = serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap();
        let of_cluster = documents.iter().find(|document| document["kind"] == "ClusterConfiguration").unwrap();
        // kubeadm's own `controllers` is replaced by this: who joins by a token needs what the signer signs.
        let wanted =
            "*,bootstrap-signer-controller,token-cleaner-controller,-deployment-controller,-replicaset-controller";
        let arguments = of_cluster["controllerManager"]["extraArgs"].as_array().unwrap();
        assert!(arguments.contains(&json!({"name": "controllers", "value": wanted})), "{node}: {arguments:?}");
    }

    // The control: what is wrong is refused before that.
    let text = std::fs::read_to_string(configuration).unwrap();
    let wrong = machine.home.path().join("wrong.yaml");
    std::fs::write(&wrong, text.replace("role: worker", "roll: worker")).unwrap();
    let complaint = stderr(&machine.create(&wrong).output().unwrap());
    assert!(complaint.contains("field roll not found"), "{complaint}");
}

/// Whom a program wants to speak to, through a proxy that lets nobody through.
struct Nowhere {
    address: String,
    wanted: Receiver<String>,
}

impl Nowhere {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, wanted) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let request = lines.next().unwrap_or_default();
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let _ =
                    (&stream).write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Self { address, wanted }
    }

    /// The next request.
    #[track_caller]
    fn asked(&self) -> String {
        self.wanted.recv_timeout(Duration::from_secs(60)).expect("somebody wants to go somewhere")
    }
}

/// Points a program to the proxy, and podman to folders of the test's own.
fn engine<'a>(command: &'a mut Command, machine: &Machine, nowhere: &Nowhere) -> &'a mut Command {
    let home = machine.home.path();
    let storage = home.join("storage.conf");
    let text =
        format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{0}/images\"\nrunroot = \"{0}/run\"\n", home.display());
    std::fs::write(&storage, text).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|folder| folder.join("podman")).find(|path| path.is_file()).unwrap();
    command.env("PODMAN", real).env("CONTAINERS_STORAGE_CONF", storage).env("KIND_EXPERIMENTAL_PROVIDER", "podman");
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"] {
        command.env(name, &nowhere.address);
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy")
}

/// Everything is real but the registry: podman has to understand what it is to fetch.
#[test]
#[cfg_attr(
    not(all(kind, podman, kubectl, helm)),
    ignore = "needs kind 0.33, kubectl and helm (cargo xtask tools, for kind where apt is), podman, and root"
)]
fn a_real_engine_is_asked_for_the_image_of_the_nodes() {
    let (machine, nowhere) = (Machine::new("podman", PODMAN), Nowhere::start());
    let registry = |request: &str| request.starts_with("CONNECT ") && request.contains("docker.io:443");

    let mut kind = machine.create(&golden("cluster.yaml"));
    engine(&mut kind, &machine, &nowhere).env("ONCE", "yes").output().unwrap();
    let request = nowhere.asked();
    assert!(registry(&request), "{request}");
    let pulled = machine.pulled();
    assert!(pulled.contains("kindest/node@sha256:"), "{pulled}");

    // The whole command: it fails where the image has to come, says what may help, and leaves nothing half-made.
    let nowhere = Nowhere::start();
    let mut up = machine.command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    up.args(["run", "--quiet", "--package", "xtask", "--", "kind-up", "--engine", "podman"]);
    let output = engine(&mut up, &machine, &nowhere).output().unwrap();
    let complaint = stderr(&output);
    assert!(!output.status.success() && complaint.contains("--node-image takes one that you have"), "{complaint}");
    let request = nowhere.asked();
    assert!(registry(&request), "{request}: {complaint}");
    let pulled = machine.pulled();
    assert!(pulled.starts_with("docker.io/kindest/node:v1.36."), "{pulled}");
    assert!(!workspace().join("target/kind/half-made").exists());
}
