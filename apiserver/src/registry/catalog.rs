//! All resources that are served at a moment. A catalog never changes; a new one replaces it when a custom resource
//! comes or goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use steersman_machinery::group::{GroupResource, GroupVersionKind};
use steersman_machinery::schema::Type;
use steersman_machinery::schema::builtin::{self, ResourceInfo};

use super::resource::{ObjectType, Resource, ScalePaths, Subresource};
use crate::features::{self, Features, RuntimeConfig};
use crate::kinds;
use crate::printers;

/// The resources that are served.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    by_path: BTreeMap<String, Arc<Resource>>,
    group_versions: BTreeSet<(String, String)>,
    all: Vec<Arc<Resource>>,
}

impl Catalog {
    /// Everything that Kubernetes serves by default.
    pub fn builtin() -> Self {
        Self::builtin_with(&Features::default(), &RuntimeConfig::default())
    }

    /// Everything that Kubernetes serves with these features and versions.
    pub fn builtin_with(features: &Features, config: &RuntimeConfig) -> Self {
        let made = features::served(features, config).map(|info| {
            let disabled_fields = features::disabled_fields(features, &info.group, &info.resource);
            Arc::new(Resource { disabled_fields, ..resource(info) })
        });
        made.collect()
    }

    /// The same, with these custom resources in the place of all of that group and plural name.
    #[must_use]
    pub fn with_custom(&self, group: &str, plural: &str, resources: Vec<Resource>) -> Self {
        let keep = |it: &&Arc<Resource>| !(it.custom && it.group == group && it.name == plural);
        self.all.iter().filter(keep).cloned().chain(resources.into_iter().map(Arc::new)).collect()
    }

    /// The resource at that place.
    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Resource>> {
        self.by_path.get(&path(group, version, resource))
    }

    /// Any served version of that kind.
    pub fn find_kind(&self, gvk: &GroupVersionKind) -> Option<&Arc<Resource>> {
        self.all.iter().find(|it| it.kind == gvk.kind && it.group == gvk.group && it.version == gvk.version)
    }

    /// Whether anything is served in that group and version.
    pub fn has_group_version(&self, group: &str, version: &str) -> bool {
        self.group_versions.contains(&(group.to_owned(), version.to_owned()))
    }

    /// All resources: built-in ones in upstream's order, then custom ones.
    pub fn all(&self) -> &[Arc<Resource>] {
        &self.all
    }
}

impl FromIterator<Arc<Resource>> for Catalog {
    fn from_iter<T: IntoIterator<Item = Arc<Resource>>>(resources: T) -> Self {
        let mut catalog = Self::default();
        for resource in resources {
            catalog.by_path.insert(path(&resource.group, &resource.version, &resource.name), resource.clone());
            catalog.group_versions.insert((resource.group.clone(), resource.version.clone()));
            catalog.all.push(resource);
        }
        catalog
    }
}

fn path(group: &str, version: &str, resource: &str) -> String {
    format!("{group}/{version}/{resource}")
}

fn resource(info: &ResourceInfo) -> Resource {
    Resource {
        group: info.group.clone(),
        version: info.version.clone(),
        name: info.resource.clone(),
        singular: info.singular.clone(),
        kind: info.kind.clone(),
        list_kind: info.list_kind.clone(),
        namespaced: info.namespaced,
        short_names: info.short_names.clone(),
        categories: info.categories.clone(),
        verbs: info.verbs.clone(),
        subresources: subresources(info),
        storage: storage(info),
        object_type: ObjectType {
            schema: builtin::schema().clone(),
            // Kinds that are only ever sent to the server, such as reviews, may have a type of their own or none.
            root: builtin::type_of(&info.gvk()).unwrap_or(Type::FreeForm),
        },
        deprecation: deprecation(&info.group, &info.resource),
        served_since: 0,
        published_schema: None,
        strategy: kinds::strategy_in(&info.group, &info.version, &info.resource),
        scale: scale_paths(info),
        printer: printers::printer_for(&info.group, &info.resource),
        custom: false,
        disabled_fields: Vec::new(),
    }
}

/// Source: the `prerelease-lifecycle` marks of `k8s.io/api`.
fn deprecation(group: &str, resource: &str) -> Option<String> {
    let text = match (group, resource) {
        ("", "componentstatuses") => "v1 ComponentStatus is deprecated in v1.19+",
        ("", "endpoints") => "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
        _ => return None,
    };
    Some(text.to_owned())
}

fn scale_paths(info: &ResourceInfo) -> Option<ScalePaths> {
    info.subresource("scale").map(|_| ScalePaths {
        spec: "spec.replicas".to_owned(),
        status: "status.replicas".to_owned(),
        selector: "spec.selector".to_owned(),
        plain_selector: info.group.is_empty(),
    })
}

fn subresources(info: &ResourceInfo) -> Vec<Subresource> {
    info.subresources
        .iter()
        .map(|it| Subresource {
            name: it.name.clone(),
            kind: GroupVersionKind::new(it.group.clone(), it.version.clone(), it.kind.clone()),
            verbs: it.verbs.clone(),
        })
        .collect()
}

/// Events of both groups are the same objects.
fn storage(info: &ResourceInfo) -> GroupResource {
    match (info.group.as_str(), info.resource.as_str()) {
        ("events.k8s.io", "events") => GroupResource::new("", "events"),
        (group, resource) => GroupResource::new(group, resource),
    }
}
