use serde_json::json;

use super::*;
use crate::schema::{Field, ListType, MapType, Schema, StructType};
use crate::status::Status;

/// An object with a little of each: a merged list of structs with nested merged lists, scalars, retainKeys, replace.
fn schema() -> Schema {
    let list = |items: Type| Type::List(Box::new(ListType { items, kind: crate::schema::ListKind::Atomic }));
    let field = |name: &str, ty: Type, patch: PatchStrategy| Field {
        name: name.to_owned(),
        ty,
        required: false,
        atomic: false,
        patch,
        ..Field::default()
    };
    let by = |key: &str| PatchStrategy { merge: true, merge_key: Some(key.to_owned()), ..PatchStrategy::default() };
    let none = PatchStrategy::default;
    let texts = Type::Map(Box::new(MapType { values: Type::String, atomic: false }));
    let structs = vec![
        vec![
            field("args", list(Type::String), none()),
            field("containers", list(Type::Struct(1)), by("name")),
            field("finalizers", list(Type::String), PatchStrategy { merge: true, ..none() }),
            field("labels", texts.clone(), none()),
            field("selector", texts, PatchStrategy { replace: true, ..none() }),
            field("strategy", Type::Struct(2), PatchStrategy { retain_keys: true, ..none() }),
            field("tolerations", list(Type::FreeForm), none()),
            field("volumes", list(Type::Struct(3)), by("name")),
        ],
        vec![
            field("env", list(Type::Struct(3)), by("name")),
            field("image", Type::String, none()),
            field("name", Type::String, none()),
        ],
        vec![field("rollingUpdate", Type::FreeForm, none()), field("type", Type::String, none())],
        vec![
            field("configMap", Type::FreeForm, none()),
            field("emptyDir", Type::FreeForm, none()),
            field("name", Type::String, none()),
            field("value", Type::String, none()),
        ],
    ];
    Schema { structs: structs.into_iter().map(|fields| StructType { fields, ..StructType::default() }).collect() }
}

fn run(live: &Value, patch: &Value) -> Result<Value, PatchError> {
    let schema = schema();
    apply(live, patch, schema.type_ref(&Type::Struct(0)))
}

fn check(live: Value, patch: Value, expect: Value) {
    match run(&live, &patch) {
        Ok(result) => assert_eq!(result, expect, "{live} + {patch}"),
        Err(error) => panic!("{live} + {patch}: {error}"),
    }
}

fn containers() -> Value {
    json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]})
}

#[test]
fn items_merge_by_key_and_new_ones_are_added() {
    check(
        containers(),
        json!({"containers": [{"name": "b", "image": "3"}, {"name": "c", "image": "4"}]}),
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "3"}, {"name": "c", "image": "4"}]}),
    );
    // A new item alone comes first: nothing says that it stood behind the others.
    check(
        json!({"volumes": [{"name": "one"}]}),
        json!({"volumes": [{"name": "two"}]}),
        json!({"volumes": [{"name": "two"}, {"name": "one"}]}),
    );
}

#[test]
fn directives_on_items_delete_and_replace() {
    let live = json!({"containers": [{"name": "web", "env": [{"name": "X", "value": "1"}, {"name": "Y"}]}]});
    check(
        live.clone(),
        json!({"containers": [{"name": "web", "env": [{"name": "X", "$patch": "delete"}]}]}),
        json!({"containers": [{"name": "web", "env": [{"name": "Y"}]}]}),
    );
    check(live.clone(), json!({"containers": [{"name": "nobody", "$patch": "delete"}]}), live);
    check(
        containers(),
        json!({"containers": [{"$patch": "replace"}, {"name": "z", "image": "9"}]}),
        json!({"containers": [{"name": "z", "image": "9"}]}),
    );
    check(
        containers(),
        json!({"containers": [{"name": "a", "$patch": "replace", "image": "5"}]}),
        json!({"containers": []}),
    );
}

#[test]
fn directives_on_maps_replace_and_delete() {
    let live = json!({"labels": {"a": "1"}, "selector": {"x": "1"}});
    check(
        live.clone(),
        json!({"labels": {"$patch": "replace", "b": "2"}}),
        json!({"labels": {"b": "2"}, "selector": {"x": "1"}}),
    );
    check(live.clone(), json!({"labels": {"$patch": "delete"}}), json!({"labels": {}, "selector": {"x": "1"}}));
    check(live.clone(), json!({"selector": {"y": "2"}, "labels": null}), json!({"selector": {"y": "2"}}));
    check(json!({}), json!({"labels": {"$patch": "delete"}}), json!({}));
}

#[test]
fn retain_keys_drops_the_others() {
    let live = json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}});
    check(
        live.clone(),
        json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
        json!({"strategy": {"type": "Recreate"}}),
    );
    check(
        json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]}),
        json!({"volumes": [{"$retainKeys": ["name", "emptyDir"], "name": "v", "emptyDir": {}}]}),
        json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
    );
    let outside = json!({"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}});
    assert_eq!(run(&live, &outside), Err(BAD_RETAIN_KEYS));
    assert_eq!(
        Status::from(run(&live, &json!({"strategy": {"$retainKeys": 1}})).unwrap_err()).message,
        "invalid patch format of retainKeys"
    );
}

#[test]
fn lists_of_scalars_merge_by_value() {
    let live = json!({"finalizers": ["a", "b"]});
    check(live.clone(), json!({"$deleteFromPrimitiveList/finalizers": ["a"]}), json!({"finalizers": ["b"]}));
    check(live.clone(), json!({"finalizers": ["b"]}), live.clone());
    check(live.clone(), json!({"finalizers": ["a", "c"]}), json!({"finalizers": ["a", "c", "b"]}));
    check(
        live,
        json!({"$setElementOrder/finalizers": ["a", "b", "c"], "finalizers": ["c"]}),
        json!({"finalizers": ["a", "b", "c"]}),
    );
}

#[test]
fn an_order_given_is_kept() {
    let names = |names: &[&str]| -> Value { names.iter().map(|name| json!({"name": name})).collect() };
    let cases: [[&[&str]; 4]; 4] = [
        [&["x", "y", "s1"], &["y", "x"], &[], &["y", "x", "s1"]],
        [&["s0", "x", "y"], &["x", "n", "y"], &["n"], &["s0", "x", "n", "y"]],
        [&["x", "s1", "y"], &["x", "y", "n"], &["n"], &["x", "s1", "y", "n"]],
        [&[], &["b", "a"], &["b", "a"], &["b", "a"]],
    ];
    for [live, order, patch, expect] in cases {
        let live = match live {
            [] => json!({}),
            live => json!({"volumes": names(live)}),
        };
        let mut patch_map = json!({"$setElementOrder/volumes": names(order)});
        if !patch.is_empty() {
            patch_map["volumes"] = names(patch);
        }
        check(live, patch_map, json!({"volumes": names(expect)}));
    }
}

#[test]
fn what_kubectl_apply_sends_gives_the_wanted_list() {
    check(
        json!({"containers": [{"name": "web", "image": "1", "env": [
            {"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]}),
        json!({"$setElementOrder/containers": [{"name": "web"}], "containers": [{
            "name": "web", "image": "2", "$setElementOrder/env": [{"name": "B"}, {"name": "C"}],
            "env": [{"name": "C", "value": "3"}, {"$patch": "delete", "name": "A"}]}]}),
        json!({"containers": [{"name": "web", "image": "2", "env": [
            {"name": "B", "value": "2"}, {"name": "C", "value": "3"}]}]}),
    );
}

#[test]
fn other_lists_and_new_members_are_taken_as_they_are() {
    check(
        json!({"args": ["a"], "tolerations": [{"key": "a"}]}),
        json!({"args": ["b"], "tolerations": [{"key": "b"}]}),
        json!({"args": ["b"], "tolerations": [{"key": "b"}]}),
    );
    check(
        json!({}),
        json!({"containers": [{"name": "a", "image": null, "env": [{"name": "X", "$patch": "delete"}, {"name": "Y"}]}]}),
        json!({"containers": [{"name": "a", "env": [{"name": "Y"}]}]}),
    );
    check(json!({"args": ["a"]}), json!({"args": "text"}), json!({"args": "text"}));
    check(json!({"volumes": [{"name": "v"}]}), json!({"volumes": null}), json!({}));
}

#[test]
fn errors_have_upstreams_codes() {
    let cases = [
        (json!({"containers": [{"image": "x"}]}), 500, "map: map[image:x] does not contain declared merge key: name"),
        (json!({"strategy": {"$patch": "odd"}}), 500, "unknown patch type: odd in map: map[$patch:odd]"),
        (
            json!({"containers": [{"$patch": "merge", "name": "a"}]}),
            500,
            "merging lists cannot yet be specified in the patch",
        ),
        (json!({"containers": [["a"]]}), 422, "the server rejected our request due to an error in our request"),
        (json!({"$setElementOrder/containers": "a"}), 400, "invalid patch format of setElementOrder list"),
        (
            json!({"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b", "image": "3"}]}),
            500,
            "The order in patch list:\n[map[image:3 name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n",
        ),
    ];
    let mut live = containers();
    live["strategy"] = json!({"type": "Recreate"});
    for (patch, code, message) in cases {
        let status = Status::from(run(&live, &patch).unwrap_err());
        assert_eq!((status.code, status.message.as_str()), (code, message), "{patch}");
    }
}

/// What is looked for in an index is found where it is found by looking at each item.
#[test]
fn long_lists_are_merged_like_short_ones() {
    let names = |range: std::ops::Range<usize>| range.map(|number| format!("{number:03}")).collect::<Vec<_>>();
    let of = |names: &[String], image: &str| -> Vec<Value> {
        names.iter().map(|name| json!({"name": name, "image": image})).collect()
    };
    let live = json!({"containers": of(&names(0..100), "a"), "finalizers": names(0..100)});
    let mut changes = of(&names(50..150), "b");
    changes.push(json!({"name": "150", "image": "c"}));
    changes.push(json!({"name": "150", "image": "d"}));
    changes.extend(names(0..40).iter().map(|name| json!({"name": name, "$patch": "delete"})));
    let patch = json!({"containers": changes, "finalizers": names(50..150)});
    let got = run(&live, &patch).unwrap();
    let mut expect = of(&names(40..50), "a");
    expect.extend(of(&names(50..150), "b"));
    expect.push(json!({"name": "150", "image": "d"}));
    assert_eq!(got, json!({"containers": expect, "finalizers": names(0..150)}));
    let fewer = json!({"$deleteFromPrimitiveList/finalizers": names(10..90)});
    let left = [names(0..10), names(90..100)].concat();
    assert_eq!(run(&live, &fewer).unwrap()["finalizers"], json!(left));
    let ordered: Vec<String> = names(0..100).into_iter().rev().collect();
    let order = json!({"$setElementOrder/finalizers": ordered});
    assert_eq!(run(&live, &order).unwrap()["finalizers"], json!(ordered));
}
