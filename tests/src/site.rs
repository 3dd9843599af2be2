//! Where programs of every language meet a cluster of their own, over TLS, as they would meet any other.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use steersman::{Cluster, ClusterBuilder, Served};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A program that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A cluster at a free port, and a home folder whose `config` is a kubeconfig for its administrator.
pub struct Site {
    /// The cluster.
    pub cluster: Cluster,
    served: Served,
    home: TempDir,
}

impl Site {
    /// With three nodes.
    pub async fn start() -> Self {
        Self::of(Cluster::builder().nodes(3)).await
    }

    /// With a cluster of one's own making.
    pub async fn of(builder: ClusterBuilder) -> Self {
        let cluster = builder.start().await.expect("the cluster starts");
        let served = cluster.serve(([127, 0, 0, 1], 0)).await.expect("a free port can be had");
        let home = tempfile::tempdir().expect("a temporary folder can be made");
        served.write_kubeconfig(&home.path().join("config")).expect("it can be written to");
        Self { cluster, served, home }
    }

    /// Closes the port with every connection, lets `meanwhile` happen, and serves at the same port again: to clients, an API
    /// server that restarts.
    ///
    /// # Panics
    /// If somebody else has taken the port.
    pub async fn restart(mut self, meanwhile: impl Future<Output = ()>) -> Self {
        let address = self.served.address();
        self.served.stop().await;
        meanwhile.await;
        self.served = self.cluster.serve(address).await.expect("the port is free again");
        self
    }

    /// The home folder.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The URL of the API.
    pub fn url(&self) -> String {
        self.served.url()
    }

    /// The host and port of the API.
    pub fn host(&self) -> String {
        self.served.address().to_string()
    }

    /// A file in the home folder, with that content; folders on the way are made.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.home.path().join(name);
        let folder = path.parent().expect("it is below the home folder");
        std::fs::create_dir_all(folder).expect("the temporary folder can be written to");
        std::fs::write(&path, content).expect("the temporary folder can be written to");
        path
    }

    /// A client of kube-rs made from the kubeconfig, as a program outside makes it: over TLS.
    pub async fn kube(&self) -> Client {
        let kubeconfig = Kubeconfig::from_yaml(self.served.kubeconfig()).expect("the kubeconfig is valid");
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("the kubeconfig is complete");
        Client::try_from(config).expect("the certificates are valid")
    }

    /// A program that finds nothing of the user's: only the path, the home folder and the kubeconfig.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("config"))
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a program to its end, with `input` on its standard input.
    ///
    /// # Panics
    /// If it cannot be started or hangs.
    pub async fn run(&self, command: &mut Command, input: &str) -> Output {
        let run = async {
            let mut child = command.spawn()?;
            let mut stdin = child.stdin.take().expect("it was piped");
            // A program that does not read its input may have closed it.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
            child.wait_with_output().await
        };
        let ended = tokio::time::timeout(PATIENCE, run).await;
        let ended = ended.unwrap_or_else(|_| panic!("{:?} hangs", command.as_std()));
        ended.unwrap_or_else(|error| panic!("{:?} cannot be run: {error}", command.as_std()))
    }

    /// Runs a program that has to succeed. Returns what it printed.
    ///
    /// # Panics
    /// If it fails, with what it said.
    pub async fn ok(&self, command: &mut Command) -> String {
        let output = self.run(command, "").await;
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "{:?} failed\n{stdout}{stderr}", command.as_std());
        stdout
    }
}

/// Where `cargo xtask tools` puts something.
pub fn tool(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools").join(path)
}

/// The path of one of the project's samples.
pub fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples").join(name);
    path.display().to_string()
}

/// What a program printed and what it complained.
pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
