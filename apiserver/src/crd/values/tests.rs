use serde_json::json;

use super::*;

fn thing() -> Structural {
    Structural::parse(&json!({"type": "object", "required": ["spec"], "properties": {"spec": {
        "type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "minLength": 2, "maxLength": 8, "pattern": "^[a-z]+$"},
            "size": {"type": "integer", "minimum": 1, "maximum": 10},
            "ratio": {"type": "number", "exclusiveMinimum": true, "minimum": 0, "exclusiveMaximum": true, "maximum": 1},
            "step": {"type": "integer", "multipleOf": 5},
            "color": {"type": "string", "enum": ["red", "green", "blue"]},
            "level": {"type": "integer", "enum": [1, 2]},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 1, "maxItems": 3},
            "unique": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "required": ["k"], "properties": {
                    "k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 3},
                "minProperties": 1, "maxProperties": 2},
            "port": {"x-kubernetes-int-or-string": true},
            "nothing": {"type": "string", "nullable": true},
            "one": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            "any": {"type": "string", "anyOf": [{"minLength": 5}, {"pattern": "^x"}]},
            "all": {"type": "string", "allOf": [{"minLength": 2}, {"pattern": "^x"}]},
            "no": {"type": "string", "not": {"enum": ["forbidden"]}},
            "embedded": {"type": "object", "x-kubernetes-embedded-resource": true,
                "x-kubernetes-preserve-unknown-fields": true}}}}}))
}

fn faults(spec: Value) -> Vec<String> {
    let object = json!({"spec": spec});
    let mut errors = validate(&object, None, &thing());
    errors.extend(duplicates(&object, &thing()));
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn good_values_pass() {
    let good = json!({"name": "abc", "size": 5, "ratio": 0.5, "step": 10, "color": "red", "level": 1, "tags": ["a"],
        "unique": ["a", "b"], "items": [{"k": "a", "v": 1}], "labels": {"a": "b"}, "port": "http", "nothing": null,
        "one": {"a": ""}, "any": "xy", "all": "xy", "no": "fine", "embedded": {"apiVersion": "v1", "kind": "Pod"}});
    assert_eq!(faults(good), [""; 0]);
    assert_eq!(faults(json!({"name": "abc", "size": 5.0, "port": 80})), [""; 0]);
}

#[test]
fn bad_values_get_upstreams_words() {
    let cases = [
        ("name", json!("a"), r#"spec.name: Invalid value: "a": spec.name in body should be at least 2 chars long"#),
        ("name", json!("abcdefghi"), "spec.name: Too long: may not be more than 8 bytes"),
        ("name", json!("éé"), r#"spec.name: Invalid value: "éé": spec.name in body should match '^[a-z]+$'"#),
        (
            "name",
            json!(5),
            r#"spec.name: Invalid value: "integer": spec.name in body must be of type string: "integer""#,
        ),
        ("size", json!(0), "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ("size", json!(11), "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10"),
        ("ratio", json!(0), "spec.ratio: Invalid value: 0: spec.ratio in body should be greater than 0"),
        ("ratio", json!(1), "spec.ratio: Invalid value: 1: spec.ratio in body should be less than 1"),
        ("step", json!(7), "spec.step: Invalid value: 7: spec.step in body should be a multiple of 5"),
        ("color", json!("pink"), r#"spec.color: Unsupported value: "pink": supported values: "red", "green", "blue""#),
        ("level", json!(3), r#"spec.level: Unsupported value: 3: supported values: "1", "2""#),
        ("tags", json!([]), "spec.tags: Invalid value: 0: spec.tags in body should have at least 1 items"),
        ("tags", json!(["a", "b", "c", "d"]), "spec.tags: Too many: 4: must have at most 3 items"),
        ("tags", json!(["a", "long"]), "spec.tags[1]: Too long: may not be more than 3 bytes"),
        ("tags", json!({}), r#"spec.tags: Invalid value: "object": spec.tags in body must be of type array: "object""#),
        ("unique", json!(["a", "b", "a"]), r#"spec.unique[2]: Duplicate value: "a""#),
        ("items", json!([{"k": "a"}, {"k": "a", "v": 2}]), r#"spec.items[1]: Duplicate value: {"k":"a"}"#),
        ("items", json!([{"v": 1}]), "spec.items[0].k: Required value"),
        ("labels", json!({}), "spec.labels: Invalid value: 0: spec.labels in body should have at least 1 properties"),
        ("labels", json!({"a": "long"}), "spec.labels.a: Too long: may not be more than 3 bytes"),
        (
            "port",
            json!(true),
            r#"spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean""#,
        ),
    ];
    for (name, value, expect) in cases {
        let mut spec = json!({"name": "abc"});
        spec[name] = value;
        assert_eq!(faults(spec), [expect]);
    }
    assert_eq!(faults(json!({})), ["spec.name: Required value"]);
    let absent = validate(&json!({}), None, &thing());
    assert_eq!(absent[0].to_string(), "spec: Required value");
    assert_eq!(
        faults(json!({"name": "abc", "size": 1.5})),
        [
            r#"<nil>: Invalid value: "": Checked value must be of type integer (default format) in spec.size"#,
            r#"spec.size: Invalid value: "number": spec.size in body must be of type integer: "number""#
        ]
    );
}

#[test]
fn numbers_with_a_point_count_as_whole_where_they_are_exact() {
    let range = r#"<nil>: Invalid value: "": Checked value must be of type integer (default format) in spec.size"#;
    let kind = r#"spec.size: Invalid value: "number": spec.size in body must be of type integer: "number""#;
    for (number, expect) in [("5.0", vec![]), ("1e17", vec![kind]), ("9223372036854775808", vec![range, kind])] {
        let size: Value = steersman_machinery::decode::parse_json(number.as_bytes()).unwrap().value;
        let found: Vec<String> = faults(json!({"name": "abc", "size": size}));
        let found: Vec<&str> = found.iter().map(String::as_str).filter(|it| !it.contains("less than")).collect();
        assert_eq!(found, expect, "{number}");
    }
    let text = r#"spec.name: Invalid value: "number": spec.name in body must be of type string: "number""#;
    assert_eq!(faults(json!({"name": 5.0})), [text]);
}

#[test]
fn junctors_name_the_path_instead_of_the_field() {
    let first = |name: &str, value: Value| {
        let mut spec = json!({"name": "abc"});
        spec[name] = value;
        faults(spec).first().cloned().unwrap_or_default()
    };
    let cases = [
        ("one", json!({}), "validate one and only one schema (oneOf). Found none valid"),
        ("one", json!({"a": "", "b": ""}), "validate one and only one schema (oneOf). Found 2 valid alternatives"),
        ("any", json!("y"), "validate at least one schema (anyOf)"),
        ("all", json!("yy"), "validate all the schemas (allOf)"),
        ("no", json!("forbidden"), "not validate the schema (not)"),
    ];
    for (name, value, expect) in cases {
        assert_eq!(first(name, value), format!(r#"<nil>: Invalid value: "": "spec.{name}" must {expect}"#));
    }
}

#[test]
fn updates_are_not_blamed_for_what_was_wrong_before() {
    let old = json!({"spec": {"name": "ABC", "size": 99, "tags": ["long", "b"],
        "items": [{"k": "a", "v": 9}, {"k": "b", "v": 1}]}});
    let after = |change: Value| -> Vec<String> {
        let new = steersman_machinery::patch::merge::apply(&old, &change);
        validate(&new, Some(&old), &thing()).iter().map(|error| error.field.to_string()).collect()
    };
    assert!(after(json!({"metadata": {"labels": {"a": "b"}}})).is_empty());
    assert!(after(json!({"spec": {"color": "red"}})).is_empty());
    assert_eq!(after(json!({"spec": {"size": 98}})), ["spec.size"]);
    assert_eq!(after(json!({"spec": {"tags": ["long", "b", "c"]}})), ["spec.tags[0]"], "lists change as a whole");
    // Items of a map list are known again by their key.
    assert!(after(json!({"spec": {"items": [{"k": "b", "v": 2}, {"k": "a", "v": 9}]}})).is_empty());
    assert_eq!(after(json!({"spec": {"items": [{"k": "a", "v": 8}]}})), ["spec.items[0].v"]);
}

#[test]
fn formats_are_enforced() {
    let cases = [
        ("date-time", "2020-05-01T10:00:00Z", "2020-05-01 10:00"),
        ("date", "2020-05-01", "01.05.2020"),
        ("duration", "1h30m", "soon"),
        ("email", "a@example.com", "nobody"),
        ("hostname", "host.example.com", "-bad-"),
        ("ipv4", "192.0.2.1", "300.1.1.1"),
        ("ipv6", "2001:db8::1", "1.2.3.4"),
        ("cidr", "192.0.2.0/24", "192.0.2.0"),
        ("uri", "https://example.com/x", "::"),
        ("uuid", "77777777-2222-4333-8444-555555555555", "xyz"),
        ("uuid4", "77777777-2222-4333-8444-555555555555", "77777777-2222-3333-8444-555555555555"),
        ("byte", "aGVsbG8=", "***"),
        ("mac", "00:1b:63:84:45:e6", "zz"),
        ("hexcolor", "#ff8800", "red"),
        ("rgbcolor", "rgb(1, 2, 255)", "rgb(1,2,256)"),
        ("ssn", "111-22-3333", "111"),
        ("isbn10", "0-306-40615-2", "0-306-40615-3"),
        ("isbn13", "978-0-306-40615-7", "978-0-306-40615-8"),
        ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
        ("bsonobjectid", "507f1f77bcf86cd799439011", "507f"),
        ("k8s-short-name", "my-name", "Not.Short"),
        ("k8s-long-name", "my.long-name", "Not_Long"),
    ];
    for (format, good, bad) in cases {
        assert!(formats::fits(format, good), "{format} {good}");
        assert!(!formats::fits(format, bad), "{format} {bad}");
        assert!(is_known_format(format));
    }
    assert!(formats::fits("unheard-of", "anything") && !is_known_format("unheard-of"));
    let schema =
        Structural::parse(&json!({"type": "object", "properties": {"at": {"type": "string", "format": "date"}}}));
    assert_eq!(
        validate(&json!({"at": "x"}), None, &schema)[0].to_string(),
        r#"at: Invalid value: "x": at in body must be of type date: "x""#
    );
}

#[test]
fn objects_in_objects_have_a_type_and_metadata_that_is_valid() {
    let schema = Structural::parse(&json!({"type": "object", "properties": {"t": {
        "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}}));
    let check = |object: Value, expect: &[&str]| {
        let errors = embedded(&json!({"t": object}), &schema);
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expect);
    };
    check(json!({"apiVersion": "v1", "kind": "Pod"}), &[]);
    check(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "A b"}}), &[]);
    check(json!({"apiVersion": "v1"}), &["t.kind: Required value: must not be empty"]);
    check(json!({"apiVersion": "", "kind": "Pod"}), &["t.apiVersion: Invalid value: \"\": must not be empty"]);
    check(
        json!({"apiVersion": "a/b/c", "kind": "Pod", "metadata": {"name": "a/b"}}),
        &[
            "t.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            "t.metadata.name: Invalid value: \"a/b\": may not contain '/'",
        ],
    );
}
