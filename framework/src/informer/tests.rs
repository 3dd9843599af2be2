//! Informers against a scripted server, under virtual time.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

const PODS: Resource = Resource::namespaced("", "v1", "Pod", "pods");

/// The answers of a server in order, and the requests that it was sent.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    answers: VecDeque<(u16, String)>,
    requests: Vec<String>,
}

impl Script {
    fn answer(&self, code: u16, lines: &[Value]) {
        let body: Vec<String> = lines.iter().map(Value::to_string).collect();
        self.0.lock().answers.push_back((code, body.join("\n")));
    }

    fn requests(&self) -> Vec<String> {
        self.0.lock().requests.clone()
    }

    fn client(&self) -> Client {
        let script = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let script = script.clone();
            async move {
                let answer = {
                    let mut state = script.0.lock();
                    let uri = request.uri().to_string();
                    state.requests.push(uri);
                    state.answers.pop_front()
                };
                match answer {
                    Some((code, body)) => {
                        let response = Response::builder().status(code);
                        Ok::<_, Infallible>(response.body(Body::from(body.into_bytes())).unwrap())
                    }
                    // Nothing more happens: the watch stays open.
                    None => std::future::pending().await,
                }
            }
        });
        Client::new(service, "default")
    }
}

fn pod(name: &str, version: u64, owner: Option<&str>) -> Value {
    let owners: Vec<Value> = owner.iter().map(|uid| json!({"uid": uid, "controller": true})).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "ns", "name": name, "resourceVersion": version.to_string(), "ownerReferences": owners},
    })
}

fn list(version: u64, next: &str, items: &[Value]) -> Value {
    json!({"metadata": {"resourceVersion": version.to_string(), "continue": next}, "items": items})
}

/// Runs an informer for a virtual minute; returns it and what its handler was told.
async fn observe(script: &Script) -> (Informer<Partial>, Vec<String>) {
    let (trigger, shutdown) = Shutdown::new();
    let informers = Informers::new(Api::new(script.client(), "test"), shutdown);
    let informer = informers.informer::<Partial>(&PODS);
    let log = Arc::new(Mutex::new(Vec::new()));
    let handler_log = Arc::clone(&log);
    informer.on_change(move |delta| {
        let name = |object: &Option<Arc<Partial>>| {
            object.as_ref().map_or("-".to_owned(), |object| {
                format!("{}@{}", object.metadata.name, object.metadata.resource_version)
            })
        };
        handler_log.lock().push(format!("{} {}", name(&delta.old), name(&delta.new)));
    });
    let stop = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        trigger.trigger();
    };
    futures::join!(informers.run(), stop);
    let log = log.lock().clone();
    (informer, log)
}

#[tokio::test(start_paused = true)]
async fn pages_and_events_end_up_in_the_cache() {
    let script = Script::default();
    script.answer(200, &[list(7, "more", &[pod("b", 3, None)])]);
    script.answer(200, &[list(7, "", &[pod("a", 5, Some("u1"))])]);
    script.answer(
        200,
        &[
            json!({"type": "ADDED", "object": pod("c", 8, Some("u1"))}),
            json!({"type": "MODIFIED", "object": pod("a", 9, None)}),
            json!({"type": "DELETED", "object": pod("b", 10, None)}),
            json!({"type": "BOOKMARK", "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"resourceVersion": "20"}}}),
        ],
    );
    let (informer, log) = observe(&script).await;
    assert_eq!(log, ["- a@5", "- b@3", "- c@8", "a@5 a@9", "b@3 -"]);
    let names = |pods: Vec<Arc<Partial>>| pods.iter().map(|pod| pod.metadata.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(informer.indexed(&owned_by("u1"))), ["c"]);
    assert_eq!(names(informer.indexed(&orphans_of("ns"))), ["a"]);
    assert_eq!(names(informer.in_namespace("ns")), ["a", "c"]);
    assert_eq!(informer.resource_version(), 20);
    let requests = script.requests();
    assert!(requests[1].contains("continue=more"), "{requests:?}");
    assert!(requests[2].contains("resourceVersion=7"), "{requests:?}");
    assert!(requests[3].contains("resourceVersion=20"), "resumes where it ended: {requests:?}");
}

#[tokio::test(start_paused = true)]
async fn an_expired_watch_lists_again_and_tells_the_difference() {
    let script = Script::default();
    script.answer(200, &[list(7, "", &[pod("a", 3, None), pod("b", 4, None)])]);
    let gone = json!({"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"});
    script.answer(200, &[json!({"type": "ERROR", "object": gone})]);
    script.answer(200, &[list(30, "", &[pod("b", 4, None), pod("c", 21, None)])]);
    let (informer, log) = observe(&script).await;
    assert_eq!(log, ["- a@3", "- b@4", "a@3 -", "- c@21"]);
    assert_eq!(informer.resource_version(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_failing_server_is_asked_again_with_growing_pauses() {
    let script = Script::default();
    let broken = json!({"kind": "Status", "status": "Failure", "code": 500, "message": "no"});
    for _ in 0..3 {
        script.answer(500, std::slice::from_ref(&broken));
    }
    script.answer(200, &[list(1, "", &[])]);
    let (informer, log) = observe(&script).await;
    assert!(log.is_empty());
    assert_eq!(informer.resource_version(), 1);
    assert_eq!(script.requests().len(), 5, "three failures, a list, a watch");
}

#[tokio::test(start_paused = true)]
async fn what_a_server_does_not_have_is_empty_until_it_has_it_and_is_not_taken_for_gone_afterwards() {
    let script = Script::default();
    let absent = json!("404 page not found");
    script.answer(404, std::slice::from_ref(&absent));
    script.answer(404, std::slice::from_ref(&absent));
    script.answer(200, &[list(7, "", &[pod("a", 5, None)])]);
    // The server forgot the version, and is about to start: it has not found its resources yet.
    script.answer(410, &[json!({"kind": "Status", "status": "Failure", "code": 410})]);
    script.answer(404, &[absent]);
    let (trigger, shutdown) = Shutdown::new();
    let informers = Informers::new(Api::new(script.client(), "test"), shutdown);
    let informer = informers.optional::<Partial>(&PODS);
    let check = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(informer.all().is_empty() && *informer.0.synced.borrow());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!((informer.all().len(), script.requests().len()), (1, 6));
        trigger.trigger();
    };
    futures::join!(informers.run(), check);
    // One that has to be there is waited for.
    let script = Script::default();
    script.answer(404, &[json!("404 page not found")]);
    let (informer, _) = observe(&script).await;
    assert!(!*informer.0.synced.borrow());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_a_server_that_does_not_answer() {
    // The connection is there, and nothing comes: neither the list nor, later, the end of a watch.
    let script = Script::default();
    let (trigger, shutdown) = Shutdown::new();
    let informers = Informers::new(Api::new(script.client(), "test"), shutdown);
    let _informer = informers.informer::<Partial>(&PODS);
    let check = async {
        tokio::time::sleep(Duration::from_secs(80)).await;
        script.answer(200, &[list(7, "", &[])]);
        tokio::time::sleep(Duration::from_secs(20)).await;
        let watches = || script.requests().iter().filter(|request| request.contains("watch=true")).count();
        assert_eq!((script.requests().len(), watches()), (3, 1));
        tokio::time::sleep(Duration::from_secs(325)).await;
        assert_eq!(watches(), 2);
        trigger.trigger();
    };
    futures::join!(informers.run(), check);
}

#[tokio::test(start_paused = true)]
async fn what_is_selected_is_selected_in_every_list_and_watch() {
    let script = Script::default();
    script.answer(200, &[list(7, "more", &[])]);
    script.answer(200, &[list(7, "", &[])]);
    let (trigger, shutdown) = Shutdown::new();
    let informers = Informers::new(Api::new(script.client(), "test"), shutdown);
    let _selected = informers.selected::<Partial>(&PODS, "metadata.name=a");
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        trigger.trigger();
    };
    futures::join!(informers.run(), stop);
    let requests = script.requests();
    assert!(requests.len() == 3 && requests[2].contains("watch=true"), "{requests:?}");
    assert!(requests.iter().all(|request| request.contains("fieldSelector=metadata.name%3Da")), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_understood_stands_in_nobodys_way() {
    let odd = |name: &str, version: u64| {
        let mut odd = pod(name, version, None);
        odd["metadata"]["labels"] = json!(["not", "a", "map"]);
        odd
    };
    let event = |kind: &str, object: Value| json!({"type": kind, "object": object});
    let script = Script::default();
    // Of a list the rest is taken, once more and one by one.
    for _ in 0..2 {
        script.answer(200, &[list(7, "", &[pod("a", 3, None), odd("b", 4), pod("c", 5, None)])]);
    }
    // A watch goes on behind it, one by one; what was known of it stays.
    let events = [event("MODIFIED", odd("a", 8)), event("ADDED", pod("d", 9, None))];
    script.answer(200, &events);
    script.answer(200, &[&events[..], &[event("DELETED", pod("c", 10, None))]].concat());
    // That it has gone is found out by a list.
    script.answer(200, &[event("DELETED", odd("a", 11))]);
    script.answer(200, &[list(12, "", &[pod("d", 9, None)])]);
    let (informer, log) = observe(&script).await;
    assert_eq!(log, ["- a@3", "- c@5", "- d@9", "c@5 -", "a@3 -"]);
    assert_eq!(informer.resource_version(), 12);
    assert_eq!(script.requests().len(), 7, "the last one is a watch again");
}

#[tokio::test(start_paused = true)]
async fn an_informer_may_be_asked_for_while_others_run() {
    let script = Script::default();
    let (trigger, shutdown) = Shutdown::new();
    let informers = Informers::new(Api::new(script.client(), "test"), shutdown);
    script.answer(200, &[list(7, "", &[])]);
    let first = informers.informer::<Partial>(&PODS);
    let later = async {
        first.synced().await;
        // The first watch is open.
        tokio::time::sleep(Duration::from_secs(1)).await;
        script.answer(200, &[list(8, "", &[pod("a", 3, None)])]);
        let second = informers.selected::<Partial>(&PODS, "metadata.name=a");
        second.synced().await;
        assert_eq!((second.all().len(), first.all().len()), (1, 0));
        trigger.trigger();
    };
    futures::join!(informers.run(), later);
}
