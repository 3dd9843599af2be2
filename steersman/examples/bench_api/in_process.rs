//! The same through the client in the process: no socket, no TLS, the same pipeline.

use std::cell::Cell;
use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use serde_json::json;
use steersman::Cluster;
use tokio::time::Instant;

use super::load::{self, Figures};
use super::target::cpu_of;

/// Requests that are under way at the same time.
const CONCURRENT: usize = 4;
const READS: Duration = Duration::from_secs(3);

/// Creates so many pods and reads them; prints each.
pub(crate) async fn run(pods: usize, report: impl Fn(&str, &Figures)) -> Result<()> {
    let cluster = Cluster::builder()
        .without_controllers()
        .without_scheduler()
        .disable_admission(["ServiceAccount"])
        .start()
        .await?;
    let client = cluster.client();
    for namespace in 0..pods.div_ceil(load::PAGE) {
        let body = json!({"metadata": {"name": format!("bench-{namespace}")}}).to_string();
        client.request_text(http::Request::post("/api/v1/namespaces").body(body.into_bytes())?).await?;
    }
    let next = Cell::new(0);
    let created = send(&client, || {
        let number = next.replace(next.get() + 1);
        let (namespace, name) = load::place(number);
        let post = || http::Request::post(load::collection(namespace)).header("Content-Type", "application/json");
        (number < pods).then(|| post().body(load::pod(&name).to_string().into_bytes()))
    });
    report("creates", &created.await?);
    let (next, end) = (Cell::new(0), Instant::now() + READS);
    let read = send(&client, || {
        let (namespace, name) = load::place(next.replace(next.get() + 7919) % pods);
        let path = format!("{}/{name}", load::collection(namespace));
        (Instant::now() < end).then(|| http::Request::get(path).body(Vec::new()))
    });
    report("gets", &read.await?);
    let end = Instant::now() + READS;
    let get = |path: String| (Instant::now() < end).then(|| http::Request::get(path).body(Vec::new()));
    report("lists of 500", &send(&client, || get(load::collection(0))).await?);
    Ok(())
}

async fn send(
    client: &kube::Client,
    next: impl Fn() -> Option<http::Result<http::Request<Vec<u8>>>>,
) -> Result<Figures> {
    let (cpu, start, next) = (cpu_of("self")?, Instant::now(), &next);
    let each = (0..CONCURRENT).map(|_| async move {
        let (mut latencies, mut bytes) = (Vec::new(), 0);
        while let Some(request) = next() {
            let sent = Instant::now();
            bytes += client.request_text(request?).await?.len() as u64;
            latencies.push(sent.elapsed());
        }
        Ok::<_, anyhow::Error>((latencies, bytes))
    });
    let done = try_join_all(each).await?;
    let took = start.elapsed();
    let bytes = done.iter().map(|(_, bytes)| bytes).sum();
    let mut latencies: Vec<Duration> = done.into_iter().flat_map(|(latencies, _)| latencies).collect();
    latencies.sort_unstable();
    let cpu = (cpu_of("self")? - cpu, Duration::ZERO);
    Ok(Figures { count: latencies.len() as u64, bytes, took, latencies, cpu })
}
