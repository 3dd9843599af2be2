//! A resource that is served: one row of the catalog.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use steersman_machinery::group::{GroupKind, GroupResource, GroupVersionKind};
use steersman_machinery::schema::{Schema, Type, TypeRef};

use super::strategy::Strategy;
use crate::features;
use crate::printers::Printer;

/// What a subresource is called and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// Its name, such as `status`.
    pub name: String,
    /// The kind of its bodies.
    pub kind: GroupVersionKind,
    /// Its verbs, sorted.
    pub verbs: Vec<String>,
}

/// Where the numbers of the scale subresource are in an object, as dotted paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// The replicas that are wanted: `spec.replicas`.
    pub spec: String,
    /// The replicas that there are: `status.replicas`.
    pub status: String,
    /// The label selector: `spec.selector`, or for custom resources a field that holds its text form; may be empty.
    pub selector: String,
    /// Whether the selector is a map of labels rather than a LabelSelector.
    pub plain_selector: bool,
}

impl ScalePaths {
    /// The steps of [`ScalePaths::spec`].
    pub fn spec_steps(&self) -> Vec<&str> {
        steps(&self.spec)
    }

    /// The steps of [`ScalePaths::status`].
    pub fn status_steps(&self) -> Vec<&str> {
        steps(&self.status)
    }

    /// The steps of [`ScalePaths::selector`].
    pub fn selector_steps(&self) -> Vec<&str> {
        steps(&self.selector)
    }
}

fn steps(path: &str) -> Vec<&str> {
    path.split('.').filter(|step| !step.is_empty()).collect()
}

/// The shape of a resource's objects.
#[derive(Clone)]
pub struct ObjectType {
    /// The arena in which the type lives.
    pub schema: Arc<Schema>,
    /// The type of the whole object.
    pub root: Type,
}

impl ObjectType {
    /// A handle on the type of the whole object.
    pub fn root(&self) -> TypeRef<'_> {
        self.schema.type_ref(&self.root)
    }
}

/// A resource in one version, and all that is needed to serve it.
#[derive(Clone)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The plural, lower-case name.
    pub name: String,
    /// The singular name.
    pub singular: String,
    /// The kind of the objects.
    pub kind: String,
    /// The kind of lists.
    pub list_kind: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Short names for kubectl.
    pub short_names: Vec<String>,
    /// Categories for kubectl, such as `all`.
    pub categories: Vec<String>,
    /// The verbs, sorted.
    pub verbs: Vec<String>,
    /// The subresources, sorted by name.
    pub subresources: Vec<Subresource>,
    /// Under which group and resource objects are stored: the same for all versions and for `events` of both groups.
    pub storage: GroupResource,
    /// The shape of the objects.
    pub object_type: ObjectType,
    /// The behaviour of the kind.
    pub strategy: Arc<dyn Strategy>,
    /// What is forgotten of objects that are written, since it belongs to features that are off: paths in which `*` is
    /// every item of a list.
    pub disabled_fields: Vec<Vec<&'static str>>,
    /// Where the scale subresource finds its numbers, if there is one.
    pub scale: Option<ScalePaths>,
    /// The columns of the kind.
    pub printer: Arc<dyn Printer>,
    /// Whether this is a custom resource; these have no protobuf and no strategic merge patch.
    pub custom: bool,
    /// What everybody is told who uses this version, if it is deprecated.
    pub deprecation: Option<String>,
    /// The revision since which the resource is served in this form; 0 for built-in ones. Watches can't begin before it.
    pub served_since: u64,
    /// The `openAPIV3Schema` of a custom resource as its definition states it, descriptions included; OpenAPI publishes it.
    pub published_schema: Option<Arc<Value>>,
}

impl Resource {
    /// The group and version as in `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { [&self.group, "/", &self.version].concat() }
    }

    /// Group, version and kind of the objects.
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new(self.group.clone(), self.version.clone(), self.kind.clone())
    }

    /// Group and kind, as in the text of an Invalid error: of the stored form, which events of both groups share.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(self.storage.group.clone(), self.kind.clone())
    }

    /// Group and resource, as in the text of other errors.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.group.clone(), self.name.clone())
    }

    /// Fills in what the kind defaults, and forgets what belongs to features that are off.
    pub fn default(&self, object: &mut Value) {
        self.strategy.default(object);
        self.disabled_fields.iter().for_each(|path| features::forget(object, path));
    }

    /// Whether the verb is offered.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|have| have == verb)
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.gvk(), self.name)
    }
}
