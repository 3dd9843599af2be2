//! The objects of its namespace to which a pod refers. Source: `k8s.io/kubernetes/pkg/api/v1/pod` (`VisitPodSecretNames`).

use serde_json::Value;

use crate::meta;

fn volumes_of(pod: &Value) -> impl Iterator<Item = &Value> {
    meta::items(pod, &["spec", "volumes"]).iter()
}

/// All that containers take their environment from: entries of `env` and of `envFrom`.
fn environment(pod: &Value) -> impl Iterator<Item = &Value> {
    let kinds = ["containers", "initContainers", "ephemeralContainers"];
    let containers = kinds.into_iter().flat_map(|kind| meta::items(pod, &["spec", kind]));
    containers.flat_map(|container| {
        let single = meta::items(container, &["env"]).iter().filter_map(|entry| entry.get("valueFrom"));
        single.chain(meta::items(container, &["envFrom"]))
    })
}

fn named<'a>(reference: &'a Value, fields: &'static [&'static str]) -> impl Iterator<Item = &'a str> {
    let names = fields.iter().map(|field| meta::text(reference, &[field, "name"]));
    names.filter(|name| !name.is_empty())
}

/// The single sources of a volume: each of its own and each that is projected into it.
fn sources(volume: &Value) -> impl Iterator<Item = &Value> {
    let own = volume.as_object().into_iter().flat_map(|fields| fields.values());
    let projected = meta::items(volume, &["projected", "sources"]).iter();
    own.chain(projected.filter_map(Value::as_object).flat_map(|fields| fields.values()))
}

/// The secrets of its namespace that a pod names, wherever it can: for its images, environment and volumes.
pub fn secrets(pod: &Value) -> impl Iterator<Item = &str> {
    let pull = meta::items(pod, &["spec", "imagePullSecrets"]).iter().map(|entry| meta::text(entry, &["name"]));
    let environment = environment(pod).flat_map(|from| named(from, &["secretKeyRef", "secretRef"]));
    let mounted = volumes_of(pod).flat_map(|volume| {
        let projected = meta::items(volume, &["projected", "sources"]).iter();
        let projected = projected.map(|source| meta::text(source, &["secret", "name"]));
        let direct = sources(volume).flat_map(|source| {
            let referred = named(source, &["secretRef", "nodePublishSecretRef"]);
            referred.chain(Some(meta::text(source, &["secretName"])))
        });
        projected.chain(direct)
    });
    pull.chain(environment).chain(mounted).filter(|name| !name.is_empty())
}

/// The config maps that a pod names: for its environment and volumes.
pub fn config_maps(pod: &Value) -> impl Iterator<Item = &str> {
    let environment = environment(pod).flat_map(|from| named(from, &["configMapKeyRef", "configMapRef"]));
    let mounted = volumes_of(pod).flat_map(|volume| {
        let projected = meta::items(volume, &["projected", "sources"]).iter();
        named(volume, &["configMap"]).chain(projected.flat_map(|source| named(source, &["configMap"])))
    });
    environment.chain(mounted)
}

/// The claims that a pod uses, by name; ephemeral volumes have claims named for pod and volume.
pub fn claims(pod: &Value) -> impl Iterator<Item = String> {
    volumes_of(pod).filter_map(|volume| match meta::text(volume, &["persistentVolumeClaim", "claimName"]) {
        "" => volume.get("ephemeral").map(|_| format!("{}-{}", meta::name(pod), meta::text(volume, &["name"]))),
        name => Some(name.to_owned()),
    })
}
