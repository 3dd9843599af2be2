use super::*;
use crate::authentication::UserInfo;

fn texts(list: &str) -> Vec<String> {
    list.split_whitespace().map(|text| if text == "-" { String::new() } else { text.to_owned() }).collect()
}

/// `groups resources[/names] verbs`, each a list of words.
fn rule(groups: &str, resources: &str, names: &str, verbs: &str) -> PolicyRule {
    PolicyRule {
        api_groups: texts(groups),
        resources: texts(resources),
        resource_names: texts(names),
        verbs: texts(verbs),
        ..PolicyRule::default()
    }
}

fn urls(urls: &str, verbs: &str) -> PolicyRule {
    PolicyRule { non_resource_urls: texts(urls), verbs: texts(verbs), ..PolicyRule::default() }
}

/// Whether a rule allows `verb group resource/subresource name`.
fn allows(rule: &PolicyRule, request: &str) -> bool {
    let user = UserInfo::default();
    let words: Vec<&str> = request.split(' ').collect();
    let target = match words[..] {
        [_, path] => Target::Path(path),
        [_, group, resource, ref rest @ ..] => {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let group = if group == "-" { "" } else { group };
            let name = rest.first().copied().unwrap_or("");
            Target::Resource { group, resource, subresource, namespace: "n", name }
        }
        _ => unreachable!("a verb and a target"),
    };
    rule.allows(&Attributes { user: &user, verb: words[0], target, field_selector: "" })
}

#[test]
fn a_rule_allows_what_it_names() {
    let pods = rule("-", "pods", "", "get list");
    let named = rule("-", "configmaps", "mine", "get list create");
    let scale = rule("*", "*/scale", "", "get");
    let all = rule("batch", "*", "", "*");
    let log = rule("-", "pods/log", "", "get");
    let paths = urls("/metrics /debug/* /v*", "get");
    for (rule, request, expect) in [
        (&pods, "get - pods a", true),
        (&pods, "watch - pods", false),
        (&pods, "get apps pods a", false),
        (&pods, "get - pods/log a", false),
        (&log, "get - pods/log a", true),
        (&log, "get - pods a", false),
        (&named, "get - configmaps mine", true),
        (&named, "get - configmaps other", false),
        (&named, "list - configmaps", false),
        (&named, "list - configmaps mine", true),
        (&named, "create - configmaps", false),
        (&scale, "get apps deployments/scale x", true),
        (&scale, "get apps deployments x", false),
        (&scale, "get apps deployments/status x", false),
        (&all, "delete batch jobs/status x", true),
        (&all, "* batch *", true),
        (&pods, "* - pods", false),
        (&paths, "get /metrics", true),
        (&paths, "get /metrics/slis", false),
        (&paths, "get /debug/pprof/heap", true),
        (&paths, "get /debug", false),
        (&paths, "get /version", true),
        (&paths, "post /metrics", false),
        (&all, "get /metrics", false),
    ] {
        assert_eq!(allows(rule, request), expect, "{rule:?} {request}");
    }
}

#[test]
fn rules_that_stand_for_billions_are_not_taken_apart() {
    let words = |letter: &str| (0..300).map(|number| format!("{letter}{number} ")).collect::<String>();
    let many = rule(&words("g"), &words("r"), &words("n"), &words("v"));
    assert_eq!(uncovered(&[rule("-", "pods", "", "get")], std::slice::from_ref(&many)), Err(TooMuch));
    assert_eq!(uncovered(&PolicyRule::everything(), std::slice::from_ref(&many)), Ok(vec![]));
    let long = "r".repeat(1 << 20);
    assert_eq!(uncovered(&[], &[rule("-", &long, "", "a b c d e f g h i j")]), Err(TooMuch));
    assert_eq!(uncovered(&[], &[rule("-", "r", "", &words("v"))]).map(|missing| missing.len()), Ok(300));
}

#[test]
fn what_is_missing_is_described_as_upstream_does() {
    let held = [rule("-", "pods", "", "get list")];
    let wanted = [
        rule("-", "secrets pods", "", "get delete"),
        rule("apps", "*", "", "*"),
        rule("-", "pods", "x", "get"),
        rule("-", "pods", "x y", "delete"),
        urls("/a /b", "get"),
    ];
    let missing: Vec<String> = described(uncovered(&held, &wanted).unwrap()).into_iter().collect();
    assert_eq!(
        missing,
        [
            r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["x"], Verbs:["delete"]}"#,
            r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["y"], Verbs:["delete"]}"#,
            r#"{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}"#,
            r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete"]}"#,
            r#"{APIGroups:["apps"], Resources:["*"], Verbs:["*"]}"#,
            r#"{NonResourceURLs:["/a"], Verbs:["get"]}"#,
            r#"{NonResourceURLs:["/b"], Verbs:["get"]}"#,
        ]
    );
}

#[test]
fn lists_may_be_null() {
    let read: PolicyRule =
        serde_json::from_str(r#"{"verbs":["get"],"apiGroups":null,"nonResourceURLs":["/x"]}"#).unwrap();
    assert_eq!(read, urls("/x", "get"));
}

mod properties {
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};

    use super::*;

    const GROUPS: [&str; 3] = ["", "apps", "*"];
    const RESOURCES: [&str; 6] = ["pods", "pods/scale", "nodes", "nodes/scale", "*/scale", "*"];
    const VERBS: [&str; 4] = ["get", "list", "escalate", "*"];
    const NAMES: [&str; 3] = ["a", "b", ""];
    const URLS: [&str; 6] = ["/a", "/a/b", "/a/*", "/*", "*", "/b"];

    fn owned(list: Vec<&'static str>) -> Vec<String> {
        list.into_iter().map(str::to_owned).collect()
    }

    fn resource_rule() -> impl Strategy<Value = PolicyRule> {
        let parts = (
            subsequence(GROUPS.to_vec(), 1..3),
            subsequence(RESOURCES.to_vec(), 1..3),
            subsequence(NAMES[..2].to_vec(), 0..2),
            subsequence(VERBS.to_vec(), 1..3),
        );
        parts.prop_map(|(groups, resources, names, verbs)| PolicyRule {
            api_groups: owned(groups),
            resources: owned(resources),
            resource_names: owned(names),
            verbs: owned(verbs),
            ..PolicyRule::default()
        })
    }

    fn url_rule() -> impl Strategy<Value = PolicyRule> {
        let parts = (subsequence(URLS.to_vec(), 1..3), subsequence(VERBS.to_vec(), 1..3));
        parts.prop_map(|(urls, verbs)| PolicyRule {
            non_resource_urls: owned(urls),
            verbs: owned(verbs),
            ..PolicyRule::default()
        })
    }

    fn rules() -> impl Strategy<Value = Vec<PolicyRule>> {
        prop::collection::vec(prop_oneof![3 => resource_rule(), 1 => url_rule()], 0..4)
    }

    proptest! {
        /// Who holds rules that cover others can do nothing more with those: nobody escalates by writing a role.
        #[test]
        fn what_is_covered_allows_nothing_new(
            held in rules(),
            wanted in rules(),
            verb in select(vec!["get", "list", "escalate", "delete"]),
            group in select(vec!["", "apps", "batch"]),
            resource in select(vec![("pods", ""), ("pods", "scale"), ("nodes", ""), ("nodes", "scale"), ("x", "y")]),
            name in select(vec!["a", "b", "c", ""]),
            path in select(vec!["/a", "/a/b", "/a/b/c", "/b", "/"]),
        ) {
            let missing = uncovered(&held, &wanted).unwrap();
            prop_assert!(uncovered(&wanted, &wanted).unwrap().is_empty());
            prop_assert!(uncovered(&[held.clone(), missing.clone()].concat(), &wanted).unwrap().is_empty());
            let user = UserInfo::default();
            let (resource, subresource) = resource;
            let resource = Target::Resource { group, resource, subresource, namespace: "", name };
            for target in [resource, Target::Path(path)] {
                let request = Attributes { user: &user, verb, target, field_selector: "" };
                let allow = |rules: &[PolicyRule]| rules.iter().any(|rule| rule.allows(&request));
                if missing.is_empty() && allow(&wanted) {
                    prop_assert!(allow(&held), "{held:?} does not allow what {wanted:?} does: {request:?}");
                }
            }
        }
    }
}
