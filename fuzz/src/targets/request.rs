//! Whole requests at the door of a server: whatever comes, an answer goes, and it is never the server's own fault.
//! Bodies in YAML and in every patch's form, bearer tokens and paths are read here.
//!
//! An input is `METHOD PATH`, header lines, an empty line, and the body.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use steersman_apiserver::ApiServer;
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;
use tower::ServiceExt;

/// Sends the request to a new server.
pub(super) fn request(input: &[u8]) {
    if let Some(request) = parse(input) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
        runtime.block_on(send(request));
    }
}

fn parse(input: &[u8]) -> Option<Request<Full<Bytes>>> {
    let at = input.windows(2).position(|pair| pair == b"\n\n").unwrap_or(input.len());
    let head = std::str::from_utf8(&input[..at]).ok()?;
    let body = input.get(at + 2..).unwrap_or_default();
    let mut lines = head.lines();
    let (method, path) = lines.next()?.split_once(' ')?;
    // Whoever watches waits; that is no fault.
    if path.contains("watch") {
        return None;
    }
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).ok()?).uri(path);
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        request = request.header(name, value);
    }
    request.body(Full::new(Bytes::copy_from_slice(body))).ok()
}

async fn send(request: Request<Full<Bytes>>) {
    let clock = Arc::new(FixedClock(jiff::Timestamp::UNIX_EPOCH));
    let server = ApiServer::builder(clock, Random::seeded(1)).build().await.expect("a server starts");
    let answer = server.service().oneshot(request).await.expect("the service is infallible");
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.map(|body| body.to_bytes());
    let text = body.map(|body| String::from_utf8_lossy(&body).into_owned()).unwrap_or_default();
    // Upstream answers some bad input with an untyped 500, too; what it never says is that it broke.
    assert!(!text.contains("panic"), "{code}: {text}");
}
