use serde_json::json;
use steersman_machinery::patch::apply::field_set;
use steersman_machinery::schema::Type;

use super::*;

fn app() -> Structural {
    Structural::parse(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "default": {}, "properties": {
            "image": {"type": "string", "default": "nginx:1"},
            "replicas": {"type": "integer", "default": 1},
            "resources": {"type": "object", "default": {"cpu": "100m"}, "properties": {
                "cpu": {"type": "string"}, "memory": {"type": "string", "default": "64Mi"}}},
            "ports": {"type": "array", "items": {"type": "object", "properties": {
                "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string", "default": "none"}},
            "note": {"type": "string", "nullable": true, "default": "hello"},
            "strict": {"type": "string"},
            "raw": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                "known": {"type": "object", "properties": {"a": {"type": "string"}}}}},
            "template": {"type": "object", "x-kubernetes-embedded-resource": true,
                "x-kubernetes-preserve-unknown-fields": true}}},
        "enabled": {"type": "boolean", "default": true}}}))
}

#[test]
fn defaults_fill_what_is_absent() {
    let check = |mut object: Value, expect: Value| {
        default(&mut object, &app());
        assert_eq!(object, expect);
        let once = object.clone();
        default(&mut object, &app());
        assert_eq!(object, once, "idempotent");
    };
    let full = json!({"image": "nginx:1", "note": "hello", "replicas": 1,
        "resources": {"cpu": "100m", "memory": "64Mi"}});
    check(json!({"metadata": {"name": "a"}}), json!({"metadata": {"name": "a"}, "spec": full, "enabled": true}));
    check(
        json!({"spec": {"resources": {"cpu": "1"}, "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]}}),
        json!({"enabled": true, "spec": {"image": "nginx:1", "note": "hello", "replicas": 1,
            "resources": {"cpu": "1", "memory": "64Mi"},
            "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}}),
    );
    check(
        json!({"enabled": false, "spec": {"image": null, "note": null, "strict": null, "replicas": null,
            "resources": null, "labels": {"a": null}}}),
        json!({"enabled": false, "spec": {"image": "nginx:1", "labels": {"a": "none"}, "note": null, "replicas": 1,
            "resources": {"cpu": "100m", "memory": "64Mi"}}}),
    );
}

#[test]
fn what_the_schema_does_not_know_is_pruned() {
    let mut object = json!({"apiVersion": "x/v1", "kind": "App", "metadata": {"name": "a", "unknownField": 1,
        "labels": {"any": "thing"}},
        "spec": {"imagee": "x", "ports": [{"portt": 1}], "raw": {"any": {"goes": [1]}, "known": {"a": "1", "b": "2"}},
            "template": {"kind": "Pod", "metadata": {"name": "p", "odd": 1}, "spec": {"x": 1}}},
        "extra": 1, "status": {"x": 1}});
    let gone = prune(&mut object, &app());
    assert_eq!(
        gone,
        [
            "extra",
            "metadata.unknownField",
            "spec.imagee",
            "spec.ports[0].portt",
            "spec.raw.known.b",
            "spec.template.metadata.odd",
            "status"
        ]
    );
    assert_eq!(
        object,
        json!({"apiVersion": "x/v1", "kind": "App", "metadata": {"name": "a", "labels": {"any": "thing"}},
            "spec": {"ports": [{}], "raw": {"any": {"goes": [1]}, "known": {"a": "1"}},
                "template": {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"x": 1}}}})
    );
    assert!(prune(&mut object, &app()).is_empty());
}

#[test]
fn a_schema_that_preserves_everything_prunes_nothing() {
    let schema = Structural::parse(&json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
    let mut object = json!({"spec": {"a": [1, {"b": null}]}, "anything": 1});
    assert!(prune(&mut object, &schema).is_empty());
    default(&mut object, &schema);
    assert_eq!(object, json!({"spec": {"a": [1, {"b": null}]}, "anything": 1}));
}

#[test]
fn the_type_tells_how_lists_and_maps_merge() {
    let schema = Structural::parse(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "atomic": {"type": "array", "items": {"type": "string"}},
        "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "port"],
            "items": {"type": "object", "properties": {
                "name": {"type": "string"}, "port": {"type": "integer", "default": 80}}}},
        "granular": {"type": "object", "additionalProperties": {"type": "string"}},
        "atomicMap": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "port": {"x-kubernetes-int-or-string": true}}}}}));
    let ty = object_type(&schema);
    let config = json!({"metadata": {"name": "s", "labels": {"a": "b"}, "finalizers": ["e/x"]}, "spec": {
        "atomic": ["1"], "set": ["x"], "map": [{"name": "n"}], "granular": {"k": "v"}, "atomicMap": {"k": "v"},
        "free": {"p": {"q": 1}}, "port": "http"}});
    assert_eq!(
        field_set(&config, ty.root()).encode()["f:spec"],
        json!({"f:atomic": {}, "f:set": {"v:\"x\"": {}}, "f:map": {"k:{\"name\":\"n\",\"port\":80}": {".": {}, "f:name": {}}},
            "f:granular": {"f:k": {}}, "f:atomicMap": {}, "f:free": {"f:p": {".": {}, "f:q": {}}}, "f:port": {}})
    );
    let metadata = ty.root().member("metadata").unwrap();
    assert!(matches!(metadata.ty(), Type::Struct(_)) && metadata.member("labels").is_some());
    assert!(ty.root().member("other").is_none());
}

/// A schema at random, of that depth at most.
fn any_schema(random: &steersman_machinery::random::Random, depth: u64) -> serde_json::Value {
    let flag = || random.below(4) == 0;
    let mut schema = match random.below(if depth == 0 { 3 } else { 6 }) {
        0 => json!({"type": "integer"}),
        1 => json!({"type": "string"}),
        2 => json!({"x-kubernetes-int-or-string": true}),
        3 => json!({"type": "array", "items": any_schema(random, depth - 1)}),
        4 => json!({"type": "object", "additionalProperties": any_schema(random, depth - 1)}),
        _ => json!({"type": "object", "properties": {
            "a": any_schema(random, depth - 1), "b": any_schema(random, depth - 1)}}),
    };
    if flag() {
        schema["nullable"] = json!(true);
    }
    if flag() {
        schema["default"] = match schema["type"].as_str() {
            Some("object") => json!({}),
            Some("array") => json!([]),
            Some("string") => json!("d"),
            _ => json!(1),
        };
    }
    if schema["type"] == "object" && schema.get("additionalProperties").is_none() && flag() {
        schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
    }
    schema
}

fn any_value(random: &steersman_machinery::random::Random, depth: u64) -> serde_json::Value {
    match random.below(if depth == 0 { 3 } else { 6 }) {
        0 => json!(null),
        1 => json!(random.below(9)),
        2 => json!("text"),
        3 => json!([any_value(random, depth - 1), any_value(random, depth - 1)]),
        _ => json!({"a": any_value(random, depth - 1), "c": any_value(random, depth - 1)}),
    }
}

#[test]
fn pruning_and_defaulting_again_change_nothing() {
    let random = steersman_machinery::random::Random::seeded(7);
    for _ in 0..2000 {
        let schema = Structural::parse(&json!({"type": "object", "properties": {"spec": any_schema(&random, 4)}}));
        let mut object = json!({"apiVersion": "v1", "kind": "T", "spec": any_value(&random, 4)});
        prune(&mut object, &schema);
        default(&mut object, &schema);
        let once = object.clone();
        assert_eq!(prune(&mut object, &schema), [""; 0], "{once}");
        default(&mut object, &schema);
        assert_eq!(object, once);
    }
}

#[test]
fn deep_schemas_cost_what_they_are_long() {
    let mut schema = json!({"type": "string"});
    let mut value = json!("x");
    for _ in 0..60 {
        schema = json!({"type": "object", "properties": {"a": schema, "b": {"type": "string", "default": "d"}}});
        value = json!({ "a": value });
    }
    let schema = Structural::parse(&schema);
    default(&mut value, &schema);
    assert_eq!(value.to_string().matches("\"b\"").count(), 60);
    assert_eq!(prune(&mut value, &schema), [""; 0]);
}
