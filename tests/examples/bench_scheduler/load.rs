//! Asking the API server: creating many objects at once, and counting pods that have a node.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::io::AsyncReadExt;
use http::Request;
use kube::Client;
use parking_lot::Mutex;
use steersman_framework::api::{self, Alone};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::workload::Template;

/// Creates that are under way at once.
const CREATES: usize = 16;
/// How long nothing may happen before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request with a body.
pub(crate) async fn send(client: &Client, method: &str, path: &str, body: String) -> Result<()> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(http::header::CONTENT_TYPE, "application/json").extension(Alone);
    let request = request.body(body.into_bytes())?;
    api::send(client, request).await.with_context(|| format!("{method} {path}"))
}

/// Creates `count` objects of each template, from the number `first` on. All of one template before those of the next,
/// and in the order of their numbers as far as requests that are under way together have one.
pub(crate) async fn create(client: &Client, templates: &[Template], (first, count): (usize, usize)) -> Result<()> {
    for template in templates {
        let next = Arc::new(AtomicUsize::new(first));
        let workers = (0..CREATES).map(|_| {
            let (client, template, next) = (client.clone(), template.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= first + count {
                        return anyhow::Ok(());
                    }
                    let (path, body) = template.number(number);
                    send(&client, "POST", &path, body).await?;
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await??;
        }
    }
    Ok(())
}

/// The selector of pods that have a node.
pub(crate) const WITH_NODE: &str = "spec.nodeName!%3D";

/// Counts the pods of a namespace that have come so far, from a watch, without decoding them.
pub(crate) struct Observer {
    counts: watch::Receiver<usize>,
    /// Who waits is woken from this count on.
    awaited: Arc<AtomicUsize>,
    samples: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

/// When which number was reached.
pub(crate) type Sample = (Instant, usize);

impl Observer {
    /// Counts pods that match a field selector, from now on; those that match already are counted as well.
    pub(crate) async fn start(client: &Client, namespace: Option<&str>, selector: &str) -> Result<Self> {
        let scope = namespace.map(|name| format!("/namespaces/{name}")).unwrap_or_default();
        let path = format!("/api/v1{scope}/pods?watch=true&fieldSelector={selector}");
        let mut stream = Box::pin(client.request_stream(Request::get(path).body(Vec::new())?).await?);
        let (sender, counts) = watch::channel(0);
        let samples: Arc<Mutex<Vec<Sample>>> = Arc::default();
        let awaited = Arc::new(AtomicUsize::new(usize::MAX));
        let (seen, enough) = (samples.clone(), awaited.clone());
        let task = tokio::spawn(async move {
            let (mut buffer, mut rest, mut count) = (vec![0; BUFFER], 0, 0);
            while let Ok(read @ 1..) = stream.read(&mut buffer[rest..]).await {
                let filled = rest + read;
                let end = buffer[..filled].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                count += std::str::from_utf8(&buffer[..end]).map_or(0, |text| text.matches(ADDED).count());
                buffer.copy_within(end..filled, 0);
                rest = filled - end;
                seen.lock().push((Instant::now(), count));
                sender.send_if_modified(|known| {
                    *known = count;
                    count >= enough.load(Ordering::Relaxed)
                });
            }
        });
        Ok(Self { counts, awaited, samples, task })
    }

    /// Waits until that many pods have a node.
    pub(crate) async fn wait(&mut self, expect: usize) -> Result<()> {
        self.awaited.store(expect, Ordering::Relaxed);
        let mut before = 0;
        loop {
            let count = *self.counts.borrow_and_update();
            if count >= expect {
                return Ok(());
            }
            match tokio::time::timeout(PATIENCE, self.counts.changed()).await {
                Ok(changed) => changed.context("the watch ended")?,
                Err(_) if *self.counts.borrow() == before => {
                    bail!("after {PATIENCE:?} without progress {count} of {expect} pods have a node");
                }
                Err(_) => before = *self.counts.borrow(),
            }
        }
    }

    /// What was seen.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.samples.lock().clone()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Room for many events, and for the largest.
const BUFFER: usize = 4 << 20;
const ADDED: &str = "{\"type\":\"ADDED\"";
