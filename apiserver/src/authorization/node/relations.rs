//! Which objects belong to which node: those that the pods bound to it refer to, directly or through their volumes.

use serde_json::Value;
use steersman_machinery::meta;
use steersman_machinery::pod::references::{claims, config_maps, secrets};
use steersman_machinery::status::Status;
use steersman_store::{Entry, Snapshot, Store};

use crate::authorization::latest;

/// Marks pods that only mirror what a kubelet runs by itself. A node learns nothing by them.
pub(crate) const MIRROR_POD: &str = "kubernetes.io/config.mirror";

/// What relations are read from, as of one moment.
#[derive(Clone, Debug)]
pub(crate) struct Relations {
    pods: Snapshot,
    volumes: Snapshot,
    attachments: Snapshot,
    slices: Snapshot,
}

impl Relations {
    pub(crate) async fn take(store: &dyn Store) -> Result<Self, Status> {
        Ok(Self {
            pods: latest(store, "pods").await?,
            volumes: latest(store, "persistentvolumes").await?,
            attachments: latest(store, "volumeattachments.storage.k8s.io").await?,
            slices: latest(store, "resourceslices.resource.k8s.io").await?,
        })
    }

    /// Whether a pod is bound to the node.
    pub(super) fn pod(&self, node: &str, namespace: &str, name: &str) -> bool {
        self.pods.get(namespace, name).is_some_and(|entry| is_on(entry, node))
    }

    pub(super) fn secret(&self, node: &str, namespace: &str, name: &str) -> bool {
        let by_pod = self.pods_on(node, Some(namespace)).any(|pod| secrets(&pod).any(|secret| secret == name));
        // A volume names the namespace of its secret; the secret's own is that of the claim otherwise.
        by_pod || self.volumes_on(node).any(|volume| volume_secrets(&volume, namespace).any(|secret| secret == name))
    }

    pub(super) fn config_map(&self, node: &str, namespace: &str, name: &str) -> bool {
        self.pods_on(node, Some(namespace)).any(|pod| config_maps(&pod).any(|map| map == name))
    }

    pub(super) fn claim(&self, node: &str, namespace: &str, name: &str) -> bool {
        self.pods_on(node, Some(namespace)).any(|pod| claims(&pod).any(|claim| claim == name))
    }

    pub(super) fn volume(&self, node: &str, name: &str) -> bool {
        self.volumes.get("", name).is_some_and(|entry| self.is_volume_on(&parse(entry), node))
    }

    pub(super) fn resource_claim(&self, node: &str, namespace: &str, name: &str) -> bool {
        self.pods_on(node, Some(namespace)).any(|pod| {
            let named = meta::items(&pod, &["spec", "resourceClaims"]).iter();
            let made = meta::items(&pod, &["status", "resourceClaimStatuses"]).iter();
            named.chain(made).any(|claim| meta::text(claim, &["resourceClaimName"]) == name)
        })
    }

    pub(super) fn service_account(&self, node: &str, namespace: &str, name: &str) -> bool {
        self.pods_on(node, Some(namespace)).any(|pod| meta::text(&pod, &["spec", "serviceAccountName"]) == name)
    }

    pub(super) fn attachment(&self, node: &str, name: &str) -> bool {
        let found = self.attachments.get("", name);
        found.is_some_and(|entry| meta::text(&parse(entry), &["spec", "nodeName"]) == node)
    }

    pub(super) fn slice(&self, node: &str, name: &str) -> bool {
        let found = self.slices.get("", name);
        found.is_some_and(|entry| meta::text(&parse(entry), &["spec", "nodeName"]) == node)
    }

    fn pods_on<'a>(&'a self, node: &'a str, namespace: Option<&str>) -> impl Iterator<Item = Value> + use<'a> {
        let pods = self.pods.range(namespace, None).filter(|entry| is_on(entry, node));
        pods.map(|entry| parse(entry)).filter(|pod| meta::annotation(pod, MIRROR_POD).is_none())
    }

    fn volumes_on<'a>(&'a self, node: &'a str) -> impl Iterator<Item = Value> {
        self.volumes.range(None, None).map(|entry| parse(entry)).filter(|volume| self.is_volume_on(volume, node))
    }

    /// Whether a pod of the node uses the claim to which a volume is bound.
    fn is_volume_on(&self, volume: &Value, node: &str) -> bool {
        let claim = |field| meta::text(volume, &["spec", "claimRef", field]);
        !claim("name").is_empty() && self.claim(node, claim("namespace"), claim("name"))
    }
}

fn parse(entry: &Entry) -> Value {
    serde_json::from_slice(entry.bytes()).expect("the store holds what was encoded as JSON")
}

fn is_on(entry: &Entry, node: &str) -> bool {
    entry.attributes.fields.iter().any(|(field, value)| *field == "spec.nodeName" && &**value == node)
}

/// The secrets that a volume refers to in a namespace. Drivers built into Kubernetes may leave the namespace to the claim.
fn volume_secrets<'a>(volume: &'a Value, namespace: &'a str) -> impl Iterator<Item = &'a str> {
    let of_claim = meta::text(volume, &["spec", "claimRef", "namespace"]);
    let sources = meta::at(volume, &["spec"]).and_then(Value::as_object).into_iter().flat_map(|spec| spec.values());
    let references = sources.filter_map(Value::as_object).flat_map(|source| {
        let named = source.iter().filter(|(field, _)| field.ends_with("ecretRef"));
        let named = named.map(|(_, secret)| (meta::text(secret, &["namespace"]), meta::text(secret, &["name"])));
        let plain = source.get("secretName").and_then(Value::as_str);
        let plain = plain.map(|name| (source.get("secretNamespace").and_then(Value::as_str).unwrap_or(""), name));
        named.chain(plain)
    });
    references.filter_map(move |(place, name)| {
        let place = if place.is_empty() { of_claim } else { place };
        (place == namespace && !name.is_empty()).then_some(name)
    })
}
