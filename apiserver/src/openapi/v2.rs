//! Swagger 2.0: everything in one document.

use std::sync::Arc;

use serde_json::{Value, json};

use super::paths::Paths;
use super::schemas::Schemas;
use super::{Dialect, info, security_schemes};
use crate::registry::resource::Resource;

/// The media type of the document in protobuf, as clients ask for it.
pub const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// The same as the server says it.
pub const PROTOBUF_SERVED: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A document in protobuf (`openapi.v2.Document` of gnostic) that says which API it is, and no more. Clients that read
/// only this form use it to look up kinds that no other document has; from its silence they conclude that there is none.
pub fn outline() -> Vec<u8> {
    let info = info();
    let text = |name: &str| info[name].as_str().unwrap_or_default();
    let info = [field(1, text("title").as_bytes()), field(2, text("version").as_bytes())].concat();
    [field(1, b"2.0"), field(2, &info), field(8, b"")].concat()
}

/// A length-delimited field of a message; both number and length are small enough for one byte.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("the outline has no long texts");
    [&[number << 3 | 2, length], content].concat()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_is_a_protobuf_message() {
        assert_eq!(outline(), b"\x0a\x032.0\x12\x12\x0a\x0aKubernetes\x12\x041.36\x42\x00");
    }
}
