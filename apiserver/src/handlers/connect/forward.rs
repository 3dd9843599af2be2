//! A request is passed on, and its answer passed back as it comes; a connection that changes its protocol is passed
//! through both ways.
//! Source: `k8s.io/apimachinery/pkg/util/proxy` (`UpgradeAwareHandler`).

use std::pin::Pin;

use bytes::Bytes;
use futures::StreamExt;
use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::http::body::Body;
use crate::outbound::exchange::{self, Stream};
use crate::outbound::resolve::Address;
use crate::outbound::target::{Target, Trust};
use crate::service::Call;

/// Headers that are about one connection, and those by which the client said who it is.
const NOT_PASSED: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
];

/// Whom a request is passed on to.
pub(in crate::handlers) struct Destination {
    /// `https`, or anything else for no TLS. Certificates are not looked at, as upstream does not.
    pub(in crate::handlers) scheme: String,
    /// The host as it shows.
    pub(in crate::handlers) host: String,
    /// Where to connect; `None` for what answers in this process.
    pub(in crate::handlers) address: Option<Address>,
}

/// Passes the request on, with another path.
///
/// # Errors
/// Why there is no answer, in Go's words.
pub(in crate::handlers) async fn run(
    call: &mut Call,
    destination: Destination,
    path: &str,
) -> Result<Response<Body>, String> {
    let query = call.query.encode();
    let question = if query.is_empty() { "" } else { "?" };
    let port = destination.address.as_ref().map(|(_, port)| format!(":{port}")).unwrap_or_default();
    let uri = format!("http://{}{port}{path}{question}{query}", bracketed(&destination.host));
    let uri: Uri = uri.parse().map_err(|_| format!("invalid URL {uri}"))?;
    let mut request = Request::new(call.body.clone());
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = passed(&call.headers);
    add_forwarded(call, request.headers_mut());
    if let Some(handler) = call.server.outbound.in_process(&destination.host) {
        return Ok(handler(request).await.map(Body::from));
    }
    let address = destination.address.as_ref().ok_or("no address")?;
    if destination.scheme == "https" {
        let target = Target {
            authority: String::new(),
            path: String::new(),
            host: address.0.clone(),
            port: address.1,
            service: None,
            trust: Trust::Anybody,
            as_front_proxy: false,
            identity: None,
        };
        let stream = exchange::connect(&call.server, &target).await?;
        return over(call, Box::new(stream), request).await;
    }
    let stream = exchange::dial(address).await?;
    over(call, Box::new(stream), request).await
}

/// Passes the request on to a service that another server answers for, with headers that say who asks.
///
/// # Errors
/// Why there is no answer, in Go's words.
pub(crate) async fn to(
    call: &mut Call,
    target: &Target,
    path: &str,
    identity: HeaderMap,
) -> Result<Response<Body>, String> {
    let query = call.query.encode();
    let question = if query.is_empty() { "" } else { "?" };
    let uri = format!("https://{}{path}{question}{query}", target.authority);
    let mut request = Request::new(call.body.clone());
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = uri.parse().map_err(|_| format!("invalid URL {uri}"))?;
    *request.headers_mut() = passed(&call.headers);
    add_forwarded(call, request.headers_mut());
    request.headers_mut().extend(identity);
    if let Some(handler) = call.server.outbound.in_process(&target.host) {
        return Ok(handler(request).await.map(Body::from));
    }
    let stream = exchange::connect(&call.server, target).await?;
    over(call, Box::new(stream), request).await
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn passed(headers: &HeaderMap) -> HeaderMap {
    let personal = |name: &HeaderName| name.as_str().starts_with("x-remote-");
    let mut passed = headers.clone();
    let upgrades = headers.contains_key(header::UPGRADE);
    for name in headers.keys() {
        if NOT_PASSED.contains(name) || personal(name) {
            passed.remove(name);
        }
    }
    if upgrades {
        passed.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    passed
}

fn add_forwarded(call: &Call, headers: &mut HeaderMap) {
    let host = call.headers.get(header::HOST).cloned();
    let uri = HeaderValue::from_str(&call.info.path).ok();
    for (name, value) in [("x-forwarded-host", host), ("x-forwarded-uri", uri)] {
        if let Some(value) = value {
            headers.entry(name).or_insert(value);
        }
    }
    headers.entry("x-forwarded-proto").or_insert(HeaderValue::from_static("https"));
}

/// Sends the request over a connection that is there.
async fn over(call: &mut Call, stream: Box<dyn Stream>, request: Request<Bytes>) -> Result<Response<Body>, String> {
    let upgrades = request.headers().contains_key(header::UPGRADE);
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| exchange::explain(&error))?;
    let mut connection = Box::pin(connection.with_upgrades());
    let request = exchange::relative(request.map(Full::new));
    let response = {
        let mut sending = std::pin::pin!(sender.send_request(request));
        tokio::select! {
            biased;
            response = &mut sending => response,
            _ = &mut connection => sending.await,
        }
    };
    let response = response.map_err(|error| exchange::explain(&error))?;
    if upgrades && response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(pass_through(call, response, connection));
    }
    Ok(pass_back(response, connection))
}

type Connection = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

/// The answer, whose body is read as fast as the client reads it.
fn pass_back(
    response: Response<Incoming>,
    connection: impl Future<Output = Result<(), hyper::Error>> + Send + 'static,
) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, HeaderName::from_static("keep-alive")] {
        parts.headers.remove(name);
    }
    let connection: Option<Connection> = Some(Box::pin(connection));
    let stream = futures::stream::unfold((body, connection), |(mut body, mut connection)| async move {
        loop {
            let frame = match &mut connection {
                None => body.frame().await,
                Some(open) => tokio::select! {
                    biased;
                    frame = body.frame() => frame,
                    _ = open => {
                        connection = None;
                        continue;
                    }
                },
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Some((data, (body, connection))),
                    Err(_) => continue,
                },
                _ => return None,
            }
        }
    });
    Response::from_parts(parts, Body::stream(stream.boxed()))
}

/// Connects the two ends with each other as long as the server lives.
fn pass_through(
    call: &mut Call,
    mut response: Response<Incoming>,
    connection: impl Future<Output = Result<(), hyper::Error>> + Send + 'static,
) -> Response<Body> {
    let there = hyper::upgrade::on(&mut response);
    let (parts, _) = response.into_parts();
    if let Some(here) = call.upgrade.take() {
        call.server.spawn(async move {
            let copy = async {
                let (Ok(here), Ok(there)) = futures::join!(here, there) else { return };
                let (mut here, mut there) = (TokioIo::new(here), TokioIo::new(there));
                // Whoever hangs up ends it.
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            };
            let _ = futures::join!(copy, connection);
        });
    }
    Response::from_parts(parts, Body::empty())
}
