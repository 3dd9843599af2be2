use super::*;

#[track_caller]
fn check(strategy: &dyn Strategy, spec: Value, expect: &[&str]) {
    let mut object = json!({"metadata": {"name": "x"}, "spec": spec});
    strategy.default(&mut object);
    assert_eq!(check::messages(&strategy.validate(&object)), expect);
}

fn constraints() -> Value {
    let rule =
        json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]});
    json!({"resourceRules": [rule]})
}

#[test]
fn policies_check_something() {
    check(&ValidatingPolicy, json!({"matchConstraints": constraints(), "validations": [{"expression": "true"}]}), &[]);
    check(
        &ValidatingPolicy,
        json!({}),
        &[
            "spec.matchConstraints: Required value",
            "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
            "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
        ],
    );
    check(
        &ValidatingPolicy,
        json!({"matchConstraints": constraints(), "validations": [{"expression": "", "message": "a\nb", "reason": "Because"}]}),
        &[
            "spec.validations[0].expression: Required value: expression is not specified",
            r#"spec.validations[0].message: Invalid value: "a\nb": must not contain line breaks"#,
            r#"spec.validations[0].reason: Unsupported value: "Because": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge""#,
        ],
    );
}

#[test]
fn bindings_name_a_policy_and_actions() {
    let binding = PolicyBinding { mutating: false };
    check(
        &binding,
        json!({}),
        &[
            "spec.policyName: Required value",
            "spec.validationActions: Required value: at least one validation action is required",
        ],
    );
    check(
        &binding,
        json!({"policyName": "p", "validationActions": ["Deny"], "paramRef": {}}),
        &[
            "spec.paramRef: Required value: one of name or selector must be specified",
            "spec.paramRef.parameterNotFoundAction: Required value",
        ],
    );
    check(&PolicyBinding { mutating: true }, json!({"policyName": "p"}), &[]);
}

fn policy(change: &Value, expect: &[&str]) {
    let mut spec = json!({"matchConstraints": constraints(), "validations": [{"expression": "true"}]});
    for (field, value) in change.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let mut object = json!({"metadata": {"name": "x"}, "spec": spec});
    ValidatingPolicy.default(&mut object);
    let found = check::messages(&ValidatingPolicy.validate(&object));
    let found: Vec<&str> = found.iter().map(|it| it.trim_start_matches("spec.")).collect();
    assert_eq!(found, expect, "{change}");
}

#[test]
fn kinds_of_parameters_are_well_formed() {
    let (label, domain) = (names::dns1035_label("1").remove(0), names::dns1123_subdomain("A").remove(0));
    for (version, kind, expect) in [
        ("v1", "ConfigMap", vec![]),
        ("example.com/v1", "Thing", vec![]),
        ("a/", "Thing", vec![r#"apiVersion: Invalid value: "a/": version must be specified"#.to_owned()]),
        (
            "A/1",
            "1",
            vec![
                format!(r#"apiVersion: Invalid value: "A": {domain}"#),
                format!(r#"apiVersion: Invalid value: "1": {label}"#),
                format!(r#"kind: Invalid value: "1": may have mixed case, but should otherwise match: {label}"#),
            ],
        ),
    ] {
        let expect: Vec<String> = expect.iter().map(|it| format!("paramKind.{it}")).collect();
        let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
        policy(&json!({"paramKind": {"apiVersion": version, "kind": kind}}), &expect);
    }
}

#[test]
fn variables_have_names_of_cel_and_the_last_of_a_name_counts() {
    policy(
        &json!({"variables": [{"name": "a", "expression": "1"}, {"name": "a", "expression": "'x'"}],
                "validations": [{"expression": "variables.a == 'x'"}]}),
        &[],
    );
    policy(
        &json!({"variables": [{"name": " ", "expression": "1"}, {"name": "namespace", "expression": "1"}]}),
        &[
            "variables[0].name: Required value: name is not specified",
            r#"variables[1].name: Invalid value: "namespace": must be a valid CEL identifier"#,
        ],
    );
}

#[test]
fn rules_name_objects_once() {
    let rule = json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"],
                      "resourceNames": ["a", "a/b", "a"]});
    policy(
        &json!({"matchConstraints": {"resourceRules": [rule]}}),
        &[
            r#"matchConstraints.resourceRules[0].resourceNames[1]: Invalid value: "a/b": may not contain '/'"#,
            r#"matchConstraints.resourceRules[0].resourceNames[2]: Duplicate value: "a""#,
        ],
    );
}

#[test]
fn expressions_and_messages_are_there_and_messages_have_one_line() {
    policy(&json!({"matchConditions": [{"name": "a", "expression": " 1 + "}]}).clone(), &[&match_condition_error()]);
    policy(
        &json!({"validations": [{"expression": "true", "message": " ", "messageExpression": " "},
                                {"expression": "true", "message": "a\rb"}]}),
        &[
            r#"validations[0].messageExpression: Invalid value: " ": must be non-empty if specified"#,
            r#"validations[0].message: Invalid value: " ": must be non-empty if specified"#,
            r#"validations[1].message: Invalid value: "a\rb": must not contain line breaks"#,
        ],
    );
}

/// White space around the expression of a condition is not looked at, and not shown.
fn match_condition_error() -> String {
    let environment = expressions::environment(Scope::default());
    let fault = expressions::compile(&environment, "1 +", &[Type::Bool]).unwrap_err();
    format!("matchConditions[0].expression: Invalid value: \"1 +\": {fault}")
}

#[test]
fn audit_annotations_are_few_short_and_named() {
    let key = names::qualified_name("x/");
    let key: Vec<String> =
        key.iter().map(|it| format!(r#"auditAnnotations[0].key: Invalid value: "x/": {it}"#)).collect();
    let mut expect: Vec<&str> = key.iter().map(String::as_str).collect();
    expect.push("auditAnnotations[0].valueExpression: Required value: valueExpression is not specified");
    expect.push("auditAnnotations[1].valueExpression: Required value: must not exceed 5120 bytes in length");
    expect.push(r#"auditAnnotations[2].key: Duplicate value: "a""#);
    let long = format!("'{}'", "x".repeat(5120));
    policy(
        &json!({"auditAnnotations": [
            {"key": "", "valueExpression": " "}, {"key": "a", "valueExpression": long}, {"key": "a", "valueExpression": "'a'"},
        ]}),
        &expect,
    );
    let many: Vec<Value> = (0..21).map(|n| json!({"key": format!("k{n}"), "valueExpression": "'a'"})).collect();
    let shown: Vec<String> = (0..21).map(|n| format!(r#"{{"Key":"k{n}","ValueExpression":"'a'"}}"#)).collect();
    let too_many =
        format!("auditAnnotations: Invalid value: [{}]: must not have more than 20 auditAnnotations", shown.join(","));
    policy(&json!({"auditAnnotations": many}), &[&too_many]);
}

#[test]
fn mutations_are_of_one_sort_and_not_about_what_is_deleted() {
    let rule =
        json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "DELETE"], "resources": ["pods"]});
    let apply = json!({"expression": "Object{}"});
    check(
        &MutatingPolicy,
        json!({
            "matchConstraints": {"resourceRules": [rule]}, "reinvocationPolicy": "Never",
            "mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": apply},
                {"patchType": "JSONPatch", "applyConfiguration": apply},
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": " "}, "jsonPatch": {"expression": "[]"}},
                {"patchType": "Magic"}, {},
            ],
        }),
        &[
            r#"spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE""#,
            "spec.mutations[1].jsonPatch: Required value: must be specified when patchType is JSONPatch",
            r#"spec.mutations[1].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when patchType is JSONPatch"#,
            "spec.mutations[2].applyConfiguration.expression: Required value",
            r#"spec.mutations[2].jsonPatch: Invalid value: "{jsonPatch}": must not be specified when patchType is ApplyConfiguration"#,
            r#"spec.mutations[3].patchType: Unsupported value: "Magic": supported values: "ApplyConfiguration", "JSONPatch""#,
            "spec.mutations[4].patchType: Required value",
        ],
    );
}

#[test]
fn bindings_refer_to_parameters_in_one_way() {
    let wrong =
        json!({"policyName": "p", "paramRef": {"name": "a/b", "selector": {}, "parameterNotFoundAction": "Cry"}});
    check(
        &PolicyBinding { mutating: true },
        wrong,
        &[
            r#"spec.paramRef.name: Invalid value: "a/b": may not contain '/'"#,
            "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
            "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
            r#"spec.paramRef.parameterNotFoundAction: Unsupported value: "Cry": supported values: "Deny", "Allow""#,
        ],
    );
}

#[test]
fn what_a_status_says_is_complete() {
    let object = json!({"status": {
        "typeChecking": {"expressionWarnings": [{"fieldRef": " ", "warning": ""}]},
        "conditions": [{"type": "A", "status": "Maybe"}],
    }});
    let found = check::messages(&ValidatingPolicy.validate_status_update(&object, &json!({})));
    assert_eq!(
        found,
        [
            "status.typeChecking.expressionWarnings[0].warning: Required value",
            "status.typeChecking.expressionWarnings[0].fieldRef: Required value",
            r#"status.conditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown""#,
            "status.conditions[0].lastTransitionTime: Required value: must be set",
            "status.conditions[0].reason: Required value: must be set",
        ]
    );
}
