//! What the definitions say.

use serde_json::{Value, json};

use super::*;

fn field<'a>(definition: &'a Value, path: &[&str]) -> &'a Value {
    let root = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    path.iter().fold(root, |schema, name| match *name {
        "[]" => &schema["items"],
        name => &schema["properties"][name],
    })
}

#[test]
fn the_types_are_those_of_apps_v1() {
    let definitions = definitions();
    let deployment = &definitions[0].object;
    assert_eq!(definitions[0].file, "apps.steersman.dev_deployments.yaml");
    assert_eq!(field(deployment, &["spec", "replicas"]), &json!({"type": "integer", "format": "int32", "default": 1}));
    let containers = ["spec", "template", "spec", "containers"];
    assert_eq!(field(deployment, &containers)["x-kubernetes-list-map-keys"], json!(["name"]));
    let surge = field(deployment, &["spec", "strategy", "rollingUpdate", "maxSurge"]);
    assert_eq!(surge["x-kubernetes-int-or-string"], true);
    assert!(field(deployment, &["status", "conditions", "[]", "reason"])["type"] == "string");
}

#[test]
fn every_key_of_a_list_is_required_or_defaulted() {
    fn check(schema: &Value, lists: &mut usize) {
        if let Some(keys) = schema["x-kubernetes-list-map-keys"].as_array() {
            *lists += 1;
            for key in keys.iter().filter_map(Value::as_str) {
                let required = schema["items"]["required"].as_array().is_some_and(|it| it.contains(&json!(key)));
                let defaulted = !schema["items"]["properties"][key]["default"].is_null();
                assert!(required || defaulted, "{key} of {}", schema["items"]["properties"]);
            }
        }
        schema.as_object().into_iter().flat_map(|it| it.values()).for_each(|child| check(child, lists));
        schema.as_array().into_iter().flatten().for_each(|child| check(child, lists));
    }
    let mut lists = 0;
    definitions().iter().for_each(|it| check(&it.object, &mut lists));
    assert!(lists > 20, "{lists}");
}

#[test]
fn scheduling_definitions_are_those_of_scheduler_plugins() {
    let [quota, group] = scheduling_definitions().try_into().unwrap();
    assert_eq!(quota.file, "scheduling.x-k8s.io_elasticquotas.yaml");
    assert_eq!(group.object["metadata"]["name"], "podgroups.scheduling.x-k8s.io");
    assert_eq!(field(&group.object, &["spec", "minMember"]), &json!({"type": "integer", "format": "int32"}));
    let cpu = &field(&quota.object, &["spec", "min"])["additionalProperties"];
    assert_eq!(cpu["x-kubernetes-int-or-string"], true);
}
