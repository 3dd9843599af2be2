//! Health, metrics and settings of a component, over plain HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::RwLock;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::health::{Health, Probe};
use crate::metrics::Metrics;
use crate::runtime::Shutdown;

/// Connections at a time: some probes, a scraper, a person.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const TEXT: &str = "text/plain; charset=utf-8";

/// What a component serves besides health and metrics. Clones share everything.
#[derive(Clone, Default)]
pub struct Routes(Arc<RwLock<BTreeMap<&'static str, Handler>>>);

type Handler = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

/// What a route answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A text for people.
    pub fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self { status, content_type: TEXT, body: body.into() }
    }

    /// JSON.
    pub fn json(body: impl Into<String>) -> Self {
        Self { status: StatusCode::OK, content_type: "application/json", body: body.into() }
    }
}

impl Routes {
    /// Answers GET requests for `path` (such as `/debug/queue`) with what `handler` makes of their query. It takes the place
    /// of an earlier one.
    pub fn add(&self, path: &'static str, handler: impl Fn(&str) -> Answer + Send + Sync + 'static) {
        self.0.write().insert(path, Arc::new(handler));
    }

    fn get(&self, path: &str) -> Option<Handler> {
        self.0.read().get(path).cloned()
    }
}

/// What is served.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) metrics: Metrics,
    pub(super) health: Health,
    pub(super) routes: Routes,
}

/// A port that is taken.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen at {address}; choose another with --port"))?;
    // Whoever let the system choose has to be told.
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "serving health and metrics");
    Ok(listener)
}

impl Served {
    /// Serves until shutdown.
    pub(super) async fn serve(self, listener: TcpListener, shutdown: Shutdown) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = shutdown.requested() => return,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(self.clone().connection(stream));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }

    async fn connection(self, stream: TcpStream) {
        let service = service_fn(|request: Request<hyper::body::Incoming>| {
            let answer = self.answer(request.method(), request.uri().path(), request.uri().query().unwrap_or_default());
            async move { Ok::<_, std::convert::Infallible>(response(answer)) }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!(%error, "connection ended");
        }
    }

    fn answer(&self, method: &Method, path: &str, query: &str) -> Answer {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed\n");
        }
        if let Some(handler) = self.routes.get(path) {
            return handler(query);
        }
        let (first, check) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        match first {
            "healthz" => self.probe(Probe::Healthz, check, query),
            "livez" => self.probe(Probe::Live, check, query),
            "readyz" => self.probe(Probe::Ready, check, query),
            "metrics" if check.is_empty() => Answer {
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                ..Answer::text(StatusCode::OK, self.metrics.render())
            },
            _ => Answer::text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    fn probe(&self, probe: Probe, check: &str, query: &str) -> Answer {
        let parameters: Vec<(&str, &str)> =
            query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        let excluded: Vec<&str> =
            parameters.iter().filter(|(name, _)| *name == "exclude").map(|(_, value)| *value).collect();
        let report = self.health.report(probe, &excluded);
        if !check.is_empty() {
            return match report.check(check) {
                None => Answer::text(StatusCode::NOT_FOUND, "404 page not found\n"),
                Some(Ok(())) => Answer::text(StatusCode::OK, "ok"),
                Some(Err(reason)) => {
                    Answer::text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {reason}\n"))
                }
            };
        }
        let verbose = parameters.iter().any(|(name, _)| *name == "verbose");
        match report.is_ok() {
            true if verbose => Answer::text(StatusCode::OK, report.verbose()),
            true => Answer::text(StatusCode::OK, "ok"),
            false => Answer::text(StatusCode::INTERNAL_SERVER_ERROR, report.verbose()),
        }
    }
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(served: &Served, path: &str, query: &str) -> (u16, String) {
        let answer = served.answer(&Method::GET, path, query);
        (answer.status.as_u16(), answer.body)
    }

    #[test]
    fn probes_answer_as_upstreams_do() {
        let served = Served { metrics: Metrics::default(), health: Health::default(), routes: Routes::default() };
        served.health.ready("informer-sync", || Err("pods".to_owned()));
        assert_eq!(get(&served, "/livez", ""), (200, "ok".to_owned()));
        assert_eq!(get(&served, "/healthz", "verbose"), (200, "[+]ping ok\nhealthz check passed\n".to_owned()));
        let failed = "[+]ping ok\n[-]informer-sync failed: pods\nreadyz check failed\n";
        assert_eq!(get(&served, "/readyz", ""), (500, failed.to_owned()));
        assert_eq!(get(&served, "/readyz", "exclude=informer-sync"), (200, "ok".to_owned()));
        assert_eq!(get(&served, "/readyz/ping", ""), (200, "ok".to_owned()));
        assert_eq!(get(&served, "/readyz/informer-sync", "").0, 500);
        assert_eq!(get(&served, "/livez/informer-sync", "").0, 404);
        assert_eq!(get(&served, "/other", "").0, 404);
        assert_eq!(served.answer(&Method::POST, "/livez", "").status.as_u16(), 405);
    }

    #[test]
    fn a_component_may_serve_more() {
        let served = Served { metrics: Metrics::default(), health: Health::default(), routes: Routes::default() };
        served.routes.add("/debug/echo", |query| Answer::json(format!("{query:?}")));
        assert_eq!(get(&served, "/debug/echo", "a=1"), (200, "\"a=1\"".to_owned()));
    }
}
