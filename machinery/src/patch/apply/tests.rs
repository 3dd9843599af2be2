use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::{ListType, MapType, Schema, StructType};

/// Something like a workload: granular and atomic maps and lists, a set, a map list with a defaulted key.
pub(crate) fn schema() -> Schema {
    let list = |items: Type, kind: ListKind| Type::List(Box::new(ListType { items, kind }));
    let keys = |keys: &[&str]| ListKind::Map(keys.iter().map(|key| (*key).to_owned()).collect());
    let texts = Type::Map(Box::new(MapType { values: Type::String, atomic: false }));
    let field = |name: &str, ty: Type, empty: Empty| Field { name: name.to_owned(), ty, empty, ..Field::default() };
    let protocol = Field { default: Some(json!("TCP")), ..field("protocol", Type::String, Empty::Omit) };
    let keep = Empty::Keep;
    let structs = vec![
        vec![
            field("apiVersion", Type::String, Empty::Omit),
            field("data", texts.clone(), Empty::Omit),
            field("kind", Type::String, Empty::Omit),
            field("metadata", Type::Struct(1), Empty::Always),
            field("spec", Type::Struct(2), Empty::Always),
            field("status", Type::FreeForm, keep),
        ],
        vec![
            field("annotations", texts.clone(), Empty::Omit),
            field("finalizers", list(Type::String, ListKind::Set), Empty::Omit),
            field("generation", Type::Int64, Empty::Omit),
            field("labels", texts, Empty::Omit),
            field("managedFields", list(Type::FreeForm, ListKind::Atomic), Empty::Omit),
            field("name", Type::String, Empty::Omit),
            field("namespace", Type::String, Empty::Omit),
            field("uid", Type::String, Empty::Omit),
        ],
        vec![
            field("containers", list(Type::Struct(3), keys(&["name"])), Empty::Always),
            field("replicas", Type::Int32, keep),
            field("selector", Type::Struct(5), Empty::Always),
        ],
        vec![
            field("args", list(Type::String, ListKind::Atomic), Empty::Omit),
            field("image", Type::String, Empty::Omit),
            field("name", Type::String, Empty::Always),
            field("ports", list(Type::Struct(4), keys(&["containerPort", "protocol"])), Empty::Omit),
            field("resources", Type::FreeForm, keep),
        ],
        vec![field("containerPort", Type::Int32, keep), protocol],
        vec![field("matchLabels", Type::FreeForm, keep)],
    ];
    let atomic = 5;
    let structs = structs.into_iter().enumerate().map(|(index, fields)| StructType {
        fields,
        atomic: index == atomic,
        ..StructType::default()
    });
    Schema { structs: structs.collect() }
}

fn with_type<T>(f: impl FnOnce(TypeRef<'_>) -> T) -> T {
    f(schema().type_ref(&Type::Struct(0)))
}

#[test]
fn a_configuration_says_its_leaves_items_and_entries() {
    let config = json!({"metadata": {"labels": {"app": "web"}, "finalizers": ["x/y"]},
        "data": {}, "spec": {"replicas": null, "selector": {"matchLabels": {"a": "b"}}, "containers": [
            {"name": "web", "args": ["a"], "ports": [{"containerPort": 80}]}]}});
    assert_eq!(
        with_type(|ty| field_set(&config, ty).encode()),
        json!({"f:metadata": {"f:labels": {"f:app": {}}, "f:finalizers": {"v:\"x/y\"": {}}}, "f:data": {},
            "f:spec": {"f:replicas": {}, "f:selector": {}, "f:containers": {"k:{\"name\":\"web\"}": {
                ".": {}, "f:name": {}, "f:args": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}})
    );
}

#[test]
fn a_new_object_adds_what_is_not_always_there() {
    let new = json!({"metadata": {"labels": {"app": "web"}}, "data": {"a": "1"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {}}, "containers": [{"name": "web", "resources": {}}]}});
    let changes = with_type(|ty| compare(&json!({}), &new, ty));
    assert_eq!(
        changes.added.union(&changes.modified).encode(),
        json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:data": {".": {}, "f:a": {}},
            "f:spec": {"f:replicas": {}, "f:selector": {}, "f:containers": {"k:{\"name\":\"web\"}": {
                ".": {}, "f:name": {}, "f:resources": {}}}}})
    );
    assert!(changes.removed.is_empty());
}

#[test]
fn differences_are_told_apart() {
    let old = json!({"data": {"a": "1", "b": "1"}, "metadata": {"finalizers": ["x", "y"]},
        "spec": {"containers": [{"name": "web", "args": ["a"], "image": "1"}, {"name": "side"}]}});
    let new = json!({"data": {"a": "2", "c": "1"}, "metadata": {"finalizers": ["y", "x", "z"]},
        "spec": {"containers": [{"name": "web", "args": ["a", "b"]}, {"name": "new"}]}});
    let changes = with_type(|ty| compare(&old, &new, ty));
    assert_eq!(changes.modified.paths(), [".data.a", ".spec.containers[name=\"web\"].args"]);
    assert_eq!(
        changes.added.paths(),
        [
            ".data.c",
            ".metadata.finalizers[=\"z\"]",
            ".spec.containers[name=\"new\"]",
            ".spec.containers[name=\"new\"].name"
        ]
    );
    assert_eq!(
        changes.removed.paths(),
        [
            ".data.b",
            ".spec.containers[name=\"side\"]",
            ".spec.containers[name=\"side\"].name",
            ".spec.containers[name=\"web\"].image"
        ]
    );
    assert!(with_type(|ty| compare(&old, &old, ty)).is_empty());
}

#[test]
fn merged_lists_keep_both_orders() {
    let names = |names: &[&str]| -> Value { names.iter().map(|name| json!({"name": name})).collect() };
    let cases: [(&[&str], &[&str], &[&str]); 8] = [
        (&["a", "b", "c"], &["c", "x", "a"], &["b", "c", "x", "a"]),
        (&["a", "b"], &["x"], &["a", "b", "x"]),
        (&["a", "b", "c"], &["a", "c"], &["a", "b", "c"]),
        (&["a", "b"], &["b", "a"], &["b", "a"]),
        (&["a", "b"], &["x", "a", "y", "b"], &["x", "a", "y", "b"]),
        (&[], &["b", "a"], &["b", "a"]),
        (&["a"], &[], &["a"]),
        (&["a", "b", "a"], &["a"], &["a", "b"]),
    ];
    for (live, config, expect) in cases {
        let wrap = |items: &[&str]| json!({"spec": {"containers": names(items)}});
        let merged = with_type(|ty| merge(&wrap(live), &wrap(config), ty));
        assert_eq!(merged, wrap(expect), "{live:?} + {config:?}");
    }
}

#[test]
fn merging_lets_the_configuration_win_leaf_by_leaf() {
    let live = json!({"data": {"a": "1", "b": "1"}, "spec": {"selector": {"matchLabels": {"x": "1"}}, "containers": [
        {"name": "web", "image": "1", "args": ["a"]}]}});
    let config = json!({"data": {"a": "2"}, "spec": {"selector": {"matchLabels": {"y": "1"}}, "containers": [
        {"name": "web", "args": ["b"]}]}});
    assert_eq!(
        with_type(|ty| merge(&live, &config, ty)),
        json!({"data": {"a": "2", "b": "1"}, "spec": {"selector": {"matchLabels": {"y": "1"}}, "containers": [
            {"name": "web", "image": "1", "args": ["b"]}]}})
    );
}

#[test]
fn removing_takes_items_whole() {
    let value = json!({"data": {"a": "1"}, "metadata": {"finalizers": ["x", "y"]}, "spec": {"replicas": 1,
        "containers": [{"name": "web", "image": "1"}, {"name": "side"}]}});
    let gone = FieldSet::decode(&json!({"f:data": {"f:a": {}}, "f:metadata": {"f:finalizers": {"v:\"x\"": {}}},
        "f:spec": {"f:containers": {"k:{\"name\":\"side\"}": {}, "k:{\"name\":\"web\"}": {"f:image": {}}}}}))
    .unwrap();
    assert_eq!(
        with_type(|ty| remove(&value, &gone, ty)),
        json!({"data": {}, "metadata": {"finalizers": ["y"]}, "spec": {"replicas": 1, "containers": [{"name": "web"}]}})
    );
}

#[test]
fn what_does_not_fit_is_named() {
    let cases = [
        (json!({"foo": 1}), ".foo: field not declared in schema"),
        (json!({"spec": {"replicas": "x"}}), ".spec.replicas: expected numeric (int or float), got string"),
        (json!({"data": {"a": 1}}), ".data.a: expected string, got &value.valueUnstructured{Value:1}"),
        (json!({"data": ["a"]}), ".data: expected map, got &{[a]}"),
        (
            json!({"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}),
            ".spec.containers: duplicate entries for key [name=\"a\"]",
        ),
        (
            json!({"spec": {"containers": [null]}}),
            ".spec.containers: element 0: associative list with keys may not have a null element",
        ),
        (
            json!({"spec": {"containers": [{"name": "a", "x": 1}]}}),
            ".spec.containers[name=\"a\"].x: field not declared in schema",
        ),
    ];
    for (config, expect) in cases {
        assert_eq!(with_type(|ty| validate(&config, ty, Duplicates::Refused)), [expect]);
    }
    let fine = json!({"spec": {"replicas": null, "containers": [{"image": "x"}]}, "status": {"any": [1]}});
    assert!(with_type(|ty| validate(&fine, ty, Duplicates::Refused)).is_empty());
}

/// Objects of the test schema with overlapping content.
pub(crate) fn any_object() -> impl proptest::strategy::Strategy<Value = Value> {
    let texts = || prop::collection::btree_map("[a-c]", "[x-z]", 0..3);
    let container = ("[a-c]", proptest::option::of("[x-z]"), prop::collection::vec("[a-b]", 0..2)).prop_map(
        |(name, image, args)| {
            let mut container = json!({"name": name});
            if let Some(image) = image {
                container["image"] = json!(image);
            }
            if !args.is_empty() {
                container["args"] = json!(args);
            }
            container
        },
    );
    (
        texts(),
        texts(),
        prop::collection::btree_set("[a-c]", 0..3),
        prop::collection::vec(container, 0..3),
        proptest::option::of(0..3),
    )
        .prop_map(|(data, labels, finalizers, mut containers, replicas)| {
            containers.sort_by_key(|container| container["name"].to_string());
            containers.dedup_by_key(|container| container["name"].clone());
            let mut object = json!({"metadata": {"name": "x"}, "spec": {}});
            if !data.is_empty() {
                object["data"] = json!(data);
            }
            if !labels.is_empty() {
                object["metadata"]["labels"] = json!(labels);
            }
            if !finalizers.is_empty() {
                object["metadata"]["finalizers"] = json!(finalizers);
            }
            if !containers.is_empty() {
                object["spec"]["containers"] = json!(containers);
            }
            if let Some(replicas) = replicas {
                object["spec"]["replicas"] = json!(replicas);
            }
            object
        })
}

proptest! {
    #[test]
    fn merging_twice_is_merging_once(live in any_object(), config in any_object()) {
        with_type(|ty| {
            let once = merge(&live, &config, ty);
            prop_assert_eq!(merge(&once, &config, ty), once.clone());
            // An empty struct says that it is there, no more.
            let said = field_set(&config, ty).difference(&FieldSet::of_fields(&["spec"]));
            prop_assert!(said.difference(&field_set(&once, ty)).is_empty());
            Ok(())
        })?;
    }

    #[test]
    fn a_comparison_turned_around_swaps_added_and_removed(a in any_object(), b in any_object()) {
        with_type(|ty| {
            let (there, back) = (compare(&a, &b, ty), compare(&b, &a, ty));
            prop_assert_eq!(there.added, back.removed);
            prop_assert_eq!(there.modified, back.modified);
            Ok(())
        })?;
    }
}
