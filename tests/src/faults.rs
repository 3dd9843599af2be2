//! Controllers whose writes get lost, or that are killed and started anew, at a write of choice.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use steersman::Cluster;
use steersman_framework::runtime::{Context, Shutdown};
use steersman_machinery::random::Random;
use tokio::sync::Notify;
use tower::BoxError;

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The request: nothing was written.
    Request,
    /// The answer: it was written, but nobody knows.
    Answer,
    /// The controllers, right before the write; they are started anew.
    ProcessBefore,
    /// The controllers, right after the write; they are started anew.
    ProcessAfter,
}

/// Loses one write of the controllers, by its number.
#[derive(Debug)]
pub struct Faults {
    at: Option<usize>,
    loss: Loss,
    seen: AtomicUsize,
    killed: Notify,
}

impl Faults {
    /// Loses the write number `at`, counted from 0; none without a number.
    pub fn new(loss: Loss, at: Option<usize>) -> Arc<Self> {
        Arc::new(Self { at, loss, seen: AtomicUsize::new(0), killed: Notify::new() })
    }

    /// How many writes there were so far. Events are of no account.
    pub fn seen(&self) -> usize {
        self.seen.load(Ordering::Relaxed)
    }

    /// Whether this request is the one.
    fn strike(&self, request: &Request<Body>) -> bool {
        let counts = request.method() != Method::GET && !request.uri().path().contains("/events");
        counts && Some(self.seen.fetch_add(1, Ordering::Relaxed)) == self.at
    }

    async fn kill(&self) -> Infallible {
        self.killed.notify_one();
        pending().await
    }

    /// A client that loses that write.
    pub fn client(self: &Arc<Self>, client: Client) -> Client {
        let faults = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, faults) = (client.clone(), Arc::clone(&faults));
            async move {
                let struck = faults.strike(&request);
                if struck && faults.loss == Loss::ProcessBefore {
                    faults.kill().await;
                }
                if struck && faults.loss == Loss::Request {
                    return Err(BoxError::from("connection reset"));
                }
                // In a task of its own: what was sent is answered, whether or not the sender lives to see it.
                let answer = tokio::spawn(async move { client.send(request).await }).await?;
                if struck && faults.loss == Loss::ProcessAfter {
                    faults.kill().await;
                }
                if struck {
                    return Err(BoxError::from("connection reset"));
                }
                Ok(answer?)
            }
        });
        Client::new(service, "default")
    }

    /// Runs those controllers (a list as for `--controllers`), and runs them again when they are killed.
    ///
    /// # Panics
    /// If the list names a controller that there is not, or the controllers end by themselves.
    pub async fn run_controllers(self: &Arc<Self>, cluster: &Cluster, controllers: &str) -> Infallible {
        let options = steersman_controllers::Options {
            controllers: controllers.parse().expect("these controllers exist"),
            ..steersman_controllers::Options::default()
        };
        loop {
            let (_trigger, shutdown) = Shutdown::new();
            let client = self.client(cluster.client());
            let context = Context::new(client, cluster.clock(), Random::seeded(1), shutdown);
            tokio::select! {
                biased;
                ended = steersman_controllers::run(context, options.clone()) => panic!("the controllers ended: {ended:?}"),
                () = self.killed.notified() => {}
            }
        }
    }
}
