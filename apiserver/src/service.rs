//! The door: every request, from a socket or from the same process, enters here.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::upgrade::OnUpgrade;
use steersman_machinery::status::Status;
use tokio::time::Instant;
use tower::Service;
use tracing::Instrument;

use crate::admission::reinvocation::Reinvocation;
use crate::audit::{self, About, Annotations, Answered, Trail};
use crate::authentication::{self, Identity, UserInfo};
use crate::authorization;
use crate::flowcontrol::bodies::Handled;
use crate::flowcontrol::{self, Flow, turns};
use crate::handlers;
use crate::http::body::Body;
use crate::http::compression;
use crate::http::negotiate;
use crate::http::query::Query;
use crate::http::request_info::RequestInfo;
use crate::http::respond;
use crate::http::timeout;
use crate::http::warnings::Warnings;
use crate::impersonation;
use crate::listener::Requests;
use crate::metrics::Kind;
use crate::server::Server;

/// The most bytes of a request body.
/// Source: `k8s.io/apiserver/pkg/server.DefaultMaxRequestSizeBytes`.
pub const BODY_MAX: usize = 3 * 1024 * 1024;

/// The API server as a tower service. Clones share everything.
#[derive(Clone)]
pub struct ApiService {
    server: Arc<Server>,
    identity: Identity,
    peer: Option<SocketAddr>,
    requests: Option<Requests>,
}

impl ApiService {
    /// A service for requests of whoever `identity` says.
    pub(crate) fn new(server: Arc<Server>, identity: Identity) -> Self {
        Self { server, identity, peer: None, requests: None }
    }

    /// The same for requests over a connection from there.
    pub(crate) fn at_peer(self, peer: SocketAddr) -> Self {
        Self { peer: Some(peer), ..self }
    }

    /// The same; the connection learns how many requests are under way.
    pub(crate) fn over(self, requests: Requests) -> Self {
        Self { requests: Some(requests), ..self }
    }
}

impl<B> Service<Request<B>> for ApiService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.server.clone();
        let (identity, peer) = (self.identity.clone(), self.peer);
        let under_way = self.requests.as_ref().map(Requests::begin);
        Box::pin(async move {
            let response = answer(server, (identity, peer), request).await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                // Nobody asks over this connection any more, and it may be silent as long as its ends like.
                std::mem::forget(under_way);
                return Ok(response);
            }
            Ok(match under_way {
                Some(under_way) => response.map(|body| body.guarded(under_way)),
                None => response,
            })
        })
    }
}

/// A request that was read, authenticated and classified.
pub struct Call {
    /// The state of the server.
    pub server: Arc<Server>,
    /// What the request is about.
    pub info: RequestInfo,
    /// Its method.
    pub method: Method,
    /// Its parameters.
    pub query: Query,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Who sent it, or as whom they act.
    pub user: UserInfo,
    /// What is told the client besides the answer.
    pub warnings: Warnings,
    /// What is noted for the audit log.
    pub annotations: Annotations,
    /// The request in the audit log.
    pub trail: Trail,
    /// The connection, if it may change its protocol.
    pub upgrade: Option<OnUpgrade>,
    /// Whether it came over a socket.
    pub(crate) remote: bool,
    /// Where it belongs, by priority and fairness.
    pub(crate) flow: Option<Flow>,
    /// That its body is being handled, if that is a large one.
    pub(crate) body_handled: Option<Handled>,
}

/// Who is behind a write, and where what is noticed about it goes. Clones share the notes.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Who writes.
    pub user: UserInfo,
    /// What is told the client besides the answer.
    pub warnings: Warnings,
    /// What is noted for the audit log.
    pub annotations: Annotations,
    /// What plugins remember of the rounds of mutation.
    pub rounds: Reinvocation,
    /// Where it is noted what else the user had to be allowed.
    pub(crate) trail: Trail,
}

impl Call {
    /// Who is behind the request, for admission.
    pub fn origin(&self) -> Origin {
        Origin {
            user: self.user.clone(),
            warnings: self.warnings.clone(),
            annotations: self.annotations.clone(),
            rounds: Reinvocation::default(),
            trail: self.trail.clone(),
        }
    }

    /// Lets others have their turn, between two steps of something that takes long.
    pub(crate) async fn turn(&self) {
        self.server.turns.turn(turns::Flow::of(&self.user), turns::PIECE).await;
    }

    /// The `User-Agent` header; empty if it is absent.
    pub fn user_agent(&self) -> &str {
        text(&self.headers, USER_AGENT)
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn answer<B>(
    server: Arc<Server>,
    (identity, peer): (Identity, Option<SocketAddr>),
    request: Request<B>,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut parts, body) = request.into_parts();
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let info = RequestInfo::new(&parts.method, parts.uri.path(), &query);
    let span = tracing::debug_span!("request", verb = %info.verb, path = %parts.uri.path());
    let applies = text(&parts.headers, CONTENT_TYPE).starts_with("application/apply-patch");
    let (kind, began) = (Kind::of(&info, &query, applies), Instant::now());
    let output = negotiate::error_output(&parts.headers, &query);
    let gzip = compression::is_accepted(&parts.headers);
    let audit_id = audit_id(&parts.headers, &server);
    let (user, warnings, annotations) = (UserInfo::default(), Warnings::default(), Annotations::default());
    let (method, headers) = (parts.method, parts.headers);
    let trail = Trail::begin(&server.audit, || About {
        audit_id: String::from_utf8_lossy(audit_id.as_bytes()).into_owned(),
        received: server.clock.now(),
        info: info.clone(),
        user_agent: text(&headers, USER_AGENT).to_owned(),
        annotations: annotations.clone(),
        source_ips: audit::source_ips(&headers, peer),
        uri: parts.uri.to_string(),
    });
    let body_to_come = Bytes::new();
    let mut call = Call {
        server: server.clone(),
        info,
        method,
        query,
        headers,
        body: body_to_come,
        user,
        warnings,
        annotations,
        trail,
        upgrade,
        remote: peer.is_some(),
        flow: None,
        body_handled: None,
    };
    let answer = pass(&mut call, &identity, body).instrument(span).await;
    let (answer, failure) = match answer {
        Ok(response) => (response, None),
        Err(status) => (respond::status(&status, output), Some(status)),
    };
    let mut response = audited(&call, answer, failure.as_ref());
    if gzip {
        response = compression::compress(response);
    }
    response = response.map(|body| body.in_turns(&server.turns, turns::Flow::of(&call.user)));
    let headers = response.headers_mut();
    // What failed may have been warned about, too.
    call.warnings.write(headers);
    flowcontrol::stamp(headers, call.flow.as_ref());
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    headers.insert("Audit-Id", audit_id);
    counted(&server, kind, response.status().as_u16(), began);
    response
}

/// Notes the answer for those who want to know.
fn audited(call: &Call, mut response: Response<Body>, failure: Option<&Status>) -> Response<Body> {
    let (code, level) = (response.status().as_u16(), call.trail.level());
    let goes_on = response.body().known_length().is_none();
    let now = call.server.clock.now();
    let asked = (level >= audit::Level::Request).then(|| handlers::readable(&call.headers, &call.body)).flatten();
    let bytes = (level >= audit::Level::RequestResponse).then(|| response.body_mut().known()).flatten();
    let said = bytes.and_then(|bytes| handlers::readable(response.headers(), &bytes));
    call.trail.answered(&Answered { code, failure, goes_on, now }, (asked, said));
    if goes_on && let Some(end) = call.trail.end(code, &call.server.clock) {
        response = response.map(|body| body.guarded(end));
    }
    response
}

/// The stages that a request passes, in upstream's order.
/// Source: `k8s.io/apiserver/pkg/server.DefaultBuildHandlerChain`.
async fn pass<B>(call: &mut Call, identity: &Identity, body: B) -> handlers::Answer
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if !matches!(call.info.verb.as_str(), "watch" | "proxy") {
        timeout::check(&call.query)?;
    }
    call.user = authentication::authenticate(call, identity).await?;
    call.trail.authenticated(&call.user, call.server.clock.now());
    impersonation::act(call).await?;
    wait_turn(call).await;
    let entered = match call.server.clone().flow.enter(call).await {
        Ok(entered) => entered,
        Err(too_many) => return Ok(too_many.response()),
    };
    authorization::authorize(call).await?;
    call.body = read_body(body).await?;
    call.body_handled = call.server.bodies.take(call.body.len()).await?;
    let answer = handlers::dispatch(call).await;
    if call.info.group == flowcontrol::GROUP && answer.is_ok() && call.method != Method::GET {
        flowcontrol::maintain(&call.server).await?;
    }
    Ok(entered.until_sent(answer?, &call.server))
}

/// Waits until it is the turn of this user. Whoever is in this process makes nobody wait.
async fn wait_turn(call: &Call) {
    let (turns, flow) = (&call.server.turns, turns::Flow::of(&call.user));
    let waiting = match call.remote {
        true => turns.take(flow, turns::REQUEST),
        false => turns.join(flow, turns::REQUEST),
    };
    if let Some(waiting) = waiting {
        let _ = waiting.await;
    }
}

fn audit_id(headers: &HeaderMap, server: &Server) -> HeaderValue {
    headers.get("Audit-Id").cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&server.random.uuid()).expect("a uuid has only characters that a header may have")
    })
}

/// Notes how long an answer took, and of which kind it was.
fn counted(server: &Server, kind: Option<Kind>, code: u16, began: Instant) {
    let Some(kind) = kind else { return };
    let is_served = |kind: &Kind| {
        let [group, version, resource, subresource] = kind.place();
        let catalog = server.catalog();
        let found = catalog.find(group, version, resource);
        found.is_some_and(|found| subresource.is_empty() || found.subresource(subresource).is_some())
            || resource.is_empty()
    };
    server.metrics.answered(&kind, (code, began.elapsed()), is_served);
}

async fn read_body<B>(body: B) -> Result<Bytes, Status>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let whole = tokio::time::timeout(timeout::REQUEST_TIMEOUT, Limited::new(body, BODY_MAX).collect()).await;
    match whole.map_err(|_| Status::timeout())? {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Status::too_large(format!("limit is {BODY_MAX}"))),
        Err(error) => Err(Status::bad_request(format!("the body could not be read: {error}"))),
    }
}
