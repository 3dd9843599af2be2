//! OpenAPI 3.0: one document a group version, and the index of them.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use steersman_machinery::group::GroupVersion;

use super::paths::Paths;
use super::schemas::Schemas;
use super::texts::Texts;
use super::{Dialect, group_version_path, info, security_schemes};
use crate::discovery;
use crate::registry::resource::Resource;

/// Has to be raised when documents change though the catalog does not: clients keep a document for as long as its hash
/// stays.
const FORMAT: u32 = 2;

/// What `GET /openapi/v3` answers: where the document of each group version is.
pub fn index(catalog: &[Arc<Resource>]) -> Value {
    let mut paths = Map::new();
    for (group, versions) in discovery::group_versions(catalog) {
        for version in versions {
            let path = group_version_path(&GroupVersion::new(group, version));
            let url = format!("/openapi/v3/{path}?hash={}", hash(catalog, group, version));
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({ "paths": paths })
}

/// Names the content of a document without building it: it changes whenever the document does. It is the `hash` of the
/// index, and the `ETag` of the document (without quotes).
pub fn hash(catalog: &[Arc<Resource>], group: &str, version: &str) -> String {
    let resources: Vec<_> = resources(catalog, group, version)
        .map(|resource| {
            let subresources: Vec<_> = resource.subresources.iter().map(|it| (&it.name, &it.verbs)).collect();
            json!([
                resource.name,
                resource.kind,
                resource.list_kind,
                resource.namespaced,
                resource.verbs,
                subresources,
                resource.published_schema.as_deref(),
            ])
        })
        .collect();
    let identity = json!([FORMAT, env!("CARGO_PKG_VERSION"), group, version, resources]);
    discovery::hash(identity.to_string().as_bytes())
}

/// What `GET /openapi/v3/api/v1` or `GET /openapi/v3/apis/GROUP/VERSION` answers; `None` if nothing is served there.
pub fn document(catalog: &[Arc<Resource>], group: &str, version: &str) -> Option<Value> {
    let group_version = GroupVersion::new(group, version);
    let texts = Texts::read();
    let mut schemas = Schemas::new(Dialect::V3, &texts, [group_version.clone()]);
    let mut paths = Paths::new(Dialect::V3, &mut schemas);
    let mut resources = resources(catalog, group, version).peekable();
    resources.peek()?;
    paths.add_group_version(&group_version);
    for resource in resources {
        paths.add(resource);
    }
    let paths = paths.into_value();
    Some(json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths,
        "components": {"schemas": schemas.into_definitions(), "securitySchemes": security_schemes()},
    }))
}

fn resources<'a>(catalog: &'a [Arc<Resource>], group: &str, version: &str) -> impl Iterator<Item = &'a Resource> {
    catalog.iter().map(Arc::as_ref).filter(move |resource| resource.group == group && resource.version == version)
}
