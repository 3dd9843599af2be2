//! What requests that are made to cost memory cost. This is a program of its own, and what is measured is all that it has in
//! memory at most while it serves them.

#![cfg(target_os = "linux")]

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use steersman_apiserver::ApiServer;
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;
use tower::ServiceExt;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// The most bytes of a body.
const BODY: usize = 3 << 20;
/// The most that all requests, one after the other, may cost: an object without fields, three bytes, becomes one of four fields
/// where its type says that these are always there. What the allocator keeps of an earlier request is part of it.
const BOUND: u64 = 1 << 30;
/// So often each is sent: what one leaves behind would add up.
const TIMES: usize = 2;

/// A number of bytes of this process.
fn measure(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("the number is there");
    let kibibytes: u64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("it is a number");
    kibibytes << 10
}

fn resident() -> u64 {
    measure("VmRSS")
}

/// Forgets what was the most so far. Where that is not allowed, the most of all requests is taken for that of each.
fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn peak() -> u64 {
    measure("VmHWM")
}

async fn send(api_server: &ApiServer, method: Method, path: &str, (content_type, body): (&str, Bytes)) -> u16 {
    let request = Request::builder().method(method).uri(path).header("Content-Type", content_type);
    let request = request.body(Full::new(body)).expect("the request makes sense");
    let response = api_server.service().oneshot(request).await.expect("every request is answered");
    let code = response.status().as_u16();
    response.into_body().collect().await.expect("the answer is whole");
    code
}

/// `start`, then `item` as often as a body may have it, then `end`.
fn full(start: &str, item: &str, end: &str) -> Vec<u8> {
    let times = (BODY - start.len() - end.len()) / item.len();
    format!("{start}{}{end}", item.repeat(times)).replace(&format!(",{end}"), end).into_bytes()
}

/// Owners each of which is one controller too many, for which an error shows all of them.
fn controllers() -> Vec<u8> {
    let owners: Vec<String> = (0..BODY / 40).map(|uid| format!(r#"{{"controller":true,"uid":"{uid:09}"}}"#)).collect();
    format!(r#"{{"metadata":{{"name":"b","ownerReferences":[{}]}}}}"#, owners.join(",")).into_bytes()
}

/// A document whose aliases stand for ten to the power of twelve values.
fn aliases() -> Vec<u8> {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    bomb.into_bytes()
}

/// A patch that doubles a value with every step.
fn copies() -> Vec<u8> {
    let start = format!(r#"[{{"op":"add","path":"/metadata/annotations","value":{{"a":"{}"}}}}"#, "x".repeat(1 << 16));
    let doubled: Vec<String> = (0..64)
        .map(|step| {
            format!(r#",{{"op":"copy","from":"/metadata/annotations","path":"/metadata/annotations/b{step}"}}"#)
        })
        .collect();
    format!("{start}{}]", doubled.concat()).into_bytes()
}

#[tokio::test]
async fn no_request_costs_more_memory_than_a_bounded_multiple_of_what_it_may_send() {
    let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let api_server = ApiServer::builder(clock, Random::seeded(1)).build().await.unwrap();
    let (json, yaml, patch) = ("application/json", "application/yaml", "application/json-patch+json");
    let made = br#"{"metadata":{"name":"a"}}"#.as_slice();
    assert_eq!(send(&api_server, Method::POST, MAPS, (json, Bytes::from_static(made))).await, 201);
    let one = format!("{MAPS}/a");
    let bombs: [(&str, Method, &str, &str, Vec<u8>); 14] = [
        ("numbers", Method::POST, MAPS, json, full(r#"{"metadata":{"name":"b"},"data":["#, "0,", "]}")),
        ("empty lists", Method::POST, MAPS, json, full(r#"{"metadata":{"name":"b"},"data":["#, "[],", "]}")),
        ("depth", Method::POST, MAPS, json, full("", "[", "]")),
        ("depth of objects", Method::POST, MAPS, json, full("", r#"{"a":"#, "}")),
        ("controllers", Method::POST, MAPS, json, controllers()),
        ("too much", Method::POST, MAPS, json, vec![b' '; 8 * BODY]),
        ("aliases", Method::POST, MAPS, yaml, aliases()),
        ("numbers in YAML", Method::POST, MAPS, yaml, full("data: [", "0, ", "0]")),
        ("depth in YAML", Method::POST, MAPS, yaml, full("", "[", "]")),
        ("protobuf", Method::POST, MAPS, "application/vnd.kubernetes.protobuf", full("k8s\0", "\n\0", "")),
        ("copies", Method::PATCH, &one, patch, copies()),
        ("operations", Method::PATCH, &one, patch, full("[", r#"{"op":"test","path":"","value":0},"#, "]")),
        ("small objects", Method::POST, MAPS, json, full(r#"{"metadata":{"name":"b"},"data":["#, r#"{"":0},"#, "]}")),
        ("owners", Method::POST, MAPS, json, full(r#"{"metadata":{"name":"b","ownerReferences":["#, "{},", "]}}")),
    ];
    let before = resident();
    for (name, method, path, content_type, body) in bombs {
        let body = Bytes::from(body);
        forget_peak();
        for _ in 0..TIMES {
            let code = send(&api_server, method.clone(), path, (content_type, body.clone())).await;
            assert!((400..500).contains(&code), "{name} is answered with {code}");
        }
        let cost = peak().saturating_sub(before);
        println!("{name}: {} MiB", cost >> 20);
        assert!(cost < BOUND, "{name}: {} MiB", cost >> 20);
    }
}
