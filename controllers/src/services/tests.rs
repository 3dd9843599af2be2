//! Which services a pod concerns, and since when.

use serde_json::json;
use steersman_framework::reflector::{Change, Sink};

use super::*;
use crate::objects::SERVICES;
use crate::testing::Fake;

fn service(name: &str, selector: Value) -> Service {
    let meta = json!({"namespace": "ns", "name": name, "creationTimestamp": "2026-05-01T10:00:00Z"});
    serde_json::from_value(json!({"metadata": meta, "spec": {"selector": selector}})).unwrap()
}

fn pod(labels: Value, ready: &str, second: u8) -> Arc<Pod> {
    let time = format!("2026-05-01T10:00:{second:02}Z");
    let ready = json!({"type": "Ready", "status": ready, "lastTransitionTime": time});
    let meta = json!({"namespace": "ns", "name": "p", "labels": labels});
    Arc::new(serde_json::from_value(json!({"metadata": meta, "status": {"conditions": [ready]}})).unwrap())
}

#[tokio::test]
async fn a_change_of_a_pod_concerns_the_services_that_selected_or_select_it() {
    let fake = Fake::new(|_| (200, json!({})));
    let services = fake.shared.informers.informer::<Service>(&SERVICES);
    let mut external = service("external", json!({"app": "a"}));
    external.spec.kind = "ExternalName".to_owned();
    let all = vec![
        service("a", json!({"app": "a"})),
        service("both", json!({"app": "a", "tier": "x"})),
        service("b", json!({"app": "b"})),
        service("none", json!({})),
        external,
    ];
    services.take(Change::Replaced(all), "1");
    let (a, ax, b) = (json!({"app": "a"}), json!({"app": "a", "tier": "x"}), json!({"app": "b"}));
    let check = |old: Option<Arc<Pod>>, new: Option<Arc<Pod>>, expect: &[&str]| {
        let keys = concerned(&Delta { old, new, listed: false }, &services);
        assert_eq!(keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), expect);
    };
    check(None, Some(pod(a.clone(), "True", 0)), &["a"]);
    check(None, Some(pod(ax.clone(), "True", 0)), &["a", "both"]);
    check(Some(pod(b.clone(), "True", 0)), None, &["b"]);
    check(Some(pod(a.clone(), "True", 0)), Some(pod(a.clone(), "True", 0)), &[]);
    check(Some(pod(a.clone(), "True", 0)), Some(pod(a.clone(), "False", 0)), &["a"]);
    check(Some(pod(b, "True", 0)), Some(pod(ax, "True", 0)), &["a", "b", "both"]);
}

#[test]
fn the_trigger_is_the_earliest_of_what_is_new() {
    let (triggers, web) = (Triggers::default(), service("web", json!({"app": "a"})));
    let at = |second: u8| Some(format!("2026-05-01T10:00:{second:02}Z").parse().unwrap());
    let pods = |second: u8| vec![pod(json!({}), "True", second)];
    assert_eq!(triggers.last_change(&web, &pods(5)), at(0), "a new service counts from its creation");
    assert_eq!(triggers.last_change(&web, &pods(5)), None);
    assert_eq!(triggers.last_change(&web, &pods(9)), at(9));
    triggers.forget(&web.metadata.key());
    assert_eq!(triggers.last_change(&web, &pods(9)), at(0));
}

#[test]
fn ports_are_found_by_number_or_by_name_and_protocol() {
    let mut reached = Pod::default();
    let port =
        |protocol: &str, container_port| PodPort { name: "dns".into(), container_port, protocol: protocol.into() };
    reached.network.ports = vec![port("TCP", 53), port("UDP", 5353)];
    for (target, protocol, expect) in [
        (json!(80), "TCP", Some(80)),
        (json!("dns"), "TCP", Some(53)),
        (json!("dns"), "UDP", Some(5353)),
        (json!("dns"), "SCTP", None),
        (json!("web"), "TCP", None),
    ] {
        let port = ServicePort { target_port: target.clone(), protocol: protocol.into(), ..ServicePort::default() };
        assert_eq!(port.number_in(&reached), expect, "{target} {protocol}");
    }
}

#[test]
fn addresses_are_read_leniently() {
    assert_eq!(parse_ip("010.0.00.1").unwrap().to_string(), "10.0.0.1");
    assert_eq!(parse_ip("FD00:0::1").unwrap().to_string(), "fd00::1");
    assert_eq!(parse_ip("x"), None);
}
