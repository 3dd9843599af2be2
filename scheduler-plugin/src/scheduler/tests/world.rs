//! The least API server that a scheduler can work with: lists, watches, bindings, status patches, events.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

type Answer = UnsyncBoxBody<Bytes, Infallible>;

/// The server. Clones share everything.
#[derive(Clone, Default)]
pub(super) struct World(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    version: u64,
    /// Objects by collection (`pods`) and name.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    watchers: Vec<(String, UnboundedSender<Bytes>)>,
    writes: Vec<String>,
    events: Vec<Value>,
    refuse_bindings: u32,
    latency: Duration,
    graceful: bool,
}

impl World {
    /// Creates or replaces an object, and tells the watchers.
    pub(super) fn set(&self, collection: &str, mut object: Value) {
        let mut state = self.0.lock();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let old = state.objects.entry(collection.to_owned()).or_default().insert(name, object.clone());
        state.tell(collection, if old.is_some() { "MODIFIED" } else { "ADDED" }, &object);
    }

    pub(super) fn delete(&self, collection: &str, name: &str) {
        let mut state = self.0.lock();
        state.version += 1;
        if let Some(object) = state.objects.entry(collection.to_owned()).or_default().remove(name) {
            state.tell(collection, "DELETED", &object);
        }
    }

    pub(super) fn get(&self, collection: &str, name: &str) -> Value {
        self.0.lock().objects.get(collection).and_then(|all| all.get(name)).cloned().unwrap_or_default()
    }

    pub(super) fn node_of(&self, pod: &str) -> Option<String> {
        self.get("pods", pod)["spec"]["nodeName"].as_str().map(str::to_owned)
    }

    /// How many bindings are to be refused from now on.
    pub(super) fn refuse_bindings(&self, count: u32) {
        self.0.lock().refuse_bindings = count;
    }

    /// How long every write takes.
    pub(super) fn set_latency(&self, latency: Duration) {
        self.0.lock().latency = latency;
    }

    /// Pods that are deleted by requests have a deletion timestamp from then on, and are there until [`Self::delete`].
    pub(super) fn stay_when_asked_to_go(&self) {
        self.0.lock().graceful = true;
    }

    /// What was written, in order.
    pub(super) fn writes(&self) -> Vec<String> {
        self.0.lock().writes.clone()
    }

    /// The events that were written, whole.
    pub(super) fn events(&self) -> Vec<Value> {
        self.0.lock().events.clone()
    }

    pub(super) fn client(&self) -> Client {
        let world = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let world = world.clone();
            async move { Ok::<_, Infallible>(world.serve(request).await) }
        });
        Client::new(service, "default")
    }

    async fn serve(&self, request: Request<Body>) -> Response<Answer> {
        let (parts, body) = request.into_parts();
        let path: Vec<String> = parts.uri.path().split('/').map(str::to_owned).collect();
        let query = parts.uri.query().unwrap_or_default();
        if parts.method == Method::GET {
            let collection = path.last().cloned().unwrap_or_default();
            if let [.., of, name] = path.as_slice()
                && self.0.lock().objects.get(of).is_some_and(|all| all.contains_key(name))
            {
                return answer(200, &self.get(of, name));
            }
            return if query.contains("watch=true") { self.watch(&collection) } else { self.list(&collection) };
        }
        let latency = self.0.lock().latency;
        tokio::time::sleep(latency).await;
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let last = path.iter().rev().take(2).map(String::as_str).collect::<Vec<_>>();
        match (last.as_slice(), parts.method) {
            (["binding", name], Method::POST) => self.bind(name, &body),
            (["status", name], Method::PATCH) if path.contains(&"resourceclaims".to_owned()) => {
                self.patch("resourceclaims", name, &body)
            }
            (["status", name], Method::PATCH) if path.contains(&"podgroups".to_owned()) => {
                self.patch("podgroups", name, &body)
            }
            (["status", name], Method::PATCH) => self.patch_status(name, &body),
            (["events", _], Method::POST) => {
                let note = format!("{} {}", body["reason"].as_str().unwrap(), body["note"].as_str().unwrap());
                let mut state = self.0.lock();
                state.writes.push(note);
                state.events.push(body.clone());
                answer(201, &body)
            }
            ([_, "events"], Method::PATCH) => {
                self.0.lock().writes.push(format!("series {}", body["series"]["count"]));
                answer(200, &body)
            }
            (["resourceclaims", _], Method::POST) => {
                let mut claim = body;
                let name = format!("{}1", claim["metadata"]["generateName"].as_str().unwrap());
                self.0.lock().writes.push(format!("create {name}"));
                claim["metadata"]["name"] = json!(name);
                claim["metadata"]["uid"] = json!("made");
                self.set("resourceclaims", claim);
                answer(201, &self.get("resourceclaims", &name))
            }
            ([name, "resourceclaims"], Method::DELETE) => {
                self.0.lock().writes.push(format!("delete {name}"));
                self.delete("resourceclaims", name);
                answer(200, &json!({"kind": "Status", "status": "Success"}))
            }
            ([name, "pods"], Method::DELETE) => {
                let line = format!("delete {name} {}", body["preconditions"]["uid"].as_str().unwrap());
                self.0.lock().writes.push(line);
                let mut pod = self.get("pods", name);
                if self.0.lock().graceful && pod["spec"]["nodeName"].is_string() {
                    pod["metadata"]["deletionTimestamp"] = json!("2026-05-01T10:00:30Z");
                    self.set("pods", pod);
                } else {
                    self.delete("pods", name);
                }
                answer(200, &json!({"kind": "Status", "status": "Success"}))
            }
            (
                [name, collection @ ("persistentvolumeclaims" | "persistentvolumes" | "resourceclaims")],
                Method::PATCH,
            ) => self.patch(collection, name, &body),
            other => panic!("unexpected request {other:?}"),
        }
    }

    fn patch(&self, collection: &str, name: &str, change: &Value) -> Response<Answer> {
        self.0.lock().writes.push(format!("patch {collection} {name}"));
        let mut object = self.get(collection, name);
        let mut change = change.clone();
        if change["status"]["reservedFor"][0]["$patch"] == "delete" {
            change["status"]["reservedFor"] = Value::Null;
        }
        merge(&mut object, change);
        self.set(collection, object);
        answer(200, &self.get(collection, name))
    }

    fn list(&self, collection: &str) -> Response<Answer> {
        let state = self.0.lock();
        let items: Vec<_> = state.objects.get(collection).into_iter().flat_map(BTreeMap::values).collect();
        answer(200, &json!({"metadata": {"resourceVersion": state.version.to_string()}, "items": items}))
    }

    fn watch(&self, collection: &str) -> Response<Answer> {
        let (sender, receiver): (_, UnboundedReceiver<Bytes>) = unbounded();
        self.0.lock().watchers.push((collection.to_owned(), sender));
        let frames = receiver.map(|line| Ok::<_, Infallible>(http_body::Frame::data(line)));
        Response::new(UnsyncBoxBody::new(StreamBody::new(frames)))
    }

    fn bind(&self, name: &str, body: &Value) -> Response<Answer> {
        let refused = {
            let mut state = self.0.lock();
            let refused = state.refuse_bindings > 0;
            state.refuse_bindings -= u32::from(refused);
            state.writes.push(format!("bind {name} {}", body["target"]["name"].as_str().unwrap()));
            refused
        };
        if refused {
            let status = json!({"kind": "Status", "status": "Failure", "message": "not now", "reason": "InternalError", "code": 500});
            return answer(500, &status);
        }
        let mut pod = self.get("pods", name);
        if pod["metadata"]["uid"] != body["metadata"]["uid"] {
            return answer(
                409,
                &json!({"kind": "Status", "message": "another pod", "reason": "Conflict", "code": 409}),
            );
        }
        pod["spec"]["nodeName"] = body["target"]["name"].clone();
        self.set("pods", pod);
        answer(201, &json!({"kind": "Status", "status": "Success"}))
    }

    fn patch_status(&self, name: &str, body: &Value) -> Response<Answer> {
        if let Some(annotations) = body["metadata"]["annotations"].as_object() {
            self.0.lock().writes.push(format!("annotate {name}"));
            let mut pod = self.get("pods", name);
            pod["metadata"]["annotations"] = json!(annotations);
            self.set("pods", pod.clone());
            return answer(200, &pod);
        }
        if body["status"]["conditions"].is_null() {
            self.0.lock().writes.push(format!("status {name} {}", body["status"]));
            let mut pod = self.get("pods", name);
            merge(&mut pod, body.clone());
            self.set("pods", pod.clone());
            return answer(200, &pod);
        }
        let condition = &body["status"]["conditions"][0];
        let text = |key: &str| condition[key].as_str().unwrap().to_owned();
        let mut line =
            format!("status {name} {}={} {}: {}", text("type"), text("status"), text("reason"), text("message"));
        if let Some(node) = body["status"]["nominatedNodeName"].as_str() {
            line.push_str(&format!(" on {node}"));
        }
        self.0.lock().writes.push(line);
        let mut pod = self.get("pods", name);
        pod["status"]["conditions"] = json!([condition]);
        if let Some(node) = body["status"].get("nominatedNodeName") {
            merge(&mut pod, json!({"status": {"nominatedNodeName": node}}));
        }
        self.set("pods", pod.clone());
        answer(200, &pod)
    }
}

impl State {
    fn tell(&mut self, collection: &str, kind: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        self.watchers
            .retain(|(watched, sender)| watched != collection || sender.unbounded_send(line.clone().into()).is_ok());
    }
}

/// Puts a change into an object; null takes a field away.
pub(super) fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                if value.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (into, change) => *into = change,
    }
}

fn answer(code: u16, body: &Value) -> Response<Answer> {
    let body = UnsyncBoxBody::new(Full::new(Bytes::from(body.to_string())));
    Response::builder().status(code).body(body).unwrap()
}

/// A node with room.
pub(super) fn node(name: &str, cpu: &str) -> Value {
    json!({
        "metadata": {"name": name, "uid": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}},
    })
}

/// A pod that asks for cpu.
pub(super) fn pod(name: &str, cpu: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "labels": {"app": name}},
        "spec": {
            "schedulerName": "default-scheduler",
            "containers": [{"name": "c", "image": "app:1", "resources": {"requests": {"cpu": cpu}}}],
        },
    })
}
