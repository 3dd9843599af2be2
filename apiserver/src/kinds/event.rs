//! Events, which two groups serve in two forms and store in one: the core form.
//! Source: `k8s.io/kubernetes/pkg/apis/core/validation/events.go`, `pkg/apis/events/v1/conversion.go`.

use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::{Object, meta, names};

use super::check::{self, Cursor};
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of core events.
#[derive(Clone, Copy, Debug)]
pub struct CoreEvent;

/// The strategy of events of `events.k8s.io`. They are stored as core events; their errors name the core fields.
#[derive(Clone, Copy, Debug)]
pub struct Event;

/// The most characters of a reporting instance, an action or a reason.
const MAX_SHORT: usize = 128;
/// The most characters of a note.
const MAX_NOTE: usize = 1024;

const RULES: Rules = Rules { create_on_update: true, garbage_collected: false, ..Rules::DEFAULT };

/// The core fields that `events.k8s.io` names otherwise.
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Turns an event of `events.k8s.io` into the core form. `apiVersion` stays as it is.
pub fn to_core(object: &mut Value) {
    rename(object, |(core, events)| (events, core));
    default_core(object);
}

/// Turns a core event into the form of `events.k8s.io`. `apiVersion` stays as it is.
pub fn to_events(object: &mut Value) {
    rename(object, |(core, events)| (core, events));
    default_events(object);
}

fn rename(object: &mut Value, direction: fn((&'static str, &'static str)) -> (&'static str, &'static str)) {
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    for pair in RENAMED {
        let (from, to) = direction(*pair);
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
    let empty = |value: &Value| value == "";
    for optional in ["note", "message", "reason", "action", "type"] {
        if fields.get(optional).is_some_and(empty) {
            fields.remove(optional);
        }
    }
    if fields.get("deprecatedCount").or_else(|| fields.get("count")) == Some(&json!(0)) {
        fields.remove("deprecatedCount");
        fields.remove("count");
    }
}

/// What a core event always shows.
fn default_core(object: &mut Value) {
    for field in ["involvedObject", "source"] {
        meta::set_default(object, &[field], json!({}));
    }
    for field in ["eventTime", "firstTimestamp", "lastTimestamp"] {
        meta::set_default(object, &[field], Value::Null);
    }
    for field in ["reportingComponent", "reportingInstance"] {
        meta::set_default(object, &[field], "");
    }
}

fn default_events(object: &mut Value) {
    for field in ["regarding", "deprecatedSource"] {
        meta::set_default(object, &[field], json!({}));
    }
    for field in ["eventTime", "deprecatedFirstTimestamp", "deprecatedLastTimestamp"] {
        meta::set_default(object, &[field], Value::Null);
    }
    for field in ["reportingController", "reportingInstance"] {
        if meta::text(object, &[field]).is_empty() {
            meta::remove(object, &[field]);
        }
    }
}

impl Strategy for CoreEvent {
    fn rules(&self) -> Rules {
        RULES
    }

    fn default(&self, object: &mut Value) {
        default_core(object);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| legacy(&root, "reportingComponent"))
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let text = |path: &[&str]| meta::text(object, path).to_owned();
        let component = text(&["source", "component"]);
        let reporter = text(&["reportingComponent"]);
        vec![
            ("involvedObject.kind", text(&["involvedObject", "kind"])),
            ("involvedObject.namespace", text(&["involvedObject", "namespace"])),
            ("involvedObject.name", text(&["involvedObject", "name"])),
            ("involvedObject.uid", text(&["involvedObject", "uid"])),
            ("involvedObject.apiVersion", text(&["involvedObject", "apiVersion"])),
            ("involvedObject.resourceVersion", text(&["involvedObject", "resourceVersion"])),
            ("involvedObject.fieldPath", text(&["involvedObject", "fieldPath"])),
            ("reason", text(&["reason"])),
            ("reportingComponent", reporter.clone()),
            ("source", if component.is_empty() { reporter } else { component }),
            ("type", text(&["type"])),
        ]
    }
}

impl Strategy for Event {
    fn rules(&self) -> Rules {
        RULES
    }

    fn default(&self, object: &mut Value) {
        default_events(object);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        let core = core_form(object);
        check::collect(&core, |root| {
            legacy(&root, "reportingController");
            new_event(&root);
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        let (core, old) = (core_form(object), core_form(old));
        check::collect(&core, |root| {
            legacy(&root, "reportingController");
            if !check::same(Some(root.at("series").value), old.get("series")) {
                series(&root.at("series"));
            }
            for field in [
                "involvedObject",
                "reason",
                "message",
                "source",
                "firstTimestamp",
                "lastTimestamp",
                "count",
                "eventTime",
                "action",
                "related",
                "reportingComponent",
                "reportingInstance",
                "type",
            ] {
                root.at(field).immutable(old.get(field));
            }
        })
    }

    fn to_served(&self, object: &mut Value) {
        to_events(object);
    }

    fn to_stored(&self, object: &mut Value) {
        to_core(object);
    }

    fn converts(&self) -> bool {
        true
    }

    /// Under the core names, as if it were a core event.
    fn indexed_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let source = meta::text(object, &["deprecatedSource", "component"]).to_owned();
        let mut fields = self.selectable_fields(object);
        let source = if source.is_empty() { meta::text(object, &["reportingController"]).to_owned() } else { source };
        fields.push(("source", source));
        fields.iter_mut().for_each(|(name, _)| *name = core_name(name));
        fields
    }

    fn indexed_as<'a>(&self, field: &'a str) -> &'a str {
        core_name(field)
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let text = |path: &[&str]| meta::text(object, path).to_owned();
        vec![
            ("regarding.kind", text(&["regarding", "kind"])),
            ("regarding.namespace", text(&["regarding", "namespace"])),
            ("regarding.name", text(&["regarding", "name"])),
            ("regarding.uid", text(&["regarding", "uid"])),
            ("regarding.apiVersion", text(&["regarding", "apiVersion"])),
            ("regarding.resourceVersion", text(&["regarding", "resourceVersion"])),
            ("regarding.fieldPath", text(&["regarding", "fieldPath"])),
            ("reason", text(&["reason"])),
            ("reportingController", text(&["reportingController"])),
            ("type", text(&["type"])),
        ]
    }
}

/// How core events call a field by which events of `events.k8s.io` are selected.
fn core_name(field: &str) -> &str {
    match field {
        "regarding.kind" => "involvedObject.kind",
        "regarding.namespace" => "involvedObject.namespace",
        "regarding.name" => "involvedObject.name",
        "regarding.uid" => "involvedObject.uid",
        "regarding.apiVersion" => "involvedObject.apiVersion",
        "regarding.resourceVersion" => "involvedObject.resourceVersion",
        "regarding.fieldPath" => "involvedObject.fieldPath",
        "reportingController" => "reportingComponent",
        field => field,
    }
}

/// The core form of an event, without who owns what of it: that is most of it, and nobody looks there.
fn core_form(object: &Value) -> Value {
    let part = |(name, value): (&String, &Value)| {
        let value = match value.as_object().filter(|_| name == "metadata") {
            Some(metadata) => without_owners(metadata),
            None => value.clone(),
        };
        (name.clone(), value)
    };
    let mut core = object.as_object().into_iter().flatten().map(part).collect();
    to_core(&mut core);
    core
}

fn without_owners(metadata: &Object) -> Value {
    let others = metadata.iter().filter(|(name, _)| *name != "managedFields");
    others.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What holds for events of both groups. Those with an event time say more about who reports them.
fn legacy(root: &Cursor<'_>, reporter_name: &str) {
    let namespace = meta::namespace(root.value);
    let about = root.at("involvedObject").at("namespace");
    if root.at("eventTime").is_empty() {
        let fits =
            if about.is_empty() { namespace.is_empty() || namespace == "default" } else { namespace == about.text() };
        if !fits {
            about.invalid_text("does not match event.namespace");
        }
        return;
    }
    if about.is_empty() && !matches!(namespace, "default" | "kube-system") {
        about.invalid_text("does not match event.namespace");
    }
    let reporter = root.with(root.value.get("reportingComponent"), reporter_name.into());
    reporter.must_be_set();
    reporter.named(names::qualified_name);
    for field in ["reportingInstance", "action", "reason"] {
        let field = root.at(field);
        field.must_be_set();
        at_most(&field, MAX_SHORT);
    }
    at_most(&root.at("message"), MAX_NOTE);
}

fn at_most(field: &Cursor<'_>, most: usize) {
    if field.text().len() > most {
        field.invalid_str("", format!("can have at most {most} characters"));
    }
}

/// What holds for new events of `events.k8s.io`.
fn new_event(root: &Cursor<'_>) {
    if root.at("eventTime").is_empty() {
        root.at("eventTime").required("");
    }
    let sort = root.at("type");
    if !matches!(sort.text(), "Normal" | "Warning") {
        sort.invalid_str("", format!("has invalid value: {}", sort.text()));
    }
    let unset = |field: Cursor<'_>, empty: bool| {
        if !empty {
            field.invalid_str("", "needs to be unset");
        }
    };
    for field in ["firstTimestamp", "lastTimestamp"] {
        unset(root.at(field), root.at(field).is_empty());
    }
    unset(root.at("count"), root.at("count").int().unwrap_or_default() == 0);
    unset(root.at("source"), root.at("source").is_empty());
    series(&root.at("series"));
}

fn series(series: &Cursor<'_>) {
    if !series.is_set() {
        return;
    }
    let count = series.at("count");
    if count.int().unwrap_or_default() < 2 {
        count.invalid_str("", "should be at least 2");
    }
    series.at("lastObservedTime").must_be_set();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Value {
        json!({
            "metadata": {"name": "up", "namespace": "shop"}, "eventTime": "2020-05-01T10:00:00.123456Z",
            "reportingController": "example.com/operator", "reportingInstance": "operator-1", "action": "Scaling",
            "reason": "ScaledUp", "type": "Normal", "note": "three replicas",
            "regarding": {"kind": "Deployment", "namespace": "shop", "name": "web"},
        })
    }

    #[track_caller]
    fn check(change: &Value, expect: &[&str]) {
        let mut object = event();
        for (field, value) in change.as_object().expect("an object") {
            object[field] = value.clone();
        }
        assert_eq!(check::messages(&Event.validate(&object)), expect);
    }

    #[test]
    fn the_two_forms_convert_into_each_other() {
        let mut object = event();
        Event.default(&mut object);
        let before = object.clone();
        to_core(&mut object);
        assert_eq!(object["message"], "three replicas");
        assert_eq!(object["reportingComponent"], "example.com/operator");
        assert_eq!(object["source"], json!({}));
        to_events(&mut object);
        assert_eq!(object, before);
    }

    #[test]
    fn an_event_is_found_by_the_fields_of_either_version() {
        let object = event();
        let indexed = Event.indexed_fields(&object);
        let core: std::collections::BTreeMap<_, _> =
            CoreEvent.indexed_fields(&core_form(&object)).into_iter().collect();
        assert_eq!(indexed.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(), core);
        assert_eq!(indexed.len(), core.len(), "no name stands there twice");
        for (name, value) in Event.selectable_fields(&object) {
            assert_eq!(core[Event.indexed_as(name)], value, "{name}");
        }
    }

    #[test]
    fn events_say_who_reports_what() {
        check(&json!({}), &[]);
        check(&json!({"action": ""}), &["action: Required value"]);
        check(&json!({"eventTime": null}), &["eventTime: Required value"]);
        check(&json!({"type": "Fatal"}), &[r#"type: Invalid value: "": has invalid value: Fatal"#]);
        check(&json!({"deprecatedCount": 3}), &[r#"count: Invalid value: "": needs to be unset"#]);
        check(
            &json!({"series": {"count": 1}}),
            &[r#"series.count: Invalid value: "": should be at least 2"#, "series.lastObservedTime: Required value"],
        );
    }

    #[test]
    fn only_the_series_changes() {
        let old = event();
        let mut new = event();
        new["note"] = json!("changed");
        new["series"] = json!({"count": 2, "lastObservedTime": "2020-05-01T11:00:00.000000Z"});
        assert_eq!(
            check::messages(&Event.validate_update(&new, &old)),
            [r#"message: Invalid value: "changed": field is immutable"#]
        );
    }

    #[test]
    fn events_stay_in_the_namespace_of_their_object() {
        let object = |namespace: &str, about: &str| json!({"metadata": {"namespace": namespace}, "involvedObject": {"namespace": about}});
        let complaint = |about: &str| {
            format!("involvedObject.namespace: Invalid value: \"{about}\": does not match event.namespace")
        };
        assert_eq!(check::messages(&CoreEvent.validate(&object("shop", ""))), [complaint("")]);
        assert_eq!(check::messages(&CoreEvent.validate(&object("shop", "b"))), [complaint("b")]);
        assert!(CoreEvent.validate(&object("default", "")).is_empty());
        assert!(CoreEvent.validate(&object("shop", "shop")).is_empty());
    }
}
