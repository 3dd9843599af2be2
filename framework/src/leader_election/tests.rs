//! A replica against a server that keeps one lease, under virtual time. Whole elections, with several replicas and everything
//! that can happen to them, are in `tests/tests/sim_leader_election.rs`.

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman_machinery::clock::FixedClock;
use tower::BoxError;

use super::*;
use crate::runtime::ShutdownTrigger;

/// A server that keeps one lease and answers after a while.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<(Option<Value>, Duration)>>);

impl Server {
    fn holding(spec: Value) -> Self {
        let server = Self::default();
        server.0.lock().0 = Some(json!({"metadata": {"name": "lease", "resourceVersion": "1"}, "spec": spec}));
        server
    }

    fn takes(&self, time: Duration) {
        self.0.lock().1 = time;
    }

    fn answer(&self, method: &Method, body: Value) -> (u16, Value) {
        let mut state = self.0.lock();
        match (method, &state.0) {
            (&Method::GET, Some(lease)) => (200, lease.clone()),
            (&Method::GET, None) => (404, json!({"kind": "Status", "code": 404, "reason": "NotFound"})),
            _ => {
                let mut lease = body;
                let before = state.0.as_ref().map_or("", |it| it["metadata"]["resourceVersion"].as_str().unwrap());
                let version = format!("{before}1");
                lease["metadata"]["resourceVersion"] = json!(version);
                state.0 = Some(lease.clone());
                (200, lease)
            }
        }
    }

    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = serde_json::from_slice(&body.collect().await?.to_bytes()).unwrap_or_default();
                let time = server.0.lock().1;
                sleep(time).await;
                let (code, answer) = server.answer(&parts.method, body);
                Ok::<_, BoxError>(Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()))?)
            }
        });
        Client::new(service, "default")
    }

    fn elector(&self) -> (Elector, ShutdownTrigger) {
        let (trigger, shutdown) = Shutdown::new();
        let clock = Arc::new(FixedClock(jiff::Timestamp::UNIX_EPOCH));
        let context = Context::new(self.client(), clock, Random::seeded(1), shutdown);
        let election = Election::new("kube-system", "lease", "us");
        (Elector::new(self.client(), &context, election), trigger)
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_lasts_from_when_it_was_asked_for() {
    let server = Server::default();
    let (mut elector, _trigger) = server.elector();
    for _ in 0..3 {
        server.takes(Duration::from_secs(2));
        let begun = Instant::now();
        assert!(elector.attempt().await);
        assert!(begun.elapsed() >= Duration::from_secs(2));
        assert_eq!(elector.leadership.valid_until(), begun + elector.election.renew_deadline);
    }
}

#[tokio::test(start_paused = true)]
async fn others_are_waited_for_as_long_as_their_lease_lasts_by_our_own_clock() {
    // Their clock may say anything.
    for renewed in ["1970-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"] {
        let server = Server::holding(
            json!({"holderIdentity": "them", "leaseDurationSeconds": 15, "renewTime": renewed, "leaseTransitions": 3}),
        );
        let (mut elector, _trigger) = server.elector();
        assert!(!elector.attempt().await);
        sleep(Duration::from_millis(14_999)).await;
        assert!(!elector.attempt().await, "{renewed}");
        sleep(Duration::from_millis(2)).await;
        assert!(elector.attempt().await, "{renewed}");
        let lease = server.0.lock().0.clone().unwrap();
        assert_eq!((&lease["spec"]["holderIdentity"], &lease["spec"]["leaseTransitions"]), (&json!("us"), &json!(4)));
    }
}

#[tokio::test(start_paused = true)]
async fn writes_pass_only_while_the_lease_lasts_and_reads_always() {
    let leadership = Arc::new(Leadership::new(Duration::from_secs(10)));
    let client = fenced(&Server::holding(json!({})).client(), Arc::clone(&leadership));
    let passes = async |method: Method| {
        let request = Request::builder().method(method).uri("/x").body(Body::from(b"{}".to_vec())).unwrap();
        client.send(request).await.is_ok()
    };
    assert!(passes(Method::GET).await && !passes(Method::POST).await, "it was never ours");
    leadership.renewed(Instant::now());
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        assert!(passes(method).await);
    }
    sleep(Duration::from_millis(9_999)).await;
    assert!(passes(Method::DELETE).await);
    sleep(Duration::from_millis(1)).await;
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        assert!(!passes(method).await);
    }
    assert!(passes(Method::GET).await);
    leadership.renewed(Instant::now());
    leadership.end();
    assert!(!passes(Method::POST).await);
}
