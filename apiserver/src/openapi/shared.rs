//! Parameters that many operations have: Swagger 2.0 states each once and refers to it.
//! Source: `k8s.io/kube-openapi/pkg/builder` (`collectSharedParameters`), whose names these are.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Map, Value, json};

/// Parameters that stay where they are: names differ from kind to kind, and clients look for the others in place.
const IN_PLACE: [&str; 3] = ["name", "dryRun", "fieldValidation"];

/// The members of a parameter in the order in which upstream writes them.
const ORDER: [&str; 7] = ["uniqueItems", "type", "description", "name", "in", "required", "schema"];

/// Replaces the parameters of all paths by references, and returns what they refer to.
pub(super) fn extract(paths: &mut Value) -> Map<String, Value> {
    let mut shared = Map::new();
    for (_, path) in paths.as_object_mut().into_iter().flatten() {
        for (member, value) in path.as_object_mut().into_iter().flatten() {
            let parameters = if member == "parameters" { Some(value) } else { value.get_mut("parameters") };
            for parameter in parameters.and_then(Value::as_array_mut).into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap_or_default();
                if IN_PLACE.contains(&name) {
                    continue;
                }
                let name = format!("{name}-{}", hash(parameter));
                let reference = json!({"$ref": format!("#/parameters/{name}")});
                shared.insert(name, std::mem::replace(parameter, reference));
            }
        }
    }
    shared
}

/// The first six bytes of the FNV-1 hash of a parameter.
fn hash(parameter: &Value) -> String {
    let members = ORDER.iter().filter_map(|name| Some(format!("\"{name}\":{}", parameter.get(name)?)));
    let text = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
    // Go's encoder escapes what HTML would take for markup.
    let text = text.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
    URL_SAFE.encode(&hash.to_be_bytes()[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_upstream() {
        let mut paths = json!({"/x": {
            "delete": {"parameters": [{"name": "body", "in": "body",
                "schema": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"}}]},
            "parameters": [
                {"name": "namespace", "in": "path", "required": true, "type": "string", "uniqueItems": true,
                    "description": "object name and auth scope, such as for teams and projects"},
                {"name": "name", "in": "path"},
            ],
        }});
        let shared = extract(&mut paths);
        assert_eq!(paths["/x"]["parameters"][0], json!({"$ref": "#/parameters/namespace-vgWSWtn3"}));
        assert_eq!(paths["/x"]["parameters"][1]["name"], "name");
        assert_eq!(shared.keys().collect::<Vec<_>>(), ["body-2Y1dVQaQ", "namespace-vgWSWtn3"]);
    }
}
