//! Which slices mirror an Endpoints object: one for each family of addresses and set of ports.

use std::collections::BTreeMap;
use std::sync::Arc;

use steersman_framework::meta::StringMap;

use crate::endpoints::objects::{Address, Endpoints, Subset, SubsetPort, is_own_annotation};
use crate::endpointslice::objects::{Conditions, Endpoint, MANAGED_BY, Port, SERVICE_NAME, Slice};
use crate::endpointslice::writing::{Changes, Content, sorted};
use crate::endpointslicemirroring::MANAGER;
use crate::services::parse_ip;

/// How many addresses of a subset are mirrored (upstream's `--mirroring-max-endpoints-per-subset`).
pub const MAX_ENDPOINTS: usize = 1000;

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mirrors {
    /// To the slices.
    pub changes: Changes,
    /// How many addresses are none.
    pub invalid: usize,
    /// How many addresses are not mirrored, for whatever reason.
    pub skipped: usize,
}

/// Family and ports: what has them in common is in one slice.
type Group = (&'static str, Vec<Port>);

/// What is to be done so that `existing` mirrors `endpoints`.
pub fn plan_mirrors(endpoints: &Endpoints, existing: &[Arc<Slice>]) -> Mirrors {
    let mut plan = Mirrors::default();
    let mut wanted: BTreeMap<Group, Content> = BTreeMap::new();
    for subset in &endpoints.subsets {
        let (invalid, skipped) = add_subset(&mut wanted, subset);
        plan.invalid += invalid;
        plan.skipped += skipped;
    }
    let changes = &mut plan.changes;
    let mut present: BTreeMap<Group, Vec<Arc<Slice>>> = BTreeMap::new();
    for slice in existing {
        let address_type = if slice.address_type == "IPv6" { "IPv6" } else { "IPv4" };
        present.entry((address_type, sorted(&slice.ports))).or_default().push(Arc::clone(slice));
    }
    for (group, content) in wanted {
        let mut slices = present.remove(&group).unwrap_or_default();
        if slices.is_empty() {
            changes.create.push(content);
            continue;
        }
        changes.delete.extend(slices.drain(1..));
        let slice = slices.remove(0);
        if !is_mirror(endpoints, &slice, &content) {
            changes.update.push((slice, content));
        }
    }
    changes.delete.extend(present.into_values().flatten());
    recycle(changes);
    plan
}

/// Takes the addresses of a subset in; gives how many are none and how many are left out.
fn add_subset(wanted: &mut BTreeMap<Group, Content>, subset: &Subset) -> (usize, usize) {
    let port = |port: &SubsetPort| Port {
        name: port.name.clone(),
        port: Some(port.port),
        protocol: port.protocol.clone(),
        app_protocol: port.app_protocol.clone(),
    };
    let ports: Vec<Port> = subset.ports.iter().map(port).collect();
    let ready = subset.addresses.iter().map(|address| (address, true));
    let all = ready.chain(subset.not_ready_addresses.iter().map(|address| (address, false)));
    let (mut added, mut invalid) = (0, 0);
    for (address, is_ready) in all {
        if added == MAX_ENDPOINTS {
            break;
        }
        let Some((address_type, endpoint)) = endpoint(address, is_ready) else {
            invalid += 1;
            continue;
        };
        added += 1;
        let group = (address_type, sorted(&ports));
        let empty = || Content { address_type, ports: ports.clone(), endpoints: Vec::new() };
        let endpoints = &mut wanted.entry(group).or_insert_with(empty).endpoints;
        match endpoints.iter_mut().find(|known| known.is_same(&endpoint)) {
            Some(known) => *known = endpoint,
            None => endpoints.push(endpoint),
        }
    }
    (invalid, subset.addresses.len() + subset.not_ready_addresses.len() - added)
}

fn endpoint(address: &Address, ready: bool) -> Option<(&'static str, Endpoint)> {
    let ip = parse_ip(&address.ip)?;
    let endpoint = Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Conditions { ready: Some(ready), ..Conditions::default() },
        hostname: address.hostname.clone().filter(|name| !name.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    };
    Some((if ip.is_ipv6() { "IPv6" } else { "IPv4" }, endpoint))
}

fn is_mirror(endpoints: &Endpoints, slice: &Slice, content: &Content) -> bool {
    let all = &content.endpoints;
    slice.endpoints.len() == all.len()
        && slice.endpoints.iter().all(|endpoint| all.contains(endpoint))
        && slice.metadata.labels == labels(endpoints)
        && slice.metadata.annotations == annotations(endpoints)
}

/// Instead of deleting one slice and making another, one is written.
fn recycle(changes: &mut Changes) {
    let mut create = Vec::new();
    for content in std::mem::take(&mut changes.create) {
        match changes.delete.iter().position(|slice| slice.address_type == content.address_type) {
            Some(at) => changes.update.push((changes.delete.remove(at), content)),
            None => create.push(content),
        }
    }
    changes.create = create;
}

/// The labels of a mirror: those of the Endpoints, and ours.
pub fn labels(endpoints: &Endpoints) -> StringMap {
    let mut labels = endpoints.metadata.labels.clone();
    labels.insert(SERVICE_NAME, endpoints.metadata.name.as_str());
    labels.insert(MANAGED_BY, MANAGER);
    labels
}

/// The annotations of a mirror: those of the Endpoints, but for those that are about the object itself.
pub fn annotations(endpoints: &Endpoints) -> StringMap {
    let mut annotations = endpoints.metadata.annotations.clone();
    annotations.retain(|key| !is_own_annotation(key));
    annotations
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn endpoints(subsets: Value) -> Endpoints {
        let annotations = json!({
            "a": "1", "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z",
        });
        let metadata = json!({
            "name": "web", "namespace": "ns", "uid": "u", "labels": {"l": "1"}, "annotations": annotations,
        });
        serde_json::from_value(json!({"metadata": metadata, "subsets": subsets})).unwrap()
    }

    fn slice(name: &str, address_type: &str, port: i32, addresses: &[&str]) -> Arc<Slice> {
        let endpoint = |ip: &&str| json!({"addresses": [ip], "conditions": {"ready": true}});
        let endpoints: Vec<Value> = addresses.iter().map(endpoint).collect();
        let labels = json!({"l": "1", SERVICE_NAME: "web", MANAGED_BY: MANAGER});
        let slice = json!({
            "metadata": {"name": name, "namespace": "ns", "labels": labels, "annotations": {"a": "1"}},
            "addressType": address_type, "endpoints": endpoints,
            "ports": [{"name": "", "port": port, "protocol": "TCP"}],
        });
        Arc::new(serde_json::from_value(slice).unwrap())
    }

    fn subset(ready: &[&str], not_ready: &[&str], port: i32) -> Value {
        let addresses = |ips: &[&str]| ips.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>();
        json!({
            "addresses": addresses(ready), "notReadyAddresses": addresses(not_ready),
            "ports": [{"port": port, "protocol": "TCP"}],
        })
    }

    /// What is done, in short: `+IPv4 80 a,b`, `=name IPv4 80 a,b`, `-name`; addresses that are not ready with a `!`.
    fn check(subsets: Value, existing: &[Arc<Slice>], expect: &[&str]) -> Mirrors {
        let plan = plan_mirrors(&endpoints(subsets), existing);
        let changes = &plan.changes;
        let show = |content: &Content| {
            let ready = |endpoint: &Endpoint| if endpoint.conditions.ready == Some(true) { "" } else { "!" };
            let ips: Vec<String> =
                content.endpoints.iter().map(|it| format!("{}{}", ready(it), it.addresses[0])).collect();
            let ports: Vec<String> = content.ports.iter().filter_map(|port| Some(port.port?.to_string())).collect();
            format!("{} {} {}", content.address_type, ports.join("+"), ips.join(","))
        };
        let mut lines: Vec<String> = changes.create.iter().map(|content| format!("+{}", show(content))).collect();
        lines.extend(changes.update.iter().map(|(slice, to)| format!("={} {}", slice.metadata.name, show(to))));
        lines.extend(changes.delete.iter().map(|slice| format!("-{}", slice.metadata.name)));
        assert_eq!(lines, expect);
        plan
    }

    #[test]
    fn subsets_become_slices_by_family_and_ports() {
        check(json!([]), &[], &[]);
        check(json!([subset(&[], &[], 80)]), &[], &[]);
        check(
            json!([subset(&["10.0.0.1", "fd00::1"], &["10.0.0.2"], 80), subset(&["10.0.0.3"], &[], 81)]),
            &[],
            &["+IPv4 80 10.0.0.1,!10.0.0.2", "+IPv4 81 10.0.0.3", "+IPv6 80 fd00::1"],
        );
        let again = subset(&["10.0.0.1"], &[], 80);
        check(json!([again, again]), &[], &["+IPv4 80 10.0.0.1"]);
    }

    #[test]
    fn of_the_slices_that_are_there_as_few_as_possible_are_written() {
        let one = || slice("one", "IPv4", 80, &["10.0.0.1"]);
        let same = json!([subset(&["10.0.0.1"], &[], 80)]);
        check(same.clone(), &[one()], &[]);
        check(same.clone(), &[one(), slice("two", "IPv4", 80, &[])], &["-two"]);
        check(json!([subset(&[], &["10.0.0.1"], 80)]), &[one()], &["=one IPv4 80 !10.0.0.1"]);
        check(json!([]), &[one()], &["-one"]);
        check(json!([subset(&["10.0.0.1"], &[], 81)]), &[one()], &["=one IPv4 81 10.0.0.1"]);
        check(json!([subset(&["fd00::1"], &[], 80)]), &[one()], &["+IPv6 80 fd00::1", "-one"]);
        let mut relabelled = Slice::clone(&one());
        relabelled.metadata.labels.insert("l", "2");
        check(same.clone(), &[Arc::new(relabelled)], &["=one IPv4 80 10.0.0.1"]);
        let mut annotated = Slice::clone(&one());
        annotated.metadata.annotations.insert("b", "2");
        check(same, &[Arc::new(annotated)], &["=one IPv4 80 10.0.0.1"]);
    }

    #[test]
    fn what_is_no_address_and_what_is_too_much_is_left_out_and_counted() {
        let plan = check(json!([subset(&["here", "010.0.0.1"], &["there"], 80)]), &[], &["+IPv4 80 10.0.0.1"]);
        assert_eq!((plan.invalid, plan.skipped), (2, 2));
        let many: Vec<String> = (0..MAX_ENDPOINTS + 5).map(|n| format!("10.0.{}.{}", n / 200, n % 200 + 1)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let plan = plan_mirrors(&endpoints(json!([subset(&many, &["10.9.0.1"], 80)])), &[]);
        assert_eq!((plan.invalid, plan.skipped), (0, 6));
        assert_eq!(plan.changes.create[0].endpoints.len(), MAX_ENDPOINTS);
    }
}
