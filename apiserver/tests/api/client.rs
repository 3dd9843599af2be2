//! A client for these tests: requests in, JSON out.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use steersman_apiserver::ApiServer;
use steersman_apiserver::http::body::Body;
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;
use steersman_store::{MemoryStore, Store};
use tower::ServiceExt;

/// Speaks to a server of its own.
pub(crate) struct Client {
    pub(crate) api_server: ApiServer,
}

/// A status code and a body.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) body: Value,
    pub(crate) warnings: Vec<String>,
}

impl Client {
    /// A server without the admission of service accounts, which would want a controller beside it.
    pub(crate) async fn new() -> Self {
        Self::with_store(Arc::new(MemoryStore::default())).await
    }

    /// The same over a store of the caller's.
    pub(crate) async fn with_store(store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
        let builder = ApiServer::builder(clock, Random::seeded(1)).store(store);
        let api_server = builder.disable_admission(["ServiceAccount".to_owned()]).build().await.unwrap();
        Self { api_server }
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Body> {
        self.api_server.service().oneshot(request).await.unwrap()
    }

    pub(crate) async fn request(&self, method: Method, path: &str, content_type: &str, body: &Value) -> Reply {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = Request::builder().method(method).uri(path).header("Content-Type", content_type);
        let request = request.header("User-Agent", "tester/1.0").body(Full::new(body)).unwrap();
        read(self.send(request).await).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.request(Method::GET, path, "application/json", &Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.request(Method::POST, path, "application/json", &body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.request(Method::PUT, path, "application/json", &body).await
    }

    pub(crate) async fn delete(&self, path: &str, options: Value) -> Reply {
        self.request(Method::DELETE, path, "application/json", &options).await
    }

    pub(crate) async fn patch(&self, kind: &str, path: &str, body: Value) -> Reply {
        let content_type = match kind {
            "apply" => "application/apply-patch+yaml".to_owned(),
            kind => format!("application/{kind}-patch+json"),
        };
        self.request(Method::PATCH, path, &content_type, &body).await
    }

    /// Forgets the history up to now.
    pub(crate) async fn compact(&self) {
        let store = &self.api_server.server().store;
        store.compact(store.revision()).await.unwrap();
    }

    /// Makes a ConfigMap in the default namespace.
    pub(crate) async fn config_map(&self, name: &str, labels: Value) -> Value {
        let body = json!({"metadata": {"name": name, "labels": labels}, "data": {"k": "v"}});
        let reply = self.post("/api/v1/namespaces/default/configmaps", body).await;
        assert_eq!(reply.code, 201, "{reply:?}");
        reply.body
    }
}

pub(crate) async fn read(response: Response<Body>) -> Reply {
    let code = response.status().as_u16();
    let warnings = response.headers().get_all("Warning");
    let warnings = warnings.iter().map(|value| value.to_str().unwrap().to_owned()).collect();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
    Reply { code, body, warnings }
}

/// A running Deployment of three containers' worth of nothing.
pub(crate) fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "web", "image": "nginx:1.27"}]},
            },
        },
    })
}
