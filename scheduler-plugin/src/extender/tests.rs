//! Extenders that are functions.

use std::convert::Infallible;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use serde_json::json;

use super::*;

/// An extender that answers every call with the same, and what it was asked.
fn extender(
    change: impl FnOnce(&mut ExtenderConfiguration),
    code: u16,
    answer: Value,
) -> (Extender, Arc<Mutex<Vec<Value>>>) {
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = asked.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (seen, answer) = (seen.clone(), answer.to_string());
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.map_err(|error| tower::BoxError::from(error.to_string()))?;
            let body: Value = serde_json::from_slice(&body.to_bytes())?;
            seen.lock().push(json!({"path": path, "body": body}));
            let response = Response::builder().status(code).body(Full::new(Bytes::from(answer)));
            Ok::<_, tower::BoxError>(response.expect("a code that there is"))
        }
    });
    let mut configuration = ExtenderConfiguration {
        url_prefix: "http://extender/scheduler".to_owned(),
        filter_verb: "filter".to_owned(),
        prioritize_verb: "prioritize".to_owned(),
        preempt_verb: "preempt".to_owned(),
        bind_verb: "bind".to_owned(),
        weight: 3,
        http_timeout: Duration::from_secs(1),
        ..ExtenderConfiguration::default()
    };
    change(&mut configuration);
    (Extender::new(configuration, Client::new(service, "default")), asked)
}

fn nodes() -> BTreeMap<String, Value> {
    let node = |name: &str| (name.to_owned(), json!({"metadata": {"name": name}}));
    BTreeMap::from(["a", "b", "c"].map(node))
}

fn names() -> Vec<String> {
    ["c", "a", "b"].map(str::to_owned).into()
}

#[tokio::test]
async fn nodes_go_whole_to_whom_does_not_know_them() {
    let answer = json!({"Nodes": {"items": [{"metadata": {"name": "a"}}]}, "FailedNodes": {"b": "too loud"},
        "FailedAndUnresolvableNodes": {"c": "too far"}});
    let (extender, asked) = extender(|_| {}, 200, answer);
    let (pod, nodes) = (json!({"metadata": {"name": "p"}}), nodes());
    let found = extender.filter(&Question { pod: &pod, nodes: &nodes }, &names()).await.unwrap();
    assert_eq!(found.feasible, ["a"]);
    assert_eq!(found.failed["b"], "too loud");
    assert_eq!(found.unresolvable["c"], "too far");
    let asked = asked.lock();
    assert_eq!(asked[0]["path"], "/filter");
    assert_eq!(asked[0]["body"]["Pod"], pod);
    assert_eq!(asked[0]["body"]["Nodes"]["items"][0]["metadata"]["name"], "c");
    assert_eq!(asked[0]["body"]["NodeNames"], Value::Null);
}

#[tokio::test]
async fn names_suffice_for_whom_knows_the_nodes() {
    let (extender, asked) = extender(|it| it.node_cache_capable = true, 200, json!({"NodeNames": ["b", "c"]}));
    let (pod, nodes) = (json!({}), BTreeMap::new());
    let question = Question { pod: &pod, nodes: &nodes };
    assert_eq!(extender.filter(&question, &names()).await.unwrap().feasible, ["c", "b"]);
    assert_eq!(asked.lock()[0]["body"]["NodeNames"], json!(names()));
    let (liar, _) = self::extender(|it| it.node_cache_capable = true, 200, json!({"NodeNames": ["z"]}));
    let why = liar.filter(&question, &names()).await.unwrap_err();
    assert!(why.ends_with("claims a filtered node \"z\" which is not found in the input node list"), "{why}");
}

#[tokio::test]
async fn scores_count_ten_times_and_by_weight() {
    let (extender, _) = extender(|_| {}, 200, json!([{"Host": "a", "Score": 4}, {"Host": "b", "Score": 10}]));
    let (pod, nodes) = (json!({}), nodes());
    let scores = extender.prioritize(&Question { pod: &pod, nodes: &nodes }, &names()).await.unwrap();
    assert_eq!(scores, BTreeMap::from([("a".to_owned(), 120), ("b".to_owned(), 300)]));
}

#[tokio::test]
async fn refusals_and_faults_are_told() {
    let (pod, nodes) = (json!({}), nodes());
    let question = Question { pod: &pod, nodes: &nodes };
    let (broken, _) = extender(|_| {}, 500, json!({}));
    let why = broken.filter(&question, &names()).await.unwrap_err();
    assert_eq!(why, "failed filter with extender at URL http://extender/scheduler/filter, code 500");
    let (unwilling, _) = extender(|_| {}, 200, json!({"Error": "not today"}));
    assert_eq!(unwilling.filter(&question, &names()).await.unwrap_err(), "not today");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    let service =
        tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let (extender, _) = extender(|_| {}, 200, json!({}));
    let silent = Extender::new(extender.configuration, Client::new(service, "default"));
    let (pod, nodes) = (json!({}), nodes());
    let why = silent.filter(&Question { pod: &pod, nodes: &nodes }, &names()).await.unwrap_err();
    assert_eq!(why, "Post \"http://extender/scheduler/filter\": no answer within 1s");
}

#[tokio::test]
async fn only_pods_with_its_resources_concern_an_extender() {
    let of = |name: &str| crate::configuration::ManagedResource { name: name.to_owned(), ignored_by_scheduler: false };
    let (picky, _) = extender(|it| it.managed_resources = vec![of("a.com/b")], 200, json!({}));
    let (curious, _) = extender(|_| {}, 200, json!({}));
    let check = |pod: Value, expect: bool| {
        assert_eq!(picky.is_interested(&pod), expect, "{pod}");
        assert!(curious.is_interested(&pod));
    };
    check(json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}}), false);
    check(json!({"spec": {"containers": [{"resources": {"requests": {"a.com/b": "0"}}}]}}), true);
    check(json!({"spec": {"containers": [{}], "initContainers": [{"resources": {"limits": {"a.com/b": "1"}}}]}}), true);
}

#[tokio::test]
async fn preemption_is_looked_over_by_uid() {
    let answer = json!({"NodeNameToMetaVictims": {"a": {"Pods": [{"UID": "1"}], "NumPDBViolations": 0}}});
    let (extender, asked) = extender(|it| it.node_cache_capable = true, 200, answer);
    let victims = |uids: &[&str]| MetaVictims {
        pods: uids.iter().map(|uid| MetaPod { uid: (*uid).to_owned() }).collect(),
        violations: 0,
    };
    let candidates = BTreeMap::from([("a".to_owned(), victims(&["1", "2"])), ("b".to_owned(), victims(&["3"]))]);
    let agreed = extender.process_preemption(&json!({}), &candidates, &BTreeMap::new()).await.unwrap();
    assert_eq!(agreed, BTreeMap::from([("a".to_owned(), victims(&["1"]))]));
    let asked = asked.lock();
    assert_eq!(asked[0]["body"]["NodeNameToMetaVictims"]["b"]["Pods"][0]["UID"], "3");
    assert_eq!(asked[0]["body"]["NodeNameToVictims"], Value::Null);
}
