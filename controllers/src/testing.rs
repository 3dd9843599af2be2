//! A server that answers by a function, and the parts of a controller on top of it.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt;
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman_framework::api::Api;
use steersman_framework::events::{Broadcaster, broadcaster};
use steersman_framework::informer::Informers;
use steersman_framework::runtime::{Shutdown, ShutdownTrigger};
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;

use crate::shared::Shared;

/// The moment at which tests take place.
pub(crate) const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// A code and a body.
pub(crate) type Answer = (u16, Value);

/// A refusal as the API server words it.
pub(crate) fn refusal(code: u16, reason: &str, message: &str) -> Answer {
    (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}))
}

/// The refusal of a create in a namespace that is going away.
pub(crate) fn namespace_terminating() -> Answer {
    let (code, mut body) = refusal(403, "Forbidden", "the namespace is going away");
    body["details"] = json!({"causes": [{"reason": "NamespaceTerminating"}]});
    (code, body)
}

/// A server, its log, and what a controller needs.
pub(crate) struct Fake {
    pub(crate) shared: Shared,
    calls: Arc<Mutex<Vec<Call>>>,
    _broadcaster: Broadcaster,
    _trigger: ShutdownTrigger,
}

impl Fake {
    /// A server that answers by `answer`.
    pub(crate) fn new(answer: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let api = Api::new(client(Arc::clone(&calls), Arc::new(answer)), "test");
        let clock = Arc::new(FixedClock(NOW));
        let (recorder, broadcaster) = broadcaster(api.clone(), "test", clock.clone(), Random::seeded(1));
        let (trigger, shutdown) = Shutdown::new();
        let informers = Informers::new(api.clone(), shutdown);
        let (features, shard, metrics) = Default::default();
        let shared = Shared { api, clock, recorder, informers, features, shard, metrics };
        Self { shared, calls, _broadcaster: broadcaster, _trigger: trigger }
    }

    /// The requests so far, without their queries.
    pub(crate) fn log(&self) -> Vec<String> {
        self.calls.lock().iter().map(Call::to_string).collect()
    }

    /// The body of the first request with this method.
    pub(crate) fn body_of(&self, method: &str) -> Value {
        let calls = self.calls.lock();
        calls.iter().find(|call| call.method == method).map(|call| call.body.clone()).unwrap_or_default()
    }

    /// The body of the last request.
    pub(crate) fn last_body(&self) -> Value {
        self.calls.lock().last().map(|call| call.body.clone()).unwrap_or_default()
    }
}

fn client(calls: Arc<Mutex<Vec<Call>>>, answer: Arc<dyn Fn(&Call) -> Answer + Send + Sync>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (calls, answer) = (Arc::clone(&calls), Arc::clone(&answer));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let call = Call {
                method: parts.method.to_string(),
                path: parts.uri.path().to_owned(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            let (code, body) = answer(&call);
            calls.lock().push(call);
            Ok::<_, Infallible>(
                Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap(),
            )
        }
    });
    Client::new(service, "default")
}
