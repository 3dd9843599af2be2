//! `StorageObjectInUseProtection`: claims, volumes and classes of their attributes stay while somebody uses them. Their
//! controllers take the finalizer away.
//! Source: Kubernetes doc "Persistent Volumes", section "Storage Object in Use Protection"; KEP-3751.

use serde_json::{Value, json};
use steersman_machinery::meta;

use super::{Attributes, Operation, Plugin, Verdict, pass};

/// Group and resource, and what holds an object of it.
const FINALIZERS: [((&str, &str), &str); 3] = [
    (("", "persistentvolumeclaims"), "kubernetes.io/pvc-protection"),
    (("", "persistentvolumes"), "kubernetes.io/pv-protection"),
    (("storage.k8s.io", "volumeattributesclasses"), "kubernetes.io/vac-protection"),
];

pub(super) struct StorageObjectInUseProtection;

impl Plugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        let protected = FINALIZERS.iter().find(|((group, resource), _)| attributes.is(group, resource));
        if let (Operation::Create, Some((_, finalizer))) = (attributes.operation, protected) {
            protect(object, finalizer);
        }
        pass()
    }
}

/// Gives a new object a finalizer, if it has it not yet.
pub(super) fn protect(object: &mut Value, finalizer: &str) {
    if !meta::finalizers(object).any(|present| present == finalizer) {
        let mut finalizers = meta::items(object, &["metadata", "finalizers"]).to_vec();
        finalizers.push(json!(finalizer));
        meta::set(object, &["metadata", "finalizers"], finalizers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finalizer_is_added_once() {
        let mut claim = json!({"metadata": {"finalizers": ["a"]}});
        protect(&mut claim, "b");
        protect(&mut claim, "b");
        assert_eq!(claim["metadata"]["finalizers"], json!(["a", "b"]));
    }
}
