//! A `kube::Client` that enters the API server at the same door as HTTPS and only skips the socket.

use std::task::{Context, Poll};

use http::{HeaderValue, Request, header};
use kube::Client;
use kube::client::Body;
use kube::client::retry::RetryPolicy;
use steersman_apiserver::ApiServer;
use tower::retry::RetryLayer;
use tower::util::option_layer;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

use crate::trace::WriteTrace;

/// The namespace of requests that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// A client of `api_server` that calls itself `agent`, with the retries that kube gives to a client over a socket.
pub(crate) fn in_process(api_server: &ApiServer, agent: &str, trace: Option<&WriteTrace>) -> Client {
    let service = ServiceBuilder::new()
        .layer(RetryLayer::new(RetryPolicy::server_retry()))
        .layer(option_layer(trace.cloned()))
        .service(UserAgent {
            inner: ServiceExt::<Request<Body>>::map_err(api_server.service(), BoxError::from),
            agent: HeaderValue::from_str(agent).expect("components' names are fit for a header"),
        });
    Client::new(service, DEFAULT_NAMESPACE)
}

/// Says who calls, if the caller did not.
#[derive(Clone, Debug)]
struct UserAgent<S> {
    inner: S,
    agent: HeaderValue,
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for UserAgent<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> S::Future {
        request.headers_mut().entry(header::USER_AGENT).or_insert_with(|| self.agent.clone());
        self.inner.call(request)
    }
}
