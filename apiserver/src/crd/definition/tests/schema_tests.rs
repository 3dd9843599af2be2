//! What a schema may contain.

use super::*;

/// What is wrong with a definition whose `spec` has this schema for its field `x`.
fn field_faults(schema: Value) -> Vec<String> {
    let mut object = definition();
    object["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["x"] = schema;
    validate(&object).iter().map(ToString::to_string).collect()
}

fn root_faults(schema: Value) -> Vec<String> {
    version_faults(json!({"schema": {"openAPIV3Schema": schema}}))
}

const ROOT: &str = "spec.validation.openAPIV3Schema";
const X: &str = "spec.validation.openAPIV3Schema.properties[x]";

#[test]
fn structural_schemas_pass() {
    let good = [
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        json!({"x-kubernetes-preserve-unknown-fields": true}),
        json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
        json!({"type": "object", "additionalProperties": {"type": "string"}}),
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]},
            {"properties": {"a": {"minLength": 2}}}]}),
        json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}}),
        json!({"type": "object", "default": {"a": "b"}, "properties": {"a": {"type": "string"}}}),
        json!({"type": "string", "nullable": true, "default": "x", "enum": ["x", "y"]}),
    ];
    for schema in good {
        assert_eq!(field_faults(schema.clone()), [""; 0], "{schema}");
    }
}

#[test]
fn others_do_not() {
    let cases = [
        (json!({}), ".type: Required value: must not be empty for specified object fields"),
        (
            json!({"type": "array", "items": {}}),
            ".items.type: Required value: must not be empty for specified array items",
        ),
        (json!({"type": "array"}), ".items: Required value: must be specified"),
        (
            json!({"type": "null"}),
            ".type: Unsupported value: \"null\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \
             \"object\", \"string\"",
        ),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "additionalProperties": {"type": "string"}}),
            ".additionalProperties: Forbidden: must not be used if x-kubernetes-embedded-resource is set",
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true}),
            ".x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is \
             true",
        ),
        (
            json!({"type": "string", "not": {"nullable": true}}),
            ".not.nullable: Forbidden: must be false to be structural",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "bag"}),
            ".x-kubernetes-list-type: Unsupported value: \"bag\": supported values: \"atomic\", \"set\", \"map\"",
        ),
        (
            json!({"type": "text"}),
            ".type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \
             \"object\", \"string\"",
        ),
        (json!({"type": "string", "$ref": "#/x"}), ".$ref: Forbidden: $ref is not supported"),
        (
            json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
            ".uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "properties": {"a": {"type": "string"}}}),
            ".additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            json!({"type": "string", "anyOf": [{"type": "string"}]}),
            ".anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            json!({"type": "string", "anyOf": [{"x-kubernetes-validations": [{"rule": "true"}]}]}),
            ".anyOf[0].x-kubernetes-validations: Forbidden: must be empty to be structural",
        ),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true}),
            ".properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without \
             x-kubernetes-preserve-unknown-fields",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "map"}),
            ".x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
        ),
        (
            json!({"type": "string", "x-kubernetes-list-type": "set"}),
            ".type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified",
        ),
        (
            json!({"type": "integer", "default": "x"}),
            ".default: Invalid value: \"string\": default in body must be of type integer: \"string\"",
        ),
        (
            json!({"type": "object", "default": {"odd": 1}, "properties": {"a": {"type": "string"}}}),
            ".default: Invalid value: {\"odd\":1}: must not have unknown fields",
        ),
    ];
    for (schema, expect) in cases {
        let faults = field_faults(schema.clone());
        assert_eq!(faults.first().map(String::as_str), Some(format!("{X}{expect}").as_str()), "{schema}: {faults:?}");
    }
}

#[test]
fn the_root_is_an_object_with_metadata_of_its_own() {
    let cases = [
        (json!({"type": null}), ".type: Required value: must not be empty at the root"),
        (json!({"type": "string", "properties": null}), ".type: Invalid value: \"string\": must be object at the root"),
        (json!({"nullable": true}), ".nullable: Forbidden: nullable cannot be true at the root"),
        (
            json!({"properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
            ".properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata \
             is implicitly specified",
        ),
    ];
    for (schema, expect) in cases {
        assert_eq!(root_faults(schema), [format!("{ROOT}{expect}")]);
    }
    let undeclared = json!({"anyOf": [{"properties": {"spec": {"properties": {"odd": {"minLength": 1}}}}}]});
    assert_eq!(
        root_faults(undeclared),
        [format!(
            "{ROOT}.properties[spec].properties[odd]: Required value: because it is defined in \
             {ROOT}.anyOf[0].properties[spec].properties[odd]"
        )]
    );
    let named = json!({"properties": {"metadata": {"type": "object", "properties": {
        "name": {"type": "string", "maxLength": 5}}}}});
    assert_eq!(root_faults(named), [""; 0]);
    let with_status = version_faults(json!({"subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"oneOf": [{"required": ["spec"]}]}}}));
    assert!(with_status[0].contains("only [Description Type Format Title"), "{with_status:?}");
}

#[test]
fn versions_that_differ_are_reported_one_by_one() {
    let mut object = definition();
    let mut second = object["spec"]["versions"][0].clone();
    second["name"] = json!("v2");
    second["storage"] = json!(false);
    second["schema"]["openAPIV3Schema"]["properties"]["x"] = json!({});
    object["spec"]["versions"].as_array_mut().unwrap().push(second);
    let faults: Vec<String> = validate(&object).iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "spec.versions[1].schema.openAPIV3Schema.properties[x].type: Required value: must not be empty for specified \
          object fields"
        ]
    );
}
