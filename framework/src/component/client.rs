//! The connection to the API server: from a kubeconfig, or of a pod.

mod connector;
mod no_proxy;
pub mod polite;
mod renewal;
mod token;

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::time::Instant;
use tower::{BoxError, ServiceBuilder};
use tracing::Instrument;
use tracing::field::Empty;

use super::settings::{ClientSettings, Identity};
use crate::metrics::{Buckets, Family, Metrics};
use connector::Connector;
use token::TokenFile;

/// After this time without a word from the server it is asked for a sign of life, and given this long for it: so that a dead
/// connection is noticed although nobody closed it. Source: `k8s.io/apimachinery/pkg/util/net` (`ReadIdleTimeout`,
/// `PingTimeout`).
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(15);
/// How much the server may send ahead, on a stream and on a connection. Source: Go's `http2.Transport` for streams; for the
/// connection, as much as a few long lists.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;

/// Source: `k8s.io/component-base/metrics/prometheus/restclient`, as all in here.
static REQUESTS: Family =
    Family::counter("rest_client_requests_total", "Requests to the API server, by what came back (<error>: nothing).");
static DURATIONS: Family = Family::histogram(
    "rest_client_request_duration_seconds",
    "How long the API server took to answer.",
    Buckets::Exact(&[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0]),
);

/// Reads the kubeconfig, or what a pod is given.
///
/// # Errors
/// If there is neither, or it is not complete.
pub async fn configuration(identity: Identity, settings: &ClientSettings) -> Result<Config> {
    let mut config = match (&settings.kubeconfig, &settings.master) {
        (Some(path), _) => from_kubeconfig(path).await?,
        (None, Some(_)) => Config::new(http::Uri::from_static("http://localhost")),
        (None, None) => Config::incluster().context(
            "no --kubeconfig was given, and this is not a pod with a service account: how is the API server to be reached?",
        )?,
    };
    if let Some(master) = &settings.master {
        config.cluster_url = master.parse().with_context(|| format!("--master: {master:?} is not a URL"))?;
    }
    if config.proxy_url.is_none() {
        config.proxy_url = no_proxy::of_environment(&config.cluster_url)?;
    }
    let agent = format!("{}/{} ({}/{})", identity.name, identity.version, std::env::consts::OS, architecture());
    config.headers.push((header::USER_AGENT, HeaderValue::from_str(&agent).context("the name fits a header")?));
    Ok(config)
}

async fn from_kubeconfig(path: &Path) -> Result<Config> {
    let kubeconfig = Kubeconfig::read_from(path).with_context(|| path.display().to_string())?;
    let has_proxy = proxy_of(&kubeconfig).is_some();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let mut config = config.with_context(|| path.display().to_string())?;
    if !has_proxy {
        config.proxy_url = None;
    }
    Ok(config)
}

/// The proxy that a kubeconfig names for its current context.
fn proxy_of(kubeconfig: &Kubeconfig) -> Option<&str> {
    let current = kubeconfig.current_context.as_deref()?;
    let context = kubeconfig.contexts.iter().find(|context| context.name == current)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|cluster| cluster.name == context.cluster)?.cluster.as_ref()?;
    cluster.proxy_url.as_deref().filter(|proxy| !proxy.is_empty())
}

/// The processor as Go calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A client that sends each request once, over HTTP/2 where the server speaks it. For a client that waits its turn and tries
/// again, see [`polite`].
///
/// # Errors
/// If the credentials cannot be used.
pub fn connect(config: &Config, metrics: &Metrics) -> Result<Client> {
    match renewal::is_renewable(&config.auth_info) {
        true => renewal::renewing(config, metrics, connect_once),
        false => connect_once(config, metrics),
    }
}

/// The same for what must not wait for a connection that hangs: what is not answered after `patience` is sent once more, over
/// another connection, and the first answer counts. Only for what may be sent twice.
///
/// # Errors
/// If the credentials cannot be used.
pub fn connect_impatient(config: &Config, metrics: &Metrics, patience: Duration) -> Result<Client> {
    renewal::impatient(config, metrics, connect_once, patience)
}

/// The same with the credentials as they are now.
fn connect_once(config: &Config, metrics: &Metrics) -> Result<Client> {
    let mut builder = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(PING_AFTER)
        .http2_keep_alive_timeout(PING_PATIENCE)
        .http2_keep_alive_while_idle(true)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW);
    let http: Http = builder.build(Connector::new(config)?);
    let host = config.cluster_url.authority().map(ToString::to_string).unwrap_or_default();
    let metrics = metrics.clone();
    let mut config = config.clone();
    let token = config.auth_info.token_file.take().map(TokenFile::open).transpose()?.map(Arc::new);
    if token.is_some() {
        config.auth_info.token = None;
    }
    let send = tower::service_fn(move |mut request: Request<Body>| {
        let (http, metrics, host) = (http.clone(), metrics.clone(), host.clone());
        let (token, sent) = (token.clone(), Instant::now());
        if let Some(token) = &token {
            request.headers_mut().insert(header::AUTHORIZATION, token.header(sent));
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let span = tracing::debug_span!("request", %method, path, status = Empty, error = Empty);
        #[cfg(feature = "otlp")]
        span.in_scope(|| crate::otlp::propagate(request.headers_mut()));
        async move {
            let result = counted(&http, request, &metrics, &host).instrument(span.clone()).await;
            match &result {
                Ok(response) => span.record("status", response.status().as_u16()),
                Err(error) => span.record("error", tracing::field::display(error)),
            };
            let is_refused = result.as_ref().is_ok_and(|response| response.status() == StatusCode::UNAUTHORIZED);
            if let Some(token) = token.filter(|_| is_refused) {
                token.refused(sent);
            }
            result
        }
    });
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().context("the credentials cannot be used")?)
        .layer(config.extra_headers_layer().context("the credentials cannot be used")?)
        .map_err(BoxError::from)
        .service(send);
    Ok(Client::new(service, config.default_namespace.clone()))
}

type Http = hyper_util::client::legacy::Client<Connector, Body>;

async fn counted(
    http: &Http,
    request: Request<Body>,
    metrics: &Metrics,
    host: &str,
) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
    if !metrics.is_recording() {
        return http.request(request).await;
    }
    let begun = Instant::now();
    let method = request.method().clone();
    let result = http.request(request).await;
    let status = result.as_ref().map(Response::status);
    let code = status.as_ref().map_or("<error>", |status| status.as_str());
    metrics.counter(&REQUESTS, &[("code", code), ("host", host), ("method", method.as_str())]).increment();
    let labels = [("host", host), ("verb", method.as_str())];
    metrics.histogram(&DURATIONS, &labels).observe_duration(begun.elapsed());
    result
}

/// Whether a request was not sent at all, since there was no connection to be had.
fn was_not_sent(error: &kube::Error) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect()) {
            return true;
        }
        next = error.source();
    }
    false
}
