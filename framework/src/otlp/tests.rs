//! What a collector is told, and what becomes of it when it does not listen.

use std::convert::Infallible;

use http::Response;
use http_body_util::BodyExt;
use serde_json::Value;
use steersman_machinery::clock::FixedClock;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::controller::{self, Outcome, Workers};
use crate::queue::WorkQueue;

type Requests = Arc<Mutex<Vec<(String, Value)>>>;

/// A collector that answers with these codes, and then with 200; it notes what it is sent.
fn collector(codes: &[u16]) -> (Client, Requests) {
    let (requests, codes) = (Requests::default(), Arc::new(Mutex::new(codes.to_vec())));
    let seen = Arc::clone(&requests);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (seen, codes) = (Arc::clone(&seen), Arc::clone(&codes));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let what = format!("{} {} {}", head.method, head.uri, head.headers["content-type"].to_str().unwrap());
            seen.lock().push((what, serde_json::from_slice(&body).unwrap()));
            let code = Some(codes.lock()).filter(|codes| !codes.is_empty()).map_or(200, |mut codes| codes.remove(0));
            Ok::<_, Infallible>(Response::builder().status(code).body(Body::from(b"{}".to_vec())).unwrap())
        }
    });
    (Client::new(service, "default"), requests)
}

fn traced(codes: &[u16], sampling_per_million: u64) -> (impl Subscriber + Send + Sync, Exporter, Requests) {
    let (client, requests) = collector(codes);
    let clock = Arc::new(FixedClock(Timestamp::constant(1_700_000_000, 5)));
    let options = Options { service: "test".to_owned(), version: "1.0".to_owned(), sampling_per_million };
    let (spans, exporter) = exporter(options, client, clock, Random::seeded(7));
    (tracing_subscriber::registry().with(spans), exporter, requests)
}

fn spans(request: &Value) -> Vec<Value> {
    request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let mut all = span["attributes"].as_array().unwrap().iter();
    all.find(|it| it["key"] == key).map_or(&Value::Null, |it| &it["value"])
}

#[tokio::test(start_paused = true)]
async fn a_collector_is_told_of_every_reconcile_and_what_happened_in_it() {
    let (subscriber, exporter, requests) = traced(&[], MILLION);
    let (trigger, shutdown) = Shutdown::new();
    let queue = WorkQueue::default();
    queue.add("good");
    queue.add("bad");
    let workers = Workers { name: "greeter", concurrency: 2, max_retries: Some(0) };
    let sync = |key: &'static str| async move {
        let mut headers = HeaderMap::new();
        let request = async {
            propagate(&mut headers);
            tracing::info!(count = 3, large = u64::MAX, half = 0.5, sure = true, "asked");
        };
        request.instrument(tracing::debug_span!("request", method = "GET")).await;
        let parent = headers["traceparent"].to_str().unwrap().to_owned();
        tracing::Span::current().record("object", format!("{key} {parent}"));
        if key == "good" { Ok(Outcome::Done) } else { Err("no") }
    };
    let work = async {
        let stop = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            trigger.trigger();
        };
        futures::join!(controller::run(workers, queue, shutdown.clone(), sync), stop);
    };
    work.with_subscriber(subscriber).await;
    exporter.run(shutdown).await;

    let (what, body) = requests.lock()[0].clone();
    assert_eq!(what, "POST /v1/traces application/json");
    let resource = &body["resourceSpans"][0]["resource"];
    assert_eq!(attribute(resource, "service.name")["stringValue"], "test");
    let all = spans(&body);
    let named = |name: &str| all.iter().filter(|span| span["name"] == name).cloned().collect::<Vec<_>>();
    let (reconciles, asked) = (named("reconcile"), named("request"));
    assert_eq!((reconciles.len(), asked.len()), (2, 2));
    for (reconcile, request) in reconciles.iter().zip(&asked) {
        let (trace, span) = (request["traceId"].as_str().unwrap(), request["spanId"].as_str().unwrap());
        assert_eq!((trace.len(), span.len()), (32, 16));
        assert_eq!((&request["traceId"], &request["parentSpanId"]), (&reconcile["traceId"], &reconcile["spanId"]));
        assert!(reconcile.get("parentSpanId").is_none(), "it is the first of its trace");
        let object = attribute(reconcile, "object")["stringValue"].as_str().unwrap();
        assert!(object.ends_with(&format!(" 00-{trace}-{span}-01")), "the server learns of the same span: {object}");
        let event = &request["events"][0];
        assert_eq!((&event["name"], &event["timeUnixNano"]), (&"asked".into(), &"1700000000000000005".into()));
        assert_eq!(attribute(event, "count")["intValue"], "3");
        assert_eq!(attribute(event, "large")["stringValue"], u64::MAX.to_string(), "more than OTLP can count");
        assert_eq!(
            (&attribute(event, "half")["doubleValue"], &attribute(event, "sure")["boolValue"]),
            (&0.5.into(), &true.into())
        );
    }
    let status = |key: &str| {
        let of_key = |span: &&Value| attribute(span, "object")["stringValue"].as_str().unwrap().starts_with(key);
        reconciles.iter().find(of_key).unwrap()["status"].clone()
    };
    assert_eq!(status("good"), Value::Null);
    assert_eq!(status("bad"), serde_json::json!({"code": 2, "message": "no"}));
}

#[tokio::test(start_paused = true)]
async fn what_a_collector_does_not_take_now_is_sent_again_and_what_it_refuses_is_not() {
    for (codes, expect) in [(vec![503, 429], 3), (vec![400], 1)] {
        let (subscriber, exporter, requests) = traced(&codes, MILLION);
        tracing::subscriber::with_default(subscriber, || drop(tracing::info_span!("once")));
        let (trigger, shutdown) = Shutdown::new();
        let stop = async {
            tokio::time::sleep(PERIOD * 4).await;
            trigger.trigger();
        };
        futures::join!(exporter.run(shutdown), stop);
        let requests = requests.lock();
        assert_eq!(requests.len(), expect, "{codes:?}");
        assert!(requests.iter().all(|(_, body)| spans(body).len() == 1));
    }
}

#[tokio::test(start_paused = true)]
async fn batches_are_bounded_and_so_is_what_waits() {
    let (subscriber, exporter, requests) = traced(&[], MILLION);
    tracing::subscriber::with_default(subscriber, || {
        (0..WAITING_MAX + 10).for_each(|_| drop(tracing::info_span!("one")));
    });
    assert_eq!(exporter.shared.ended.lock().dropped, 10);
    exporter.flush().await;
    let sizes: Vec<usize> = requests.lock().iter().map(|(_, body)| spans(body).len()).collect();
    assert_eq!(sizes, [BATCH; WAITING_MAX / BATCH]);
}

#[tokio::test(start_paused = true)]
async fn a_trace_is_kept_whole_or_not_at_all() {
    let (subscriber, exporter, requests) = traced(&[], MILLION / 2);
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..100 {
            tracing::info_span!("outer").in_scope(|| drop(tracing::info_span!("inner")));
        }
    });
    exporter.flush().await;
    let all: Vec<Value> = requests.lock().iter().flat_map(|(_, body)| spans(body)).collect();
    let mut traces: BTreeMap<&str, usize> = BTreeMap::new();
    all.iter().for_each(|span| *traces.entry(span["traceId"].as_str().unwrap()).or_default() += 1);
    assert!((30..70).contains(&traces.len()), "about half: {}", traces.len());
    assert!(traces.values().all(|count| *count == 2));
}
