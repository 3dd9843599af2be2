//! What is done to a server, and what it took.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::client::{Connection, request};
use super::target::{Target, cpu_of};

/// Connections that send at the same time.
const CONNECTIONS: usize = 32;
/// Objects of a namespace that is listed.
pub(crate) const PAGE: usize = 500;
/// How long reads are measured.
const READS: Duration = Duration::from_secs(4);
/// Streams that are open at the same time.
pub(crate) const WATCHERS: usize = 1000;
/// Writes that all of them see.
const SEEN_WRITES: usize = 40;

/// What was measured.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
    pub(crate) latencies: Vec<Duration>,
    /// What the server computed, and what this process did.
    pub(crate) cpu: (Duration, Duration),
}

impl Figures {
    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }

    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.took.as_secs_f64()
    }

    /// The latency that so many of a hundred requests did not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.latencies
            .get((self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }
}

/// The pod that is created.
pub(crate) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "bench"}},
        "spec": {"containers": [{"name": "main", "image": "registry.example.com/app:1"}]},
    })
}

pub(crate) fn collection(namespace: usize) -> String {
    format!("/api/v1/namespaces/bench-{namespace}/pods")
}

/// The name of a pod by its number: 500 in each namespace.
pub(crate) fn place(number: usize) -> (usize, String) {
    (number / PAGE, format!("pod-{:03}", number % PAGE))
}

/// Makes the namespaces that so many pods need.
pub(crate) async fn namespaces(target: &Target, pods: std::ops::Range<usize>) -> Result<()> {
    let mut connection = Connection::open(target.port).await?;
    for namespace in pods.start / PAGE..pods.end.div_ceil(PAGE) {
        let body = json!({"metadata": {"name": format!("bench-{namespace}")}}).to_string();
        let answer = connection.call(&request("POST", "/api/v1/namespaces", body.as_bytes())).await?;
        ensure!(matches!(answer.code, 201 | 409), "a namespace is answered with {}", answer.code);
    }
    Ok(())
}

/// Creates the pods of these numbers.
pub(crate) async fn create(target: &Target, pods: std::ops::Range<usize>) -> Result<Figures> {
    namespaces(target, pods.clone()).await?;
    let next = Rc::new(Cell::new(pods.start));
    send(target, 201, move || {
        let number = next.replace(next.get() + 1);
        let (namespace, name) = place(number);
        (number < pods.end).then(|| request("POST", &collection(namespace), pod(&name).to_string().as_bytes()))
    })
    .await
}

/// Reads one after the other of so many pods.
pub(crate) async fn get(target: &Target, pods: usize) -> Result<Figures> {
    let (next, end) = (Cell::new(0), Instant::now() + READS);
    send(target, 200, move || {
        // A prime stride visits all of them, in no order that a cache would like.
        let (namespace, name) = place(next.replace(next.get() + 7919) % pods);
        (Instant::now() < end).then(|| request("GET", &format!("{}/{name}", collection(namespace)), b""))
    })
    .await
}

/// Lists the same path again and again.
pub(crate) async fn list(target: &Target, path: &str) -> Result<Figures> {
    let (asked, end) = (request("GET", path, b""), Instant::now() + READS);
    send(target, 200, move || (Instant::now() < end).then(|| asked.clone())).await
}

/// Sends what `next` gives, over all connections, until it gives nothing more.
async fn send(target: &Target, expect: u16, next: impl Fn() -> Option<Vec<u8>>) -> Result<Figures> {
    let connections = try_join_all((0..CONNECTIONS).map(|_| Connection::open(target.port))).await?;
    let cpu = (target.cpu()?, cpu_of("self")?);
    let start = Instant::now();
    let next = &next;
    let each = connections.into_iter().map(|mut connection| async move {
        let (mut latencies, mut bytes) = (Vec::new(), 0);
        while let Some(request) = next() {
            let sent = Instant::now();
            let answer = connection.call(&request).await?;
            ensure!(answer.code == expect, "a request is answered with {}", answer.code);
            latencies.push(sent.elapsed());
            bytes += answer.bytes;
        }
        Ok((latencies, bytes))
    });
    let done: Vec<(Vec<Duration>, u64)> = try_join_all(each).await?;
    let took = start.elapsed();
    figures(target, cpu, (took, done))
}

fn figures(
    target: &Target,
    before: (Duration, Duration),
    (took, done): (Duration, Vec<(Vec<Duration>, u64)>),
) -> Result<Figures> {
    let cpu = (target.cpu()? - before.0, cpu_of("self")? - before.1);
    let bytes = done.iter().map(|(_, bytes)| bytes).sum();
    let mut latencies: Vec<Duration> = done.into_iter().flat_map(|(latencies, _)| latencies).collect();
    latencies.sort_unstable();
    Ok(Figures { count: latencies.len() as u64, bytes, took, latencies, cpu })
}

/// Has a thousand watchers see each write; the latencies are from the request to each event.
pub(crate) async fn watch(target: &Target) -> Result<Figures> {
    let path = format!("{}?watch=true&resourceVersion=0&sendInitialEvents=false", collection(0));
    let path = path.replace("&sendInitialEvents=false", "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan");
    let asked = request("GET", &path, b"");
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        let mut connection = Connection::open(target.port).await?;
        connection.watch(&asked).await?;
        watchers.push(connection);
    }
    let mut writer = Connection::open(target.port).await?;
    let cpu = (target.cpu()?, cpu_of("self")?);
    let start = Instant::now();
    let mut done = Vec::new();
    for number in 0..SEEN_WRITES {
        let body = json!({"metadata": {"labels": {"seen": number.to_string()}}}).to_string();
        let asked = request("PATCH", &format!("{}/pod-000", collection(0)), body.as_bytes());
        let sent = Instant::now();
        let write = writer.call(&asked);
        let read = watchers.iter_mut().map(|watcher| async move {
            let mut bytes = watcher.chunk().await?;
            // An event may come in pieces; it is complete when it is as long as a pod.
            while bytes < 300 {
                bytes += watcher.chunk().await?;
            }
            Ok::<_, anyhow::Error>((sent.elapsed(), bytes))
        });
        let (answer, read) = futures::future::try_join(write, try_join_all(read)).await?;
        ensure!(answer.code == 200, "a patch is answered with {}", answer.code);
        let bytes = read.iter().map(|(_, bytes)| bytes).sum();
        done.push((read.into_iter().map(|(latency, _)| latency).collect(), bytes));
    }
    figures(target, cpu, (start.elapsed(), done))
}
