//! A real kubectl against a cluster of its own, over TLS.

use std::path::PathBuf;

use steersman::{Cluster, ClusterBuilder};
use tokio::process::Command;

use crate::site::{Site, texts, tool};

/// A cluster with three nodes, and kubectl configured for it.
pub struct Kubectl(Site);

impl Kubectl {
    /// Starts the cluster and serves it on a free port.
    pub async fn start() -> Self {
        Self(Site::start().await)
    }

    /// The same with a cluster of one's own making.
    pub async fn of(builder: ClusterBuilder) -> Self {
        Self(Site::of(builder).await)
    }

    /// The URL of the API.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// Runs helm with the words of `arguments`. Returns whether it succeeded, and all that it said.
    pub async fn helm(&self, arguments: &str) -> (bool, String) {
        let output = self.0.run(self.0.command(tool("bin/helm")).args(words(arguments)), "").await;
        let (stdout, stderr) = texts(&output);
        (output.status.success(), stdout + &stderr)
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.0.cluster
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

    /// The same as [`Self::ok_with`], for those who want to see warnings too: what it printed and what it complained.
    pub async fn run_with(&self, arguments: &str, input: &str) -> String {
        let output = self.0.run(self.command().args(words(arguments)), input).await;
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "kubectl {arguments} failed\n{stdout}{stderr}");
        stdout + &stderr
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
        self.0.file(name, content)
    }

    /// kubectl, ready to be given arguments and run.
    pub fn command(&self) -> Command {
        self.0.command(tool("bin/kubectl"))
    }

    async fn succeed(&self, arguments: &[&str], input: &str) -> String {
        let output = self.0.run(self.command().args(arguments), input).await;
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "kubectl {} failed\n{stdout}{stderr}", arguments.join(" "));
        stdout
    }

    async fn fail(&self, arguments: &[&str], input: &str) -> String {
        let output = self.0.run(self.command().args(arguments), input).await;
        let (stdout, stderr) = texts(&output);
        assert!(!output.status.success(), "kubectl {} succeeded\n{stdout}{stderr}", arguments.join(" "));
        stderr
    }
}

fn words(arguments: &str) -> Vec<&str> {
    arguments.split_whitespace().collect()
}
