//! Objects of any kind, for tests that deal with many.

use kube::Client;
use kube::api::{Api, PostParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::discovery::ApiResource;
use serde_json::{Value, json};

/// The objects of a kind in a namespace, or in none. `version` is as in `apiVersion`; the plural of the kind is a regular one.
pub fn api(client: &Client, (version, kind): (&str, &str), namespace: Option<&str>) -> Api<DynamicObject> {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Creates an object, which need not say of which kind it is.
///
/// # Panics
/// If it is none, or if the server refuses it.
pub async fn create(
    client: &Client,
    (version, kind): (&str, &str),
    namespace: Option<&str>,
    mut object: Value,
) -> DynamicObject {
    object["apiVersion"] = json!(version);
    object["kind"] = json!(kind);
    let object = serde_json::from_value(object).expect("an object has metadata");
    let created = api(client, (version, kind), namespace).create(&PostParams::default(), &object).await;
    created.unwrap_or_else(|error| panic!("{kind}: {error}"))
}
