//! What the tests of this crate share: pods, and an API server that says what the test wants and writes down what it was
//! asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman_framework::clock::TokioClock;
use steersman_framework::runtime::{Context, Shutdown, ShutdownTrigger};
use steersman_machinery::random::Random;
use tokio::time::Instant;

use crate::node::{Node, Nodes};
use crate::options::Options;

/// `node-0`.
pub(crate) fn node() -> Node {
    Nodes::new(&Options::default()).unwrap().get(0).clone()
}

/// A pod with one container, bound to `node-0` by whoever made it.
pub(crate) fn pod(name: &str) -> Value {
    json!({
        "metadata": {
            "namespace": "default",
            "name": name,
            "uid": format!("uid-{name}"),
            "generation": 1,
        },
        "spec": {
            "nodeName": "node-0",
            "restartPolicy": "Always",
            "containers": [{ "name": "app", "image": "nginx:stable" }],
        },
        "status": { "phase": "Pending" },
    })
}

/// A request that came in.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Virtual milliseconds since the start.
    pub(crate) at_ms: u128,
    /// Method and path without the query: `PATCH /api/v1/nodes/node-0`.
    pub(crate) line: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

/// What is answered: a code and a body.
pub(crate) type Answer = (u16, Value);

type Answered = UnsyncBoxBody<Bytes, Infallible>;

type Answers = dyn Fn(&Call) -> Answer + Send + Sync;

/// The scripted API server.
#[derive(Clone)]
pub(crate) struct Server(Arc<Inner>);

struct Inner {
    start: Instant,
    answers: Box<Answers>,
    calls: Mutex<Vec<Call>>,
    watches: Mutex<VecDeque<mpsc::UnboundedReceiver<Value>>>,
    /// How long each answer takes.
    latency: Duration,
    hangs: AtomicBool,
    /// Requests under way now, and at most.
    load: Mutex<(usize, usize)>,
}

impl Server {
    /// Answers every request but watches by `answers`, after `latency`.
    pub(crate) fn new(latency: Duration, answers: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            start: Instant::now(),
            answers: Box::new(answers),
            calls: Mutex::default(),
            watches: Mutex::default(),
            latency,
            hangs: AtomicBool::default(),
            load: Mutex::default(),
        }))
    }

    /// The next watch that is opened shows what is sent here, and ends when this is dropped. Without one, a watch hangs.
    pub(crate) fn expect_watch(&self) -> mpsc::UnboundedSender<Value> {
        let (sender, receiver) = mpsc::unbounded();
        self.0.watches.lock().push_back(receiver);
        sender
    }

    /// From now on, nothing but lists and watches is answered.
    pub(crate) fn hang(&self) {
        self.0.hangs.store(true, Ordering::SeqCst);
    }

    /// A context whose client speaks to this server, and whose clock is tokio's.
    pub(crate) fn context(&self) -> (Context, ShutdownTrigger) {
        let (trigger, shutdown) = Shutdown::new();
        let inner = Arc::clone(&self.0);
        let service = tower::service_fn(move |request| Arc::clone(&inner).serve(request));
        let clock = Arc::new(TokioClock::starting_at(Timestamp::UNIX_EPOCH));
        let context = Context::new(Client::new(service, "default"), clock, Random::seeded(1), shutdown);
        (context, trigger)
    }

    /// Lets virtual time pass, and everything happen that it brings.
    pub(crate) async fn pass(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// The calls since the last time this was asked.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.calls.lock())
    }

    /// Their lines.
    pub(crate) fn take_lines(&self) -> Vec<String> {
        self.take_calls().into_iter().map(|call| call.line).collect()
    }

    /// The most requests that were under way at once, watches aside.
    pub(crate) fn peak(&self) -> usize {
        self.0.load.lock().1
    }
}

impl Inner {
    async fn serve(self: Arc<Self>, request: Request<Body>) -> Result<Response<Answered>, Infallible> {
        let line = format!("{} {}", request.method(), request.uri().path());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let call = Call {
            at_ms: self.start.elapsed().as_millis(),
            line,
            query,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        self.calls.lock().push(call.clone());
        if call.query.contains("watch=true") {
            return Ok(Response::new(self.watch()));
        }
        if self.hangs.load(Ordering::SeqCst) && !call.line.starts_with("GET") {
            std::future::pending::<()>().await;
        }
        {
            let mut load = self.load.lock();
            load.0 += 1;
            load.1 = load.1.max(load.0);
        }
        tokio::time::sleep(self.latency).await;
        let (code, body) = (self.answers)(&call);
        self.load.lock().0 -= 1;
        let response = Response::builder().status(code).body(Full::from(body.to_string()).boxed_unsync());
        Ok(response.unwrap())
    }

    fn watch(&self) -> Answered {
        let Some(events) = self.watches.lock().pop_front() else {
            let silence = futures::stream::pending::<Result<Frame<Bytes>, Infallible>>();
            return StreamBody::new(silence).boxed_unsync();
        };
        let frames = events.map(|event| Ok(Frame::data(Bytes::from(format!("{event}\n")))));
        StreamBody::new(frames).boxed_unsync()
    }
}

/// A refusal.
pub(crate) fn failure(code: u16, reason: &str) -> Answer {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {},
        "status": "Failure", "reason": reason, "message": reason, "code": code,
    });
    (code, status)
}
