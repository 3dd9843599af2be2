//! Objects to create, as a person would write them.

use k8s_openapi::api::apps::v1::Deployment;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A Deployment of one container; whatever is not said is defaulted by the API server.
pub fn deployment(name: &str, replicas: i32) -> Deployment {
    deployment_with(name, replicas, json!({}))
}

/// The same with further members of `spec`, which are merged in.
pub fn deployment_with(name: &str, replicas: i32, spec: Value) -> Deployment {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "app:1"}]},
            },
        },
    });
    merge(&mut object["spec"], spec);
    serde_json::from_value(object).expect("this is a Deployment")
}

/// An object from the text of a manifest.
///
/// # Panics
/// If the text is not YAML or not such an object.
pub fn from_yaml<K: DeserializeOwned>(text: &str) -> K {
    serde_saphyr::from_str(text).expect("the manifest is in order")
}

/// The JSON merge patch that gives the Deployment's one container another image.
pub fn image_patch(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}})
}

/// Merges the members of `from` into `into`, objects member by member.
pub(crate) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
