//! What the scheduler writes about a pod besides its node: events and the `PodScheduled` condition.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Request;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde::Serialize;
use serde_json::{Value, json};
use steersman_framework::api::{self, Alone};
use steersman_machinery::clock::{format_micro_time, format_time};

use crate::pod::Pod;

const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// Notes longer than this are cut, since the API does not take them.
const MAX_NOTE: usize = 1024;
/// After this time an event of the same kind about the same object is a new one.
const SERIES_TIMEOUT: SignedDuration = SignedDuration::from_secs(6 * 60);

/// Of what an event tells.
#[derive(Clone, Debug)]
pub(crate) struct EventText {
    pub(crate) warning: bool,
    pub(crate) reason: &'static str,
    pub(crate) action: &'static str,
    pub(crate) note: String,
    /// The pod for whose sake it happened.
    pub(crate) related: Option<Reference>,
}

impl EventText {
    pub(crate) fn scheduled(pod: &Pod, node: &str) -> Self {
        Self {
            warning: false,
            reason: "Scheduled",
            action: "Binding",
            note: format!("Successfully assigned {} to {node}", pod.key()),
            related: None,
        }
    }

    /// A pod had to make room; `in_memory` if it was on its way to the node only.
    pub(crate) fn preempted(by: &Pod, node: &str, in_memory: bool) -> Self {
        let how = if in_memory { " (in kube-scheduler memory)." } else { "" };
        let note = format!("Preempted by pod {} on node {node}{how}", by.uid);
        Self { warning: false, reason: "Preempted", action: "Preempting", note, related: Some(Reference::of(by)) }
    }

    pub(crate) fn waiting_for_devices(node: &str) -> Self {
        let note = format!("waiting for binding conditions for device on node {node}");
        Self { warning: false, reason: "BindingConditionsPending", action: "Scheduling", note, related: None }
    }

    pub(crate) fn failed(note: String) -> Self {
        Self { warning: true, reason: "FailedScheduling", action: "Scheduling", note: truncate(note), related: None }
    }
}

fn truncate(note: String) -> String {
    const END: &str = " ...";
    if note.len() <= MAX_NOTE {
        return note;
    }
    let mut end = MAX_NOTE - END.len();
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{END}", &note[..end])
}

/// A request to the API server, ready to be sent.
pub(crate) type Write = Request<Vec<u8>>;

/// Sends a write. What the server refuses is only logged: the next attempt says it again.
pub(crate) async fn send(client: &Client, write: Write) {
    let path = write.uri().path().to_owned();
    if let Err(error) = api::send(client, write).await {
        tracing::debug!(%path, %error, "a write about a pod failed");
    }
}

fn request(method: &str, path: String, content_type: &str, body: &impl Serialize) -> Option<Write> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, content_type)
        .extension(Alone)
        .body(serde_json::to_vec(body).ok()?);
    // Names come from the API server, so that paths are always well-formed.
    request.ok()
}

/// Makes events; an event that repeats becomes a series. Source: `k8s.io/client-go/tools/events`.
#[derive(Debug, Default)]
pub(crate) struct EventWriter {
    last: BTreeMap<Arc<str>, Last>,
    last_name: i128,
}

/// The last event about a pod.
#[derive(Debug)]
struct Last {
    key: (&'static str, String),
    name: String,
    time: Timestamp,
    count: u32,
}

impl EventWriter {
    /// The request that tells of something; `None` if it has been told already.
    pub(crate) fn event(&mut self, controller: &str, pod: &Pod, text: &EventText, now: Timestamp) -> Option<Write> {
        let namespace = &*pod.spec.namespace;
        let collection = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        let key = (text.reason, version(pod).to_owned());
        if let Some(last) = self.last.get_mut(&pod.uid)
            && last.key == key
            && now.duration_since(last.time) < SERIES_TIMEOUT
        {
            last.count += 1;
            last.time = now;
            let series = json!({"series": {"count": last.count, "lastObservedTime": format_micro_time(now)}});
            // The series is opened once; what repeats further is not worth a write each time.
            return (last.count == 2)
                .then(|| {
                    let path = format!("{collection}/{}", last.name);
                    request("PATCH", path, STRATEGIC, &series)
                })
                .flatten();
        }
        self.last_name = now.as_nanosecond().max(self.last_name + 1);
        let name = format!("{}.{:x}", pod.name, self.last_name);
        let event = Event {
            api_version: "events.k8s.io/v1",
            kind: "Event",
            metadata: Named { name: &name, namespace },
            event_time: format_micro_time(now),
            reporting_controller: controller,
            reporting_instance: format!("{controller}-steersman"),
            action: text.action,
            reason: text.reason,
            regarding: Reference::of(pod),
            related: text.related.as_ref(),
            note: &text.note,
            event_type: if text.warning { "Warning" } else { "Normal" },
        };
        let write = request("POST", collection, "application/json", &event);
        let last = Last { key, name, time: now, count: 1 };
        self.last.insert(pod.uid.clone(), last);
        write
    }

    /// Nothing more will be told of this pod.
    pub(crate) fn forget(&mut self, uid: &str) {
        self.last.remove(uid);
    }
}

/// The request that says on the pod why it has no node; `None` if it already says so.
pub(crate) fn condition(
    pod: &Pod,
    (reason, message): (&str, &str),
    nominated_node_name: Option<&Option<String>>,
    now: Timestamp,
) -> Option<Write> {
    let pending = pod.pending.as_ref()?;
    let old = pending.condition.as_ref();
    let unchanged = old.is_some_and(|old| {
        old.status == "False"
            && old.reason == reason
            && old.message == message
            && old.observed_generation == pending.generation
    });
    let old_nomination = pod.nominated_node_name.as_deref();
    let nomination = nominated_node_name.filter(|new| new.as_deref() != old_nomination);
    if unchanged && nomination.is_none() {
        return None;
    }
    let since = old.filter(|old| old.status == "False").and_then(|old| old.last_transition_time);
    let mut condition = json!({
        "type": "PodScheduled",
        "status": "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": format_time(since.unwrap_or(now)),
    });
    if pending.generation > 0 {
        condition["observedGeneration"] = pending.generation.into();
    }
    let mut status = json!({"conditions": [condition]});
    if let Some(nomination) = nomination {
        status["nominatedNodeName"] = json!(nomination);
    }
    let body = json!({"metadata": {"uid": &*pod.uid}, "status": status});
    request("PATCH", format!("{}/status", path(pod)), STRATEGIC, &body)
}

/// The request that sets an annotation. By way of the status: that is what schedulers may write.
pub(crate) fn annotation(pod: &Pod, name: &str, text: &str) -> Option<Write> {
    let body = json!({"metadata": {"uid": &*pod.uid, "annotations": {name: text}}});
    request("PATCH", format!("{}/status", path(pod)), STRATEGIC, &body)
}

/// The request that says on a victim why it has to go.
pub(crate) fn disruption(victim: &Pod, scheduler: &str, now: Timestamp) -> Option<Write> {
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": format!("{scheduler}: preempting to accommodate a higher priority pod"),
        "lastTransitionTime": format_time(now),
    });
    let body = json!({"metadata": {"uid": &*victim.uid}, "status": {"conditions": [condition]}});
    request("PATCH", format!("{}/status", path(victim)), STRATEGIC, &body)
}

/// The request that asks a pod to go, if it still is the one that is meant.
pub(crate) fn deletion(victim: &Pod) -> Option<Write> {
    let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": &*victim.uid}});
    request("DELETE", path(victim), "application/json", &body)
}

/// The request that names the node that is held for a pod, or gives it up.
pub(crate) fn nomination(pod: &Pod, node: Option<&str>) -> Option<Write> {
    let body = json!({"metadata": {"uid": &*pod.uid}, "status": {"nominatedNodeName": node}});
    request("PATCH", format!("{}/status", path(pod)), STRATEGIC, &body)
}

/// The request that says on a group of pods of the Workload API how it is with it.
pub(crate) fn group_condition((namespace, name, uid): (&str, &str, &str), condition: &Value) -> Option<Write> {
    let path = format!("/apis/scheduling.k8s.io/v1alpha2/namespaces/{namespace}/podgroups/{name}/status");
    let body = json!({"metadata": {"uid": uid}, "status": {"conditions": [condition]}});
    request("PATCH", path, STRATEGIC, &body)
}

fn version(pod: &Pod) -> &str {
    pod.pending.as_ref().map_or("", |pending| pending.resource_version.as_str())
}

/// An event as it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Named<'a>,
    event_time: String,
    reporting_controller: &'a str,
    reporting_instance: String,
    action: &'static str,
    reason: &'static str,
    regarding: Reference<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    related: Option<&'a Reference>,
    note: &'a str,
    #[serde(rename = "type")]
    event_type: &'static str,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    namespace: &'a str,
}

/// A pod as events refer to it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reference<Text = String> {
    api_version: &'static str,
    kind: &'static str,
    namespace: Text,
    name: Text,
    uid: Text,
    resource_version: Text,
}

impl Reference {
    fn of<'a, Text: From<&'a str>>(pod: &'a Pod) -> Reference<Text> {
        Reference {
            api_version: "v1",
            kind: "Pod",
            namespace: (*pod.spec.namespace).into(),
            name: (*pod.name).into(),
            uid: (*pod.uid).into(),
            resource_version: version(pod).into(),
        }
    }
}

fn path(pod: &Pod) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", pod.spec.namespace, pod.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::PendingPod;
    use crate::testing::Cluster;
    use crate::wire::PodCondition;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pod(condition: Option<PodCondition>) -> Pod {
        let pod = Cluster::new(&[]).pod("", &json!({}));
        let pending = PendingPod { resource_version: "7".to_owned(), generation: 1, condition, without_volumes: None };
        Pod { pending: Some(Box::new(pending)), ..(*pod).clone() }
    }

    fn body(write: &Write) -> Value {
        serde_json::from_slice(write.body()).unwrap()
    }

    #[test]
    fn a_condition_is_written_only_if_it_says_something_new() {
        let said = PodCondition {
            condition_type: "PodScheduled".to_owned(),
            status: "False".to_owned(),
            reason: "Unschedulable".to_owned(),
            message: "m".to_owned(),
            last_transition_time: Some(at(5)),
            observed_generation: 1,
        };
        let pod = pod(Some(said));
        assert!(condition(&pod, ("Unschedulable", "m"), None, at(9)).is_none());
        assert!(condition(&pod, ("Unschedulable", "m"), Some(&None), at(9)).is_none(), "nothing was held before");
        let write = condition(&pod, ("Unschedulable", "n"), Some(&Some("n1".to_owned())), at(9)).unwrap();
        let status = body(&write)["status"].clone();
        assert_eq!(status["nominatedNodeName"], "n1");
        assert_eq!(status["conditions"][0]["message"], "n");
        assert_eq!(status["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:05Z", "the status is as before");
    }

    #[test]
    fn an_event_that_repeats_becomes_a_series_that_is_opened_once() {
        let mut writer = EventWriter::default();
        let (mut pod, text) = (pod(None), EventText::failed("no".to_owned()));
        let first = writer.event("s", &pod, &text, at(1)).unwrap();
        assert_eq!(body(&first)["note"], "no");
        assert_eq!(body(&first)["regarding"]["resourceVersion"], "7");
        let second = writer.event("s", &pod, &text, at(2)).unwrap();
        assert_eq!((second.method().as_str(), &body(&second)["series"]["count"]), ("PATCH", &json!(2)));
        assert!(writer.event("s", &pod, &text, at(3)).is_none());
        assert_eq!(writer.event("s", &pod, &text, at(400)).unwrap().method(), "POST", "after a pause it is a new one");
        pod.pending.as_mut().unwrap().resource_version = "8".to_owned();
        assert_eq!(writer.event("s", &pod, &text, at(401)).unwrap().method(), "POST", "about another state of the pod");
    }

    #[test]
    fn long_notes_are_cut_between_characters() {
        let note = truncate("ä".repeat(600));
        assert!(note.len() <= MAX_NOTE && note.ends_with("ä ..."), "{}", note.len());
        assert_eq!(truncate("short".to_owned()), "short");
    }
}
