//! A real kubectl against a cluster of its own, over TLS.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use steersman::{Cluster, Served};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A command that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster with three nodes, and kubectl configured for it.
pub struct Kubectl {
    /// The cluster.
    pub cluster: Cluster,
    _served: Served,
    home: TempDir,
}

impl Kubectl {
    /// Starts the cluster and serves it on a free port.
    pub async fn start() -> Self {
        let cluster = Cluster::builder().nodes(3).start().await.expect("the cluster starts");
        let served = cluster.serve(([127, 0, 0, 1], 0)).await.expect("a free port can be had");
        let home = tempfile::tempdir().expect("a temporary folder can be made");
        served.write_kubeconfig(&home.path().join("config")).expect("it can be written to");
        Self { cluster, _served: served, home }
    }

    /// Runs kubectl with the words of `arguments`; it has to succeed. Returns what it printed.
    pub async fn ok(&self, arguments: &str) -> String {
        self.succeed(&words(arguments), "").await
    }

    /// The same with `input` to read from its standard input.
    pub async fn ok_with(&self, arguments: &str, input: &str) -> String {
        self.succeed(&words(arguments), input).await
    }

    /// Runs kubectl with arguments that hold spaces.
    pub async fn ok_args(&self, arguments: &[&str]) -> String {
        self.succeed(arguments, "").await
    }

    /// Runs kubectl, which has to fail. Returns what it complained.
    pub async fn err(&self, arguments: &str) -> String {
        self.fail(&words(arguments), "").await
    }

    /// The same with `input` to read from its standard input.
    pub async fn err_with(&self, arguments: &str, input: &str) -> String {
        self.fail(&words(arguments), input).await
    }

    /// A file in kubectl's home, with that content; for manifests and scripts.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, content).expect("the temporary folder can be written to");
        path
    }

    /// kubectl, ready to be given arguments and run.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("config"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn succeed(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input).await;
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "kubectl {} failed\n{stdout}{stderr}", arguments.join(" "));
        stdout
    }

    async fn fail(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input).await;
        let (stdout, stderr) = texts(&output);
        assert!(!output.status.success(), "kubectl {} succeeded\n{stdout}{stderr}", arguments.join(" "));
        stderr
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Output {
        let run = async {
            let mut child = self.command().args(arguments).spawn()?;
            let mut stdin = child.stdin.take().expect("it was piped");
            // A kubectl that does not read its input may have closed it.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
            child.wait_with_output().await
        };
        tokio::time::timeout(PATIENCE, run)
            .await
            .unwrap_or_else(|_| panic!("kubectl {} hangs", arguments.join(" ")))
            .expect("kubectl can be started")
    }
}

fn binary() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/kubectl/bin/kubectl")
}

/// The path of one of the project's samples.
pub fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples").join(name);
    path.display().to_string()
}

fn words(arguments: &str) -> Vec<&str> {
    arguments.split_whitespace().collect()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
