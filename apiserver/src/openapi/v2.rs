//! Swagger 2.0: everything in one document.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::paths::Paths;
use super::schemas::Schemas;
use super::texts::Texts;
use super::{Dialect, info, security_schemes, shared};
use crate::discovery;
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

/// What `GET /openapi/v2` answers.
pub fn document(catalog: &[Arc<Resource>]) -> Value {
    let text = encode(&builtin(catalog), catalog);
    serde_json::from_slice(&text).expect("the document is put together from JSON")
}

/// Names the content of the document without building it.
pub fn hash(catalog: &[Arc<Resource>]) -> String {
    let group_versions = discovery::group_versions(catalog);
    let pairs = group_versions.iter().flat_map(|(group, versions)| versions.iter().map(move |it| (*group, *it)));
    let hashes: Vec<String> = pairs.map(|(group, version)| super::v3::hash(catalog, group, version)).collect();
    discovery::hash(hashes.concat().as_bytes())
}

/// The members of some maps of the document, as JSON without the braces.
#[derive(Debug, Default)]
pub struct Fragments {
    paths: String,
    definitions: String,
    parameters: String,
    /// The names of the definitions and parameters.
    names: BTreeSet<String>,
}

/// What the document says of built-in resources.
pub fn builtin(catalog: &[Arc<Resource>]) -> Fragments {
    fragments(catalog.iter().filter(|resource| !resource.custom), &BTreeSet::new())
}

/// The document of a catalog, given what it says of the built-in resources.
pub fn encode(builtin: &Fragments, catalog: &[Arc<Resource>]) -> Vec<u8> {
    let custom = fragments(catalog.iter().filter(|resource| resource.custom), &builtin.names);
    let join = |ours: &str, theirs: &str| {
        let parts = [ours, theirs].into_iter().filter(|part| !part.is_empty());
        format!("{{{}}}", parts.collect::<Vec<_>>().join(","))
    };
    let text = format!(
        "{{\"swagger\":\"2.0\",\"info\":{},\"paths\":{},\"definitions\":{},\"parameters\":{},\
         \"securityDefinitions\":{},\"security\":[{{\"BearerToken\":[]}}]}}\n",
        info(),
        join(&builtin.paths, &custom.paths),
        join(&builtin.definitions, &custom.definitions),
        join(&builtin.parameters, &custom.parameters),
        security_schemes(),
    );
    text.into_bytes()
}

/// What the document says of some resources, without what others have said already.
fn fragments<'a>(resources: impl Iterator<Item = &'a Arc<Resource>> + Clone, known: &BTreeSet<String>) -> Fragments {
    if resources.clone().next().is_none() {
        return Fragments::default();
    }
    let texts = Texts::read();
    let group_versions: BTreeSet<_> = resources.clone().map(|resource| resource.gvk().group_version()).collect();
    let mut schemas = Schemas::new(Dialect::V2, &texts, group_versions.iter().cloned());
    let mut paths = Paths::new(Dialect::V2, &mut schemas);
    for group_version in &group_versions {
        paths.add_group_version(group_version);
    }
    paths.add_groups(&group_versions);
    for resource in resources {
        paths.add(resource);
    }
    let mut paths = paths.into_value();
    let parameters = Value::from(shared::extract(&mut paths));
    let definitions = schemas.into_definitions();
    let mut names = BTreeSet::new();
    let mut members = |map: &Value, only_new: bool| {
        let mut members = Vec::new();
        for (name, value) in map.as_object().into_iter().flatten() {
            if !(only_new && known.contains(name)) {
                members.push(format!("{}:{value}", Value::from(name.as_str())));
            }
            names.insert(name.clone());
        }
        members.join(",")
    };
    let (paths, definitions) = (members(&paths, false), members(&definitions, true));
    Fragments { parameters: members(&parameters, true), paths, definitions, names }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_is_a_protobuf_message() {
        assert_eq!(outline(), b"\x0a\x032.0\x12\x12\x0a\x0aKubernetes\x12\x041.36\x42\x00");
    }
}
