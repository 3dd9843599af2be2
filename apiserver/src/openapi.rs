//! OpenAPI: the shapes of all kinds and the operations on them, for clients that explain, validate and patch. The
//! documents are built from the catalog, the schema table and [`texts`] when somebody asks, never at the start of the
//! server.
//! Source: `k8s.io/kube-openapi`; Kubernetes doc "The Kubernetes API", section "OpenAPI interface definition".

pub mod cache;
mod operation;
mod paths;
mod published;
pub(crate) mod resolved;
mod schemas;
mod shared;
mod texts;
pub mod v2;
pub mod v3;

use serde_json::{Value, json};
use steersman_machinery::group::{GroupVersion, GroupVersionKind};

use crate::registry::resource::Resource;

/// `metav1.ObjectMeta`.
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
/// Some type that says what `apiVersion` and `kind` are; all say the same.
const OBJECT_WITH_TYPE: &str = "io.k8s.api.core.v1.ConfigMap";
/// `metav1.ListMeta`.
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
/// `metav1.Patch`.
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
/// `metav1.DeleteOptions`.
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
/// `metav1.WatchEvent`.
const WATCH_EVENT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";
/// `metav1.Status`.
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
/// `metav1.APIResourceList`.
const RESOURCE_LIST: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList";

/// `metav1.APIVersions`.
const API_VERSIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions";
/// `metav1.APIGroupList`.
const API_GROUP_LIST: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList";
/// `metav1.APIGroup`.
const API_GROUP: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup";

/// Which of the two formats is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// Swagger 2.0.
    V2,
    /// OpenAPI 3.0.
    V3,
}

impl Dialect {
    /// A reference to a definition.
    fn reference(self, definition: &str) -> Value {
        let place = match self {
            Self::V2 => "definitions",
            Self::V3 => "components/schemas",
        };
        json!({"$ref": format!("#/{place}/{definition}")})
    }

    /// A reference that can have siblings. OpenAPI 3.0 ignores what stands beside a `$ref`.
    fn wrapped_reference(self, definition: &str) -> Value {
        match self {
            Self::V2 => self.reference(definition),
            Self::V3 => json!({"allOf": [self.reference(definition)]}),
        }
    }
}

/// The `info` of both formats.
fn info() -> Value {
    json!({"title": "Kubernetes", "version": format!("{}.{}", crate::version::MAJOR, crate::version::MINOR)})
}

/// How a client shows who it is, in both formats.
fn security_schemes() -> Value {
    json!({"BearerToken": {"type": "apiKey", "in": "header", "name": "authorization"}})
}

/// The value of `x-kubernetes-group-version-kind`.
fn gvk_value(gvk: &GroupVersionKind) -> Value {
    json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
}

/// The path below which a group version is served, without a leading slash.
fn group_version_path(group_version: &GroupVersion) -> String {
    if group_version.group.is_empty() { format!("api/{group_version}") } else { format!("apis/{group_version}") }
}

/// The definition of a resource's objects: that of the schema table, or for a custom resource its group from right to
/// left, its version and its kind.
fn definition_name(resource: &Resource) -> String {
    match resource.object_type.root().as_struct() {
        Some(it) if !it.name.is_empty() && !resource.custom => it.name.clone(),
        _ => {
            let reversed: Vec<_> = resource.group.rsplit('.').collect();
            format!("{}.{}.{}", reversed.join("."), resource.version, resource.kind)
        }
    }
}

#[cfg(test)]
mod tests;
