//! Tells what a change of an object means, and who made it. Pure: two states of an object go in, sentences come out.

use serde_json::Value;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Who did it: a field manager, or the component that reports an event.
    pub(crate) who: String,
    /// What it is.
    pub(crate) what: String,
}

/// The annotation that numbers the templates of a Deployment.
pub(crate) const REVISION: &str = "/metadata/annotations/deployment.kubernetes.io~1revision";

/// What happened between two states of an object; none means that it does not exist.
pub(crate) fn tell(old: Option<&Value>, new: Option<&Value>) -> Vec<Line> {
    let (Some(object), old) = (new.or(old), if new.is_some() { old } else { None }) else {
        return Vec::new();
    };
    if new.is_none() {
        let line = Line { who: "apiserver".to_owned(), what: format!("{} is gone", title(object)) };
        return if text(object, "/kind") == "Event" { Vec::new() } else { vec![line] };
    }
    match text(object, "/kind") {
        "Event" => event(old, object).into_iter().collect(),
        kind => {
            let details = match kind {
                "Deployment" => deployment(old, object),
                "ReplicaSet" => replica_set(old, object),
                _ => pod(old, object),
            };
            let who = writer(old, object);
            details.into_iter().map(|what| Line { who: who.clone(), what }).collect()
        }
    }
}

/// The string at a JSON pointer; empty if there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a JSON pointer; 0 if there is none.
pub(crate) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The image of the first container of a template or pod.
pub(crate) fn image(object: &Value) -> &str {
    let template = object.pointer("/spec/template").unwrap_or(object);
    text(template, "/spec/containers/0/image")
}

/// Whether a pod says that it is ready.
fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition["status"] == "True")
}

/// The condition of a type.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

fn title(object: &Value) -> String {
    format!("{} {}", text(object, "/kind"), text(object, "/metadata/name"))
}

fn owner(object: &Value) -> String {
    let owner = |member: &str| text(object, &format!("/metadata/ownerReferences/0/{member}"));
    match owner("kind") {
        "" => String::new(),
        kind => format!(" for {kind} {}", owner("name")),
    }
}

fn event(old: Option<&Value>, event: &Value) -> Option<Line> {
    if old.is_some_and(|old| number(old, "/count") == number(event, "/count")) {
        return None;
    }
    let reporter = [text(event, "/source/component"), text(event, "/reportingComponent")];
    let who = reporter.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    let what = format!("says {}: {}", text(event, "/reason"), text(event, "/message"));
    Some(Line { who: who.to_owned(), what })
}

fn deployment(old: Option<&Value>, new: &Value) -> Vec<String> {
    let name = title(new);
    let Some(old) = old else {
        return vec![format!("creates {name}: {} × {}", number(new, "/spec/replicas"), image(new))];
    };
    let mut lines = changed_spec(&name, old, new);
    if image(old) != image(new) {
        lines.push(format!("changes {name}: image {} → {}", image(old), image(new)));
    }
    if text(old, REVISION) != text(new, REVISION) {
        lines.push(format!("numbers {name}: revision {}", text(new, REVISION)));
    }
    let said = |object: &Value| {
        format!(
            "{} updated, {} ready, {} available of {}",
            number(object, "/status/updatedReplicas"),
            number(object, "/status/readyReplicas"),
            number(object, "/status/availableReplicas"),
            number(object, "/status/replicas"),
        )
    };
    let observed = number(new, "/status/observedGeneration");
    if said(old) != said(new) || number(old, "/status/observedGeneration") != observed {
        lines.push(format!("writes status of {name}: observed generation {observed}, {}", said(new)));
    }
    for kind in ["Available", "Progressing"] {
        let reason = |object| condition(object, kind).map(|condition| text(condition, "/reason").to_owned());
        if let Some(reason) = reason(new).filter(|now| reason(old).as_ref() != Some(now)) {
            lines.push(format!("writes status of {name}: {kind} because {reason}"));
        }
    }
    lines
}

fn replica_set(old: Option<&Value>, new: &Value) -> Vec<String> {
    let name = title(new);
    let Some(old) = old else {
        let (replicas, image, owner) = (number(new, "/spec/replicas"), image(new), owner(new));
        return vec![format!("creates {name}{owner}: {replicas} × {image}")];
    };
    let mut lines = changed_spec(&name, old, new);
    let said = |object: &Value| {
        let ready = number(object, "/status/readyReplicas");
        format!("{ready} ready of {}", number(object, "/status/replicas"))
    };
    if said(old) != said(new) {
        lines.push(format!("writes status of {name}: {}", said(new)));
    }
    lines
}

fn changed_spec(name: &str, old: &Value, new: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let replicas = |object| number(object, "/spec/replicas");
    if replicas(old) != replicas(new) {
        lines.push(format!("scales {name}: {} → {}", replicas(old), replicas(new)));
    }
    let is_deleted = |object| !text(object, "/metadata/deletionTimestamp").is_empty();
    if !is_deleted(old) && is_deleted(new) {
        lines.push(format!("asks {name} to go"));
    }
    lines
}

fn pod(old: Option<&Value>, new: &Value) -> Vec<String> {
    let name = title(new);
    let Some(old) = old else {
        return vec![format!("creates {name}{}", owner(new))];
    };
    let mut lines = changed_spec(&name, old, new);
    let node = text(new, "/spec/nodeName");
    if text(old, "/spec/nodeName") != node {
        lines.push(format!("binds {name} to {node}"));
    }
    let said = |object| (text(object, "/status/phase").to_owned(), is_ready(object));
    if said(old) != said(new) {
        let (phase, ready) = said(new);
        let ready = if ready { "ready" } else { "not ready" };
        lines.push(format!("reports {name} on {node}: {phase}, {ready}"));
    }
    lines
}

/// Who wrote the last change, by the object's managed fields.
fn writer(old: Option<&Value>, new: &Value) -> String {
    let bound = |object: &Value| !text(object, "/spec/nodeName").is_empty();
    if text(new, "/kind") == "Pod" && old.is_some_and(|old| !bound(old)) && bound(new) {
        // A binding leaves no trace in the managed fields; the pod itself says which scheduler it waits for.
        return text(new, "/spec/schedulerName").to_owned();
    }
    let is_status = old.is_some_and(|old| old["status"] != new["status"] && old["spec"] == new["spec"]);
    let before = old.map(managers).unwrap_or_default();
    let after: Vec<&Value> =
        managers(new).into_iter().filter(|entry| is_status == (text(entry, "/subresource") == "status")).collect();
    let changed = after.iter().find(|entry| !before.contains(entry)).or(after.last());
    changed.map_or("somebody", |entry| text(entry, "/manager")).to_owned()
}

fn managers(object: &Value) -> Vec<&Value> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.map(|entries| entries.iter().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
