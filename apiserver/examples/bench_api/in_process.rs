//! The same in the process: no socket, no TLS, the same door.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use steersman_apiserver::service::ApiService;
use tokio::time::Instant;
use tower::ServiceExt;

use super::load::{self, Figures};
use super::server::api_server;
use super::target::cpu_of;

/// Requests that are under way at the same time.
const CONCURRENT: usize = 4;
const READS: Duration = Duration::from_secs(3);

/// Creates so many pods and reads them; reports each.
pub(crate) async fn run(pods: usize, report: impl Fn(&str, &Figures)) -> Result<()> {
    let server = api_server().await?;
    let service = server.service();
    for namespace in 0..pods.div_ceil(load::PAGE) {
        let body = json!({"metadata": {"name": format!("bench-{namespace}")}}).to_string();
        call(&service, Request::post("/api/v1/namespaces").body(body)?).await?;
    }
    let next = Cell::new(0);
    let created = send(&service, || {
        let number = next.replace(next.get() + 1);
        let (namespace, name) = load::place(number);
        let post = || Request::post(load::collection(namespace)).header("Content-Type", "application/json");
        (number < pods).then(|| post().body(load::pod(&name).to_string()))
    });
    report("creates", &created.await?);
    let (next, end) = (Cell::new(0), Instant::now() + READS);
    let read = send(&service, || {
        let (namespace, name) = load::place(next.replace(next.get() + 7919) % pods);
        let path = format!("{}/{name}", load::collection(namespace));
        (Instant::now() < end).then(|| Request::get(path).body(String::new()))
    });
    report("gets", &read.await?);
    let end = Instant::now() + READS;
    let get = |path: String| (Instant::now() < end).then(|| Request::get(path).body(String::new()));
    report("lists of 500", &send(&service, || get(load::collection(0))).await?);
    let end = Instant::now() + READS;
    let get = |path: &str| (Instant::now() < end).then(|| Request::get(path).body(String::new()));
    report("whole lists", &send(&service, || get("/api/v1/pods")).await?);
    Ok(())
}

/// The size of the answer to a request.
async fn call(service: &ApiService, request: Request<String>) -> Result<u64> {
    let request = request.map(|body| Full::new(Bytes::from(body)));
    let Ok(response) = service.clone().oneshot(request).await;
    ensure!(response.status().is_success(), "a request is answered with {}", response.status());
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(bytes)
}

async fn send(service: &ApiService, next: impl Fn() -> Option<http::Result<Request<String>>>) -> Result<Figures> {
    let (cpu, start, next) = (cpu_of("self")?, Instant::now(), &next);
    let each = (0..CONCURRENT).map(|_| async move {
        let (mut latencies, mut bytes) = (Vec::new(), 0);
        while let Some(request) = next() {
            let sent = Instant::now();
            bytes += call(service, request?).await?;
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
