//! The components as processes of their own, against a cluster of the test.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::site::Site;

/// Longer than a process takes to start, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A component that runs. It is killed when this is dropped.
pub struct Process {
    child: Child,
    address: watch::Receiver<Option<SocketAddr>>,
    log: watch::Receiver<String>,
}

impl Process {
    /// Starts a component with the kubeconfig of `site`, and health and metrics at a free port.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(site: &Site, program: impl AsRef<OsStr>, arguments: &str) -> Self {
        let mut command = site.command(program);
        command.arg("--kubeconfig").arg(site.home().join("config"));
        Self::spawn(command.args(["--port", "0"]).args(arguments.split_whitespace()))
    }

    /// Starts a component that was given its arguments; its log has to be on the standard error.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("it can be run");
        let stderr = child.stderr.take().expect("it was piped");
        let (found, address) = watch::channel(None);
        let (written, log) = watch::channel(String::new());
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("serving health and metrics") {
                    found.send_replace(address_in(&line));
                }
                written.send_modify(|log| *log += &format!("{line}\n"));
            }
        });
        Self { child, address, log }
    }

    /// Its process id.
    ///
    /// # Panics
    /// If it has ended.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap_or_else(|| panic!("it ended:\n{}", self.log()))
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Waits until it has said something.
    ///
    /// # Panics
    /// If it does not.
    pub async fn until_said(&self, words: &str) {
        let mut log = self.log.clone();
        let said = tokio::time::timeout(PATIENCE, log.wait_for(|log| log.contains(words))).await;
        assert!(said.is_ok_and(|said| said.is_ok()), "it did not say {words:?}:\n{}", self.log());
    }

    /// Asks for a path of its health and metrics port; gives the answer's status and body.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let mut told = self.address.clone();
        let address = tokio::time::timeout(PATIENCE, told.wait_for(Option::is_some)).await;
        let address = *address.expect("it listens in time").unwrap_or_else(|_| panic!("it ended:\n{}", self.log()));
        let mut stream = TcpStream::connect(address.expect("it was waited for")).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("it speaks HTTP");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("it speaks HTTP"), body.to_owned())
    }

    /// Sends it a signal, such as `TERM`.
    ///
    /// # Panics
    /// If it has ended.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap_or_else(|| panic!("it ended:\n{}", self.log()));
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {id}")).status().await;
        assert!(sent.expect("there is a shell").success(), "kill -{name} {id} failed");
    }

    /// Waits until it ends, and until all that it said is in [`Process::log`].
    ///
    /// # Panics
    /// If it does not.
    pub async fn end(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("it goes on:\n{}", self.log())).expect("it was started here");
        let mut log = self.log.clone();
        let all_said = async { while log.changed().await.is_ok() {} };
        tokio::time::timeout(PATIENCE, all_said).await.expect("nobody else writes to its log");
        status
    }
}

/// The address in the line of the log that tells it.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once("address=")?;
    address.split_whitespace().next()?.parse().ok()
}
