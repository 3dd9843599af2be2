//! Discovery: which groups, versions and resources there are. All documents are built from the catalog on demand, so that
//! they can never say something else than what is served.
//! Source: `k8s.io/kube-aggregator/pkg/apiserver`, `k8s.io/apiserver/pkg/endpoints/discovery`; KEP-3352 (aggregated).

mod aggregated;
mod groups;

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use serde_json::{Map, Value, json};

use crate::registry::resource::{Resource, Subresource};

pub use aggregated::{AGGREGATED_CONTENT_TYPE, aggregated};
pub(crate) use groups::group_priority;
pub use groups::{api_group, api_group_list, group_versions};

/// The verbs of a custom resource, in the order in which upstream lists them.
const CUSTOM_VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// Kinds whose stored version is another than the one served, as group, kind, and the group and version of storage. The
/// hash tells clients when stored objects have to be migrated; here it has to be what other servers say.
const STORED_AS: [(&str, &str, &str); 5] = [
    ("events.k8s.io", "Event", "/v1"),
    ("autoscaling", "HorizontalPodAutoscaler", "autoscaling/v2"),
    ("apiextensions.k8s.io", "CustomResourceDefinition", "apiextensions.k8s.io/v1beta1"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy", "admissionregistration.k8s.io/v1beta1"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", "admissionregistration.k8s.io/v1beta1"),
];

/// What `GET /api` answers: the versions of the core group, and under which address (`host:port`) the server is reached.
pub fn api_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// What `GET /api/v1` and `GET /apis/GROUP/VERSION` answer; `None` if nothing is served there.
pub fn api_resource_list(catalog: &[Arc<Resource>], group: &str, version: &str) -> Option<Value> {
    let resources = resources_of(catalog, group, version);
    let first = resources.first()?;
    let mut list = json!({
        "kind": "APIResourceList",
        "groupVersion": first.api_version(),
        "resources": resources.iter().flat_map(|resource| entries(resource)).collect::<Vec<_>>(),
    });
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    Some(list)
}

/// What `GET /` answers: the paths at which there is something to read.
pub fn root_paths(catalog: &[Arc<Resource>]) -> Value {
    let mut paths = BTreeSet::from(
        [
            "/api",
            "/apis",
            "/apis/",
            "/healthz",
            "/healthz/ping",
            "/livez",
            "/livez/ping",
            "/metrics",
            "/openapi/v2",
            "/openapi/v3",
            "/openapi/v3/",
            "/readyz",
            "/readyz/ping",
            "/version",
        ]
        .map(str::to_owned),
    );
    for resource in catalog {
        if resource.group.is_empty() {
            paths.insert(format!("/api/{}", resource.version));
        } else {
            paths.insert(format!("/apis/{}", resource.group));
            paths.insert(format!("/apis/{}/{}", resource.group, resource.version));
        }
    }
    json!({ "paths": paths })
}

/// The value of the `ETag` header for a body: the SHA-512 in upper-case hexadecimal, with the quotes.
pub fn etag(body: &[u8]) -> String {
    format!("\"{}\"", hash(body))
}

/// The SHA-512 in upper-case hexadecimal.
pub fn hash(body: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 * digest::SHA512_OUTPUT_LEN);
    for byte in digest::digest(&digest::SHA512, body).as_ref() {
        write!(text, "{byte:02X}").expect("a String takes any text");
    }
    text
}

/// The resources of a group and version, sorted by name.
fn resources_of<'a>(catalog: &'a [Arc<Resource>], group: &str, version: &str) -> Vec<&'a Resource> {
    let mut resources: Vec<_> = catalog
        .iter()
        .map(Arc::as_ref)
        .filter(|resource| resource.group == group && resource.version == version)
        .collect();
    resources.sort_by(|a, b| a.name.cmp(&b.name));
    resources
}

/// The entries of a resource and its subresources.
fn entries(resource: &Resource) -> Vec<Value> {
    let mut own = Map::new();
    own.insert("name".into(), resource.name.as_str().into());
    own.insert("singularName".into(), resource.singular.as_str().into());
    own.insert("namespaced".into(), resource.namespaced.into());
    own.insert("kind".into(), resource.kind.as_str().into());
    own.insert("verbs".into(), verbs(resource));
    insert_names(&mut own, resource);
    if resource.has_verb("watch") {
        own.insert("storageVersionHash".into(), storage_version_hash(resource).into());
    }
    let mut entries = vec![own.into()];
    entries.extend(subresources(resource).into_iter().map(|subresource| {
        let mut entry = json!({
            "name": format!("{}/{}", resource.name, subresource.name),
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": subresource.kind.kind,
            "verbs": subresource.verbs,
        });
        if subresource.kind.group_version() != resource.gvk().group_version() {
            entry["group"] = subresource.kind.group.as_str().into();
            entry["version"] = subresource.kind.version.as_str().into();
        }
        entry
    }));
    entries
}

/// Short names and categories, if there are any.
fn insert_names(entry: &mut Map<String, Value>, resource: &Resource) {
    for (field, names) in [("shortNames", &resource.short_names), ("categories", &resource.categories)] {
        if !names.is_empty() {
            entry.insert(field.into(), names.as_slice().into());
        }
    }
}

/// The subresources in upstream's order: sorted, but for custom resources `status` before `scale`.
fn subresources(resource: &Resource) -> Vec<&Subresource> {
    let mut subresources: Vec<_> = resource.subresources.iter().collect();
    subresources.sort_by(|a, b| a.name.cmp(&b.name));
    if resource.custom {
        subresources.reverse();
    }
    subresources
}

fn verbs(resource: &Resource) -> Value {
    if resource.custom {
        CUSTOM_VERBS.into_iter().filter(|verb| resource.has_verb(verb)).collect()
    } else {
        resource.verbs.as_slice().into()
    }
}

/// Names the version in which objects are stored: it changes when they have to be migrated.
fn storage_version_hash(resource: &Resource) -> String {
    let stored = STORED_AS
        .into_iter()
        .find(|(group, kind, _)| (*group, *kind) == (resource.group.as_str(), resource.kind.as_str()))
        .map_or_else(|| format!("{}/{}", resource.group, resource.version), |(_, _, stored)| stored.to_owned());
    let name = format!("{stored}/{}", resource.kind);
    STANDARD.encode(&digest::digest(&digest::SHA256, name.as_bytes()).as_ref()[..8])
}

#[cfg(test)]
pub(crate) mod tests;
