//! One request over one connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pool::{Connection, Place};
use super::resolve::{self, Address};
use super::target::Target;
use crate::server::Server;

/// The most bytes of an answer that are read: a converted list may be several times as large as a request.
const ANSWER_MAX: usize = 16 * 1024 * 1024;
/// The longest wait for a connection. Source: Go's `http.DefaultTransport`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A stream to somewhere.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Sends a request and reads the whole answer. The URI of the request has an authority.
///
/// # Errors
/// Why there is no answer, in Go's words.
pub(crate) async fn call(
    server: &Arc<Server>,
    target: &Target,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, String> {
    if let Some(handler) = server.outbound.in_process(&target.host) {
        let answer = handler(request).await;
        return if answer.body().len() > ANSWER_MAX { Err(too_large()) } else { Ok(answer) };
    }
    let place = Place::of(target);
    let mut request = relative(request.map(Full::new));
    // A connection that the other end has closed is found out before anything was sent; then the next one is tried.
    while let Some(mut kept) = server.outbound.pool.take(&place) {
        match kept.sender.try_send_request(request).await {
            Ok(response) => return finish(server, place, kept, response).await,
            Err(mut failure) => match failure.take_message() {
                Some(unsent) => request = unsent,
                None => return Err(explain(failure.error())),
            },
        }
    }
    let mut fresh = open(server, target).await?;
    let response = fresh.sender.send_request(request).await.map_err(|error| explain(&error))?;
    finish(server, place, fresh, response).await
}

/// Opens a connection. It lives as long as somebody can send over it, and no longer than the server.
async fn open(server: &Arc<Server>, target: &Target) -> Result<Connection, String> {
    let connections = &server.outbound.connections;
    if connections.available_permits() == 0 {
        // Those that wait for calls make room for those that have some.
        server.outbound.pool.clear();
    }
    let slot = connections.clone().acquire_owned().await.map_err(|error| error.to_string())?;
    let stream = connect(server, target).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| explain(&error))?;
    server.spawn(connection.map(drop));
    Ok(Connection { sender, _slot: slot })
}

/// Reads the answer; the connection is kept if all of it was read.
async fn finish(
    server: &Arc<Server>,
    place: Place,
    connection: Connection,
    response: Response<Incoming>,
) -> Result<Response<Bytes>, String> {
    let answer = read(response).await?;
    server.outbound.pool.put(place, connection);
    Ok(answer)
}

fn too_large() -> String {
    format!("the answer is larger than {ANSWER_MAX} bytes")
}

async fn read(response: Response<Incoming>) -> Result<Response<Bytes>, String> {
    let (parts, body) = response.into_parts();
    let body =
        Limited::new(body, ANSWER_MAX).collect().await.map_err(|error| match error.is::<LengthLimitError>() {
            true => too_large(),
            false => "unexpected EOF".to_owned(),
        })?;
    Ok(Response::from_parts(parts, body.to_bytes()))
}

/// A request in the form that goes over a connection to its host: the path alone, and who is meant in a header.
pub(crate) fn relative<B>(mut request: Request<B>) -> Request<B> {
    let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    if let Ok(host) = http::HeaderValue::from_str(&authority) {
        request.headers_mut().entry(http::header::HOST).or_insert(host);
    }
    let path = request.uri().path_and_query().map_or("/", |it| it.as_str()).to_owned();
    if let Ok(uri) = path.parse() {
        *request.uri_mut() = uri;
    }
    request
}

/// A connection to the target, over TLS.
pub(crate) async fn connect(server: &Arc<Server>, target: &Target) -> Result<impl Stream + use<>, String> {
    let proxy = server.front_proxy.get().filter(|_| target.as_front_proxy);
    let own = target.identity.as_deref().or_else(|| proxy.and_then(|proxy| proxy.client.as_ref()));
    let config = server.outbound.tls.get(&target.trust, own)?;
    let address = match &target.service {
        Some(service) => resolve::endpoint(server, service).await?,
        None => (target.host.clone(), target.port),
    };
    let stream = dial(&address).await?;
    let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
    let connecting = TlsConnector::from(config).connect(name, stream);
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => connected.map_err(|error| super::tls::explain(&error)),
        Err(_) => Err("net/http: TLS handshake timeout".to_owned()),
    }
}

/// A connection without TLS.
pub(crate) async fn dial((host, port): &Address) -> Result<TcpStream, String> {
    let lookup = tokio::net::lookup_host((host.as_str(), *port)).await;
    let addresses = lookup.map_err(|_| format!("dial tcp: lookup {host}: no such host"))?;
    let mut failure = None;
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => drop(failure.get_or_insert(format!("dial tcp {address}: {}", os(&error)))),
            Err(_) => drop(failure.get_or_insert(format!("dial tcp {address}: i/o timeout"))),
        }
    }
    Err(failure.unwrap_or_else(|| format!("dial tcp: lookup {host}: no such host")))
}

fn os(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connect: connection timed out".to_owned(),
        io::ErrorKind::ConnectionReset => "read: connection reset by peer".to_owned(),
        _ => format!("connect: {error}"),
    }
}

/// Why an exchange failed, in Go's words.
pub(crate) fn explain(error: &hyper::Error) -> String {
    match error {
        error if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => "EOF".to_owned(),
        error if error.is_parse() => format!("net/http: HTTP/1.x transport connection broken: {error}"),
        error => error.to_string(),
    }
}
