//! The nodes' loop against a scripted API server, in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use steersman_framework::runtime::ShutdownTrigger;
use tokio::task::JoinHandle;

use super::*;
use crate::testing::{Answer, Call, Server, failure};

const NODES: &str = "POST /api/v1/nodes";
const LEASES: &str = "POST /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const LEASE: &str = "PATCH /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-0";
const NODE: &str = "/api/v1/nodes/node-0";

fn start(server: &Server, options: Options) -> (ShutdownTrigger, JoinHandle<Result<(), Error>>) {
    let (context, trigger) = server.context();
    let nodes = Arc::new(Nodes::new(&options).unwrap());
    (trigger, tokio::spawn(run(context, nodes, Arc::new(options))))
}

/// Creates what it is told to, and agrees with everything else.
fn agreeable(call: &Call) -> Answer {
    let mut object = call.body.clone();
    object["metadata"]["uid"] = json!("uid-1");
    (if call.line.starts_with("POST") { 201 } else { 200 }, object)
}

fn lines(calls: &[Call]) -> Vec<&str> {
    calls.iter().map(|call| &*call.line).collect()
}

#[tokio::test(start_paused = true)]
async fn a_node_registers_with_a_lease_and_a_whole_status() {
    let server = Server::new(Duration::ZERO, agreeable);
    let mut options = Options::default();
    options.nodes[0].labels = [("zone".to_owned(), "a".to_owned())].into();
    let (_trigger, _nodes) = start(&server, options);
    server.pass(Duration::from_secs(1)).await;
    let calls = server.take_calls();
    assert_eq!(lines(&calls), [NODES, LEASES]);
    let node = &calls[0].body;
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "node-0");
    assert_eq!(node["metadata"]["labels"]["zone"], "a");
    assert_eq!(node["spec"]["podCIDR"], "10.244.0.0/24");
    assert_eq!(node["status"]["allocatable"], node["status"]["capacity"]);
    assert_eq!(node["status"]["capacity"]["pods"], "110");
    assert_eq!(node["status"]["nodeInfo"]["kubeletVersion"], "v1.36.2");
    let conditions = node["status"]["conditions"].as_array().unwrap();
    let conditions: Vec<_> = conditions.iter().map(|condition| (&condition["type"], &condition["status"])).collect();
    let expect = [("MemoryPressure", "False"), ("DiskPressure", "False"), ("PIDPressure", "False"), ("Ready", "True")];
    for (found, (kind, status)) in conditions.iter().zip(expect) {
        assert_eq!((found.0.as_str(), found.1.as_str()), (Some(kind), Some(status)));
    }
    let lease = &calls[1].body;
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 40);
    assert_eq!(lease["spec"]["renewTime"], "1970-01-01T00:00:00.000000Z");
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], "uid-1");
    // It is what the typed API has.
    serde_json::from_value::<k8s_openapi::api::core::v1::Node>(node.clone()).unwrap();
    serde_json::from_value::<k8s_openapi::api::coordination::v1::Lease>(lease.clone()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn renewals_are_spread_over_the_interval_and_statuses_are_rare() {
    let server = Server::new(Duration::ZERO, agreeable);
    let (_trigger, _nodes) = start(&server, Options::with_nodes(4));
    server.pass(Duration::from_secs(29)).await;
    let renewals: Vec<_> = server
        .take_calls()
        .into_iter()
        .filter(|call| call.line.starts_with("PATCH"))
        .map(|call| {
            assert!(call.line.contains("/leases/"), "{}", call.line);
            (call.at_ms, call.line.chars().last().unwrap())
        })
        .collect();
    let expect = [2500, 5000, 7500, 10_000, 12_500, 15_000, 17_500, 20_000, 22_500, 25_000, 27_500];
    assert_eq!(renewals, expect.into_iter().zip(['0', '1', '2', '3'].into_iter().cycle()).collect::<Vec<_>>());

    server.pass(Duration::from_secs(600)).await;
    let reports: Vec<_> = server.take_calls().into_iter().filter(|call| call.line.ends_with("/status")).collect();
    assert_eq!(reports.len(), 8);
    assert_eq!(reports[0].at_ms, 75_000);
    let ready = &reports[0].body["status"]["conditions"][3];
    assert_eq!((&ready["type"], &ready["lastHeartbeatTime"]), (&json!("Ready"), &json!("1970-01-01T00:01:15Z")));
    assert!(ready.get("lastTransitionTime").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_there_already_is_taken_over() {
    let server = Server::new(Duration::ZERO, |call| match &*call.line {
        NODES | LEASES => failure(409, "AlreadyExists"),
        _ => agreeable(call),
    });
    let (_trigger, _nodes) = start(&server, Options::default());
    server.pass(Duration::from_secs(1)).await;
    let calls = server.take_calls();
    let expect = [NODES.to_owned(), format!("PATCH {NODE}"), format!("GET {NODE}"), format!("PATCH {NODE}/status")];
    assert_eq!(lines(&calls)[..4], expect);
    assert_eq!(lines(&calls)[4..], [LEASES]);
    server.pass(Duration::from_secs(10)).await;
    assert_eq!(server.take_lines(), [LEASE]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drops_the_status_of_new_nodes_is_told_it_again() {
    let server = Server::new(Duration::ZERO, |call| {
        let (code, mut object) = agreeable(call);
        object["status"] = json!({});
        (code, object)
    });
    let (_trigger, _nodes) = start(&server, Options::default());
    server.pass(Duration::from_secs(1)).await;
    let calls = server.take_calls();
    assert_eq!(lines(&calls), [NODES, &format!("PATCH {NODE}/status"), LEASES]);
    assert_eq!(calls[1].body["status"]["capacity"]["cpu"], "8");
}

#[tokio::test(start_paused = true)]
async fn a_refused_node_is_an_error_and_a_server_that_is_down_is_not() {
    let server = Server::new(Duration::ZERO, |_| failure(422, "Invalid"));
    let (_trigger, nodes) = start(&server, Options::default());
    let error = nodes.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Register { name, .. } if name == "node-0"), "{error}");

    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let server = Server::new(Duration::ZERO, move |call| {
        if is_up.load(Ordering::SeqCst) { agreeable(call) } else { failure(503, "ServiceUnavailable") }
    });
    let (trigger, nodes) = start(&server, Options::default());
    server.pass(Duration::from_secs(60)).await;
    let attempts = server.take_calls().len();
    assert!((8..=12).contains(&attempts), "{attempts} attempts in a minute");
    up.store(true, Ordering::SeqCst);
    server.pass(Duration::from_secs(10)).await;
    assert!(server.take_lines().contains(&LEASES.to_owned()));
    trigger.trigger();
    nodes.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_deleted_node_is_left_alone_until_the_node_is_back() {
    let there = Arc::new(AtomicBool::new(true));
    let is_there = Arc::clone(&there);
    let server = Server::new(Duration::ZERO, move |call| {
        if is_there.load(Ordering::SeqCst) { agreeable(call) } else { failure(404, "NotFound") }
    });
    let (_trigger, _nodes) = start(&server, Options::default());
    server.pass(Duration::from_secs(5)).await;
    server.take_calls();
    there.store(false, Ordering::SeqCst);
    server.pass(Duration::from_secs(200)).await;
    assert_eq!(server.take_lines(), [LEASE.to_owned(), format!("GET {NODE}")]);
    there.store(true, Ordering::SeqCst);
    server.pass(Duration::from_secs(120)).await;
    let lines = server.take_lines();
    assert!(lines.contains(&LEASES.to_owned()) && !lines.contains(&NODES.to_owned()), "{lines:?}");
}

#[test]
fn every_pod_of_every_node_can_have_an_address() {
    let template = |name: &str, count, pods: &str| {
        let mut template = NodeTemplate { name: name.to_owned(), count, ..NodeTemplate::default() };
        template.capacity.insert("pods".to_owned(), pods.to_owned());
        template
    };
    let nodes = |nodes| Nodes::new(&Options { nodes, ..Options::default() });
    let made = nodes(vec![template("a-{}", 2, "110"), template("big", 1, "1000"), template("b-{}", 1, "250")]).unwrap();
    let blocks: Vec<_> = (0..made.len())
        .map(|index| made.get(index))
        .map(|node| format!("{} {} {}/{}", node.name, node.address, node.pods.0, node.pods.1))
        .collect();
    let expect = [
        "a-0 172.18.0.2 10.244.0.0/256",
        "a-1 172.18.0.3 10.244.1.0/256",
        "big 172.18.0.4 10.244.4.0/1024",
        "b-0 172.18.0.5 10.244.8.0/256",
    ];
    assert_eq!(blocks, expect);
    assert_eq!(made.index_of("big"), Some(2));
    assert_eq!(made.index_of("other"), None);

    for (what, invalid) in [
        ("several of one name", vec![template("a", 2, "110")]),
        ("one name twice", vec![template("a", 1, "110"), template("a", 1, "110")]),
        ("no number", vec![template("a", 1, "many")]),
        ("too many pods", vec![template("a", 1, "4294967295")]),
    ] {
        assert!(matches!(nodes(invalid), Err(Error::InvalidOptions(_))), "{what}");
    }
    assert!(matches!(Nodes::new(&Options::with_nodes(5000)), Ok(nodes) if nodes.len() == 5000));
}

#[test]
fn identifiers_are_uuids_and_the_same_each_time() {
    let nodes = Nodes::new(&Options::with_nodes(2)).unwrap();
    let uuid = |index: usize| -> Value {
        let node = object::node(&nodes, nodes.get(index), jiff::Timestamp::UNIX_EPOCH);
        node["status"]["nodeInfo"]["systemUUID"].clone()
    };
    assert_eq!(uuid(0), uuid(0));
    assert_ne!(uuid(0), uuid(1));
    assert_eq!(uuid(0).as_str().map(str::len), Some(36));
}
