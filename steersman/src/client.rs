//! A `kube::Client` that enters the API server at the same door as HTTPS and only skips the socket.

mod parallel;

use std::task::{Context, Poll};

use http::{HeaderValue, Request, header};
use kube::Client;
use kube::client::Body;
use kube::client::retry::RetryPolicy;
use steersman_apiserver::ApiServer;
use steersman_apiserver::authentication::UserInfo;
use tower::retry::RetryLayer;
use tower::util::option_layer;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

use crate::trace::WriteTrace;
use parallel::Parallel;

/// The namespace of requests that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// Who a client is.
pub(crate) struct Identity<'a> {
    /// As whom its requests are done.
    pub(crate) user: UserInfo,
    /// The namespace of requests that name none.
    pub(crate) namespace: &'a str,
}

/// A client of `api_server` for an administrator that calls itself `agent`.
pub(crate) fn in_process(api_server: &ApiServer, agent: &str, trace: Option<&WriteTrace>) -> Client {
    let identity = Identity { user: UserInfo::admin(), namespace: DEFAULT_NAMESPACE };
    in_process_as(api_server, identity, agent, trace)
}

/// A client of `api_server` that calls itself `agent`, with the retries that kube gives to a client over a socket.
pub(crate) fn in_process_as(
    api_server: &ApiServer,
    identity: Identity<'_>,
    agent: &str,
    trace: Option<&WriteTrace>,
) -> Client {
    let server = ServiceExt::<Request<Body>>::map_err(api_server.service_as(identity.user), BoxError::from);
    let server = Parallel(server);
    let service = ServiceBuilder::new().layer(RetryLayer::new(RetryPolicy::server_retry())).service(UserAgent {
        // Within, so that the trace has the agent as well.
        inner: ServiceBuilder::new().layer(option_layer(trace.cloned())).service(server),
        agent: HeaderValue::from_str(agent).expect("components' names are fit for a header"),
    });
    Client::new(service, identity.namespace)
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
