use serde_json::json;

use super::*;

fn rules(schema: Value) -> Rules {
    Rules::parse(&json!({"type": "object", "properties": {"spec": schema}})).unwrap()
}

fn found(rules: &Rules, new: Value, old: Option<Value>) -> (Vec<String>, Vec<String>) {
    let object = |spec: Value| json!({"apiVersion": "example.com/v1", "kind": "T", "spec": spec});
    let outcome = evaluate(rules, &object(new), old.map(object).as_ref());
    (outcome.errors.iter().map(ToString::to_string).collect(), outcome.warnings)
}

#[test]
fn failed_rules_say_what_they_are_told_to() {
    let rules = rules(json!({"type": "object", "properties": {"a": {"type": "integer"}, "s": {"type": "string",
        "x-kubernetes-validations": [{"rule": "self != 'x'"}]}},
    "x-kubernetes-validations": [
        {"rule": "self.a > 1", "message": "too small"},
        {"rule": "self.a > 2", "messageExpression": "'a is ' + string(self.a)", "fieldPath": ".a"},
        {"rule": "self.a > 3", "reason": "FieldValueForbidden", "message": "no"},
        {"rule": "self.a > 4", "reason": "FieldValueDuplicate"},
        {"rule": "self.a > 5", "reason": "FieldValueRequired", "messageExpression": "'two\\nlines'"},
    ]}));
    assert_eq!(
        found(&rules, json!({"a": 1, "s": "x"}), None).0,
        [
            "spec: Invalid value: too small",
            "spec.a: Invalid value: a is 1",
            "spec: Forbidden: no",
            "spec: Duplicate value: failed rule: self.a > 4",
            "spec: Required value: failed rule: self.a > 5",
            "spec.s: Invalid value: \"x\": failed rule: self != 'x'",
        ]
        .map(|text| text.replace("Duplicate value: failed rule: self.a > 4", "Duplicate value"))
    );
    assert_eq!(found(&rules, json!({"a": 9, "s": "y"}), None).0, [""; 0]);
    let missing = found(&rules, json!({"s": "y"}), None).0;
    assert_eq!(missing[0], "spec: Invalid value: \"object\": no such key: a evaluating rule: too small");
}

#[test]
fn what_was_wrong_and_has_not_changed_is_a_warning() {
    let rule = json!([{"rule": "self == 'good'", "message": "not good"}]);
    let rules = rules(json!({"type": "object", "properties": {
        "a": {"type": "string", "x-kubernetes-validations": rule},
        "l": {"type": "array", "items": {"type": "string", "x-kubernetes-validations": rule}},
        "m": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
            "type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string", "x-kubernetes-validations": rule}}}},
    }}));
    let old = json!({"a": "bad", "b": 1, "l": ["x"], "m": [{"k": "1", "v": "x"}, {"k": "2", "v": "good"}]});
    let check = |change: Value, errors: &[&str], warnings: usize| {
        let new = steersman_machinery::patch::merge::apply(&old, &change);
        let found = found(&rules, new, Some(old.clone()));
        assert_eq!(
            (found.0.iter().map(String::as_str).collect::<Vec<_>>(), found.1.len()),
            (errors.to_vec(), warnings)
        );
    };
    check(json!({"b": 2}), &[], 3);
    check(json!({"a": "worse"}), &["spec.a: Invalid value: \"worse\": not good"], 2);
    // Items of plain lists are not known again: the whole list counts.
    check(json!({"l": ["x", "good"]}), &["spec.l[0]: Invalid value: \"x\": not good"], 2);
    check(json!({"m": [{"k": "2", "v": "good"}, {"k": "1", "v": "x"}]}), &[], 3);
    check(json!({"m": [{"k": "3", "v": "x"}]}), &["spec.m[0].v: Invalid value: \"x\": not good"], 2);
}

#[test]
fn transition_rules_need_a_value_before_and_never_ratchet() {
    let rules = rules(json!({"type": "object", "properties": {
        "a": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf && self != 'stuck'"}]},
        "b": {"type": "string", "x-kubernetes-validations": [
            {"rule": "oldSelf.hasValue() || self == 'first'", "optionalOldSelf": true}]},
    }}));
    assert_eq!(found(&rules, json!({"a": "x", "b": "first"}), None).0, [""; 0]);
    assert_eq!(found(&rules, json!({"b": "second"}), None).0.len(), 1);
    assert_eq!(found(&rules, json!({"a": "y"}), Some(json!({"a": "x"}))).0.len(), 1);
    assert_eq!(found(&rules, json!({"a": "y"}), Some(json!({}))).0, [""; 0]);
    let stuck = found(&rules, json!({"a": "stuck"}), Some(json!({"a": "stuck"})));
    assert_eq!((stuck.0.len(), stuck.1.len()), (1, 0));
    assert_eq!(found(&rules, json!({"b": "second"}), Some(json!({"b": "first"}))).0, [""; 0]);
}

#[test]
fn evaluation_ends_when_the_budget_is_used_up() {
    let rule = json!([{"rule": "self.all(x, self.all(y, self.all(z, x == y || y == z || true)))"}]);
    let rules = rules(json!({"type": "object", "properties": {
        "a": {"type": "array", "items": {"type": "string"}, "x-kubernetes-validations": rule},
        "b": {"type": "string", "x-kubernetes-validations": [{"rule": "false"}]},
    }}));
    let items: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let errors = found(&rules, json!({"a": items, "b": ""}), None).0;
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("no further validation rules will be run due to call cost exceeds limit"), "{errors:?}");
}

#[test]
fn field_paths_lead_to_declared_fields() {
    let schema =
        json!({"properties": {"a": {"properties": {"b.c": {}}}, "m": {"additionalProperties": {"type": "string"}}}});
    let check = |path: &str, expect: Option<&str>| assert_eq!(field_path(path, &schema).as_deref(), expect, "{path}");
    check(".a", Some("a"));
    check(".a['b.c']", Some("a.b.c"));
    check(".m['x']", Some("m[x]"));
    check(".b", None);
    check("a", None);
    check(".a..b", None);
    check(".a['b.c'", None);
}
