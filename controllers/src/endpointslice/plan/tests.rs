//! Which endpoints there are, and which slices they are in.

use serde_json::{Value, json};

use super::*;

fn service(spec: Value) -> Service {
    let mut all = json!({"selector": {"app": "web"}, "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]});
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    let meta = json!({"namespace": "ns", "name": "web", "uid": "s", "labels": {"team": "a"}});
    serde_json::from_value(json!({"metadata": meta, "spec": all})).unwrap()
}

fn pod(name: &str, change: impl FnOnce(&mut Pod)) -> Located {
    let mut pod = Pod { ready: true, node_name: "n1".into(), ..Pod::default() };
    (pod.metadata.namespace, pod.metadata.name, pod.metadata.uid) = ("ns".into(), name.into(), format!("uid-{name}"));
    pod.network.ips = vec!["10.0.0.1".into(), "fd00::1".into()];
    change(&mut pod);
    Located { pod: Arc::new(pod), zone: Some("z1".into()) }
}

fn pods(names: std::ops::Range<usize>) -> Vec<Located> {
    names.map(|number| pod(&format!("p{number:03}"), |_| {})).collect()
}

#[test]
fn hints_follow_the_distribution_of_traffic() {
    let zone = json!({"forZones": [{"name": "z1"}]});
    let both = json!({"forZones": [{"name": "z1"}], "forNodes": [{"name": "n1"}]});
    let placed = || pod("a", |_| {});
    let nowhere = || Located { zone: None, ..placed() };
    let unready = || pod("a", |pod| pod.ready = false);
    for (distribution, pod, expect) in [
        (json!(null), placed(), json!(null)),
        (json!("PreferClose"), placed(), zone.clone()),
        (json!("PreferSameZone"), placed(), zone),
        (json!("PreferSameZone"), nowhere(), json!(null)),
        (json!("PreferSameZone"), unready(), json!(null)),
        (json!("PreferSameNode"), placed(), both),
        (json!("PreferSameNode"), nowhere(), json!({"forNodes": [{"name": "n1"}]})),
        (json!("example.com/else"), placed(), json!(null)),
    ] {
        let web = service(json!({"trafficDistribution": distribution}));
        let changes = plan_slices(&web, std::slice::from_ref(&pod), &[]);
        let endpoint = serde_json::to_value(&changes.create[0].endpoints[0]).unwrap();
        assert_eq!(endpoint["hints"], expect, "{distribution}");
        let slices = apply(&web, &[], changes);
        assert_eq!(plan_slices(&web, &[pod], &slices), Changes::default(), "{distribution}");
    }
}

/// The slices after the changes.
fn apply(service: &Service, existing: &[Arc<Slice>], changes: Changes) -> Vec<Arc<Slice>> {
    let names = changes.update.iter().map(|(slice, _)| slice).chain(&changes.delete);
    let gone: Vec<String> = names.map(|slice| slice.metadata.name.clone()).collect();
    let mut slices: Vec<_> = existing.iter().filter(|it| !gone.contains(&it.metadata.name)).cloned().collect();
    let owner = OwnerReference { kind: "Service".into(), uid: service.metadata.uid.clone(), ..Default::default() };
    let written = changes.update.into_iter().map(|(slice, content)| (slice.metadata.name.clone(), content));
    let new = changes.create.into_iter().enumerate().map(|(at, content)| (format!("new-{at}-{}", gone.len()), content));
    for (name, content) in written.chain(new) {
        let mut slice = Slice { ports: content.ports, endpoints: content.endpoints, ..Slice::default() };
        slice.address_type = content.address_type.to_owned();
        slice.metadata.labels = labels(service);
        slice.metadata.name = name;
        slice.metadata.owner_references = vec![owner.clone()];
        slices.push(Arc::new(slice));
    }
    slices.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
    slices
}

fn sizes(slices: &[Arc<Slice>]) -> Vec<usize> {
    let mut sizes: Vec<usize> = slices.iter().map(|slice| slice.endpoints.len()).collect();
    sizes.sort_unstable();
    sizes
}

#[test]
fn an_endpoint_says_what_there_is_to_know_of_its_pod() {
    let web = service(json!({}));
    let named = |pod: &mut Pod| (pod.network.hostname, pod.network.subdomain) = ("h".into(), "web".into());
    let changes = plan_slices(&web, &[pod("a", named)], &[]);
    let [content] = &changes.create[..] else { panic!("{changes:?}") };
    assert_eq!(
        serde_json::to_value(&content.ports).unwrap(),
        json!([{"name": "http", "port": 8080, "protocol": "TCP"}])
    );
    let target = json!({"kind": "Pod", "name": "a", "namespace": "ns", "uid": "uid-a"});
    let conditions = json!({"ready": true, "serving": true, "terminating": false});
    let endpoint = json!({"addresses": ["10.0.0.1"], "conditions": conditions, "hostname": "h", "nodeName": "n1",
        "zone": "z1", "targetRef": target});
    assert_eq!(serde_json::to_value(&content.endpoints).unwrap(), json!([endpoint]));
}

#[test]
fn conditions_tell_ready_from_serving_and_terminating() {
    let going = |pod: &mut Pod| pod.metadata.deletion_timestamp = Some(Default::default());
    let unready = |pod: &mut Pod| pod.ready = false;
    for (publish, located, expect) in [
        (false, pod("a", |_| {}), Some([true, true, false])),
        (false, pod("a", unready), Some([false, false, false])),
        (false, pod("a", going), Some([false, true, true])),
        (true, pod("a", unready), Some([true, false, false])),
        (true, pod("a", going), Some([true, true, true])),
        (true, pod("a", |pod| pod.phase = crate::objects::Phase::Failed), None),
        (true, pod("a", |pod| pod.network.ips.clear()), None),
    ] {
        let changes = plan_slices(&service(json!({"publishNotReadyAddresses": publish})), &[located], &[]);
        let found = changes.create[0].endpoints.first().map(|endpoint| {
            let conditions = &endpoint.conditions;
            [conditions.ready, conditions.serving, conditions.terminating].map(Option::unwrap)
        });
        assert_eq!(found, expect);
    }
}

#[test]
fn each_family_has_slices_of_its_own() {
    for (spec, expect) in [
        (json!({}), vec![("IPv4", vec!["10.0.0.1"])]),
        (json!({"ipFamilies": ["IPv6", "IPv4"]}), vec![("IPv4", vec!["10.0.0.1"]), ("IPv6", vec!["fd00::1"])]),
        (json!({"ipFamilies": null, "clusterIP": "fd00::9"}), vec![("IPv6", vec!["fd00::1"])]),
    ] {
        let changes = plan_slices(&service(spec), &[pod("a", |_| {})], &[]);
        let found = changes.create.iter().map(|content| (content.address_type, content.endpoints[0].addresses.clone()));
        let expect: Vec<_> =
            expect.into_iter().map(|(kind, ips)| (kind, ips.into_iter().map(str::to_owned).collect())).collect();
        assert_eq!(found.collect::<Vec<(_, Vec<String>)>>(), expect);
    }
}

#[test]
fn a_service_without_pods_has_one_empty_slice_that_is_used_later() {
    let web = service(json!({}));
    let empty = apply(&web, &[], plan_slices(&web, &[], &[]));
    assert_eq!(sizes(&empty), [0]);
    assert_eq!(plan_slices(&web, &[], &empty), Changes::default());
    let changes = plan_slices(&web, &pods(0..3), &empty);
    assert_eq!((changes.create.len(), changes.update.len(), changes.delete.len()), (0, 1, 0));
    let full = apply(&web, &empty, changes);
    assert_eq!(plan_slices(&web, &pods(0..3), &full), Changes::default());
    let again = plan_slices(&web, &[], &full);
    assert_eq!((again.create.len(), again.update.len(), again.delete.len()), (0, 1, 0));
    assert_eq!(sizes(&apply(&web, &full, again)), [0]);
}

#[test]
fn slices_hold_a_hundred_and_as_few_as_possible_are_written() {
    let web = service(json!({}));
    let slices = apply(&web, &[], plan_slices(&web, &pods(0..250), &[]));
    assert_eq!(sizes(&slices), [50, 100, 100]);
    for (wanted, writes, expect) in [
        (0..251, (0, 1, 0), vec![51, 100, 100]),
        (0..300, (0, 1, 0), vec![100, 100, 100]),
        (0..310, (1, 0, 0), vec![50, 60, 100, 100]),
        (1..250, (0, 1, 0), vec![50, 99, 100]),
        (1..251, (0, 1, 0), vec![50, 100, 100]),
        (100..250, (0, 0, 1), vec![50, 100]),
    ] {
        let changes = plan_slices(&web, &pods(wanted.clone()), &slices);
        let found = (changes.create.len(), changes.update.len(), changes.delete.len());
        assert_eq!(found, writes, "{wanted:?}");
        assert_eq!(sizes(&apply(&web, &slices, changes)), expect, "{wanted:?}");
    }
}

#[test]
fn pods_with_other_numbers_for_a_named_port_are_in_other_slices() {
    let web = service(json!({"ports": [{"name": "http", "protocol": "TCP", "targetPort": "web"}]}));
    let with = |name: &str, number: i32| {
        let port = crate::services::PodPort { name: "web".into(), container_port: number, protocol: "TCP".into() };
        pod(name, |pod| pod.network.ports = vec![port])
    };
    let all = [with("a", 80), with("b", 81), with("c", 80), pod("without", |_| {})];
    let changes = plan_slices(&web, &all, &[]);
    let found = changes.create.iter().map(|it| (it.ports.first().and_then(|port| port.port), it.endpoints.len()));
    assert_eq!(found.collect::<Vec<_>>(), [(None, 1), (Some(80), 2), (Some(81), 1)]);
}

#[test]
fn labels_follow_the_service_and_foreign_slices_go() {
    let web = service(json!({}));
    let slices = apply(&web, &[], plan_slices(&web, &pods(0..2), &[]));
    let mut headless = service(json!({"clusterIP": "None"}));
    let changes = plan_slices(&headless, &pods(0..2), &slices);
    assert_eq!((changes.create.len(), changes.update.len(), changes.delete.len()), (0, 1, 0));
    let expect =
        [("endpointslice.kubernetes.io/managed-by", MANAGER), (SERVICE_NAME, "web"), (HEADLESS, ""), ("team", "a")];
    assert_eq!(labels(&headless).iter().collect::<Vec<_>>(), expect);
    headless.metadata.uid = "another".to_owned();
    let changes = plan_slices(&headless, &pods(0..2), &slices);
    assert_eq!((changes.create.len(), changes.update.len(), changes.delete.len()), (1, 0, 1));
}
