//! Keeps writes back that come too late.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::Instant;
use tower::BoxError;

/// Until when this replica is the leader for certain.
#[derive(Debug)]
pub(super) struct Leadership {
    renew_deadline: Duration,
    renewed: Mutex<Option<Instant>>,
}

/// Why a write was kept back.
#[derive(Debug, thiserror::Error)]
#[error("not the leader any more: the lease was not renewed in time")]
struct NotLeading;

impl Leadership {
    pub(super) fn new(renew_deadline: Duration) -> Self {
        Self { renew_deadline, renewed: Mutex::new(None) }
    }

    /// The lease was renewed by a request that was begun at that time: from when it was sent, not answered, others count.
    pub(super) fn renewed(&self, begun: Instant) {
        *self.renewed.lock() = Some(begun);
    }

    /// It is over.
    pub(super) fn end(&self) {
        *self.renewed.lock() = None;
    }

    /// Until when it lasts without another renewal; now, if it is over.
    pub(super) fn valid_until(&self) -> Instant {
        self.renewed.lock().map_or_else(Instant::now, |at| at + self.renew_deadline)
    }

    /// How long ago it ended without anybody having said so: the process has not got round to it.
    pub(super) fn ended_since(&self) -> Option<Duration> {
        Instant::now().checked_duration_since((*self.renewed.lock())? + self.renew_deadline)
    }

    fn is_valid(&self) -> bool {
        self.renewed.lock().is_some_and(|at| Instant::now() < at + self.renew_deadline)
    }
}

/// A client that writes only as long as the leadership lasts. Reading is free.
pub(super) fn fenced(client: &Client, leadership: Arc<Leadership>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let client = client.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, leadership) = (client.clone(), leadership.clone());
        async move {
            if !matches!(*request.method(), Method::GET | Method::HEAD) && !leadership.is_valid() {
                return Err(BoxError::from(NotLeading));
            }
            client.send(request).await.map_err(BoxError::from)
        }
    });
    Client::new(service, namespace)
}
