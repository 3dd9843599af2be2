//! A cluster in a process of its own, the chart installed into it by helm, and the chart's components as processes with what a
//! pod would be given: the arguments and files of the rendered workload, and the token of its service account where a pod
//! finds it.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::chart::NAMESPACE;
use crate::processes::Process;
use crate::site::{texts, tool};

/// Longer than a start or a command takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Gives a program a `/run` of its own, with the service account in it.
const POD: &str = r#"mount -t tmpfs tmpfs /run && mkdir -p /run/secrets/kubernetes.io \
&& ln -s "$ACCOUNT" /run/secrets/kubernetes.io/serviceaccount && exec "$@""#;

/// The programs, as the test that uses this knows them.
#[derive(Clone, Copy, Debug)]
pub struct Programs {
    /// `steersman`.
    pub cluster: &'static str,
    /// `steersman-controllers`.
    pub controllers: &'static str,
    /// `steersman-scheduler`.
    pub scheduler: &'static str,
}

/// The cluster. Everything ends when this is dropped.
pub struct Stage {
    programs: Programs,
    home: TempDir,
    /// Of `steersman up`.
    arguments: String,
    server: Child,
}

impl Stage {
    /// Starts `steersman up` with these arguments besides.
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn up(programs: Programs, arguments: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder can be made");
        let server = start(programs.cluster, home.path(), arguments).await;
        Self { programs, home, arguments: arguments.to_owned(), server }
    }

    /// Kills the server, as a crash would, and starts it anew; it may have another port then.
    ///
    /// # Panics
    /// If it does not become ready again.
    pub async fn restart(&mut self) {
        self.server.kill().await.expect("it runs");
        self.server = start(self.programs.cluster, self.home.path(), &self.arguments).await;
    }

    /// A folder for what belongs to it.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    fn kubeconfig(&self) -> Kubeconfig {
        Kubeconfig::read_from(self.home.path().join("config")).expect("the server wrote it")
    }

    /// Where the server listens now.
    ///
    /// # Panics
    /// If the kubeconfig has no address.
    pub fn address(&self) -> SocketAddr {
        let kubeconfig = self.kubeconfig();
        let cluster = kubeconfig.clusters.first().and_then(|cluster| cluster.cluster.as_ref());
        let url = cluster.and_then(|cluster| cluster.server.as_deref()).expect("the kubeconfig has a server");
        url.trim_start_matches("https://").parse().expect("the server listens at an address")
    }

    /// An administrator's client.
    ///
    /// # Panics
    /// If the kubeconfig is not complete.
    pub async fn client(&self) -> Client {
        let config = Config::from_custom_kubeconfig(self.kubeconfig(), &KubeConfigOptions::default()).await;
        Client::try_from(config.expect("the kubeconfig is complete")).expect("the certificates are valid")
    }

    /// A program with nothing of the user's but the path, and with the administrator's kubeconfig.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        command(program, self.home.path())
    }

    /// Runs kubectl, which has to succeed; gives what it printed.
    pub async fn kubectl(&self, arguments: &str) -> String {
        ok(self.command(tool("bin/kubectl")).args(arguments.split_whitespace())).await
    }

    /// Runs helm, which has to succeed; gives what it printed.
    pub async fn helm(&self, arguments: &str) -> String {
        ok(self.command(tool("bin/helm")).args(arguments.split_whitespace())).await
    }

    /// Installs the chart, as release `steersman`.
    pub async fn install(&self, arguments: &str) -> String {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/steersman");
        let chart = chart.display();
        self.helm(&format!("install steersman {chart} -n {NAMESPACE} --create-namespace {arguments}")).await
    }

    /// Starts a replica of a component as its rendered workload says; `api` is where it is told that the API server is.
    ///
    /// # Panics
    /// If the chart has no such component.
    pub async fn replica(&self, component: &str, api: SocketAddr) -> Process {
        let select = format!("-l app.kubernetes.io/component={component},app.kubernetes.io/instance=steersman");
        let found = self.kubectl(&format!("get deployments,statefulsets -n {NAMESPACE} -o json {select}")).await;
        let found: Value = serde_json::from_str(&found).expect("kubectl prints JSON");
        let pod = &found["items"][0]["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let account = self.account(text(&pod["serviceAccountName"])).await;
        let mut unshare = self.command("unshare");
        unshare.args(["--map-root-user", "--mount", "sh", "-c", POD, "sh"]).arg(self.program(&container["command"][0]));
        for argument in container["args"].as_array().into_iter().flatten() {
            unshare.arg(self.argument(text(argument), pod).await);
        }
        unshare.env_remove("KUBECONFIG").env("ACCOUNT", account).env("LANG", "C");
        unshare.env("KUBERNETES_SERVICE_HOST", api.ip().to_string());
        unshare.env("KUBERNETES_SERVICE_PORT", api.port().to_string());
        Process::spawn(&mut unshare)
    }

    /// The program that the image has under this path.
    fn program(&self, path: &Value) -> &'static str {
        match text(path) {
            "/usr/local/bin/steersman-controllers" => self.programs.controllers,
            "/usr/local/bin/steersman-scheduler" => self.programs.scheduler,
            other => panic!("the image has no {other}"),
        }
    }

    /// An argument of the pod, for a process that shares the machine with others: replicas cannot share a port, and the files
    /// of volumes lie elsewhere.
    async fn argument(&self, argument: &str, pod: &Value) -> String {
        if argument.starts_with("--port=") {
            return "--port=0".to_owned();
        }
        let mounts = pod["containers"][0]["volumeMounts"].as_array().into_iter().flatten();
        for (mount, volume) in mounts.zip(pod["volumes"].as_array().into_iter().flatten()) {
            if argument.contains(text(&mount["mountPath"])) {
                let folder = self.volume(text(&volume["configMap"]["name"])).await;
                return argument.replace(text(&mount["mountPath"]), &folder.display().to_string());
            }
        }
        argument.to_owned()
    }

    /// A ConfigMap as a folder.
    async fn volume(&self, name: &str) -> PathBuf {
        let folder = self.home.path().join("volumes").join(name);
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written to");
        let map = self.kubectl(&format!("get configmap {name} -n {NAMESPACE} -o json")).await;
        let map: Value = serde_json::from_str(&map).expect("kubectl prints JSON");
        for (file, content) in map["data"].as_object().into_iter().flatten() {
            std::fs::write(folder.join(file), text(content)).expect("the temporary folder can be written to");
        }
        folder
    }

    /// What a pod of the account finds in `/run/secrets/kubernetes.io/serviceaccount`.
    async fn account(&self, name: &str) -> PathBuf {
        let folder = self.home.path().join("accounts").join(name);
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written to");
        let token = self.kubectl(&format!("create token {name} -n {NAMESPACE} --duration 2h")).await;
        let authority = self.kubectl("get configmap kube-root-ca.crt -n default -o jsonpath={.data.ca\\.crt}").await;
        for (file, content) in [("token", token.trim()), ("ca.crt", &authority), ("namespace", NAMESPACE)] {
            std::fs::write(folder.join(file), content).expect("the temporary folder can be written to");
        }
        folder
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn command(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
    command.env("KUBECONFIG", home.join("config")).current_dir(home).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn start(program: &str, home: &Path, arguments: &str) -> Child {
    let mut command = command(program, home);
    command.args(["up", "--port", "0", "--kubeconfig", "config"]).args(arguments.split_whitespace());
    command.stderr(std::fs::File::create(home.join("server.log")).expect("the temporary folder can be written to"));
    let mut server = command.spawn().expect("it can be run");
    let mut lines = BufReader::new(server.stdout.take().expect("it was piped")).lines();
    let ready = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if line.starts_with("The cluster is ready at ") {
                return true;
            }
        }
        false
    };
    let ready = tokio::time::timeout(PATIENCE, ready).await.expect("it becomes ready in time");
    assert!(ready, "it ended: {}", std::fs::read_to_string(home.join("server.log")).unwrap_or_default());
    server
}

async fn ok(command: &mut Command) -> String {
    let ended = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{:?} hangs", command.as_std()));
    let output = output.unwrap_or_else(|error| panic!("{:?} cannot be run: {error}", command.as_std()));
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{:?} failed\n{stdout}{stderr}", command.as_std());
    stdout
}
