//! The Helm chart as it is rendered: the texts that a test holds to be what helm makes of it.

use std::path::Path;

use kube::Client;
use kube::api::PostParams;
use kube::core::{DynamicObject, TypeMeta};

use crate::objects::api;

/// Where the chart is installed in all of them.
pub const NAMESPACE: &str = "steersman-system";

/// What helm renders with the values of that name in `tests/goldens/chart`.
///
/// # Panics
/// If there is no such set of values.
pub fn rendered(values: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/chart").join(values).join("rendered.yaml");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The objects of a rendered chart that are of one of these kinds.
///
/// # Panics
/// If it is no YAML.
pub fn objects(rendered: &str, kinds: &[&str]) -> Vec<DynamicObject> {
    let objects: Vec<DynamicObject> = serde_saphyr::from_multiple(rendered).expect("helm renders YAML");
    let is_wanted =
        |object: &DynamicObject| object.types.as_ref().is_some_and(|types| kinds.contains(&types.kind.as_str()));
    objects.into_iter().filter(is_wanted).collect()
}

/// Creates objects, in their order; those without a namespace in `default` if their kind needs one.
///
/// # Panics
/// If the server refuses one.
pub async fn create(client: &Client, objects: &[DynamicObject]) {
    for object in objects {
        let types: &TypeMeta = object.types.as_ref().expect("a manifest has a kind");
        let api = api(client, (&types.api_version, &types.kind), object.metadata.namespace.as_deref());
        let created = api.create(&PostParams::default(), object).await;
        created.unwrap_or_else(|error| panic!("{}: {error}", types.kind));
    }
}
