//! Which addresses are in which subset.

use serde_json::{Value, json};

use super::*;

fn service(spec: Value) -> Service {
    let mut all = json!({"selector": {"app": "web"}, "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"],
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": "web"}]});
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::from_value(json!({"metadata": {"name": "web", "labels": {"team": "a"}}, "spec": all})).unwrap()
}

fn pod(number: usize, port: i32, change: impl FnOnce(&mut Pod)) -> Arc<Pod> {
    let mut pod = Pod { ready: true, ..Pod::default() };
    pod.metadata.uid = format!("{number}");
    pod.network.ips = vec![format!("10.0.{}.{}", number / 200, number % 200), "fd00::1".into()];
    let port = crate::services::PodPort { name: "web".into(), container_port: port, protocol: "TCP".into() };
    pod.network.ports = vec![port];
    change(&mut pod);
    Arc::new(pod)
}

/// Port, ready and other addresses of each subset.
fn summary(subsets: &[Subset]) -> Vec<(Option<i32>, Vec<&str>, Vec<&str>)> {
    let ips = |addresses: &'_ [Address]| addresses.iter().map(|address| address.ip.as_str()).collect::<Vec<_>>().len();
    assert!(subsets.iter().all(|subset| ips(&subset.addresses) + ips(&subset.not_ready_addresses) > 0));
    let port = |subset: &Subset| subset.ports.first().map(|port| port.port);
    subsets
        .iter()
        .map(|subset| {
            let ready = subset.addresses.iter().map(|address| address.ip.as_str()).collect();
            let other = subset.not_ready_addresses.iter().map(|address| address.ip.as_str()).collect();
            (port(subset), ready, other)
        })
        .collect()
}

#[test]
fn addresses_with_the_same_ports_are_together_in_their_order() {
    let unready = |pod: &mut Pod| pod.ready = false;
    let going = |pod: &mut Pod| pod.metadata.deletion_timestamp = Some(Default::default());
    let pods = [pod(10, 80, |_| {}), pod(9, 80, |_| {}), pod(3, 80, unready), pod(4, 81, |_| {}), pod(5, 80, going)];
    let (subsets, truncated) = plan_subsets(&service(json!({})), &pods);
    let expect = [(Some(80), vec!["10.0.0.9", "10.0.0.10"], vec!["10.0.0.3"]), (Some(81), vec!["10.0.0.4"], vec![])];
    assert_eq!((&summary(&subsets)[..], truncated), (&expect[..], false));
    let (subsets, _) = plan_subsets(&service(json!({"publishNotReadyAddresses": true})), &pods);
    assert_eq!(summary(&subsets)[0].1, ["10.0.0.3", "10.0.0.5", "10.0.0.9", "10.0.0.10"]);
}

#[test]
fn a_pod_needs_a_port_and_an_address_of_the_family() {
    let all = [pod(1, 80, |_| {})];
    for (spec, expect) in [
        (json!({"ports": [{"protocol": "TCP", "targetPort": "other"}]}), vec![]),
        (json!({"ports": []}), vec![]),
        (json!({"ports": [], "clusterIP": "None"}), vec![(None, vec!["10.0.0.1"], vec![])]),
        (json!({"ipFamilies": ["IPv6", "IPv4"]}), vec![(Some(80), vec!["fd00::1"], vec![])]),
        (json!({"ipFamilies": null, "clusterIP": "fd00::9"}), vec![(Some(80), vec!["fd00::1"], vec![])]),
    ] {
        let (subsets, _) = plan_subsets(&service(spec.clone()), &all);
        assert_eq!(summary(&subsets), expect, "{spec}");
    }
}

#[test]
fn a_thousand_addresses_are_kept_ready_ones_first() {
    for (ready, other, expect) in
        [(1000, 0, (1000, 0, false)), (900, 200, (900, 100, true)), (1200, 5, (1000, 0, true))]
    {
        let pods = (0..ready + other)
            .map(|number| pod(number, 80 + i32::from(number % 3 == 0), |pod| pod.ready = number < ready));
        let (subsets, truncated) = plan_subsets(&service(json!({})), &pods.collect::<Vec<_>>());
        let kept: usize = subsets.iter().map(|subset| subset.addresses.len()).sum();
        let kept_other: usize = subsets.iter().map(|subset| subset.not_ready_addresses.len()).sum();
        assert_eq!((kept, kept_other, truncated), expect);
    }
}

#[test]
fn the_labels_are_the_services_and_ours() {
    let pairs = |spec| labels(&service(spec)).iter().map(|(key, _)| key.to_owned()).collect::<Vec<_>>();
    assert_eq!(pairs(json!({})), [MANAGED_BY, "team"]);
    assert_eq!(pairs(json!({"clusterIP": "None"})), [MANAGED_BY, HEADLESS, "team"]);
}
