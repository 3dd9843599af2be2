//! Swagger 2.0: everything in one document.

use std::sync::Arc;

use serde_json::{Value, json};

use super::paths::Paths;
use super::schemas::Schemas;
use super::{Dialect, info, security_schemes};
use crate::registry::resource::Resource;

/// What `GET /openapi/v2` answers. The document is large: keep it as long as the catalog stays.
pub fn document(catalog: &[Arc<Resource>]) -> Value {
    let group_versions = || catalog.iter().map(|resource| resource.gvk().group_version());
    let mut schemas = Schemas::new(Dialect::V2, group_versions());
    let mut paths = Paths::new(Dialect::V2, &mut schemas);
    for group_version in group_versions() {
        paths.add_group_version(&group_version);
    }
    for resource in catalog {
        paths.add(resource);
    }
    let paths = paths.into_value();
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths,
        "definitions": schemas.into_definitions(),
        "securityDefinitions": security_schemes(),
        "security": [{"BearerToken": []}],
    })
}
