//! Calls that the server itself makes: to webhooks, to aggregated API servers, to what stands behind services.
//!
//! A call goes over TLS to the address that a service or a URL leads to, with a bounded number of connections, a bounded
//! answer, and without following redirects; or, for tests, to a function in this process that was registered for the host.
//! Source: `k8s.io/apiserver/pkg/util/webhook` (`ClientManager`), `k8s.io/client-go/rest`, whose error texts these are.

pub(crate) mod exchange;
mod pool;
pub(crate) mod resolve;
pub(crate) mod review;
mod status;
pub(crate) mod target;
pub(crate) mod tls;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http::{Request, Response};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::registry::resource::Resource;

/// How many connections may be open at a time; who wants more waits. A connection costs some 50 KiB for TLS and buffers.
const MAX_CONNECTIONS: usize = 256;

/// What answers in the place of a server at the other end of a connection.
type Handler = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response<Bytes>> + Send + Sync>;

/// The way out of the server.
pub struct Outbound {
    in_process: Mutex<BTreeMap<String, Handler>>,
    pub(crate) connections: Arc<Semaphore>,
    pool: pool::Pool,
    pub(crate) tls: tls::Configurations,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            in_process: Mutex::default(),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            pool: pool::Pool::default(),
            tls: tls::Configurations::default(),
        }
    }
}

impl Outbound {
    /// Lets `handler` answer whatever the server sends to `host`, without a socket and without TLS, until the registration
    /// is dropped. The host is that of a URL, or `NAME.NAMESPACE.svc` for a service, which then need not exist. A later
    /// registration replaces an earlier one.
    pub fn register<F, Answer>(self: &Arc<Self>, host: impl Into<String>, handler: F) -> Registration
    where
        F: Fn(Request<Bytes>) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let host = host.into();
        let handler: Handler = Arc::new(move |request| handler(request).boxed());
        self.in_process.lock().insert(host.clone(), handler.clone());
        Registration { host, handler, outbound: self.clone() }
    }

    /// Follows a write to an object: who is called otherwise from now on is not called over connections of before.
    pub(crate) fn follow(&self, resource: &Resource) {
        let configures = matches!(
            resource.name.as_str(),
            "mutatingwebhookconfigurations"
                | "validatingwebhookconfigurations"
                | "apiservices"
                | "customresourcedefinitions"
        );
        if configures && !resource.custom {
            self.pool.clear();
        }
    }

    /// Who answers in this process for a host.
    pub(crate) fn in_process(&self, host: &str) -> Option<Handler> {
        self.in_process.lock().get(host).cloned()
    }
}

/// Keeps a function registered as long as it lives.
#[must_use]
pub struct Registration {
    host: String,
    handler: Handler,
    outbound: Arc<Outbound>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut registered = self.outbound.in_process.lock();
        if registered.get(&self.host).is_some_and(|present| Arc::ptr_eq(present, &self.handler)) {
            registered.remove(&self.host);
        }
    }
}
