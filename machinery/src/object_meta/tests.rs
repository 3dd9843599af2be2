use super::*;

const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

fn config_map(metadata: Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "n"}});
    for (key, value) in metadata.as_object().into_iter().flatten() {
        object["metadata"][key] = value.clone();
    }
    object
}

fn texts(errors: ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn check(metadata: Value, expect: &[&str]) {
    let object = config_map(metadata);
    assert_eq!(texts(validate(&object, true, &names::dns1123_subdomain)), expect, "{object}");
}

#[test]
fn good_metadata_passes() {
    check(
        json!({"generateName": "x-", "generation": 1, "labels": {"a/b": "c", "d": ""}, "annotations": {"Example.com/A": "any\nthing"},
            "finalizers": ["example.com/a", "orphan", "kubernetes"],
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "uid": "1", "controller": true}],
            "managedFields": [{"manager": "kubectl", "operation": "Apply", "fieldsType": "FieldsV1"}]}),
        &[],
    );
}

#[test]
fn names_and_namespaces_are_checked() {
    check(
        json!({"name": "", "namespace": ""}),
        &["metadata.name: Required value: name or generateName is required", "metadata.namespace: Required value"],
    );
    check(
        json!({"generateName": "-"}),
        &[
            r#"metadata.generateName: Invalid value: "-": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
        ],
    );
    assert_eq!(
        texts(validate(&config_map(json!({})), false, &|_| vec!["no".to_owned()])),
        [r#"metadata.name: Invalid value: "x": no"#, "metadata.namespace: Forbidden: not allowed on this type"]
    );
}

#[test]
fn labels_and_annotations_are_checked() {
    check(
        json!({"labels": {"bad key": "v"}, "annotations": {"bad key": "v"}}),
        &[
            &format!(r#"metadata.labels: Invalid value: "bad key": {QUALIFIED}"#),
            &format!(r#"metadata.annotations: Invalid value: "bad key": {QUALIFIED}"#),
        ],
    );
    check(
        json!({"annotations": {"a": "x".repeat(ANNOTATIONS_MAX)}, "generation": -1}),
        &[
            "metadata.generation: Invalid value: -1: must be greater than or equal to 0",
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ],
    );
}

#[test]
fn finalizers_are_checked() {
    check(
        json!({"finalizers": ["not valid"]}),
        &[
            &format!(r#"metadata.finalizers: Invalid value: "not valid": {QUALIFIED}"#),
            r#"metadata.finalizers[0]: Invalid value: "not valid": name is neither a standard finalizer name nor is it fully qualified"#,
        ],
    );
    check(
        json!({"finalizers": ["orphan", "foregroundDeletion"]}),
        &[
            r#"metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and foregroundDeletion cannot be both set"#,
        ],
    );
    let mut custom = config_map(json!({"finalizers": ["backup"]}));
    custom["apiVersion"] = "example.com/v1".into();
    assert!(validate(&custom, true, &names::dns1123_subdomain).is_empty());
}

#[test]
fn owners_are_checked() {
    check(
        json!({"ownerReferences": [{"kind": "ReplicaSet"}]}),
        &[
            r#"metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty"#,
            r#"metadata.ownerReferences.name: Invalid value: "": must not be empty"#,
            r#"metadata.ownerReferences.uid: Invalid value: "": must not be empty"#,
        ],
    );
    check(
        json!({"ownerReferences": [{"apiVersion": "a/b/c", "kind": "K", "name": "n", "uid": "u"}]}),
        &[r#"metadata.ownerReferences.apiVersion: Invalid value: "a/b/c": version must not be empty"#],
    );
    check(
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "n", "uid": "u"}]}),
        &[
            r#"metadata.ownerReferences: Invalid value: {"apiVersion":"v1","kind":"Event","name":"n","uid":"u"}: /v1, Kind=Event is disallowed from being an owner"#,
        ],
    );
    let controller = |name: &str| json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": name, "controller": true});
    check(
        json!({"ownerReferences": [controller("a"), controller("b")]}),
        &[
            r#"metadata.ownerReferences: Invalid value: [{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"a","uid":"a","controller":true},{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"b","uid":"b","controller":true}]: Only one reference can have Controller set to true. Found "true" in references for ReplicaSet/a and ReplicaSet/b"#,
        ],
    );
}

#[test]
fn managed_fields_are_checked() {
    check(
        json!({"managedFields": [{"operation": "Delete", "fieldsType": "V2", "manager": "a\u{1}b", "subresource": "s".repeat(257)}]}),
        &[
            r#"metadata.managedFields[0].operation: Invalid value: "Delete": must be `Apply` or `Update`"#,
            r#"metadata.managedFields[0].fieldsType: Invalid value: "V2": must be `FieldsV1`"#,
            r#"metadata.managedFields[0].manager: Invalid value: "a\x01b": invalid character U+0001 (at position 1)"#,
            "metadata.managedFields[0].subresource: Too long: may not be more than 256 bytes",
        ],
    );
    let errors = validate_field_manager(&"m".repeat(129), &Path::new("fieldManager"));
    assert_eq!(texts(errors), ["fieldManager: Too long: may not be more than 128 bytes"]);
}

#[test]
fn what_identifies_an_object_is_immutable() {
    let check = |old: Value, new: Value, expect: &[&str]| {
        assert_eq!(texts(validate_update(&config_map(new), &config_map(old))), expect);
    };
    check(json!({"uid": "1"}), json!({"uid": "1", "labels": {"a": "b"}}), &[]);
    check(
        json!({"uid": "1", "generation": 2, "creationTimestamp": "2020-01-01T00:00:00Z"}),
        json!({"uid": "2", "generation": 1, "deletionTimestamp": "2020-01-01T00:00:00Z"}),
        &[
            "metadata.generation: Invalid value: 1: must not be decremented",
            r#"metadata.uid: Invalid value: "2": field is immutable"#,
            "metadata.creationTimestamp: Invalid value: null: field is immutable",
            r#"metadata.deletionTimestamp: Invalid value: "2020-01-01T00:00:00Z": field is immutable"#,
        ],
    );
    let deleted = |finalizers: Value| json!({"deletionTimestamp": "2020-01-01T00:00:00Z", "finalizers": finalizers});
    check(deleted(json!(["a/b", "a/c"])), deleted(json!(["a/c"])), &[]);
    check(
        deleted(json!(["a/b"])),
        deleted(json!(["a/z", "a/b", "a/c"])),
        &[
            r#"metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"a/c", "a/z"}"#,
        ],
    );
}
