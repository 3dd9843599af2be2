//! `pods/log`: what a simulated container would have written. The annotation `steersman.dev/logs` says what; without it,
//! there is one line that names the container and its image.

use futures::StreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::clock::{format_time, parse_time};
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::group::GroupKind;
use steersman_machinery::status::Status;
use steersman_machinery::{decode, meta};
use steersman_store::EventKind;

use crate::handlers::Answer;
use crate::http::body::Body;
use crate::http::respond;
use crate::server::unavailable;
use crate::service::Call;

/// What the containers of a pod have written, a line a line.
const ANNOTATION: &str = "steersman.dev/logs";

/// What a client wants to see of a log.
struct Options {
    follow: bool,
    previous: bool,
    timestamps: bool,
    since: Option<Timestamp>,
    tail: Option<i64>,
    limit: Option<i64>,
}

impl Options {
    fn read(call: &Call) -> Result<Self, Status> {
        let mut errors = ErrorList::new();
        let number = |name: &str| call.query.integer(name);
        let (tail, limit, seconds) = (number("tailLines")?, number("limitBytes")?, number("sinceSeconds")?);
        let mut at_least = |name: &str, value: Option<i64>, least: i64, why: &str| {
            if let Some(value) = value.filter(|value| *value < least) {
                errors.push(FieldError::invalid(&Path::new(name), &json!(value), why));
            }
        };
        at_least("tailLines", tail, 0, "must be greater than or equal to 0");
        at_least("limitBytes", limit, 1, "must be greater than 0");
        let time = call.query.text("sinceTime");
        let since = match time {
            "" => None,
            time => Some(decode::parse_time(time).map_err(Status::bad_request)?),
        };
        if seconds.is_some() && !time.is_empty() {
            let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            errors.push(FieldError::forbidden(&Path::new(""), why));
        } else {
            at_least("sinceSeconds", seconds, 1, "must be greater than 0");
        }
        if call.query.all("stream").next().is_some() {
            // A feature that is off.
            errors.push(FieldError::forbidden(&Path::new("stream"), "may not be specified"));
        }
        if !errors.is_empty() {
            return Err(Status::invalid(&GroupKind::new("", "PodLogOptions"), &call.info.name, &errors));
        }
        let now = call.server.clock.now();
        let ago = |seconds: i64| now.checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN);
        Ok(Self {
            follow: call.query.flag("follow"),
            previous: call.query.flag("previous"),
            timestamps: call.query.flag("timestamps"),
            since: seconds.map(ago).or(since),
            tail,
            limit,
        })
    }

    /// The log in the form that is wanted; all of it was written when the container started.
    fn shape(&self, lines: &[String], started: Timestamp) -> String {
        if self.since.is_some_and(|since| started < since) {
            return String::new();
        }
        let skip = self.tail.map_or(0, |tail| lines.len().saturating_sub(usize::try_from(tail).unwrap_or(0)));
        let stamp = if self.timestamps { format!("{} ", format_time(started)) } else { String::new() };
        let mut text: String = lines.iter().skip(skip).map(|line| format!("{stamp}{line}\n")).collect();
        if let Some(limit) = self.limit.and_then(|limit| usize::try_from(limit).ok()).filter(|it| *it < text.len()) {
            let mut end = limit;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
        }
        text
    }
}

/// Answers with the log of a container.
pub(super) async fn handle(call: &Call) -> Answer {
    let options = Options::read(call)?;
    let pod = super::pod(&call.server, &call.info.namespace, &call.info.name).await?;
    let container = super::container(&pod, call.query.text("container"))?;
    if meta::text(&pod, &["spec", "nodeName"]).is_empty() {
        let mut response = respond::with_body(204, "text/plain", Body::empty());
        response.headers_mut().remove(http::header::CONTENT_TYPE);
        return Ok(response);
    }
    let started = started(&pod, &container, options.previous)?;
    let text = options.shape(&lines(&pod, &container), started);
    let body = if options.follow { follow(call, text).await? } else { Body::from(text) };
    Ok(respond::with_body(200, "text/plain", body))
}

/// When a container started.
fn started(pod: &Value, container: &str, previous: bool) -> Result<Timestamp, Status> {
    let name = meta::name(pod);
    let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
    let mut all = lists.iter().flat_map(|list| meta::items(pod, &["status", list]));
    let status = all.find(|it| meta::text(it, &["name"]) == container).unwrap_or(&Value::Null);
    let state = if previous { "lastState" } else { "state" };
    let at = |state: &str, kind: &str| parse_time(meta::text(status, &[state, kind, "startedAt"]));
    at(state, "running").or_else(|| at(state, "terminated")).ok_or_else(|| {
        let reason = match meta::text(status, &["state", "waiting", "reason"]) {
            "" => "ContainerCreating",
            reason => reason,
        };
        Status::bad_request(match previous {
            true => format!("previous terminated container \"{container}\" in pod \"{name}\" not found"),
            false => format!("container \"{container}\" in pod \"{name}\" is waiting to start: {reason}"),
        })
    })
}

fn lines(pod: &Value, container: &str) -> Vec<String> {
    if let Some(text) = meta::annotation(pod, ANNOTATION) {
        return text.lines().map(str::to_owned).collect();
    }
    let containers = ["initContainers", "containers", "ephemeralContainers"];
    let mut all = containers.iter().flat_map(|list| meta::items(pod, &["spec", list]));
    let found = all.find(|it| meta::text(it, &["name"]) == container).unwrap_or(&Value::Null);
    let image = meta::text(found, &["image"]);
    vec![format!("simulated container {container} of image {image} started; the annotation {ANNOTATION} sets its log")]
}

/// The log, which stays open until the pod has ended.
async fn follow(call: &Call, text: String) -> Result<Body, Status> {
    let (namespace, name) = (call.info.namespace.clone(), call.info.name.clone());
    let store = &call.server.store;
    let watch = store.watch("pods", store.revision()).await.map_err(|error| unavailable(&error))?;
    let pod = super::pod(&call.server, &namespace, &name).await;
    let open = pod.is_ok_and(|pod| !has_ended(&pod));
    let first = futures::stream::once(std::future::ready(text.into()));
    let rest = futures::stream::unfold(watch, move |mut watch| {
        let (namespace, name) = (namespace.clone(), name.clone());
        async move {
            loop {
                let event = watch.next().await.ok()?;
                let key = &event.entry.key;
                if *key.namespace == *namespace && *key.name == *name {
                    let pod = serde_json::from_slice(event.entry.bytes()).unwrap_or_default();
                    if event.kind != EventKind::Put || has_ended(&pod) {
                        return None;
                    }
                }
            }
        }
    });
    Ok(Body::stream(if open { first.chain(rest).boxed() } else { first.boxed() }))
}

fn has_ended(pod: &Value) -> bool {
    matches!(meta::text(pod, &["status", "phase"]), "Succeeded" | "Failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_cut_as_asked() {
        let started: Timestamp = "2026-05-01T10:00:00Z".parse().unwrap();
        let lines = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let all =
            || Options { follow: false, previous: false, timestamps: false, since: None, tail: None, limit: None };
        let check = |options: Options, expect: &str| assert_eq!(options.shape(&lines, started), expect);
        check(all(), "a\nb\nc\n");
        check(Options { tail: Some(1), ..all() }, "c\n");
        check(Options { tail: Some(0), ..all() }, "");
        check(Options { limit: Some(3), ..all() }, "a\nb");
        check(Options { tail: Some(1), timestamps: true, ..all() }, "2026-05-01T10:00:00Z c\n");
        check(Options { since: Some("2026-05-01T10:00:01Z".parse().unwrap()), ..all() }, "");
    }

    #[test]
    fn a_container_that_has_not_started_has_no_log() {
        let pod = json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [
            {"name": "a", "state": {"running": {"startedAt": "2026-05-01T10:00:00Z"}}}, {"name": "b"}]}});
        let check = |container: &str, previous: bool, expect: &str| {
            let got = started(&pod, container, previous).map_or_else(|status| status.message, format_time);
            assert_eq!(got, expect);
        };
        check("a", false, "2026-05-01T10:00:00Z");
        check("b", false, "container \"b\" in pod \"p\" is waiting to start: ContainerCreating");
        check("a", true, "previous terminated container \"a\" in pod \"p\" not found");
    }
}
