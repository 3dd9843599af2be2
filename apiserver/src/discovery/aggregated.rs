//! Aggregated discovery: all groups and resources in one document.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use steersman_machinery::group::GroupVersionKind;

use super::{group_versions, insert_names, resources_of, subresources, verbs};
use crate::registry::resource::Resource;

/// The content type of the document. Clients take an answer of another type for the older form.
pub const AGGREGATED_CONTENT_TYPE: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The document of `GET /api` (`core`) or of `GET /apis`.
pub fn aggregated(catalog: &[Arc<Resource>], core: bool) -> Value {
    let items: Vec<_> = group_versions(catalog)
        .into_iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let metadata = if core { json!({}) } else { json!({"name": group}) };
            let versions: Vec<_> = versions.iter().map(|it| version_entry(catalog, group, it)).collect();
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn version_entry(catalog: &[Arc<Resource>], group: &str, version: &str) -> Value {
    let resources: Vec<_> = resources_of(catalog, group, version).into_iter().map(resource_entry).collect();
    json!({"version": version, "resources": resources, "freshness": "Current"})
}

fn resource_entry(resource: &Resource) -> Value {
    let mut entry = Map::new();
    entry.insert("resource".into(), resource.name.as_str().into());
    entry.insert("responseKind".into(), response_kind(resource, &resource.gvk()));
    let scope = if resource.namespaced { "Namespaced" } else { "Cluster" };
    entry.insert("scope".into(), scope.into());
    entry.insert("singularResource".into(), resource.singular.as_str().into());
    entry.insert("verbs".into(), verbs(resource));
    insert_names(&mut entry, resource);
    let subresources: Vec<_> = subresources(resource)
        .into_iter()
        .map(|subresource| {
            json!({
                "subresource": subresource.name,
                "responseKind": response_kind(resource, &subresource.kind),
                "verbs": subresource.verbs,
            })
        })
        .collect();
    if !subresources.is_empty() {
        entry.insert("subresources".into(), subresources.into());
    }
    entry.into()
}

/// The kind of an answer; group and version are left empty where they are those of the resource.
fn response_kind(resource: &Resource, kind: &GroupVersionKind) -> Value {
    let (group, version) = if kind.group_version() == resource.gvk().group_version() {
        ("", "")
    } else {
        (kind.group.as_str(), kind.version.as_str())
    };
    json!({"group": group, "version": version, "kind": kind.kind})
}
