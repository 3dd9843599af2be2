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

/// What changed, and which field tells who changed it.
struct Detail {
    by: By,
    what: String,
}

/// Where the name of a writer stands.
enum By {
    /// The manager of the object itself.
    Creator,
    /// The manager of a field of the object.
    Field(&'static str),
    /// The manager of the status.
    Status,
    /// Here.
    Name(String),
}

/// Deletions leave no trace of who asked for them.
const SERVER: &str = "apiserver";

/// What happened between two states of an object; none means that it does not exist.
pub(crate) fn tell(old: Option<&Value>, new: Option<&Value>) -> Vec<Line> {
    let Some(new) = new else {
        let gone = old.filter(|old| text(old, "/kind") != "Event");
        let line = |old| Line { who: SERVER.to_owned(), what: format!("{} is gone", title(old)) };
        return gone.map(line).into_iter().collect();
    };
    let details = match text(new, "/kind") {
        "Event" => return event(old, new).into_iter().collect(),
        "Deployment" => deployment(old, new),
        "ReplicaSet" => replica_set(old, new),
        _ => pod(old, new),
    };
    details.into_iter().map(|Detail { by, what }| Line { who: writer(by, old, new), what }).collect()
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

fn detail(by: By, what: String) -> Detail {
    Detail { by, what }
}

fn deployment(old: Option<&Value>, new: &Value) -> Vec<Detail> {
    let name = title(new);
    let Some(old) = old else {
        let what = format!("creates {name}: {} × {}", number(new, "/spec/replicas"), image(new));
        return vec![detail(By::Creator, what)];
    };
    let mut details = changed_spec(&name, old, new);
    if image(old) != image(new) {
        let what = format!("changes {name}: image {} → {}", image(old), image(new));
        details.push(detail(By::Field("image"), what));
    }
    if text(old, REVISION) != text(new, REVISION) {
        let what = format!("numbers {name}: revision {}", text(new, REVISION));
        details.push(detail(By::Field("deployment.kubernetes.io/revision"), what));
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
        let what = format!("writes status of {name}: observed generation {observed}, {}", said(new));
        details.push(detail(By::Status, what));
    }
    for kind in ["Available", "Progressing"] {
        let reason = |object| condition(object, kind).map(|condition| text(condition, "/reason").to_owned());
        if let Some(reason) = reason(new).filter(|now| reason(old).as_ref() != Some(now)) {
            details.push(detail(By::Status, format!("writes status of {name}: {kind} because {reason}")));
        }
    }
    details
}

fn replica_set(old: Option<&Value>, new: &Value) -> Vec<Detail> {
    let name = title(new);
    let Some(old) = old else {
        let (replicas, image, owner) = (number(new, "/spec/replicas"), image(new), owner(new));
        return vec![detail(By::Creator, format!("creates {name}{owner}: {replicas} × {image}"))];
    };
    let mut details = changed_spec(&name, old, new);
    let said = |object: &Value| {
        let ready = number(object, "/status/readyReplicas");
        format!("{ready} ready of {}", number(object, "/status/replicas"))
    };
    if said(old) != said(new) {
        details.push(detail(By::Status, format!("writes status of {name}: {}", said(new))));
    }
    details
}

fn pod(old: Option<&Value>, new: &Value) -> Vec<Detail> {
    let name = title(new);
    let Some(old) = old else {
        return vec![detail(By::Creator, format!("creates {name}{}", owner(new)))];
    };
    let mut details = changed_spec(&name, old, new);
    let node = text(new, "/spec/nodeName");
    if text(old, "/spec/nodeName") != node {
        // A binding leaves no trace in the managed fields; the pod itself says which scheduler it waits for.
        let scheduler = By::Name(text(new, "/spec/schedulerName").to_owned());
        details.push(detail(scheduler, format!("binds {name} to {node}")));
    }
    let said = |object| (text(object, "/status/phase").to_owned(), is_ready(object));
    if said(old) != said(new) {
        let (phase, ready) = said(new);
        let ready = if ready { "ready" } else { "not ready" };
        details.push(detail(By::Status, format!("reports {name} on {node}: {phase}, {ready}")));
    }
    details
}

fn changed_spec(name: &str, old: &Value, new: &Value) -> Vec<Detail> {
    let mut details = Vec::new();
    let replicas = |object| number(object, "/spec/replicas");
    if replicas(old) != replicas(new) {
        let what = format!("scales {name}: {} → {}", replicas(old), replicas(new));
        details.push(detail(By::Field("replicas"), what));
    }
    let is_deleted = |object| !text(object, "/metadata/deletionTimestamp").is_empty();
    if !is_deleted(old) && is_deleted(new) {
        details.push(detail(By::Name(SERVER.to_owned()), format!("marks {name} for deletion")));
    }
    details
}

/// Who wrote that, by the object's managed fields. An entry that is new counts before one that was there: two writes of one
/// manager within a second may leave the same entry.
fn writer(by: By, old: Option<&Value>, new: &Value) -> String {
    let fits = |entry: &Value| {
        let is_status = text(entry, "/subresource") == "status";
        match &by {
            By::Status => is_status,
            By::Field(field) => entry["fieldsV1"].to_string().contains(&format!("\"f:{field}\"")),
            By::Creator => !is_status,
            By::Name(_) => false,
        }
    };
    if let By::Name(name) = &by {
        return name.clone();
    }
    let before = old.map(managers).unwrap_or_default();
    let fitting: Vec<&Value> = managers(new).into_iter().filter(|entry| fits(entry)).collect();
    let entry = fitting.iter().find(|entry| !before.contains(entry)).or(fitting.last());
    entry.map_or("somebody", |entry| text(entry, "/manager")).to_owned()
}

fn managers(object: &Value) -> Vec<&Value> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.map(|entries| entries.iter().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
