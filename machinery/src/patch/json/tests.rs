use serde_json::json;

use super::*;

fn document() -> Value {
    json!({"data": {"a": "1", "x/y": "s"}, "list": ["a", "b", "c"], "deep": [{"name": "web"}]})
}

fn run(patch: Value) -> Result<Value, PatchError> {
    apply(&document(), patch.to_string().as_bytes())
}

#[test]
fn operations_change_the_document() {
    let cases = [
        (json!([{"op": "add", "path": "/data/c", "value": "3"}]), "/data/c", json!("3")),
        (json!([{"op": "add", "path": "/data/a", "value": "9"}]), "/data/a", json!("9")),
        (json!([{"op": "replace", "path": "/data/x~1y", "value": "t"}]), "/data/x~1y", json!("t")),
        (json!([{"op": "remove", "path": "/data/x~1y"}]), "/data", json!({"a": "1"})),
        (json!([{"op": "move", "from": "/data/a", "path": "/b"}]), "/b", json!("1")),
        (json!([{"op": "copy", "from": "/list", "path": "/b"}]), "/b", json!(["a", "b", "c"])),
        (json!([{"op": "add", "path": "/list/-", "value": "d"}]), "/list", json!(["a", "b", "c", "d"])),
        (json!([{"op": "add", "path": "/list/1", "value": "x"}]), "/list", json!(["a", "x", "b", "c"])),
        (json!([{"op": "add", "path": "/list/3", "value": "d"}]), "/list", json!(["a", "b", "c", "d"])),
        (json!([{"op": "remove", "path": "/list/0"}]), "/list", json!(["b", "c"])),
        (json!([{"op": "replace", "path": "/list/2", "value": "z"}]), "/list", json!(["a", "b", "z"])),
        (json!([{"op": "move", "from": "/list/2", "path": "/list/0"}]), "/list", json!(["c", "a", "b"])),
        (json!([{"op": "test", "path": "/deep/0/name", "value": "web"}]), "/deep/0/name", json!("web")),
        (json!([]), "", document()),
    ];
    for (patch, at, expect) in cases {
        let result = run(patch.clone()).unwrap_or_else(|error| panic!("{patch}: {error}"));
        assert_eq!(result.pointer(at), Some(&expect), "{patch}");
    }
}

#[test]
fn the_librarys_liberties_are_kept() {
    let cases = [
        (json!([{"op": "replace", "path": "/data/new", "value": "1"}]), "/data/new", json!("1")),
        (json!([{"op": "copy", "from": "/data/zzz", "path": "/data/q"}]), "/data/q", json!(null)),
        (json!([{"op": "add", "path": "/data/n"}]), "/data/n", json!(null)),
        (json!([{"op": "remove", "path": "/list/-1"}]), "/list", json!(["a", "b"])),
        (json!([{"op": "remove", "path": "/list/00"}]), "/list", json!(["b", "c"])),
        (json!([{"op": "add", "path": "data/a", "value": "1"}]), "/a", json!("1")),
        (json!([{"op": "test", "path": "/data/zzz", "value": null}]), "", document()),
        (json!([{"op": "replace", "path": "", "value": {"x": 1}}]), "", json!({"x": 1})),
    ];
    for (patch, at, expect) in cases {
        let result = run(patch.clone()).unwrap_or_else(|error| panic!("{patch}: {error}"));
        assert_eq!(result.pointer(at), Some(&expect), "{patch}");
    }
}

#[test]
fn what_does_not_fit_the_object_fails() {
    let cases = [
        json!([{"op": "test", "path": "/data/a", "value": "99"}]),
        json!([{"op": "test", "path": "/data/zzz", "value": "1"}]),
        json!([{"op": "remove", "path": "/data/zzz"}]),
        json!([{"op": "move", "from": "/data/zzz", "path": "/data/q"}]),
        json!([{"op": "add", "path": "/none/x", "value": 1}]),
        json!([{"op": "add", "path": "/list/99", "value": 1}]),
        json!([{"op": "add", "path": "", "value": 1}]),
        json!([{"op": "remove", "path": "/list/first"}]),
        json!([{"op": "add", "path": "/data/a/b", "value": 1}]),
        json!([{"op": "frobnicate", "path": "/data/a"}]),
        json!([{"op": "add", "value": "x"}]),
        json!([{"path": "/data/a"}]),
        json!([{"op": "replace", "path": "/data/a", "value": "5"}, {"op": "test", "path": "/data/a", "value": "1"}]),
    ];
    for patch in cases {
        assert!(matches!(run(patch.clone()), Err(PatchError::DoesNotApply(_))), "{patch}");
    }
}

#[test]
fn what_is_no_patch_is_malformed() {
    for patch in ["", "[{", r#"{"op":"add"}"#, "[1]"] {
        let result = apply(&document(), patch.as_bytes());
        assert!(matches!(result, Err(PatchError::Malformed(_))), "{patch}");
    }
}

#[test]
fn sizes_are_limited() {
    let many = vec![json!({"op": "test", "path": "/none", "value": null}); MAX_OPERATIONS + 1];
    assert_eq!(run(Value::Array(many)), Err(PatchError::TooManyOperations(MAX_OPERATIONS + 1)));
    let mut doubling = vec![json!({"op": "add", "path": "/data/a", "value": "x".repeat(1 << 20)})];
    doubling.extend((0..2).map(|i| json!({"op": "copy", "from": "/data/a", "path": format!("/data/{i}")})));
    assert!(run(Value::Array(doubling.clone())).is_ok());
    doubling.push(json!({"op": "copy", "from": "/data/a", "path": "/data/z"}));
    assert!(matches!(run(Value::Array(doubling)), Err(PatchError::DoesNotApply(_))));
}

#[test]
fn strictness_names_the_odd_members() {
    let cases: [(&str, &[&str]); 5] = [
        (r#"[{"op":"add","path":"/a","value":{"b":1}}]"#, &[]),
        (r#"[{"op":"add","path":"/a","value":3,"foo":"x"}]"#, &[r#"json patch unknown field "[0].foo""#]),
        (
            r#"[{"op":"test","path":"/a"},{"op":"add","path":"/a","path":"/b"}]"#,
            &[r#"json patch duplicate field "[1].path""#],
        ),
        (
            r#"[{"op":"add","path":"/a","value":{"b":1,"b":2,"op":1}}]"#,
            &[r#"json patch duplicate field "[0].value.b""#],
        ),
        ("[{", &[]),
    ];
    for (patch, expect) in cases {
        assert_eq!(check_strict(patch.as_bytes()), expect, "{patch}");
    }
}

#[test]
fn null_is_a_patch_without_operations_or_an_operation_without_members() {
    assert_eq!(apply(&document(), b"null"), Ok(document()));
    let unknown = PatchError::DoesNotApply("Unexpected kind: ".to_owned());
    assert_eq!(apply(&document(), b"[null]"), Err(unknown));
}

#[test]
fn what_is_no_patch_gets_gos_words() {
    for (patch, expect) in [
        ("{}", "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        ("[5]", "json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"),
        ("[{", "unexpected end of JSON input"),
        (r#"[{"op": 5}]"#, "json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string"),
        (r#"[{"path": {}}]"#, "json: cannot unmarshal object into Go struct field jsonPatchOp.path of type string"),
        (r#"[{"from": []}]"#, "json: cannot unmarshal array into Go struct field jsonPatchOp.from of type string"),
    ] {
        assert_eq!(check_types(patch.as_bytes()), Err(PatchError::Malformed(expect.to_owned())), "{patch}");
    }
    assert_eq!(check_types(br#"[{"op": null, "value": 5}, null]"#), Ok(()));
}
