//! The pods' loop against a scripted API server, in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use serde_json::{Value, json};
use steersman_framework::runtime::ShutdownTrigger;
use tokio::task::JoinHandle;

use crate::annotations;
use crate::api::MAX_IN_FLIGHT;
use crate::node::Nodes;
use crate::options::Options;
use crate::testing::{Answer, Call, Server, failure, pod};

const SOON: Duration = Duration::from_millis(10);
const STATUS: &str = "PATCH /api/v1/namespaces/default/pods/web/status";
const DELETE: &str = "DELETE /api/v1/namespaces/default/pods/web";
const LIST: &str = "GET /api/v1/pods";

/// A list of these pods.
fn list(pods: &[Value]) -> Answer {
    (200, json!({ "kind": "PodList", "metadata": { "resourceVersion": "5" }, "items": pods }))
}

/// Answers lists with these pods, and everything else with success.
fn agreeable(pods: Vec<Value>) -> impl Fn(&Call) -> Answer + Send + Sync {
    move |call| if call.line == LIST { list(&pods) } else { (200, json!({})) }
}

fn start(server: &Server, options: Options) -> (ShutdownTrigger, JoinHandle<()>) {
    let (context, trigger) = server.context();
    let nodes = Arc::new(Nodes::new(&options).unwrap());
    let pods = tokio::spawn(super::run(context, nodes, Arc::new(options)));
    (trigger, pods)
}

fn event(watch: &UnboundedSender<Value>, kind: &str, mut pod: Value) {
    pod["metadata"]["resourceVersion"] = json!("9");
    watch.unbounded_send(json!({ "type": kind, "object": pod })).unwrap();
}

fn condition(status: &Value, kind: &str) -> String {
    let conditions = status["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|condition| condition["type"] == kind).unwrap();
    found["status"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_made_running_and_ready_by_one_write_and_deleted_by_one() {
    let server = Server::new(Duration::ZERO, agreeable(Vec::new()));
    let watch = server.expect_watch();
    let (_trigger, _pods) = start(&server, Options::default());
    let mut elsewhere = pod("elsewhere");
    elsewhere["spec"]["nodeName"] = json!("real-node");
    event(&watch, "ADDED", elsewhere);
    event(&watch, "ADDED", pod("web"));
    server.pass(SOON).await;
    let calls = server.take_calls();
    assert!(calls[0].query.contains("spec.nodeName%21%3D") && calls[1].query.contains("spec.nodeName%21%3D"));
    assert_eq!(calls[2..].iter().map(|call| &*call.line).collect::<Vec<_>>(), [STATUS]);
    assert!(calls[2].query.contains("fieldManager=kubelet"));
    assert_eq!(calls[2].body["metadata"], json!({ "uid": "uid-web" }));
    let status = &calls[2].body["status"];
    assert_eq!((&status["phase"], &status["podIP"]), (&json!("Running"), &json!("10.244.0.2")));
    assert_eq!(condition(status, "Ready"), "True");

    // The echo of its own write, and a change that concerns others, cause nothing.
    let mut changed = pod("web");
    changed["status"] = status.clone();
    changed["metadata"]["labels"] = json!({ "a": "b" });
    event(&watch, "MODIFIED", changed.clone());
    server.pass(Duration::from_secs(1000)).await;
    assert!(server.take_calls().is_empty());

    changed["metadata"]["deletionTimestamp"] = json!("1970-01-01T01:00:00Z");
    event(&watch, "MODIFIED", changed.clone());
    server.pass(SOON).await;
    let calls = server.take_calls();
    assert_eq!(calls.iter().map(|call| &*call.line).collect::<Vec<_>>(), [DELETE]);
    assert_eq!(calls[0].body["gracePeriodSeconds"], 0);
    assert_eq!(calls[0].body["preconditions"]["uid"], "uid-web");
    event(&watch, "DELETED", changed);
    server.pass(Duration::from_secs(1000)).await;
    assert!(server.take_calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn delays_are_kept_and_each_step_is_written_once() {
    let options = Options {
        start_delay: Duration::from_secs(2),
        ready_delay: Duration::from_secs(3),
        termination_delay: Duration::from_secs(4),
        ..Options::default()
    };
    let server = Server::new(Duration::ZERO, agreeable(vec![pod("web")]));
    let watch = server.expect_watch();
    let (_trigger, _pods) = start(&server, options);
    server.pass(Duration::from_secs(60)).await;
    let steps = |server: &Server| -> Vec<_> {
        let calls = server.take_calls().into_iter().filter(|call| call.line == STATUS || call.line == DELETE);
        let phase = |call: &Call| call.body["status"]["phase"].as_str().unwrap_or("-").to_owned();
        calls.map(|call| (call.at_ms / 1000, phase(&call))).collect()
    };
    let expect = [(0, "Pending"), (2, "Running"), (5, "Running")].map(|(at, phase)| (at, phase.to_owned()));
    assert_eq!(steps(&server), expect);

    let mut deleted = pod("web");
    deleted["metadata"]["deletionTimestamp"] = json!("1970-01-01T01:00:00Z");
    deleted["metadata"]["finalizers"] = json!(["example.com/account"]);
    event(&watch, "MODIFIED", deleted.clone());
    server.pass(Duration::from_secs(60)).await;
    let expect = [(64, "Succeeded"), (64, "-")].map(|(at, phase)| (at, phase.to_owned()));
    assert_eq!(steps(&server), expect, "a finalizer's owner sees the end; the removal is asked for once");
}

#[tokio::test(start_paused = true)]
async fn the_ready_annotation_holds_and_releases_a_pod() {
    let mut held = pod("web");
    held["metadata"]["annotations"] = json!({ annotations::READY: "false" });
    let server = Server::new(Duration::ZERO, agreeable(vec![held.clone()]));
    let watch = server.expect_watch();
    let (_trigger, _pods) = start(&server, Options::default());
    server.pass(SOON).await;
    let calls = server.take_calls();
    let written = calls.iter().find(|call| call.line == STATUS).unwrap();
    assert_eq!(condition(&written.body["status"], "Ready"), "False");
    held["metadata"]["annotations"] = json!({ annotations::READY: "true" });
    event(&watch, "MODIFIED", held);
    server.pass(SOON).await;
    let calls = server.take_calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(condition(&calls[0].body["status"], "Ready"), "True");
    assert_eq!(calls[0].body["status"]["conditions"][3]["reason"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn failed_writes_are_tried_again_later_and_later() {
    let attempts = AtomicUsize::new(0);
    let server = Server::new(Duration::ZERO, move |call| match &*call.line {
        LIST => list(&[pod("web")]),
        STATUS => match attempts.fetch_add(1, Ordering::SeqCst) {
            0 => failure(409, "Conflict"),
            1 => failure(500, "InternalError"),
            2 => failure(422, "Invalid"),
            _ => (200, json!({})),
        },
        line => panic!("{line}"),
    });
    let (_trigger, _pods) = start(&server, Options::default());
    server.pass(Duration::from_secs(60)).await;
    let calls = server.take_calls().into_iter().filter(|call| call.line == STATUS);
    assert_eq!(calls.map(|call| call.at_ms).collect::<Vec<_>>(), [0, 200, 600, 1400]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_fell_behind_begins_with_a_list_and_lost_pods_are_forgotten() {
    let lists = AtomicUsize::new(0);
    let server = Server::new(Duration::ZERO, move |call| match &*call.line {
        LIST if call.query.contains("continue=more") => list(&[pod("b")]),
        LIST if lists.fetch_add(1, Ordering::SeqCst) == 0 => list(&[pod("a"), pod("web")]),
        LIST => {
            let (code, mut page) = list(&[pod("a")]);
            page["metadata"]["continue"] = json!("more");
            (code, page)
        }
        _ => (200, json!({})),
    });
    let watch = server.expect_watch();
    let (_trigger, _pods) = start(&server, Options::default());
    server.pass(SOON).await;
    server.take_calls();
    let gone = json!({ "type": "ERROR", "object": failure(410, "Expired").1 });
    watch.unbounded_send(gone).unwrap();
    server.pass(SOON).await;
    let b = "PATCH /api/v1/namespaces/default/pods/b/status";
    assert_eq!(server.take_lines(), [LIST, LIST, b, LIST], "the last is the watch");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_is_opened_again_where_it_was() {
    let server = Server::new(Duration::ZERO, agreeable(Vec::new()));
    let watch = server.expect_watch();
    let (_trigger, _pods) = start(&server, Options::default());
    server.pass(Duration::from_secs(5)).await;
    let bookmark = json!({
        "type": "BOOKMARK",
        "object": { "apiVersion": "v1", "kind": "Pod", "metadata": { "resourceVersion": "77" } },
    });
    watch.unbounded_send(bookmark).unwrap();
    drop(watch);
    drop(server.expect_watch());
    drop(server.expect_watch());
    server.take_calls();
    server.pass(Duration::from_secs(60)).await;
    let calls = server.take_calls();
    assert!(calls.iter().all(|call| call.query.contains("resourceVersion=77")));
    let times: Vec<_> = calls.iter().map(|call| call.at_ms / 1000).collect();
    assert_eq!(times, [5, 6, 7], "watches that end at once are not opened in a loop");
}

#[tokio::test(start_paused = true)]
async fn many_pods_are_written_some_at_a_time_each_with_an_address_of_its_own() {
    let pods: Vec<_> = (0..100).map(|index| pod(&format!("pod-{index:03}"))).collect();
    let server = Server::new(Duration::from_millis(10), agreeable(pods));
    let (_trigger, _pods) = start(&server, Options::default());
    server.pass(Duration::from_secs(10)).await;
    assert_eq!(server.peak(), MAX_IN_FLIGHT);
    let calls = server.take_calls();
    let mut written: Vec<_> = calls.iter().filter(|call| call.line.ends_with("/status")).collect();
    assert!(written.is_sorted_by_key(|call| &call.line), "first come, first served");
    written.dedup_by_key(|call| call.body["status"]["podIP"].to_string());
    assert_eq!(written.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_deleted_and_made_again_unseen_is_another_pod() {
    let server = Server::new(Duration::ZERO, agreeable(vec![pod("web")]));
    let watch = server.expect_watch();
    let (_trigger, _pods) = start(&server, Options::default());
    server.pass(SOON).await;
    server.take_calls();
    let mut again = pod("web");
    again["metadata"]["uid"] = json!("uid-2");
    event(&watch, "MODIFIED", again);
    server.pass(SOON).await;
    let calls = server.take_calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].body["metadata"]["uid"], "uid-2");
}

#[tokio::test(start_paused = true)]
async fn the_loop_ends_when_it_is_told_to() {
    let server = Server::new(Duration::from_secs(1), agreeable(vec![pod("web")]));
    let (trigger, pods) = start(&server, Options::default());
    server.pass(Duration::from_millis(1500)).await;
    trigger.trigger();
    pods.await.unwrap();
    assert!(server.take_lines().contains(&STATUS.to_owned()), "what was under way is finished");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_does_not_hold_the_shutdown() {
    let server = Server::new(Duration::ZERO, agreeable(vec![pod("web")]));
    let (trigger, pods) = start(&server, Options::default());
    server.hang();
    server.pass(SOON).await;
    trigger.trigger();
    tokio::time::timeout(Duration::from_secs(10), pods).await.unwrap().unwrap();
}
