use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::Object;
use crate::group::GroupVersion;
use crate::schema::builtin;

fn ty(api_version: &str, kind: &str) -> TypeRef<'static> {
    builtin::type_ref(&GroupVersion::parse(api_version).with_kind(kind)).expect("the kind is built in")
}

fn convert_as(api_version: &str, kind: &str, value: Value) -> Result<Decoded, TypeError> {
    convert(value, ty(api_version, kind), kind)
}

#[test]
fn syntax_errors_read_as_gos() {
    let check = |text: &str, expect: &str| {
        let got = parse_json(text.as_bytes()).map_or_else(|error| error.to_string(), |it| it.value.to_string());
        assert_eq!(got, expect, "{text}");
    };
    let key = "looking for beginning of object key string";
    check("", "unexpected end of JSON input");
    check("  ", "unexpected end of JSON input");
    check(r#"{"a":{"b":"x""#, "unexpected end of JSON input");
    check("{} xyz", "invalid character 'x' after top-level value");
    check("{'kind'", &format!(r"invalid character '\'' {key}"));
    check(r#"{"a":1,}"#, &format!("invalid character '}}' {key}"));
    check(r#"{"a" 1}"#, "invalid character '1' after object key");
    check(r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair");
    check("[1 2]", "invalid character '2' after array element");
    check("[1,]", "invalid character ']' looking for beginning of value");
    check("apiVersion: v1", "invalid character 'a' looking for beginning of value");
    check("\"a\nb\"", r"invalid character '\n' in string literal");
    check(r#""\x""#, "invalid character 'x' in string escape code");
    check(r#""\u12g4""#, r"invalid character 'g' in \u hexadecimal character escape");
    check("tru", "unexpected end of JSON input");
    check("trux", "invalid character 'x' in literal true (expecting 'e')");
    check("-a", "invalid character 'a' in numeric literal");
    check("1.x", "invalid character 'x' after decimal point in numeric literal");
    check("1e+", "unexpected end of JSON input");
    check("[01]", "invalid character '1' after array element");
    check(&"[".repeat(MAX_DEPTH + 1), "exceeded max depth");
    assert_eq!(
        parse_json(b"\x9e").unwrap_err().to_string(),
        r"invalid character '\u009e' looking for beginning of value"
    );
}

#[test]
fn values_are_read_as_go_reads_them() {
    let check = |text: &str, expect: Value| assert_eq!(parse_json(text.as_bytes()).unwrap().value, expect, "{text}");
    check(" [1, -0, 1.5, 1e2, 9223372036854775807] ", json!([1, 0, 1.5, 100.0, i64::MAX]));
    check(r#""\u00e4\ud83d\ude00\n\/""#, json!("ä😀\n/"));
    check(r#""\ud83dx\ude00\ud83d\u0041""#, json!("\u{fffd}x\u{fffd}\u{fffd}A"));
    check(r#"{"a":null,"b":[{}]}"#, json!({"a": null, "b": [{}]}));
    assert_eq!(parse_json(b"\"a\xffb\"").unwrap().value, json!("a\u{fffd}b"));
}

#[test]
fn the_last_of_duplicate_keys_counts() {
    let parsed = parse_json(br#"{"a":1,"b":[{"c":1,"c":2}],"a":{"x":1},"a":3}"#).unwrap();
    assert_eq!(parsed.value, json!({"a": 3, "b": [{"c": 2}]}));
    assert_eq!(parsed.duplicates, ["b[0].c", "a"]);
}

#[test]
fn problems_come_in_the_order_of_the_document() {
    let check = |kind: &str, body: &str, expect: &[&str]| {
        assert_eq!(strict_problems(body.as_bytes(), ty("v1", kind)), expect, "{body}");
    };
    check(
        "ConfigMap",
        r#"{"metadata":{"name":"x","label":{"a":"b"}},"data":{"a":"1","a":"2"},"extra":{"y":1,"y":2},"immutable":false,"immutable":false}"#,
        &[
            r#"unknown field "metadata.label""#,
            r#"duplicate field "data.a""#,
            r#"unknown field "extra""#,
            r#"duplicate field "immutable""#,
        ],
    );
    check("ConfigMap", r#"{"DATA":{},"Metadata":{}}"#, &[r#"unknown field "DATA""#, r#"unknown field "Metadata""#]);
    check(
        "Pod",
        r#"{"spec":{"containers":[{"ports":[{"hostport":1}],"x":1,"x":2}],"y":1}}"#,
        &[
            r#"unknown field "spec.containers[0].ports[0].hostport""#,
            r#"unknown field "spec.containers[0].x""#,
            r#"unknown field "spec.y""#,
        ],
    );
}

#[test]
fn unknown_fields_are_dropped_and_named() {
    let decoded = convert_as(
        "v1",
        "ConfigMap",
        json!({"metadata": {"name": "x", "label": 1}, "extra": true, "data": {"a": "b"}}),
    );
    let decoded = decoded.unwrap();
    assert_eq!(decoded.object, json!({"metadata": {"name": "x"}, "data": {"a": "b"}}));
    assert_eq!(decoded.unknown, ["extra", "metadata.label"]);
}

#[test]
fn empty_values_are_written_as_go_writes_them() {
    let check = |api_version: &str, kind: &str, value: Value, expect: Value| {
        assert_eq!(convert_as(api_version, kind, value).unwrap().object, expect, "{kind}");
    };
    check("v1", "ConfigMap", json!({"immutable": false, "data": {}, "metadata": null}), {
        json!({"immutable": false, "metadata": {}})
    });
    check(
        "v1",
        "Pod",
        json!({"metadata": {"labels": {"a": null}, "generation": 0, "creationTimestamp": null}, "spec": {
            "hostNetwork": false, "priority": 0, "nodeName": "", "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [{"name": "c", "image": "i", "command": [], "args": [null]}]
        }}),
        json!({"metadata": {"labels": {"a": ""}}, "status": {}, "spec": {
            "priority": 0, "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [{"name": "c", "image": "i", "args": [""], "resources": {}}]
        }}),
    );
    check(
        "apps/v1",
        "Deployment",
        json!({"spec": {"replicas": 0}}),
        json!({"metadata": {}, "status": {}, "spec": {
            "replicas": 0, "selector": null, "strategy": {},
            "template": {"metadata": {}, "spec": {"containers": null}}
        }}),
    );
    check(
        "v1",
        "Event",
        json!({"involvedObject": {}, "count": 0}),
        json!({"metadata": {}, "involvedObject": {}, "source": {}, "eventTime": null, "firstTimestamp": null,
            "lastTimestamp": null, "reportingComponent": "", "reportingInstance": ""}),
    );
    check("rbac.authorization.k8s.io/v1", "Role", json!({"rules": []}), json!({"metadata": {}, "rules": null}));
}

#[test]
fn values_are_normalised() {
    let pod = json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}]},
        "status": {"startTime": "2020-05-01T12:00:00.7+02:00"}});
    let pod = convert_as("v1", "Pod", pod).unwrap().object;
    assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"], json!({"cpu": "500m", "memory": "1Gi"}));
    assert_eq!(pod["status"]["startTime"], "2020-05-01T10:00:00Z");
    let lease = json!({"spec": {"renewTime": "2020-05-01T10:00:00.500000+00:00"}});
    let lease = convert_as("coordination.k8s.io/v1", "Lease", lease).unwrap().object;
    assert_eq!(lease["spec"]["renewTime"], "2020-05-01T10:00:00.500000Z");
    let secret = convert_as("v1", "Secret", json!({"data": {"a": "YW\nJj"}})).unwrap().object;
    assert_eq!(secret["data"]["a"], "YWJj");
}

#[test]
fn free_form_values_pass_untouched() {
    let data = json!({"a": null, "b": [], "c": {"d": 0}});
    let revision = json!({"data": data, "revision": 1});
    let revision = convert_as("apps/v1", "ControllerRevision", revision).unwrap().object;
    assert_eq!(revision["data"], data);
}

#[test]
fn type_errors_read_as_gos() {
    let check = |api_version: &str, kind: &str, value: Value, expect: &str| {
        let got =
            convert_as(api_version, kind, value).map_or_else(|error| error.to_string(), |it| it.object.to_string());
        assert_eq!(got, expect);
    };
    let deployment = |spec: Value, expect: &str| {
        let expect = format!("json: cannot unmarshal {expect}");
        check("apps/v1", "Deployment", json!({"spec": spec}), &expect);
    };
    deployment(json!({"replicas": "three"}), "string into Go struct field DeploymentSpec.spec.replicas of type int32");
    deployment(json!({"replicas": 1.5}), "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32");
    deployment(
        json!({"replicas": 3_000_000_000_u32}),
        "number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
    );
    deployment(
        json!({"strategy": {"rollingUpdate": {"maxSurge": 1.5}}}),
        "number 1.5 into Go struct field RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32",
    );
    deployment(
        json!({"template": {"spec": {"containers": {"name": "x"}}}}),
        "object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
    );
    deployment(
        json!({"template": {"spec": {"containers": [{"args": [5], "image": "x"}]}}}),
        "number into Go struct field Container.spec.template.spec.containers.args of type string",
    );
    deployment(
        json!({"template": {"spec": {"containers": [{"imagePullPolicy": true}]}}}),
        "bool into Go struct field Container.spec.template.spec.containers.imagePullPolicy of type v1.PullPolicy",
    );
    let config_map = |value: Value, expect: &str| check("v1", "ConfigMap", value, expect);
    config_map(
        json!({"metadata": "x"}),
        "json: cannot unmarshal string into Go struct field ConfigMap.metadata of type v1.ObjectMeta",
    );
    config_map(
        json!({"metadata": {"labels": {"a": 1}}}),
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
    );
    config_map(
        json!({"data": ["a"]}),
        "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string",
    );
    config_map(json!([]), "json: cannot unmarshal array into Go value of type v1.ConfigMap");
    config_map(json!({"binaryData": {"a": "%%%"}}), "illegal base64 data at input byte 0");
}

#[test]
fn an_error_of_a_type_that_parses_itself_comes_first() {
    let pod = json!({"metadata": {"name": 5}, "spec": {"containers": [{"resources": {"limits": {"cpu": "lots"}}}]}});
    let error = convert_as("v1", "Pod", pod).unwrap_err().to_string();
    assert!(error.starts_with("quantities must match the regular expression"), "{error}");
    let error = convert_as("v1", "Pod", json!({"status": {"startTime": 5}})).unwrap_err().to_string();
    assert_eq!(error, "json: cannot unmarshal number into Go struct field PodStatus.status.startTime of type string");
}

#[test]
fn the_deepest_document_fits_the_stack() {
    // Six levels lead to the schema; each step inside it takes two.
    let steps = (MAX_DEPTH - 7) / 2;
    let body = format!(
        r#"{{"spec":{{"versions":[{{"schema":{{"openAPIV3Schema":{}{{}}{}}}}}]}}}}"#,
        r#"{"properties":{"a":"#.repeat(steps),
        "}}".repeat(steps)
    );
    let crd = ty("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    assert!(strict_problems(body.as_bytes(), crd).is_empty());
    let parsed = parse_json(body.as_bytes()).unwrap().value;
    let decoded = convert(parsed, crd, "CustomResourceDefinition").unwrap();
    assert_eq!(decoded.object.to_string().matches("properties").count(), steps);
    let deeper = body.replacen(r#"{"properties""#, r#"{"not":{"not":{"not":{"properties""#, 1);
    assert_eq!(parse_json(deeper.as_bytes()).unwrap_err().to_string(), "exceeded max depth");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |it| it.is_finite()).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let name = prop::sample::select(vec!["metadata", "spec", "labels", "containers", "resources", "x"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..4).prop_map(|it| it.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_writes_is_read_back(value in any_json()) {
        let text = value.to_string();
        prop_assert_eq!(parse_json(text.as_bytes()).unwrap().value, value);
    }

    #[test]
    fn any_bytes_are_read_or_refused_as_serde_does(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        let serde = serde_json::from_slice::<Value>(&bytes).is_ok();
        // Go replaces what is no UTF-8, serde refuses it.
        if std::str::from_utf8(&bytes).is_ok() && !bytes.contains(&b'\\') {
            prop_assert_eq!(parse_json(&bytes).is_ok(), serde);
        }
    }

    #[test]
    fn converting_twice_changes_nothing(value in any_json()) {
        if let Ok(once) = convert_as("v1", "Pod", value) {
            let twice = convert_as("v1", "Pod", once.object.clone()).unwrap();
            prop_assert_eq!(twice.object, once.object);
            prop_assert!(twice.unknown.is_empty());
        }
    }
}

#[test]
fn documents_have_no_more_objects_than_are_read() {
    let many = |item: &str, times: usize| format!("[{}0]", format!("{item},").repeat(times));
    assert!(parse_json(many(r#"{"":0}"#, MAX_OBJECTS).as_bytes()).is_ok());
    let error = parse_json(many(r#"{"":0}"#, MAX_OBJECTS + 1).as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), TOO_MANY_OBJECTS);
    assert!(parse_json(many("{}", MAX_OBJECTS + 1).as_bytes()).is_ok(), "what is empty costs nothing");
    // Unless its type fills it in.
    let owners = vec![json!({}); MAX_OBJECTS];
    let object = json!({"metadata": {"name": "a", "ownerReferences": owners}});
    assert_eq!(convert_as("v1", "ConfigMap", object).unwrap_err().to_string(), TOO_MANY_OBJECTS);
}

#[test]
fn what_is_wrong_below_a_long_name_is_told_in_short() {
    let long = "x".repeat(100_000);
    let unknown: Object = (0..1000).map(|number| (format!("a{number}"), json!(0))).collect();
    let schema = json!({"openAPIV3Schema": {"properties": {long.as_str(): unknown}}});
    let object = json!({"spec": {"versions": [{"schema": schema}]}});
    let (api_version, kind) = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let decoded = convert_as(api_version, kind, object.clone()).unwrap();
    let told: usize = decoded.unknown.iter().map(String::len).sum();
    assert!(decoded.unknown.len() == MAX_PROBLEMS && told < 1 << 20, "{told} bytes");
    let problems = strict_problems(object.to_string().as_bytes(), ty(api_version, kind));
    assert!(problems.len() == 1 && problems[0].len() < 1 << 13, "as far as they are told, all are the same");
}
