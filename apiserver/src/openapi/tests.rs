use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::discovery::tests::{catalog, widgets};

const METADATA: &str = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/\
    sig-architecture/api-conventions.md#metadata";

fn apps() -> Value {
    v3::document(&catalog(), "apps", "v1").unwrap()
}

fn definition<'a>(document: &'a Value, name: &str) -> &'a Value {
    &document["components"]["schemas"][name]
}

/// A custom resource with a schema that uses what Swagger 2.0 lacks.
fn custom() -> Vec<Arc<Resource>> {
    let mut resource = widgets("v1");
    resource.published_schema = Some(Arc::new(json!({
        "description": "A widget.",
        "type": "object",
        "properties": {
            "metadata": {"type": "object"},
            "spec": {"type": "object", "required": ["size"], "properties": {
                "size": {"type": "integer", "nullable": true},
                "tags": {"type": "array", "items": {"type": "string", "anyOf": [{"minLength": 1}]}},
            }},
        },
    })));
    vec![Arc::new(resource)]
}

/// Every `$ref` in the document.
fn references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            into.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|it| references(it, into));
        }
        Value::Array(items) => items.iter().for_each(|it| references(it, into)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let mut catalog = catalog();
    catalog.extend(custom());
    let check = |document: &Value| {
        let mut all = BTreeSet::new();
        references(document, &mut all);
        assert!(!all.is_empty());
        for reference in all {
            let target = document.pointer(reference.trim_start_matches('#'));
            assert!(target.is_some_and(Value::is_object), "{reference}");
        }
    };
    for (group, versions) in crate::discovery::group_versions(&catalog) {
        for version in versions {
            check(&v3::document(&catalog, group, version).unwrap());
        }
    }
    check(&v2::document(&catalog));
}

#[test]
fn operations_have_identifiers_of_their_own() {
    let mut catalog = catalog();
    catalog.extend(custom());
    let document = v2::document(&catalog);
    let mut seen = BTreeSet::new();
    for (path, entry) in document["paths"].as_object().unwrap() {
        for (method, operation) in entry.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters") {
            let id = operation["operationId"].as_str().unwrap();
            assert!(seen.insert(id.to_owned()), "{id} of {method} {path}");
        }
        for parameter in ["namespace", "name"] {
            let is_declared = entry["parameters"].as_array().into_iter().flatten().any(|it| {
                let shared =
                    it["$ref"].as_str().is_some_and(|it| it.starts_with(&format!("#/parameters/{parameter}-")));
                it["name"] == parameter || shared
            });
            assert_eq!(path.contains(&format!("{{{parameter}}}")), is_declared, "{path}");
        }
    }
    for id in [
        "listCoreV1PodForAllNamespaces",
        "readCoreV1NamespacedConfigMap",
        "replaceAppsV1NamespacedDeploymentScale",
        "deleteCoreV1CollectionNamespacedConfigMap",
        "watchRbacAuthorizationV1ClusterRoleList",
        "createCoreV1NamespacedPodEviction",
        "connectCoreV1GetNamespacedPodExec",
        "connectCoreV1PutNamespacedServiceProxyWithPath",
        "getFlowcontrolApiserverV1APIResources",
        "patchExampleComV1NamespacedWidgetStatus",
    ] {
        assert!(seen.contains(id), "{id}");
    }
}

#[test]
fn fields_say_how_they_merge() {
    let document = apps();
    let spec = definition(&document, "io.k8s.api.core.v1.PodSpec");
    assert_eq!(
        spec["properties"]["volumes"],
        json!({
            "description": "List of volumes that can be mounted by containers belonging to the pod. More info: \
                            https://kubernetes.io/docs/concepts/storage/volumes",
            "type": "array",
            "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.Volume"},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "x-kubernetes-patch-strategy": "merge,retainKeys",
            "x-kubernetes-patch-merge-key": "name",
        })
    );
    assert_eq!(spec["required"], json!(["containers"]));
    let mut selector = spec["properties"]["nodeSelector"].clone();
    assert!(selector["description"].take().is_string());
    assert_eq!(
        selector,
        json!({"type": "object", "additionalProperties": {"type": "string"}, "x-kubernetes-map-type": "atomic",
            "description": null})
    );
    assert_eq!(
        definition(&document, "io.k8s.api.apps.v1.DeploymentSpec")["properties"]["strategy"],
        json!({
            "description": "The deployment strategy to use to replace existing pods with new ones.",
            "allOf": [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}],
            "default": {},
            "x-kubernetes-patch-strategy": "retainKeys",
        })
    );
    let deployment = definition(&document, "io.k8s.api.apps.v1.Deployment");
    assert_eq!(
        deployment["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "version": "v1", "kind": "Deployment"}])
    );
}

/// kubectl's `explain` fails on an empty schema.
#[test]
fn no_schema_is_empty() {
    fn check(value: &Value, path: &str) {
        let fields = value.as_object().unwrap_or_else(|| panic!("{path} is no schema"));
        assert!(!fields.is_empty(), "{path}");
        for (name, property) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
            check(property, &format!("{path}.{name}"));
        }
        for part in ["items", "additionalProperties"] {
            if let Some(part) = fields.get(part) {
                check(part, path);
            }
        }
    }
    let catalog = catalog();
    for (group, version) in [("", "v1"), ("apiextensions.k8s.io", "v1"), ("resource.k8s.io", "v1")] {
        let document = v3::document(&catalog, group, version).unwrap();
        for (name, definition) in document["components"]["schemas"].as_object().unwrap() {
            check(definition, name);
        }
    }
}

#[test]
fn delete_options_are_a_kind_of_the_documents_own_group() {
    let document = apps();
    let kinds = &definition(&document, DELETE_OPTIONS)["x-kubernetes-group-version-kind"];
    assert_eq!(
        *kinds,
        json!([
            {"group": "", "version": "v1", "kind": "DeleteOptions"},
            {"group": "apps", "version": "v1", "kind": "DeleteOptions"},
        ])
    );
}

#[test]
fn patches_tell_clients_what_the_server_can_do() {
    let names = |operation: &Value| -> Vec<String> {
        let parameters = operation["parameters"].as_array().unwrap();
        parameters.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    let document = apps();
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(names(patch), ["dryRun", "fieldManager", "fieldValidation", "force"]);
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    assert_eq!(patch["x-kubernetes-action"], "patch");
    let types: Vec<_> = patch["requestBody"]["content"].as_object().unwrap().keys().collect();
    assert_eq!(
        types,
        [
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ]
    );
    let document = v3::document(&custom(), "example.com", "v1").unwrap();
    let patch = &document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
    assert_eq!(patch["requestBody"]["content"].as_object().unwrap().len(), 3);
    assert!(names(patch).contains(&"fieldValidation".to_owned()));
}

#[test]
fn custom_resources_publish_their_schema() {
    let document = v3::document(&custom(), "example.com", "v1").unwrap();
    let widget = definition(&document, "com.example.v1.Widget");
    assert_eq!(widget["description"], "A widget.");
    assert_eq!(widget["properties"]["spec"]["properties"]["size"]["nullable"], true);
    assert_eq!(
        widget["properties"]["metadata"],
        json!({"allOf": [{"$ref": format!("#/components/schemas/{OBJECT_META}")}], "description": METADATA})
    );
    assert_eq!(widget["x-kubernetes-group-version-kind"][0]["kind"], "Widget");
    let list = definition(&document, "com.example.v1.WidgetList");
    assert_eq!(list["properties"]["items"]["items"]["$ref"], "#/components/schemas/com.example.v1.Widget");
    let document = v2::document(&custom());
    let spec = &document["definitions"]["com.example.v1.Widget"]["properties"]["spec"];
    assert_eq!(spec["properties"]["size"], json!({}));
    assert_eq!(spec["properties"]["tags"]["items"], json!({"type": "string"}));
    assert_eq!(spec["required"], json!(["size"]));
}

#[test]
fn a_custom_resource_without_a_schema_is_described_by_its_type() {
    let catalog = [Arc::new(widgets("v1"))];
    let document = v3::document(&catalog, "example.com", "v1").unwrap();
    let widget = definition(&document, "com.example.v1.Widget");
    assert_eq!(widget["properties"]["kind"]["type"], "string");
}

#[test]
fn swagger_writes_parameters_and_bodies_in_its_own_way() {
    let document = v2::document(&catalog());
    assert_eq!(document["swagger"], "2.0");
    let path = &document["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"];
    let body = path["put"]["parameters"][0]["$ref"].as_str().unwrap();
    assert_eq!(
        *document.pointer(body.trim_start_matches('#')).unwrap(),
        json!({"in": "body", "name": "body", "required": true,
            "schema": {"$ref": "#/definitions/io.k8s.api.core.v1.ConfigMap"}})
    );
    let dry_run = &path["put"]["parameters"][1];
    assert_eq!((&dry_run["name"], &dry_run["type"]), (&json!("dryRun"), &json!("string")));
    assert_eq!(path["parameters"][1], json!({"$ref": "#/parameters/namespace-vgWSWtn3"}));
    assert_eq!(path["parameters"][2], json!({"$ref": "#/parameters/pretty-tJGM1-ng"}));
    assert_eq!(path["get"]["responses"]["200"]["schema"]["$ref"], "#/definitions/io.k8s.api.core.v1.ConfigMap");
    assert_eq!(
        document["definitions"]["io.k8s.api.core.v1.ConfigMap"]["properties"]["metadata"],
        json!({"$ref": format!("#/definitions/{OBJECT_META}"), "description": METADATA})
    );
}

#[test]
fn the_index_names_each_document_by_its_content() {
    let mut catalog = catalog();
    let index = v3::index(&catalog);
    let url = |index: &Value, path: &str| index["paths"][path]["serverRelativeURL"].as_str().unwrap().to_owned();
    let before = url(&index, "apis/apps/v1");
    assert_eq!(before, format!("/openapi/v3/apis/apps/v1?hash={}", v3::hash(&catalog, "apps", "v1")));
    assert!(index["paths"].get("api/v1").is_some());
    catalog.push(Arc::new(widgets("v1")));
    let without = v3::index(&catalog);
    catalog.pop();
    catalog.extend(custom());
    let with = v3::index(&catalog);
    assert_eq!(url(&with, "apis/apps/v1"), before);
    assert_ne!(url(&with, "apis/example.com/v1"), url(&without, "apis/example.com/v1"));
    assert_eq!(v3::document(&catalog, "nothing.example.org", "v1"), None);
}
