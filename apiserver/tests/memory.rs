//! What requests that are made to cost memory cost. This is a program of its own, and what is measured is all that it has in
//! memory at most while it serves them.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use steersman_apiserver::ApiServer;
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;
use tower::ServiceExt;

/// The allocator of the programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const THINGS: &str = "/apis/example.com/v1/namespaces/default/things";

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// The most bytes of a body.
const BODY: usize = 3 << 20;
/// The most that all requests may cost, one after the other or many at once: an object without fields, three bytes, becomes one
/// of four fields where its type says that these are always there, and who applies a configuration owns each of its fields. What
/// the allocator keeps of an earlier request is part of it.
const BOUND: u64 = 768 << 20;
/// So many of the worst are sent at once.
const AT_ONCE: usize = 8;

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

/// A request that is made to cost something.
#[derive(Clone)]
struct Bomb {
    name: &'static str,
    method: Method,
    path: &'static str,
    content_type: &'static str,
    body: Bytes,
}

impl Bomb {
    fn new(name: &'static str, (method, path): (Method, &'static str), (kind, body): (&'static str, Vec<u8>)) -> Self {
        Self { name, method, path, content_type: kind, body: body.into() }
    }
}

/// Sends it as Mallory, who may do anything to a few kinds.
async fn send(api_server: &ApiServer, bomb: Bomb) -> u16 {
    let request = Request::builder().method(bomb.method).uri(bomb.path).header("Content-Type", bomb.content_type);
    let request = request.header("Impersonate-User", "mallory");
    send_request(api_server, request.body(Full::new(bomb.body)).expect("the request makes sense")).await
}

async fn send_request(api_server: &ApiServer, request: Request<Full<Bytes>>) -> u16 {
    let response = api_server.service().oneshot(request).await.expect("every request is answered");
    let code = response.status().as_u16();
    response.into_body().collect().await.expect("the answer is whole");
    code
}

/// A server with a custom resource that takes anything, a ConfigMap, and a role of Mallory's.
async fn server() -> ApiServer {
    let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let api_server = ApiServer::builder(clock, Random::seeded(1)).build().await.unwrap();
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": schema});
    let names = json!({"plural": "things", "kind": "Thing"});
    let spec = json!({"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]});
    let rule = |group: &str, resource: &str| json!({"apiGroups": [group], "resources": [resource], "verbs": ["*"]});
    // The right to escalate is not among them.
    let roles = json!({"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]});
    let rules = json!([rule("", "configmaps"), rule("example.com", "things"), roles]);
    let definition = rule("apiextensions.k8s.io", "customresourcedefinitions");
    let cluster = |kind: &str| format!("/apis/rbac.authorization.k8s.io/v1/cluster{kind}");
    let subjects = json!([{"kind": "User", "name": "mallory"}]);
    let bind =
        |kind: &str| json!({"metadata": {"name": "m"}, "roleRef": {"kind": kind, "name": "m"}, "subjects": subjects});
    for (path, object) in [
        (MAPS, json!({"metadata": {"name": "a"}})),
        (DEFINITIONS, json!({"metadata": {"name": "things.example.com"}, "spec": spec})),
        (ROLES, json!({"metadata": {"name": "m"}, "rules": rules})),
        (BINDINGS, bind("Role")),
        (&cluster("roles"), json!({"metadata": {"name": "m"}, "rules": [definition]})),
        (&cluster("rolebindings"), bind("ClusterRole")),
    ] {
        let request = Request::post(path).header("Content-Type", JSON).body(Full::new(object.to_string().into()));
        assert_eq!(send_request(&api_server, request.unwrap()).await, 201, "{path}");
    }
    api_server
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

/// A definition with a field of a very long name, below which nothing is known.
fn below_a_long_name() -> Vec<u8> {
    let start = format!(
        r#"{{"metadata":{{"name":"b.example.com"}},"spec":{{"group":"example.com","versions":[{{"schema":{{"openAPIV3Schema":{{"properties":{{"{}":{{"#,
        "x".repeat(1 << 20)
    );
    let unknown: Vec<String> = (0..120_000).map(|number| format!(r#""a{number:06}":0"#)).collect();
    format!("{start}{}}}}}}}}}}}]}}}}", unknown.join(",")).into_bytes()
}

/// A custom object with as many small objects as may be.
fn small_objects() -> Vec<u8> {
    let start = r#"{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":"b"},"#;
    let objects: Vec<String> = (0..65_000).map(|number| format!(r#""{number:x}":{{"":0}}"#)).collect();
    format!("{start}{}}}", objects.join(",")).into_bytes()
}

/// A role whose rule stands for 81 billions.
fn combinations() -> Vec<u8> {
    let words = |letter: char| (0..300).map(|number| format!("{letter}{number}")).collect::<Vec<_>>();
    let rule = json!({
        "apiGroups": words('g'), "resources": words('r'), "resourceNames": words('n'), "verbs": words('v'),
    });
    json!({"metadata": {"name": "b"}, "rules": [rule]}).to_string().into_bytes()
}

/// A ConfigMap whose metadata has `each` as often as a body may have it.
fn metadata_in_protobuf(each: &[u8]) -> Vec<u8> {
    let metadata = each.repeat((BODY - 32) / each.len());
    let message = [&[0x0a][..], &varint(metadata.len()), &metadata].concat();
    [&b"k8s\0"[..], &[0x12], &varint(message.len()), &message].concat()
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = vec![];
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

fn bombs() -> Vec<Bomb> {
    let (maps, one) = ((Method::POST, MAPS), (Method::PATCH, "/api/v1/namespaces/default/configmaps/a"));
    let things = (Method::POST, THINGS);
    let apply = "/apis/example.com/v1/namespaces/default/things/b?fieldManager=m&force=true";
    let named = r#"{"metadata":{"name":"b"},"data":["#;
    let values = r#"[{"op":"add","path":"/data","value":["#;
    vec![
        Bomb::new("numbers", maps.clone(), (JSON, full(named, "0,", "]}"))),
        Bomb::new("empty lists", maps.clone(), (JSON, full(named, "[],", "]}"))),
        Bomb::new("lists", maps.clone(), (JSON, full(named, "[0],", "]}"))),
        Bomb::new("depth", maps.clone(), (JSON, full("", "[", "]"))),
        Bomb::new("depth of objects", maps.clone(), (JSON, full("", r#"{"a":"#, "}"))),
        Bomb::new("controllers", maps.clone(), (JSON, controllers())),
        Bomb::new("too much", maps.clone(), (JSON, vec![b' '; 8 * BODY])),
        Bomb::new("aliases", maps.clone(), (YAML, aliases())),
        Bomb::new("numbers in YAML", maps.clone(), (YAML, full("data: [", "0, ", "0]"))),
        Bomb::new("objects in YAML", maps.clone(), (YAML, full("data: [", "a: 0, ", "0]"))),
        Bomb::new("depth in YAML", maps.clone(), (YAML, full("", "[", "]"))),
        Bomb::new("protobuf", maps.clone(), (PROTOBUF, full("k8s\0", "\n\0", ""))),
        Bomb::new("owners in protobuf", maps.clone(), (PROTOBUF, metadata_in_protobuf(b"\x6a\0"))),
        Bomb::new("controllers in protobuf", maps.clone(), (PROTOBUF, metadata_in_protobuf(b"\x6a\x02\x30\x01"))),
        Bomb::new("copies", one.clone(), (JSON_PATCH, copies())),
        Bomb::new("operations", one.clone(), (JSON_PATCH, full("[", r#"{"op":"test","path":"","value":0},"#, "]"))),
        Bomb::new("small operations", one.clone(), (JSON_PATCH, full("[", r#"{"":0},"#, "]"))),
        Bomb::new("objects in a patch", one.clone(), (JSON_PATCH, full(values, r#"{"":0},"#, "]}]"))),
        Bomb::new("owners by a patch", one, (MERGE_PATCH, full(r#"{"metadata":{"ownerReferences":["#, "{},", "]}}"))),
        Bomb::new("small objects", maps.clone(), (JSON, full(named, r#"{"":0},"#, "]}"))),
        Bomb::new("unknown fields", maps.clone(), (JSON, small_objects())),
        Bomb::new("owners", maps, (JSON, full(r#"{"metadata":{"name":"b","ownerReferences":["#, "{},", "]}}"))),
        Bomb::new("below a long name", (Method::POST, DEFINITIONS), (JSON, below_a_long_name())),
        Bomb::new("combinations", (Method::POST, ROLES), (JSON, combinations())),
        Bomb::new("custom objects", things, (JSON, small_objects())),
        Bomb::new("custom objects applied", (Method::PATCH, apply), (APPLY, small_objects())),
    ]
}

#[tokio::test]
async fn no_request_costs_more_memory_than_a_bounded_multiple_of_what_it_may_send() {
    let api_server = server().await;
    let before = resident();
    let mut worst = BTreeMap::new();
    for bomb in bombs() {
        forget_peak();
        let code = send(&api_server, bomb.clone()).await;
        let (cost, name) = (peak().saturating_sub(before), bomb.name);
        println!("{name}: {code}, {} MiB", cost >> 20);
        assert!((200..500).contains(&code) && cost < BOUND, "{name}: {code}, {} MiB", cost >> 20);
        worst.insert(cost, bomb);
    }
    forget_peak();
    let worst: Vec<Bomb> = worst.into_values().rev().take(AT_ONCE).collect();
    // A thread each, as a server of two processors has; what an allocator keeps for each of its threads is not what is measured.
    let threads = worst.chunks(AT_ONCE / 2).map(|bombs| {
        let (api_server, bombs) = (api_server.clone(), bombs.to_vec());
        tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let sent = bombs.into_iter().map(|bomb| async { (bomb.name, send(&api_server, bomb).await) });
            runtime.block_on(futures::future::join_all(sent))
        })
    });
    for sent in threads.collect::<Vec<_>>() {
        for (name, code) in sent.await.unwrap() {
            assert!((200..500).contains(&code), "{name}: {code}");
        }
    }
    let cost = peak().saturating_sub(before);
    println!("{AT_ONCE} at once: {} MiB", cost >> 20);
    assert!(cost < BOUND, "{AT_ONCE} at once: {} MiB", cost >> 20);
}
