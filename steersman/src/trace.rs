//! What was written to the API, by whom, in which order: two runs with one seed have to agree on it.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response, header};
use kube::client::Body;
use parking_lot::Mutex;
use tower::{BoxError, Layer, Service};

/// One write as the API server answered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The HTTP method.
    pub method: String,
    /// Where, with the query: `/api/v1/namespaces/default/pods/a/binding?`.
    pub path: String,
    /// Who: the component's user agent.
    pub user_agent: String,
    /// A digest of the request's body (FNV-1a, 64 bits): equal bodies have equal digests.
    pub body: u64,
    /// The status code of the answer.
    pub status: u16,
}

/// Collects the writes of every client that it was layered over. Clones share the list.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteTrace(Arc<Mutex<Vec<Write>>>);

impl WriteTrace {
    /// The writes so far, in the order in which they were answered.
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.0.lock().clone()
    }
}

impl<S> Layer<S> for WriteTrace {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Traced { inner, trace: self.clone() }
    }
}

/// A service whose writes are recorded.
#[derive(Clone, Debug)]
pub(crate) struct Traced<S> {
    inner: S,
    trace: WriteTrace,
}

impl<S, B> Service<Request<Body>> for Traced<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    B: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return Box::pin(self.inner.call(request));
        }
        // The service that was polled to readiness has to be the one that is called.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let trace = self.trace.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let mut write = Write {
                method: parts.method.to_string(),
                path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
                user_agent: text_of(parts.headers.get(header::USER_AGENT)),
                body: fnv_1a(&body),
                status: 0,
            };
            let response = inner.call(Request::from_parts(parts, Body::from(body))).await?;
            write.status = response.status().as_u16();
            trace.0.lock().push(write);
            Ok(response)
        })
    }
}

fn text_of(value: Option<&http::HeaderValue>) -> String {
    value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// The hash of Fowler, Noll and Vo, variant 1a: the same on every machine and in every process.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn writes_are_recorded_and_reads_are_not() {
        let trace = WriteTrace::default();
        let answer = service_fn(|_: Request<Body>| async {
            let mut response = Response::new(());
            *response.status_mut() = http::StatusCode::CREATED;
            Ok::<_, Infallible>(response)
        })
        .map_err(BoxError::from);
        let service = trace.layer(answer);
        for method in [Method::GET, Method::POST] {
            let request = Request::builder()
                .method(method)
                .uri("/api/v1/namespaces?fieldManager=me")
                .header(header::USER_AGENT, "me/1")
                .body(Body::from(b"{}".to_vec()))
                .unwrap();
            service.clone().oneshot(request).await.unwrap();
        }
        let expect = Write {
            method: "POST".to_owned(),
            path: "/api/v1/namespaces?fieldManager=me".to_owned(),
            user_agent: "me/1".to_owned(),
            body: fnv_1a(b"{}"),
            status: 201,
        };
        assert_eq!(trace.writes(), [expect]);
    }

    #[test]
    fn digests_are_those_of_the_published_function() {
        assert_eq!(fnv_1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv_1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv_1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
