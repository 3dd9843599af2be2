use serde_json::json;

use super::*;

#[test]
fn paths_find_what_kubectl_would() {
    let object = json!({"metadata": {"annotations": {"a.b/c": "x"}}, "spec": {"list": [1, 2, 3], "n": 2},
        "status": {"conditions": [{"type": "Synced", "status": "False"}, {"type": "Ready", "status": "True"}]}});
    let cases = [
        (".spec.n", json!([2])),
        ("{.spec.n}", json!([2])),
        (".spec.list[0]", json!([1])),
        (".spec.list[-1]", json!([3])),
        (".spec.list[*]", json!([1, 2, 3])),
        (".spec.list[9]", json!([])),
        (".spec.none.deeper", json!([])),
        (".metadata.annotations.a\\.b/c", json!(["x"])),
        (".metadata.annotations['a.b/c']", json!(["x"])),
        (".status.conditions[?(@.type==\"Ready\")].status", json!(["True"])),
        (".status.conditions[?(@.type=='Ready')].status", json!(["True"])),
        (".status.conditions[?(@.type != 'Ready')].type", json!(["Synced"])),
        (".status.conditions[?(@.none)].type", json!([])),
        (".status.conditions[*].type", json!(["Synced", "Ready"])),
    ];
    for (path, expect) in cases {
        let path_read = JsonPath::parse(path).unwrap_or_else(|| panic!("{path}"));
        let found: Vec<Value> = path_read.find(&object).into_iter().cloned().collect();
        assert_eq!(Value::from(found), expect, "{path}");
    }
}

#[test]
fn other_paths_are_not_read() {
    for path in ["spec", ".a[", ".a[x]", ".a[?(x)]", ".a[?(@.x==y)]", ".a['b]"] {
        assert_eq!(JsonPath::parse(path), None, "{path}");
    }
    assert_eq!(JsonPath::parse(".spec.a").unwrap().fields(), Some(vec!["spec", "a"]));
    assert_eq!(JsonPath::parse(".spec[0]").unwrap().fields(), None);
}
