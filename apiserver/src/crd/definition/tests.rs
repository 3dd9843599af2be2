use super::*;

mod schema_tests;

fn definition() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.shop.example.com"},
        "spec": {"group": "shop.example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "properties": {
                    "size": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}}}}}}}]},
        "status": {"storedVersions": ["v1"]}})
}

/// What is wrong with the definition after a merge patch.
fn faults(change: Value) -> Vec<String> {
    let changed = steersman_machinery::patch::merge::apply(&definition(), &change);
    validate(&changed).iter().map(ToString::to_string).collect()
}

/// What is wrong with the definition after a merge patch of its version.
fn version_faults(change: Value) -> Vec<String> {
    let version = steersman_machinery::patch::merge::apply(&definition()["spec"]["versions"][0], &change);
    faults(json!({"spec": {"versions": [version]}}))
}

#[test]
fn names_follow_from_the_kind() {
    let mut object = json!({"spec": {"names": {"plural": "tabs", "kind": "CronTab"}, "conversion": {
        "strategy": "Webhook", "webhook": {"clientConfig": {"service": {"name": "a"}}}}}});
    default(&mut object);
    let once = object.clone();
    default(&mut object);
    assert_eq!(object, once);
    assert_eq!(object["spec"]["names"]["singular"], "crontab");
    assert_eq!(object["spec"]["names"]["listKind"], "CronTabList");
    assert_eq!(object["spec"]["conversion"]["webhook"]["clientConfig"]["service"]["port"], 443);
    let mut plain = json!({"spec": {"names": {}}});
    default(&mut plain);
    assert_eq!(plain["spec"]["conversion"], json!({"strategy": "None"}));
}

#[test]
fn a_good_definition_passes() {
    assert_eq!(faults(json!({})), [""; 0]);
    assert!(warnings(&definition()).is_empty());
}

#[test]
fn bad_definitions_get_upstreams_words() {
    let cases = [
        (
            json!({"metadata": {"name": "other"}}),
            "metadata.name: Invalid value: \"other\": must be spec.names.plural+\".\"+spec.group",
        ),
        (
            json!({"metadata": {"name": "widgets.shop"}, "spec": {"group": "shop"}}),
            "spec.group: Invalid value: \"shop\": should be a domain with at least one dot",
        ),
        (json!({"spec": {"scope": ""}}), "spec.scope: Required value"),
        (
            json!({"spec": {"scope": "Galaxy"}}),
            "spec.scope: Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\"",
        ),
        (
            json!({"spec": {"names": {"listKind": "Widget"}}}),
            "spec.names.listKind: Invalid value: \"Widget\": kind and listKind may not be the same",
        ),
        (json!({"spec": {"names": {"kind": ""}}}), "spec.names.kind: Required value"),
        (
            json!({"spec": {"preserveUnknownFields": true}}),
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set \
             x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ),
        (
            json!({"status": {"storedVersions": ["v0"]}}),
            "status.storedVersions[0]: Invalid value: \"v0\": missing from spec.versions; v0 was previously a storage \
             version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v0 \
             and removes v0 from status.storedVersions",
        ),
    ];
    for (change, expect) in cases {
        assert_eq!(faults(change), [expect]);
    }
    assert!(
        faults(json!({"spec": {"versions": []}}))[0]
            .ends_with("must have exactly one version marked as storage version")
    );
    let twice = definition()["spec"]["versions"][0].clone();
    assert!(faults(json!({"spec": {"versions": [twice, twice]}}))[0].ends_with("must contain unique version names"));
    assert_eq!(
        version_faults(json!({"schema": null})),
        ["spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"]
    );
}

#[test]
fn conversions_say_who_converts() {
    let check =
        |conversion: Value, expect: &[&str]| assert_eq!(faults(json!({"spec": {"conversion": conversion}})), expect);
    let client = json!({"url": "https://example.com/convert"});
    check(json!({"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}}), &[]);
    check(
        json!({"strategy": "Webhook"}),
        &[
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
            "spec.conversion.conversionReviewVersions: Required value",
        ],
    );
    check(
        json!({"strategy": "Webhook", "webhook": {"clientConfig": {}, "conversionReviewVersions": ["v2", "v2"]}}),
        &[
            "spec.conversion.webhookClientConfig: Required value: exactly one of url or service is required",
            "spec.conversion.conversionReviewVersions[1]: Invalid value: \"v2\": duplicate version",
            "spec.conversion.conversionReviewVersions: Invalid value: [\"v2\",\"v2\"]: must include at least one of v1, \
             v1beta1",
        ],
    );
    check(
        json!({"strategy": "None", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}}),
        &[
            "spec.conversion.webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook",
            "spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook",
        ],
    );
}

#[test]
fn some_fields_never_change() {
    let check = |established: bool, change: Value| -> Vec<String> {
        let mut old = definition();
        if established {
            old["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
        }
        let new = steersman_machinery::patch::merge::apply(&old, &change);
        validate_update(&new, &old).iter().map(ToString::to_string).collect()
    };
    let group = json!({"spec": {"group": "other.example.com"}});
    assert_eq!(check(false, group), ["spec.group: Invalid value: \"other.example.com\": field is immutable"]);
    let plural = json!({"spec": {"names": {"plural": "gadgets"}}});
    assert_eq!(check(true, plural), ["spec.names.plural: Invalid value: \"gadgets\": field is immutable"]);
    let scope = json!({"spec": {"scope": "Cluster", "names": {"kind": "Gadget"}}});
    assert!(check(false, scope.clone()).is_empty());
    assert_eq!(
        check(true, scope),
        [
            "spec.scope: Invalid value: \"Cluster\": field is immutable",
            "spec.names.kind: Invalid value: \"Gadget\": field is immutable"
        ]
    );
}

#[test]
fn the_server_keeps_track_of_stored_versions() {
    let mut object = definition();
    Definition.prepare_for_create(&mut object, Timestamp::UNIX_EPOCH);
    assert_eq!(
        object["status"],
        json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": ["v1"]})
    );
    let old = object.clone();
    object["spec"]["versions"][0]["name"] = json!("v2");
    Definition.prepare_for_update(&mut object, &old);
    assert_eq!(object["status"]["storedVersions"], json!(["v1", "v2"]));
    Definition.prepare_for_delete(&mut object);
    Definition.prepare_for_delete(&mut object);
    assert_eq!(object["metadata"]["finalizers"], json!([CLEANUP_FINALIZER]));
}

#[test]
fn authors_are_warned_of_what_is_not_checked() {
    let mut object = definition();
    let size =
        &mut object["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"];
    size["format"] = json!("int31");
    size["x-kubernetes-validations"] = json!([{"rule": "self > 1"}]);
    assert_eq!(warnings(&object), ["unrecognized format \"int31\""]);
}

#[test]
fn columns_and_paths_are_checked() {
    let column = |name: &str, kind: &str, path: &str| json!({"additionalPrinterColumns": [{"name": name, "type": kind, "jsonPath": path}]});
    assert_eq!(version_faults(column("A", "string", ".spec.a")), [""; 0]);
    let cases = [
        (column("", "string", ".a"), "spec.additionalPrinterColumns[0].name: Required value"),
        (
            column("A", "text", ".a"),
            "spec.additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of \
             boolean,date,integer,number,string",
        ),
        (
            column("A", "string", "spec.a"),
            "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"spec.a\": must be a simple json path starting \
             with .",
        ),
        (
            json!({"subresources": {"scale": {"specReplicasPath": ".status.a", "statusReplicasPath": ".status.b"}}}),
            "spec.subresources.scale.specReplicasPath: Invalid value: \".status.a\": should be a json path under .spec",
        ),
        (
            json!({"subresources": {"scale": {"specReplicasPath": ".spec.a"}}}),
            "spec.subresources.scale.statusReplicasPath: Required value",
        ),
        (
            json!({"selectableFields": [{"jsonPath": ".spec.none"}]}),
            "spec.selectableFields[0].jsonPath: Invalid value: \".spec.none\": is an invalid path: does not refer to a \
             valid field",
        ),
        (
            json!({"selectableFields": [{"jsonPath": ".spec.size"}, {"jsonPath": ".spec.size"}]}),
            "spec.selectableFields[1].jsonPath: Duplicate value: \".spec.size\"",
        ),
        (
            json!({"deprecationWarning": "old"}),
            "spec.versions[0].deprecationWarning: Invalid value: \"old\": can only be set for deprecated versions",
        ),
    ];
    for (change, expect) in cases {
        assert_eq!(version_faults(change), [expect]);
    }
}
