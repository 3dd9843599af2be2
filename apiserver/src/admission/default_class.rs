//! `DefaultStorageClass` and `DefaultIngressClass`: what does not say its class gets the one that is marked as default.
//! Source: Kubernetes docs "Dynamic Volume Provisioning", "Ingress" (default IngressClass).

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::meta;

use super::{Attributes, Operation, Plugin, Verdict, pass};

/// Fills in the class of new objects of one resource.
pub(super) struct DefaultClass {
    name: &'static str,
    /// Group and resource of the objects.
    object: (&'static str, &'static str),
    /// The field of the class.
    field: [&'static str; 2],
    /// The annotation that named the class before there was a field.
    old_annotation: &'static str,
    /// The classes.
    classes: &'static str,
    /// The annotations of the class that is the default: one of them is `true`.
    default_annotations: &'static [&'static str],
}

/// The storage class of claims.
pub(super) const STORAGE: DefaultClass = DefaultClass {
    name: "DefaultStorageClass",
    object: ("", "persistentvolumeclaims"),
    field: ["spec", "storageClassName"],
    old_annotation: "volume.beta.kubernetes.io/storage-class",
    classes: "storageclasses.storage.k8s.io",
    default_annotations: &[
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ],
};

/// The class of ingresses.
pub(super) const INGRESS: DefaultClass = DefaultClass {
    name: "DefaultIngressClass",
    object: ("networking.k8s.io", "ingresses"),
    field: ["spec", "ingressClassName"],
    old_annotation: "kubernetes.io/ingress.class",
    classes: "ingressclasses.networking.k8s.io",
    default_annotations: &["ingressclass.kubernetes.io/is-default-class"],
};

impl Plugin for DefaultClass {
    fn name(&self) -> &'static str {
        self.name
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        let (group, resource) = self.object;
        let says = || {
            meta::at(object, &self.field).is_some_and(|class| !class.is_null())
                || meta::annotation(object, self.old_annotation).is_some()
        };
        if attributes.operation != Operation::Create || !attributes.is(group, resource) || says() {
            return pass();
        }
        async move {
            if let Some(class) = self.choose(&attributes.server.read_all(self.classes).await?) {
                meta::set(object, &self.field, class);
            }
            Ok(())
        }
        .boxed()
        .right_future()
    }
}

impl DefaultClass {
    /// The youngest of the default classes; of those, the first by name.
    fn choose<'a>(&self, classes: &'a [Value]) -> Option<&'a str> {
        let is_default = |class: &&Value| {
            self.default_annotations.iter().any(|annotation| meta::annotation(class, annotation) == Some("true"))
        };
        let age = |class: &Value| meta::text(class, &["metadata", "creationTimestamp"]).to_owned();
        let best = classes.iter().filter(is_default).reduce(|best, class| {
            let better = (age(class), meta::name(best)) > (age(best), meta::name(class));
            if better { class } else { best }
        });
        best.map(meta::name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_youngest_default_class_is_chosen() {
        let class = |name: &str, default: &str, born: &str| {
            json!({"metadata": {"name": name, "creationTimestamp": born,
                "annotations": {"storageclass.kubernetes.io/is-default-class": default}}})
        };
        let classes = [
            class("a", "false", "2026-01-03T00:00:00Z"),
            class("b", "true", "2026-01-01T00:00:00Z"),
            class("d", "true", "2026-01-02T00:00:00Z"),
            class("c", "true", "2026-01-02T00:00:00Z"),
        ];
        assert_eq!(STORAGE.choose(&classes), Some("c"));
        assert_eq!(STORAGE.choose(&classes[..2]), Some("b"));
        assert_eq!(STORAGE.choose(&classes[..1]), None);
    }
}
