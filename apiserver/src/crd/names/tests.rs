use super::*;

/// The status in the end.
fn settle(definition: &Value, others: &[Value], now: Timestamp) -> Value {
    let mut definition = definition.clone();
    definition["status"] = accept(&definition, others, now);
    establish(&definition, others, now)
}

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn definition(plural: &str, kind: &str, short: &[&str]) -> Value {
    json!({"metadata": {"name": format!("{plural}.example.com"), "generation": 2}, "spec": {
        "group": "example.com",
        "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"),
            "shortNames": short, "categories": ["all"]},
        "versions": [{"name": "v1", "storage": true}]}})
}

fn conditions(status: &Value) -> Vec<String> {
    let text = |it: &Value, name| meta::text(it, &[name]).to_owned();
    let line = |it: &Value| {
        let parts = ["type", "status", "reason", "message"].map(|name| text(it, name));
        parts.join(" ")
    };
    meta::items(status, &["conditions"]).iter().map(line).collect()
}

#[test]
fn names_that_nobody_has_are_accepted() {
    let definition = definition("widgets", "Widget", &["wd"]);
    let status = settle(&definition, &[], NOW);
    assert_eq!(
        conditions(&status),
        [
            "NamesAccepted True NoConflicts no conflicts found",
            "Established True InitialNamesAccepted the initial names have been accepted"
        ]
    );
    assert_eq!(status["acceptedNames"], definition["spec"]["names"]);
    assert_eq!(status["storedVersions"], json!(["v1"]));
    assert_eq!(status["conditions"][0]["observedGeneration"], 2);
}

#[test]
fn names_that_another_has_are_refused_until_it_goes() {
    let mut first = definition("widgets", "Widget", &["wd"]);
    first["status"] = settle(&first, &[], NOW);
    let mut second = definition("gadgets", "Gadget", &["wd"]);
    second["status"] = settle(&second, std::slice::from_ref(&first), NOW);
    assert_eq!(
        conditions(&second["status"]),
        [
            "NamesAccepted False ShortNamesConflict \"wd\" is already in use",
            "Established False NotAccepted not all names are accepted"
        ]
    );
    assert_eq!(second["status"]["acceptedNames"].get("shortNames"), None);

    let later = Timestamp::from_second(60).unwrap();
    second["status"] = settle(&second, &[], later);
    assert_eq!(second["status"]["acceptedNames"]["shortNames"], json!(["wd"]));
    assert_eq!(second["status"]["conditions"][1]["lastTransitionTime"], "1970-01-01T00:01:00Z");

    let mut other_group = definition("widgets", "Widget", &["wd"]);
    other_group["spec"]["group"] = json!("other.com");
    assert!(conditions(&accept(&other_group, std::slice::from_ref(&first), NOW))[0].contains("True"));
}

#[test]
fn accepting_again_changes_nothing_and_established_stays() {
    let mut first = definition("widgets", "Widget", &[]);
    first["status"] = settle(&first, &[], NOW);
    let later = Timestamp::from_second(60).unwrap();
    assert_eq!(settle(&first, &[], later), first["status"]);

    let mut second = definition("gadgets", "Gadget", &[]);
    second["status"] = settle(&second, std::slice::from_ref(&first), NOW);
    second["spec"]["names"]["listKind"] = json!("WidgetList");
    let status = settle(&second, std::slice::from_ref(&first), later);
    assert_eq!(status["acceptedNames"]["listKind"], "GadgetList", "what was accepted stays");
    assert!(conditions(&status)[0].starts_with("NamesAccepted False ListKindConflict"));
    assert!(conditions(&status)[1].starts_with("Established True"));
}

#[test]
fn kubernetes_own_groups_need_approval() {
    let state = |annotation: Option<&str>| {
        let mut definition = definition("widgets", "Widget", &[]);
        definition["spec"]["group"] = json!("widgets.k8s.io");
        if let Some(annotation) = annotation {
            definition["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": annotation});
        }
        approval(&definition).map(|(state, reason, _)| (state, reason))
    };
    assert_eq!(state(None), Some(("False", "MissingAnnotation")));
    assert_eq!(state(Some("unapproved, experimental")), Some(("False", "UnapprovedAPI")));
    assert_eq!(state(Some("https://github.com/x")), Some(("True", "ApprovedAnnotation")));
    assert_eq!(state(Some("yes")), Some(("False", "InvalidAnnotation")));
    assert_eq!(approval(&definition("widgets", "Widget", &[])), None);
}
