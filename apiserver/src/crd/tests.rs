use serde_json::json;

use super::*;

fn definition() -> Value {
    let version = |name: &str, served: bool, storage: bool| {
        json!({"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": {"type": "object",
            "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}},
            "subresources": {"status": {}, "scale": {
                "specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}}})
    };
    json!({"metadata": {"name": "widgets.shop.example.com", "generation": 1},
        "spec": {"group": "shop.example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList",
                "shortNames": ["wd"]},
            "versions": [version("v1beta1", true, false), version("v1", true, true), version("v2", false, false)]}})
}

#[test]
fn an_established_definition_serves_its_versions_the_best_first() {
    let mut definition = definition();
    assert!(resources(&definition).is_empty(), "not established");
    let now = jiff::Timestamp::UNIX_EPOCH;
    definition["status"] = names::accept(&definition, &[], now);
    assert!(resources(&definition).is_empty(), "its names are accepted, no more");
    definition["status"] = names::establish(&definition, &[], now);
    let served = resources(&definition);
    let versions: Vec<&str> = served.iter().map(|resource| resource.version.as_str()).collect();
    assert_eq!(versions, ["v1", "v1beta1"]);
    let first = &served[0];
    assert_eq!((first.kind.as_str(), first.list_kind.as_str(), first.namespaced), ("Widget", "WidgetList", true));
    assert_eq!(first.short_names, ["wd"]);
    let subresources: Vec<&str> = first.subresources.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(subresources, ["status", "scale"]);
    assert_eq!(first.scale.as_ref().unwrap().spec, "spec.size");
    assert!(first.has_verb("create"));

    definition["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(!resources(&definition)[0].has_verb("create"));
}

#[test]
fn versions_are_ordered_by_stability() {
    let mut versions = ["foo1", "v1alpha1", "v11beta2", "v10", "v2", "v1", "v10beta3", "v3beta1", "v12alpha1", "foo10"];
    versions.sort_by_key(|version| Reverse(stability(version)));
    assert_eq!(
        versions,
        ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v1alpha1", "foo1", "foo10"]
    );
}

#[test]
fn who_uses_a_deprecated_version_is_told_of_a_better_one() {
    let check = |versions: &[(&str, bool, bool)], of: &str, expect: Option<&str>| {
        let version = |(name, served, deprecated): &(&str, bool, bool)| json!({"name": name, "served": served, "deprecated": deprecated});
        let versions: Vec<Value> = versions.iter().map(version).collect();
        let definition = json!({"spec": {"versions": versions}});
        let version = versions.iter().find(|it| it["name"] == of).unwrap();
        let kind = GroupVersionKind::new("g.io", of, "Kind");
        assert_eq!(deprecation(&definition, version, &kind).as_deref(), expect, "{definition}");
    };
    check(&[("v1", true, false)], "v1", None);
    check(&[("v1", true, true)], "v1", Some("g.io/v1 Kind is deprecated"));
    let three = [("v1beta1", true, true), ("v1beta2", true, false), ("v1", true, false)];
    check(&three, "v1beta1", Some("g.io/v1beta1 Kind is deprecated; use g.io/v1 Kind"));
    let others = [("v1", false, false), ("v2", true, true), ("v1beta1", true, true), ("v1alpha1", true, false)];
    check(&others, "v1beta1", Some("g.io/v1beta1 Kind is deprecated"));
    check(&others, "v2", Some("g.io/v2 Kind is deprecated"));
}
