//! Webhooks and servers of extensions that answer in the test's own process, without a port and without certificates.

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::{Service, ServiceExt};

use crate::Cluster;

impl Cluster {
    /// Lets `review` answer every review that the API server would send to `host`, until the cluster is dropped: admission
    /// reviews and conversion reviews alike. The host is that of the `url` in a webhook's `clientConfig`, or
    /// `SERVICE.NAMESPACE.svc`; the service need not exist, and the `caBundle` is not looked at. `review` may take and
    /// return `serde_json::Value` or types such as `kube::core::admission::AdmissionReview`. What it cannot read is
    /// answered with 400.
    ///
    /// ```no_run
    /// # use serde_json::{Value, json};
    /// # fn example(cluster: &steersman::Cluster) {
    /// cluster.webhook("policy.my-operator.svc", |mut review: Value| async move {
    ///     let allowed = review["request"]["object"]["metadata"]["labels"]["team"].is_string();
    ///     review["response"] = json!({"uid": review["request"]["uid"], "allowed": allowed});
    ///     review
    /// });
    /// # }
    /// ```
    pub fn webhook<F, Asked, Answer, Answering>(&self, host: impl Into<String>, review: F)
    where
        F: Fn(Asked) -> Answering + Send + Sync + 'static,
        Asked: DeserializeOwned,
        Answer: Serialize,
        Answering: Future<Output = Answer> + Send + 'static,
    {
        self.register(host.into(), move |request: Request<Bytes>| {
            let answering = serde_json::from_slice(request.body()).map(&review);
            async move {
                match answering {
                    Ok(answering) => json(&answering.await),
                    Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
                }
            }
        });
    }

    /// The same for a whole server, such as an `axum::Router`: it is sent what the API server would send to `host` over
    /// TLS, whatever it is: reviews, requests for an aggregated API, requests through the `proxy` of a service.
    pub fn serve_in_process<S, B>(&self, host: impl Into<String>, service: S)
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: std::fmt::Display,
        B: http_body::Body + Send,
        B::Data: Send,
        B::Error: std::fmt::Display,
    {
        self.register(host.into(), move |request: Request<Bytes>| {
            let service = service.clone();
            async move {
                let failed = |why: String| text(StatusCode::INTERNAL_SERVER_ERROR, why);
                let response = match service.oneshot(request.map(Full::new)).await {
                    Ok(response) => response,
                    Err(error) => return failed(error.to_string()),
                };
                let (parts, body) = response.into_parts();
                match body.collect().await {
                    Ok(body) => Response::from_parts(parts, body.to_bytes()),
                    Err(error) => failed(error.to_string()),
                }
            }
        });
    }

    fn register<F, Answering>(&self, host: String, handler: F)
    where
        F: Fn(Request<Bytes>) -> Answering + Send + Sync + 'static,
        Answering: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let registration = self.api_server.server().outbound.register(host, handler);
        self.in_process.lock().push(registration);
    }
}

fn json(answer: &impl Serialize) -> Response<Bytes> {
    match serde_json::to_vec(answer) {
        Ok(body) => Response::new(body.into()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn text(status: StatusCode, text: String) -> Response<Bytes> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response
}
