use serde_json::{Value, json};
use steersman_machinery::random::Random;

use super::*;
use crate::kinds::check::messages;

fn service(spec: Value) -> Value {
    let mut object = json!({"metadata": {"name": "web"}, "spec": spec});
    Service.default(&mut object);
    object
}

/// Runs a create, or an update of `old`, as the write path does.
fn write(spec: Value, old: Option<&Value>, used: &Used) -> Result<Value, Vec<String>> {
    let mut object = service(spec);
    allocate(&mut object, old, used, &Random::seeded(7)).map_err(|refusal| match refusal {
        Refusal::Invalid(errors) => messages(&errors),
        Refusal::Internal(why) => vec![why],
    })?;
    let errors = match old {
        Some(old) => {
            Service.prepare_for_update(&mut object, old);
            Service.validate_update(&object, old)
        }
        None => {
            Service.prepare_for_create(&mut object, Timestamp::UNIX_EPOCH);
            Service.validate(&object)
        }
    };
    if errors.is_empty() { Ok(object) } else { Err(messages(&errors)) }
}

fn create(spec: Value) -> Value {
    write(spec, None, &Used::default()).expect("a good service")
}

#[test]
fn a_service_is_filled_in_and_given_an_address() {
    let object = create(json!({"ports": [{"port": 80}]}));
    let ip = object["spec"]["clusterIP"].as_str().expect("an address").to_owned();
    assert!(ip.starts_with("10.0."));
    assert_eq!(
        object["spec"],
        json!({
            "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            "clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        })
    );
}

#[test]
fn addresses_are_given_once() {
    let chosen = json!({"ports": [{"port": 80}], "clusterIP": "10.0.77.77"});
    let used = Used::of([&create(chosen.clone())]);
    assert_eq!(
        write(chosen, None, &used),
        Err(vec![
            r#"spec.clusterIPs: Invalid value: ["10.0.77.77"]: failed to allocate IP 10.0.77.77: provided IP is already allocated"#.to_owned()
        ])
    );
    let foreign = json!({"ports": [{"port": 80}], "clusterIP": "192.168.0.1"});
    assert!(write(foreign, None, &used).is_err());
}

#[test]
fn an_update_keeps_what_it_leaves_out() {
    let old = create(json!({"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}));
    let new = write(
        json!({"type": "NodePort", "ports": [{"name": "a", "port": 80, "nodePort": 31778}, {"name": "b", "port": 81}]}),
        Some(&old),
        &Used::default(),
    )
    .expect("a good update");
    assert_eq!(new["spec"]["clusterIP"], old["spec"]["clusterIP"]);
    assert_eq!(new["spec"]["ports"][0]["nodePort"], 31778);
    assert_eq!(new["spec"]["ports"][1]["nodePort"], old["spec"]["ports"][1]["nodePort"]);
}

#[test]
fn addresses_do_not_change() {
    let old = create(json!({"ports": [{"port": 80}], "clusterIP": "10.0.77.77"}));
    for ip in ["10.0.77.79", "None"] {
        assert_eq!(
            write(json!({"ports": [{"port": 80}], "clusterIP": ip}), Some(&old), &Used::default()),
            Err(vec![format!("spec.clusterIPs[0]: Invalid value: [\"{ip}\"]: may not change once set")])
        );
    }
}

#[test]
fn another_type_has_other_fields() {
    let node_port = create(json!({"type": "NodePort", "ports": [{"port": 80}]}));
    let mut patched = node_port["spec"].clone();
    patched["type"] = json!("ClusterIP");
    let cluster_ip = write(patched, Some(&node_port), &Used::default()).expect("a good update");
    assert_eq!(cluster_ip["spec"]["externalTrafficPolicy"], Value::Null);
    assert_eq!(cluster_ip["spec"]["ports"][0]["nodePort"], Value::Null);
    let name =
        write(json!({"type": "ExternalName", "externalName": "x.example.com"}), Some(&cluster_ip), &Used::default());
    assert_eq!(
        name.expect("a good update")["spec"],
        json!({"type": "ExternalName", "externalName": "x.example.com", "sessionAffinity": "None"})
    );
}

#[test]
fn node_ports_are_given_once_and_from_their_range() {
    let used = Used::of([&create(json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 31777}]}))]);
    let cases = [
        (31777, "provided port is already allocated"),
        (80, "provided port is not in the valid range. The range of valid ports is 30000-32767"),
    ];
    for (port, complaint) in cases {
        assert_eq!(
            write(json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}), None, &used),
            Err(vec![format!("spec.ports[0].nodePort: Invalid value: {port}: {complaint}")])
        );
    }
}

#[test]
fn health_checks_get_a_port() {
    let object = create(json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]}));
    assert_ne!(object["spec"]["healthCheckNodePort"], object["spec"]["ports"][0]["nodePort"]);
    assert!(object["spec"]["healthCheckNodePort"].is_number());
}

#[test]
fn ports_are_checked() {
    assert_eq!(write(json!({}), None, &Used::default()), Err(vec!["spec.ports: Required value".to_owned()]));
    assert_eq!(
        write(json!({"ports": [{"port": 80}, {"port": 80, "name": "a"}]}), None, &Used::default())
            .expect_err("a bad one")[0],
        "spec.ports[0].name: Required value"
    );
}

#[test]
fn only_load_balancers_report_addresses() {
    let status = |sort: &str, ingress: Value| {
        let object = json!({"spec": {"type": sort}, "status": {"loadBalancer": {"ingress": ingress}}});
        messages(&Service.validate_status_update(&object, &object))
    };
    assert_eq!(
        status("NodePort", json!([{"ip": "192.0.2.1"}])),
        ["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"]
    );
    assert_eq!(
        status("LoadBalancer", json!([{"hostname": "192.0.2.1"}])),
        [
            r#"status.loadBalancer.ingress[0].hostname: Invalid value: "192.0.2.1": must be a DNS name, not an IP address"#
        ]
    );
}
