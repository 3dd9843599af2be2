//! API servers of other minor releases than ours, as far as a client can tell: what came later is not served, fields that came
//! later are dropped, and what a later release may add is there.
//!
//! Source: `k8s.io/kubernetes/pkg/features`, and the deprecation guide and changelogs of 1.33 to 1.36.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::BoxError;

/// The minor releases that the components have to get on with.
pub const RELEASES: std::ops::RangeInclusive<u32> = 33..=37;
/// The release whose behaviour our server has.
const OURS: u32 = 36;

/// Versions of groups, and since when they are served by default.
const GROUP_VERSIONS: [(&str, u32); 1] = [("resource.k8s.io/v1", 34)];
/// Resources of groups that are older: the version of the group, the name, and since when.
const RESOURCES: [(&str, &str, u32); 2] = [
    ("storage.k8s.io/v1", "volumeattributesclasses", 34),
    ("admissionregistration.k8s.io/v1", "mutatingadmissionpolicies", 36),
];
/// Fields of a status and since when they are kept by default, by the names of the resources.
const FIELDS: [(&[&str], &str, u32); 2] =
    [(&["deployments", "replicasets"], "terminatingReplicas", 35), (&["pods"], "observedGeneration", 34)];

/// A server of another release in front of ours. Clones share everything.
#[derive(Clone)]
pub struct Skew {
    minor: u32,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    writes: AtomicUsize,
    refused: Mutex<Vec<String>>,
}

type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

impl Skew {
    /// One of 1.`minor`.
    pub fn new(minor: u32) -> Self {
        Self { minor, seen: Arc::default() }
    }

    /// How many writes it was asked for so far; events are of no account.
    pub fn writes(&self) -> usize {
        self.seen.writes.load(Ordering::Relaxed)
    }

    /// What it was asked for that it does not have, once for each time.
    pub fn refused(&self) -> Vec<String> {
        self.seen.refused.lock().expect("nobody panics while holding it").clone()
    }

    /// A client of this server.
    pub fn client(&self, client: &Client) -> Client {
        let (skew, namespace) = (self.clone(), client.default_namespace().to_owned());
        let client = client.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (skew, client) = (skew.clone(), client.clone());
            async move { skew.send(&client, request).await }
        });
        Client::new(service, namespace)
    }

    async fn send(&self, client: &Client, request: Request<Body>) -> Result<Answer, BoxError> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        if !matches!(*request.method(), Method::GET | Method::HEAD) && !path.contains("/events") {
            self.seen.writes.fetch_add(1, Ordering::Relaxed);
        }
        if self.is_absent(&path) {
            self.seen.refused.lock().expect("nobody panics while holding it").push(path);
            return Ok(answer(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n"));
        }
        // On by default since 1.34; before, whoever asks for it is refused and has to list.
        if self.minor < 34 && query.contains("sendInitialEvents=") {
            self.seen.refused.lock().expect("nobody panics while holding it").push(format!("{path}?{query}"));
            return Ok(answer(StatusCode::UNPROCESSABLE_ENTITY, "application/json", &invalid()));
        }
        let request = self.without_later_fields(request, &path).await?;
        let is_discovery =
            path == "/api" || path == "/apis" || path.split('/').count() == 4 && path.starts_with("/apis/");
        let is_watch = query.contains("watch=");
        let response = client.send(request).await?;
        Ok(match response.status().is_success() {
            true if is_discovery => self.map(response, |document| self.without_later_resources(document)).await?,
            true if path == "/version" => {
                self.map(response, |version| version["minor"] = json!(self.minor.to_string())).await?
            }
            true if self.minor > OURS && is_watch => later_events(response),
            true if self.minor > OURS => self.map(response, later).await?,
            _ => response.map(|body| BodyExt::map_err(body, BoxError::from).boxed_unsync()),
        })
    }

    fn has(&self, since: u32) -> bool {
        self.minor >= since
    }

    fn is_absent(&self, path: &str) -> bool {
        let group_version = |name: &str| path.strip_prefix(&format!("/apis/{name}"));
        let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
        let absent = |(name, since): &(&str, u32)| !self.has(*since) && group_version(name).is_some_and(below);
        let resource = |(group, name, since): &(&str, &str, u32)| {
            !self.has(*since) && group_version(group).is_some_and(|rest| rest.split('/').any(|part| part == *name))
        };
        GROUP_VERSIONS.iter().any(absent) || RESOURCES.iter().any(resource)
    }

    /// What a server does with fields that it does not know: it drops them.
    async fn without_later_fields(&self, request: Request<Body>, path: &str) -> Result<Request<Body>, BoxError> {
        let unknown: Vec<&str> = FIELDS
            .iter()
            .filter(|(of, _, since)| !self.has(*since) && path.split('/').any(|part| of.contains(&part)))
            .map(|(_, field, _)| *field)
            .collect();
        if unknown.is_empty() || *request.method() == Method::GET {
            return Ok(request);
        }
        let (parts, body) = request.into_parts();
        let bytes = body.collect_bytes().await?;
        let Ok(mut object) = serde_json::from_slice::<Value>(&bytes) else {
            return Ok(Request::from_parts(parts, Body::from(bytes.to_vec())));
        };
        if let Some(status) = object["status"].as_object_mut() {
            status.retain(|field, _| !unknown.contains(&field.as_str()));
        }
        if object["status"].is_null() {
            object.as_object_mut().into_iter().for_each(|object| drop(object.remove("status")));
        }
        Ok(Request::from_parts(parts, Body::from(object.to_string().into_bytes())))
    }

    /// Discovery in either form.
    fn without_later_resources(&self, document: &mut Value) {
        let of = document["groupVersion"].as_str().unwrap_or_default().to_owned();
        self.retain_resources(document, &of, "name");
        for groups in ["items", "groups"] {
            let Some(groups) = document.get_mut(groups).and_then(Value::as_array_mut) else { continue };
            for group in groups.iter_mut() {
                let name = group["metadata"]["name"].as_str().or(group["name"].as_str()).unwrap_or_default().to_owned();
                let Some(versions) = group["versions"].as_array_mut() else { continue };
                let full = |version: &Value| format!("{name}/{}", version["version"].as_str().unwrap_or_default());
                versions.retain(|version| {
                    let full = full(version);
                    GROUP_VERSIONS.iter().all(|(name, since)| *name != full || self.has(*since))
                });
                for version in versions {
                    let full = full(version);
                    self.retain_resources(version, &full, "resource");
                }
            }
            groups.retain(|group| group["versions"].as_array().is_none_or(|versions| !versions.is_empty()));
        }
    }

    /// Leaves those resources of a version of a group in its document that this release has.
    fn retain_resources(&self, document: &mut Value, group_version: &str, name: &str) {
        let Some(resources) = document.get_mut("resources").and_then(Value::as_array_mut) else { return };
        resources.retain(|resource| {
            let plural = resource[name].as_str().and_then(|name| name.split('/').next());
            let later = |(group, plural_of, since): &(&str, &str, u32)| {
                *group == group_version && plural == Some(*plural_of) && !self.has(*since)
            };
            !RESOURCES.iter().any(later)
        });
    }

    async fn map(&self, response: Response<Body>, change: impl Fn(&mut Value)) -> Result<Answer, BoxError> {
        let (parts, body) = response.into_parts();
        let bytes = body.collect_bytes().await?;
        let bytes = match serde_json::from_slice::<Value>(&bytes) {
            Ok(mut value) => {
                change(&mut value);
                Bytes::from(value.to_string())
            }
            Err(_) => bytes,
        };
        Ok(Response::from_parts(parts, full(bytes)))
    }
}

fn full(bytes: Bytes) -> UnsyncBoxBody<Bytes, BoxError> {
    BodyExt::map_err(Full::new(bytes), |never| match never {}).boxed_unsync()
}

fn answer(status: StatusCode, content_type: &str, body: &str) -> Answer {
    let response = Response::builder().status(status).header("content-type", content_type);
    response.body(full(Bytes::copy_from_slice(body.as_bytes()))).expect("these are valid headers")
}

fn invalid() -> String {
    let message = "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for \
                   watch unless the WatchList feature gate is enabled";
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Invalid",
        "message": message, "code": 422});
    status.to_string()
}

/// Fields that nobody knows yet, wherever one could be.
fn later(value: &mut Value) {
    if let Some(items) = value.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(later);
    }
    for part in ["metadata", "spec", "status"] {
        if let Some(fields) = value.get_mut(part).and_then(Value::as_object_mut) {
            fields.insert("addedLater".to_owned(), json!({"deep": ["er", 1, null]}));
        }
    }
    if let Some(fields) = value.as_object_mut() {
        fields.insert("addedLater".to_owned(), json!(true));
    }
}

fn later_events(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let mut rest = Vec::new();
    let lines = body.into_data_stream().map(move |chunk| {
        rest.extend_from_slice(&chunk?);
        let mut out = String::new();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let mut event: Value = serde_json::from_slice(&line)?;
            if event["type"] != "ERROR" {
                later(&mut event["object"]);
            }
            out += &format!("{event}\n");
        }
        Ok::<_, BoxError>(Frame::data(Bytes::from(out)))
    });
    Response::from_parts(parts, BodyExt::boxed_unsync(StreamBody::new(lines)))
}
