use serde_json::json;

use super::*;

fn strategy(subresources: Value, rules: Value) -> CustomStrategy {
    let mut status = json!({"type": "object", "properties": {
        "replicas": {"type": "integer"}, "phase": {"type": "string", "enum": ["Up", "Down"]}}});
    if !rules.is_null() {
        status["x-kubernetes-validations"] = rules;
    }
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"replicas": {"type": "integer"}, "color": {"type": "string"}}},
        "status": status}});
    let version = json!({"name": "v1", "schema": {"openAPIV3Schema": schema}, "subresources": subresources,
        "selectableFields": [{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.replicas"}]});
    let scale = ScalePaths {
        spec: "spec.replicas".to_owned(),
        status: "status.replicas".to_owned(),
        selector: String::new(),
        plain_selector: false,
    };
    let definition = json!({"metadata": {"generation": 1}, "spec": {"group": "example.com", "scope": "Cluster",
        "names": {"kind": "Fleet"}, "versions": [version.clone()]}});
    CustomStrategy::new(&definition, &version, Arc::new(Structural::parse(&schema)), Some(scale))
}

fn texts(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn the_generation_follows_everything_but_metadata_and_a_status_of_its_own() {
    let old = json!({"metadata": {"labels": {}}, "spec": {"replicas": 1}, "status": {"phase": "Up"}});
    let changed = |name: &str, has_status: bool| {
        let mut new = old.clone();
        new[name] = json!({"x": "y"});
        let subresources = if has_status { json!({"status": {}}) } else { json!({}) };
        strategy(subresources, Value::Null).spec_changed(&new, &old)
    };
    assert!(changed("spec", true) && changed("spec", false));
    assert!(!changed("metadata", true) && !changed("metadata", false));
    assert!(!changed("status", true) && changed("status", false));
}

#[test]
fn replicas_are_not_negative() {
    let strategy = strategy(json!({"scale": {}}), Value::Null);
    assert_eq!(
        texts(&strategy.validate(&json!({"spec": {"replicas": -1}}))),
        [".spec.replicas: Invalid value: -1: should be a non-negative integer"]
    );
    assert_eq!(
        texts(&strategy.validate(&json!({"spec": {"replicas": 2_147_483_648_i64}}))),
        [".spec.replicas: Invalid value: 2147483648: should be less than or equal to 2147483647"]
    );
}

#[test]
fn a_write_to_the_status_is_judged_by_the_status() {
    let strategy = strategy(json!({"status": {}}), Value::Null);
    let old = json!({"spec": {"color": 1}, "status": {"phase": "Up"}});
    let new = json!({"spec": {"color": 1}, "status": {"phase": "Sideways"}});
    assert_eq!(
        texts(&strategy.validate_status_update(&new, &old)),
        [r#"status.phase: Unsupported value: "Sideways": supported values: "Up", "Down""#]
    );
    assert!(strategy.validate_status_update(&old, &old).is_empty());
}

#[test]
fn clients_learn_that_rules_were_not_checked() {
    let strategy = strategy(json!({}), json!([{"rule": "true"}]));
    let errors = texts(&strategy.validate(&json!({"status": {"phase": "Sideways"}})));
    assert_eq!(errors.len(), 2);
    assert_eq!(
        errors[1],
        "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the \
         existing errors to complete validation"
    );
}

#[test]
fn new_plain_finalizers_are_warned_of() {
    let strategy = strategy(json!({}), Value::Null);
    let object = json!({"metadata": {"finalizers": ["plain", "e.com/x", "orphan"]}});
    assert_eq!(
        strategy.warnings(&object, None),
        [
            "metadata.finalizers: \"plain\": prefer a domain-qualified finalizer name to avoid accidental conflicts with \
          other finalizer writers"
        ]
    );
    assert!(strategy.warnings(&object, Some(&object)).is_empty());
}

#[test]
fn fields_are_selectable_as_texts() {
    let strategy = strategy(json!({}), Value::Null);
    let fields = strategy.selectable_fields(&json!({"spec": {"replicas": 2}}));
    assert_eq!(fields, [("spec.color", String::new()), ("spec.replicas", "2".to_owned())]);
}

#[test]
fn what_is_stored_is_read_with_the_present_schema() {
    let strategy = strategy(json!({}), Value::Null);
    let mut object = json!({"spec": {"color": "red", "gone": 1}});
    strategy.to_served(&mut object);
    assert_eq!(object, json!({"spec": {"color": "red"}}));
    assert!(!strategy.converts(), "nothing can have been stored under another schema");
}

#[test]
fn a_status_write_leaves_the_metadata_alone() {
    let strategy = strategy(json!({"status": {}}), Value::Null);
    let old = json!({"metadata": {"name": "f", "resourceVersion": "1"}});
    let mut new = json!({"metadata": {"name": "f", "labels": {"a": "b"}, "resourceVersion": "2", "managedFields": []}});
    strategy.prepare_for_status_update(&mut new, &old);
    assert_eq!(new, json!({"metadata": {"name": "f", "resourceVersion": "2", "managedFields": []}}));
}

#[test]
fn an_object_stays_of_its_kind_and_scope() {
    let strategy = strategy(json!({}), Value::Null);
    assert!(!strategy.selects_by_namespace());
    assert_eq!(
        texts(&strategy.validate(&json!({"apiVersion": "other/v1", "kind": "Meal"}))),
        [
            "apiVersion: Invalid value: \"other/v1\": must be example.com/v1",
            "kind: Invalid value: \"Meal\": must be Fleet"
        ]
    );
    assert!(strategy.validate(&json!({"apiVersion": "example.com/v1", "kind": "Fleet"})).is_empty());
}

#[test]
fn whole_numbers_are_written_whole() {
    let strategy = strategy(json!({}), Value::Null);
    let mut object = json!({"spec": {"replicas": 5.0, "list": [0.5, 2.0, 1e300]}});
    strategy.default(&mut object);
    assert_eq!(object.to_string(), r#"{"spec":{"list":[0.5,2,1e+300],"replicas":5}}"#);
}

#[test]
fn metadata_has_types_of_its_own() {
    let mut object = json!({"metadata": {"name": "a", "labels": {"a": 1}}});
    assert_eq!(
        decode_metadata(&mut object).unwrap_err().to_string(),
        "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"
    );
    let mut object = json!({"metadata": {"name": "a", "labels": {}, "creationTimestamp": null}, "spec": 1});
    decode_metadata(&mut object).unwrap();
    assert_eq!(object, json!({"metadata": {"name": "a"}, "spec": 1}));
}
