//! Credentials that somebody else renews: what a program gave, and certificates in files. When the server refuses them, the
//! program is asked again and the files are read again, and what follows is sent over new connections. Tokens in files are
//! read again [besides](super::token). The same way a connection that hangs is given up. Source:
//! `k8s.io/client-go/plugin/pkg/client/auth/exec`, `k8s.io/client-go/transport` (`dynamicClientCert`).

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use http::{Request, Response, StatusCode};
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Client, Config};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tower::BoxError;

use super::polite::copy;
use crate::metrics::Metrics;

/// The shortest time between two renewals: a program that gives bad credentials is not run for every request.
const PAUSE: Duration = Duration::from_secs(5);

/// Whether there is something that may be renewed.
pub(super) fn is_renewable(credentials: &AuthInfo) -> bool {
    credentials.exec.is_some() || credentials.client_certificate.is_some() || credentials.client_key.is_some()
}

/// What makes a client with the credentials as they are now.
pub(super) type Make = fn(&Config, &Metrics) -> Result<Client>;

struct Renewal {
    config: Config,
    metrics: Metrics,
    make: Make,
    /// With when it was made.
    current: RwLock<(Client, Instant)>,
    /// Held while it is renewed.
    renewing: Mutex<()>,
    /// How long an answer may take before it is asked for once more over another connection.
    patience: Option<Duration>,
}

/// A client whose credentials are renewed when they are refused.
pub(super) fn renewing(config: &Config, metrics: &Metrics, make: Make) -> Result<Client> {
    client(config, metrics, make, None)
}

/// The same, whose connection is given up when it hangs.
pub(super) fn impatient(config: &Config, metrics: &Metrics, make: Make, patience: Duration) -> Result<Client> {
    client(config, metrics, make, Some(patience))
}

fn client(config: &Config, metrics: &Metrics, make: Make, patience: Option<Duration>) -> Result<Client> {
    let renewal = Arc::new(Renewal {
        config: config.clone(),
        metrics: metrics.clone(),
        make,
        current: RwLock::new((make(config, metrics)?, Instant::now())),
        renewing: Mutex::default(),
        patience,
    });
    let is_renewable = is_renewable(&config.auth_info);
    let service = tower::service_fn(move |request: Request<Body>| {
        let renewal = Arc::clone(&renewal);
        async move {
            let sent = Instant::now();
            let response = renewal.send(request).await?;
            if is_renewable && response.status() == StatusCode::UNAUTHORIZED {
                renewal.renew(sent, PAUSE).await;
            }
            Ok::<_, BoxError>(response)
        }
    });
    Ok(Client::new(service, config.default_namespace.clone()))
}

impl Renewal {
    fn current(&self) -> Client {
        self.current.read().0.clone()
    }

    async fn send(self: &Arc<Self>, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let (sent, client) = (Instant::now(), self.current());
        let (Some(patience), Some(again)) = (self.patience, copy(&request)) else {
            return Ok(client.send(request).await?);
        };
        let mut first = std::pin::pin!(client.send(request));
        if let Ok(answer) = timeout(patience, &mut first).await {
            return Ok(answer?);
        }
        let second = async {
            self.renew(sent, Duration::ZERO).await;
            self.current().send(again).await
        };
        let mut second = std::pin::pin!(second);
        tokio::select! {
            biased;
            // A connection that was cut in the end says nothing of the other one.
            Ok(answer) = &mut first => Ok(answer),
            answer = &mut second => Ok(answer?),
        }
    }

    /// Makes another client, unless that was done since the request was sent that failed, or within `pause`.
    async fn renew(self: &Arc<Self>, sent: Instant, pause: Duration) {
        let _renewing = self.renewing.lock().await;
        let made = self.current.read().1;
        if made > sent || made.elapsed() < pause {
            return;
        }
        let renewal = Arc::clone(self);
        // The program may take its time.
        let made = tokio::task::spawn_blocking(move || (renewal.make)(&renewal.config, &renewal.metrics)).await;
        let mut current = self.current.write();
        match made {
            Ok(Ok(client)) => {
                tracing::info!("the connection to the API server was made anew, with the credentials of now");
                *current = (client, Instant::now());
            }
            Ok(Err(error)) => {
                tracing::warn!(error = format!("{error:#}"), "the credentials could not be renewed");
                current.1 = Instant::now();
            }
            Err(_) => {}
        }
    }
}
