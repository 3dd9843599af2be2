//! What API services that others serve add to the documents of discovery.
//! Source: `k8s.io/kube-aggregator/pkg/apiserver` (`apisHandler`, `discoveryManager`).

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::{Value, json};
use steersman_machinery::meta;

use super::ApiService;
use crate::discovery::group_priority;
use crate::server::Server;

/// The entry of a version in a group.
fn version_entry(service: &ApiService) -> Value {
    json!({"groupVersion": format!("{}/{}", service.group, service.version), "version": service.version})
}

/// Adds groups and versions to an `APIGroupList`.
pub(crate) fn add_groups(list: &mut Value, services: &[Arc<ApiService>]) {
    let Some(groups) = list.get_mut("groups").and_then(Value::as_array_mut) else { return };
    for service in sorted(services) {
        match groups.iter_mut().find(|group| meta::text(group, &["name"]) == service.group) {
            Some(group) => add_version(group, service),
            None => groups.insert(place(groups, &["name"], service, services), group(service)),
        }
    }
}

/// Adds versions to an `APIGroup`, or makes it.
pub(crate) fn add_to_group(group_found: Option<Value>, name: &str, services: &[Arc<ApiService>]) -> Option<Value> {
    let mut found = group_found;
    for service in sorted(services).into_iter().filter(|it| it.group == name) {
        match &mut found {
            Some(group) => add_version(group, service),
            None => {
                let mut made = group(service);
                made["kind"] = json!("APIGroup");
                made["apiVersion"] = json!("v1");
                found = Some(made);
            }
        }
    }
    found
}

fn group(service: &ApiService) -> Value {
    json!({"name": service.group, "versions": [version_entry(service)], "preferredVersion": version_entry(service)})
}

fn add_version(group: &mut Value, service: &ApiService) {
    if let Some(versions) = group.get_mut("versions").and_then(Value::as_array_mut) {
        versions.push(version_entry(service));
    }
}

fn sorted(services: &[Arc<ApiService>]) -> Vec<&Arc<ApiService>> {
    let mut sorted: Vec<_> = services.iter().collect();
    sorted.sort_by_key(|it| (Reverse(it.group_priority), it.group.clone(), Reverse(it.version_priority)));
    sorted
}

/// Where a group belongs among others, which are in order.
fn place(groups: &[Value], name: &[&str], service: &ApiService, services: &[Arc<ApiService>]) -> usize {
    let priority = |group: &str| {
        let of_group = services.iter().filter(|it| it.group == group).map(|it| it.group_priority);
        of_group.max().unwrap_or_else(|| i64::from(group_priority(group)))
    };
    let own = (Reverse(priority(&service.group)), service.group.as_str());
    groups.partition_point(|group| {
        let group = meta::text(group, name);
        (Reverse(priority(group)), group) < own
    })
}

/// Adds groups and versions, with their resources, to an `APIGroupDiscoveryList`.
pub(crate) fn add_resources(server: &Server, list: &mut Value, services: &[Arc<ApiService>]) {
    const NAME: [&str; 2] = ["metadata", "name"];
    let Some(groups) = list.get_mut("items").and_then(Value::as_array_mut) else { return };
    let lists = server.aggregation.lists.lock();
    for service in sorted(services) {
        let known = lists.get(&service.name);
        let entry = json!({
            "version": service.version,
            "resources": known.map(resources).unwrap_or_default(),
            "freshness": if known.is_some() { "Current" } else { "Stale" },
        });
        match groups.iter_mut().find(|group| meta::text(group, &NAME) == service.group) {
            Some(group) => {
                if let Some(versions) = group.get_mut("versions").and_then(Value::as_array_mut) {
                    versions.push(entry);
                }
            }
            None => {
                let group = json!({"metadata": {"name": service.group}, "versions": [entry]});
                groups.insert(place(groups, &NAME, service, services), group);
            }
        }
    }
}

/// The resources of an `APIResourceList` in the form of aggregated discovery.
fn resources(list: &Value) -> Vec<Value> {
    let entries = meta::items(list, &["resources"]);
    let kind = |entry: &Value| {
        json!({"group": meta::text(entry, &["group"]), "version": meta::text(entry, &["version"]),
               "kind": meta::text(entry, &["kind"])})
    };
    let own = entries.iter().filter(|entry| !meta::text(entry, &["name"]).contains('/'));
    let resource = |entry: &Value| {
        let name = meta::text(entry, &["name"]);
        let namespaced = entry.get("namespaced") == Some(&Value::Bool(true));
        let mut resource = json!({
            "resource": name, "responseKind": kind(entry), "scope": if namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": meta::text(entry, &["singularName"]), "verbs": meta::items(entry, &["verbs"]),
        });
        for field in ["shortNames", "categories"] {
            if let Some(names) = entry.get(field) {
                resource[field] = names.clone();
            }
        }
        let prefix = format!("{name}/");
        let of_resource = entries.iter().filter_map(|it| Some((meta::text(it, &["name"]).strip_prefix(&prefix)?, it)));
        let subresources: Vec<Value> = of_resource
            .map(|(name, entry)| {
                json!({"subresource": name, "responseKind": kind(entry), "verbs": meta::items(entry, &["verbs"])})
            })
            .collect();
        if !subresources.is_empty() {
            resource["subresources"] = json!(subresources);
        }
        resource
    };
    own.map(resource).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_have_their_subresources_below_them() {
        let list = json!({"resources": [
            {"name": "nodes", "singularName": "node", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get"]},
            {"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get"], "shortNames": ["p"]},
            {"name": "pods/x", "namespaced": true, "kind": "X", "verbs": ["create"]},
        ]});
        let got = resources(&list);
        assert_eq!((got.len(), &got[0]["scope"], &got[1]["scope"]), (2, &json!("Cluster"), &json!("Namespaced")));
        assert_eq!(got[1]["subresources"][0]["subresource"], "x");
        assert_eq!(got[1]["shortNames"], json!(["p"]));
    }
}
