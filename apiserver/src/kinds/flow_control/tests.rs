use super::*;

#[track_caller]
fn check(strategy: &dyn Strategy, spec: Value, expect: &[&str]) {
    let mut object = json!({"spec": spec});
    strategy.default(&mut object);
    assert_eq!(check::messages(&strategy.validate(&object)), expect);
}

#[test]
fn schemas_and_levels_are_checked() {
    check(
        &FlowSchema,
        json!({}),
        &["spec.priorityLevelConfiguration.name: Required value: must reference a priority level"],
    );
    check(
        &PriorityLevelConfiguration,
        json!({}),
        &[r#"spec.type: Unsupported value: "": supported values: "Exempt", "Limited""#],
    );
    check(
        &PriorityLevelConfiguration,
        json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}),
        &[],
    );
}

#[track_caller]
fn messages(strategy: &dyn Strategy, name: &str, spec: &Value) -> Vec<String> {
    let mut object = json!({"metadata": {"name": name}, "spec": spec});
    strategy.default(&mut object);
    let found = check::messages(&strategy.validate(&object));
    found.iter().map(|it| it.trim_start_matches("spec.").to_owned()).collect()
}

/// What is wrong with a rule that is right but for this.
fn rule(field: &str, value: Value, expect: &[&str]) {
    let mut rule = json!({
        "subjects": [{"kind": "User", "user": {"name": "jane"}}],
        "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["a"]}],
    });
    rule[field] = value;
    let found = messages(&FlowSchema, "x", &json!({"priorityLevelConfiguration": {"name": "l"}, "rules": [rule]}));
    let found: Vec<&str> = found.iter().map(|it| it.trim_start_matches("rules[0].")).collect();
    assert_eq!(found, expect);
}

#[test]
fn subjects_say_in_one_way_who_they_are() {
    rule("subjects", json!([]), &["subjects: Required value: subjects must contain at least one value"]);
    rule(
        "subjects",
        json!([{"kind": "User", "group": {"name": "g"}}, {"kind": "Robot"}, {"kind": "Group", "group": {"name": ""}}]),
        &[
            "subjects[0].user: Required value: user is required when subject kind is 'User'",
            "subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
            r#"subjects[1].kind: Unsupported value: "Robot": supported values: "Group", "ServiceAccount", "User""#,
            "subjects[2].group.name: Required value",
        ],
    );
    rule("subjects", json!([{"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "a"}}]), &[]);
    rule(
        "subjects",
        json!([{"kind": "ServiceAccount", "serviceAccount": {"name": "a"}}]),
        &["subjects[0].serviceAccount.namespace: Required value: must specify namespace for service account"],
    );
}

#[test]
fn rules_say_what_they_are_about() {
    let resources = |field: &str, value: Value, expect: &[&str]| {
        let mut of = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["a"]});
        of[field] = value;
        rule("resourceRules", json!([of]), expect);
    };
    resources(
        "verbs",
        json!(["get", "dance"]),
        &[
            r#"resourceRules[0].verbs: Unsupported value: ["get","dance"]: supported values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch""#,
        ],
    );
    resources(
        "verbs",
        json!(["*", "get"]),
        &[r#"resourceRules[0].verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs"#],
    );
    resources(
        "apiGroups",
        json!([]),
        &["resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group"],
    );
    resources(
        "resources",
        json!(["*", "pods"]),
        &[
            r#"resourceRules[0].resources: Invalid value: ["*","pods"]: if '*' is present, must not specify other resources"#,
        ],
    );
    resources(
        "namespaces",
        json!([]),
        &[
            "resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace",
        ],
    );
    let label = names::dns1123_label("A").remove(0);
    resources(
        "namespaces",
        json!(["A"]),
        &[&format!(
            r#"resourceRules[0].namespaces[0]: Invalid value: "A": each member of this list must be '*' or a DNS-1123 label; {label}"#
        )],
    );
    rule(
        "resourceRules",
        json!([]),
        &["rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty"],
    );
    let paths = |urls: Value, expect: &[&str]| {
        rule("nonResourceRules", json!([{"verbs": ["get"], "nonResourceURLs": urls}]), expect)
    };
    paths(json!(["/", "/healthz", "/debug/*"]), &[]);
    paths(
        json!([]),
        &["nonResourceRules[0].nonResourceURLs: Required value: nonResourceURLs must contain at least one value"],
    );
    paths(
        json!(["x", "/a b", "//", "/a*"]),
        &[
            r#"nonResourceRules[0].nonResourceURLs[0]: Invalid value: "x": must start with slash"#,
            r#"nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a b": must not contain white-space"#,
            r#"nonResourceRules[0].nonResourceURLs[2]: Invalid value: "//": must not contain double slash"#,
            r#"nonResourceRules[0].nonResourceURLs[3]: Invalid value: "/a*": wildcard can only do suffix matching"#,
        ],
    );
}

#[test]
fn schemas_have_a_precedence_and_a_method() {
    let level = json!({"name": "l"});
    let precedence = |value: i64| {
        messages(&FlowSchema, "x", &json!({"priorityLevelConfiguration": level, "matchingPrecedence": value}))
    };
    assert!(precedence(2).is_empty());
    assert_eq!(precedence(-1), ["matchingPrecedence: Invalid value: -1: must be a positive value"]);
    assert_eq!(precedence(10001), ["matchingPrecedence: Invalid value: 10001: must not be greater than 10000"]);
    assert_eq!(
        precedence(1),
        ["matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1"]
    );
    assert_eq!(
        messages(
            &FlowSchema,
            "x",
            &json!({"priorityLevelConfiguration": level, "distinguisherMethod": {"type": "ByMood"}})
        ),
        [
            r#"distinguisherMethod.type: Unsupported value: {"Type":"ByMood"}: supported values: "ByNamespace", "ByUser""#
        ]
    );
}

#[test]
fn mandatory_objects_are_as_they_are() {
    for (strategy, all) in
        [(&FlowSchema as &dyn Strategy, bootstrap::schemas()), (&PriorityLevelConfiguration, bootstrap::levels())]
    {
        for object in &all {
            assert_eq!(messages(strategy, meta::name(object), &object["spec"]), [""; 0], "{object}");
        }
        for object in all.iter().filter(|it| bootstrap::MANDATORY.contains(&meta::name(it))) {
            let mut spec = object["spec"].clone();
            spec["exempt"]["lendablePercent"] = json!(7);
            spec["matchingPrecedence"] = json!(10);
            let found = messages(strategy, meta::name(object), &spec);
            assert!(found.iter().any(|it| it.contains("must equal the fixed value")), "{found:?}");
        }
    }
    let exempt = json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 5, "lendablePercent": 50}});
    assert!(messages(&PriorityLevelConfiguration, "exempt", &exempt).is_empty());
    assert_eq!(
        messages(&PriorityLevelConfiguration, "other", &exempt),
        [r#"type: Invalid value: "Exempt": type must be 'Exempt' if and only if name is 'exempt'"#]
    );
}

#[test]
fn levels_deal_hands_that_a_hash_can_tell() {
    let queuing = |change: Value| {
        let mut queuing = json!({"queues": 64, "handSize": 6, "queueLengthLimit": 50});
        queuing.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let limited = json!({"limitResponse": {"type": "Queue", "queuing": queuing}});
        messages(&PriorityLevelConfiguration, "x", &json!({"type": "Limited", "limited": limited}))
    };
    let place = "limited.limitResponse.queuing";
    assert!(queuing(json!({})).is_empty());
    assert!(queuing(json!({"queues": 128, "handSize": 8})).is_empty());
    assert_eq!(
        queuing(json!({"handSize": 65})),
        [format!("{place}.handSize: Invalid value: 65: should not be greater than queues (64)")]
    );
    assert_eq!(
        queuing(json!({"queues": 512, "handSize": 8})),
        [format!(
            "{place}.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be greater than 60"
        )]
    );
    assert_eq!(
        queuing(json!({"queues": 10_000_001, "handSize": 1})),
        [format!("{place}.queues: Invalid value: 10000001: must not be greater than 10000000")]
    );
    assert_eq!(
        messages(
            &PriorityLevelConfiguration,
            "x",
            &json!({"type": "Limited", "limited": {"limitResponse": {"type": "Reject", "queuing": {}},
                   "nominalConcurrencyShares": -1, "lendablePercent": 101, "borrowingLimitPercent": -1}})
        ),
        [
            "limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
            "limited.limitResponse.queuing: Forbidden: must be nil if limited.limitResponse.type is not Limited",
            "limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
            "limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
        ]
    );
}

#[test]
fn conditions_of_a_status_have_types_that_stand_once() {
    let object = json!({"status": {"conditions": [{"type": "A"}, {"type": "A"}, {"type": ""}]}});
    for strategy in [&FlowSchema as &dyn Strategy, &PriorityLevelConfiguration] {
        assert_eq!(
            check::messages(&strategy.validate_status_update(&object, &json!({}))),
            [
                r#"status.conditions[1].type: Duplicate value: "A""#,
                "status.conditions[2].type: Required value: must not be empty",
            ]
        );
    }
}
