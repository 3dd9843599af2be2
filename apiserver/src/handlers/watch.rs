//! Watch: the changes of a collection as a stream of events.
//! Source: Kubernetes doc "API Concepts", section "Efficient detection of changes"; KEP-3157 (initial events).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde_json::{Value, json};
use steersman_machinery::decode::{self, Decoded};
use steersman_machinery::status::Status;
use steersman_store::{Entry, Event, Revision, StoreError, Watch};
use tokio::time::{Instant, sleep_until};

use super::selection::{Seen, Selection};
use super::{Answer, output};
use crate::conversion;
use crate::http::body::{Body, PIECE};
use crate::http::negotiate::{self, Form, Media, Output};
use crate::http::{protobuf, respond};
use crate::metrics::{Kind, LongRunning};
use crate::object;
use crate::options::{ListOptions, Match};
use crate::printers::{self, IncludeObject, TableOptions};
use crate::registry::resource::Resource;
use crate::server::{Server, unavailable};
use crate::service::Call;

/// The shortest watch for which the client names no end; the longest is twice that.
/// Source: kube-apiserver's `--min-request-timeout`.
const MIN_TIMEOUT_SECONDS: u64 = 1800;
/// How often a bookmark is sent.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long before the end of a watch the last bookmark is sent.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// The annotation of the bookmark that ends the initial events.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// The annotation that every daemon set has.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// Answers with a stream of events.
pub(super) async fn handle(call: &Call, resource: Arc<Resource>) -> Answer {
    let output = negotiate::output(&call.headers, &call.query, output::endpoint(&resource))?;
    if output.media == Media::Yaml {
        return Err(Status::not_acceptable(&negotiate::STREAMED));
    }
    let options = ListOptions::read(&call.query, true)?;
    let selection = Selection::read(call, &resource, &options)?;
    let include = call.query.text("includeObject").parse().map_err(output::bad_include)?;
    let framer = Framer::new(call.server.clone(), resource.clone(), output, include);
    let stream = match Watcher::start(call, &options, selection, framer).await {
        Ok(watcher) => watcher.into_stream().boxed(),
        Err(Start::Refused(status)) => return Err(status),
        Err(Start::Error(status)) => {
            let frame = Bytes::from(frame("ERROR", &json!(status), output.media));
            futures::stream::once(std::future::ready(frame)).boxed()
        }
    };
    let content_type = if output.media == Media::Protobuf { negotiate::STREAMED[1] } else { "application/json" };
    Ok(respond::with_body(200, content_type, Body::stream(stream)))
}

/// Why a watch does not start.
enum Start {
    /// With an HTTP error.
    Refused(Status),
    /// With an event on an open stream.
    Error(Status),
}

struct Watcher {
    watch: Watch,
    selection: Selection,
    framer: Framer,
    /// Events that are ready. What was sent is written over as long as there is more to send.
    ready: BytesMut,
    /// Whether the last event is among them.
    over: bool,
    /// The objects that were there when the watch began, still to be sent.
    initial: VecDeque<Arc<Entry>>,
    /// Whether a bookmark is still to end the initial events, and at which revision.
    initial_end: Option<Revision>,
    bookmarks: bool,
    next_bookmark: Instant,
    end: Instant,
    catalog: tokio::sync::watch::Receiver<()>,
    _open: Option<LongRunning>,
}

impl Watcher {
    async fn start(call: &Call, options: &ListOptions, selection: Selection, framer: Framer) -> Result<Self, Start> {
        let server = &call.server;
        let storage = object::storage_name(&framer.resource);
        let from_now = matches!(options.resource_version, None | Some(0));
        let unsaid = options.send_initial_events.is_none() && options.version_match == Match::Unset;
        let with_initial = options.send_initial_events.unwrap_or(unsaid && from_now);
        let mut initial = VecDeque::new();
        let mut after = options.resource_version.filter(|_| !from_now).unwrap_or_else(|| server.store.revision());
        if with_initial {
            let current = server.store.revision();
            if after > current {
                return Err(Start::Error(Status::too_large_resource_version(after, current)));
            }
            let snapshot = server.snapshot(&storage).await.map_err(Start::Refused)?;
            after = snapshot.revision();
            let range = snapshot.range(selection.namespace(), None);
            initial = range.filter(|entry| selection.matches(entry)).cloned().collect();
        } else if let oldest = server.ready_at.load(Ordering::Relaxed).max(framer.resource.served_since)
            && after < oldest
        {
            return Err(Start::Error(expired(&StoreError::Compacted { requested: after, oldest })));
        }
        let watch = server.store.watch(&storage, after).await.map_err(|error| refuse(after, error))?;
        let seconds =
            options.timeout_seconds.unwrap_or_else(|| MIN_TIMEOUT_SECONDS + server.random.below(MIN_TIMEOUT_SECONDS));
        let now = Instant::now();
        let end = now + Duration::from_secs(seconds);
        let kind = Kind::of(&call.info, &call.query, false);
        Ok(Self {
            watch,
            selection,
            ready: BytesMut::new(),
            over: false,
            initial,
            initial_end: (with_initial && options.allow_bookmarks).then_some(after),
            bookmarks: options.allow_bookmarks,
            next_bookmark: next_bookmark(now, end),
            end,
            catalog: server.catalog_changes(),
            _open: kind.map(|kind| server.metrics.runs(kind)),
            framer,
        })
    }

    fn into_stream(self) -> impl futures::Stream<Item = Bytes> + Send {
        futures::stream::unfold(self, |mut watcher| async move {
            let frame = watcher.next_frame().await?;
            Some((frame, watcher))
        })
    }

    /// The next events: those that are there already in one piece, up to a size.
    async fn next_frame(&mut self) -> Option<Bytes> {
        while !self.over && self.ready.len() < PIECE {
            if let Some(entry) = self.initial.pop_front() {
                self.frame(Seen::Added, &entry).await;
            } else if let Some(revision) = self.initial_end.take() {
                self.ready.extend_from_slice(&self.framer.bookmark(revision, true));
            } else if let Ok(Some(event)) = self.watch.try_next() {
                self.deliver(&event).await;
            } else if !self.ready.is_empty() {
                break;
            } else {
                // Who waits holds no memory.
                self.ready = BytesMut::new();
                self.wait().await?;
            }
        }
        (!self.ready.is_empty()).then(|| self.ready.split().freeze())
    }

    /// Waits for something to send; `None` ends the watch.
    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            biased;
            event = self.watch.next() => match event {
                Ok(event) => self.deliver(&event).await,
                Err(error) => {
                    let status = json!(expired(&error));
                    self.ready.extend_from_slice(&frame("ERROR", &status, self.framer.media));
                    self.over = true;
                }
            },
            changed = self.catalog.changed() => {
                let same = changed.is_ok() && self.framer.still_served();
                return same.then_some(());
            }
            () = sleep_until(self.end) => return None,
            () = sleep_until(self.next_bookmark), if self.bookmarks && self.next_bookmark < self.end => {
                self.next_bookmark = next_bookmark(Instant::now(), self.end);
                self.ready.extend_from_slice(&self.framer.bookmark(self.watch.revision(), false));
            }
        }
        Some(())
    }

    async fn deliver(&mut self, event: &Event) {
        match self.selection.sees(event) {
            None => {}
            // What left the view is shown as it was when it was last in view.
            Some(Seen::Deleted) if let Some(previous) = &event.previous => {
                self.frame(Seen::Deleted, &previous.at_revision(event.revision)).await;
            }
            Some(seen) => self.frame(seen, &event.entry).await,
        }
    }

    /// Makes an event ready. What cannot be converted ends the watch with an error.
    async fn frame(&mut self, seen: Seen, entry: &Entry) {
        if let Err(status) = self.framer.event(seen, entry, &mut self.ready).await {
            self.ready.extend_from_slice(&frame("ERROR", &json!(status), self.framer.media));
            self.over = true;
        }
    }
}

/// When the next bookmark is due: after a minute, or shortly before the end; not before the end if there was the last.
fn next_bookmark(now: Instant, end: Instant) -> Instant {
    let last = end.checked_sub(BOOKMARK_BEFORE_END).unwrap_or(end);
    if now >= last { end } else { last.min(now + BOOKMARK_EVERY) }
}

fn refuse(after: Revision, error: StoreError) -> Start {
    match error {
        StoreError::Compacted { .. } => Start::Error(expired(&error)),
        StoreError::Future { current, .. } => Start::Error(Status::too_large_resource_version(after, current)),
        error => Start::Refused(unavailable(&error)),
    }
}

fn expired(error: &StoreError) -> Status {
    match error {
        StoreError::Compacted { requested, oldest } => {
            Status::expired(format!("too old resource version: {requested} ({oldest})"))
        }
        error => unavailable(error),
    }
}

/// An event with an object, in a media type that can be streamed.
fn frame(event: &str, object: &Value, media: Media) -> Vec<u8> {
    let message = if media == Media::Protobuf { protobuf::of(object) } else { None };
    match message {
        Some(message) => protobuf::frame(event, &message),
        None => respond::json(&json!({"type": event, "object": object}), false),
    }
}

/// The object of a bookmark: metadata, and what is always written of a kind. Upstream converts an empty object, without
/// defaults, from its form in memory, where some fields can't be absent.
fn blank(resource: &Resource, metadata: Value) -> Value {
    let mut object = json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": metadata});
    if resource.custom {
        return object;
    }
    match (resource.group.as_str(), resource.name.as_str()) {
        ("apps", "deployments" | "replicasets" | "statefulsets") | ("", "replicationcontrollers") => {
            object["spec"] = json!({"replicas": 0});
        }
        ("apps", "daemonsets") => object["metadata"]["annotations"][TEMPLATE_GENERATION] = json!("0"),
        _ => {}
    }
    let decoded = decode::convert(object, resource.object_type.root(), &resource.kind);
    let Decoded { mut object, .. } = decoded.expect("an object of little more than metadata fits every kind");
    object::set_type(&mut object, &resource.api_version(), &resource.kind);
    object
}

/// Writes events in the form that was negotiated.
struct Framer {
    server: Arc<Server>,
    resource: Arc<Resource>,
    form: Form,
    media: Media,
    include: IncludeObject,
    /// Whether a Table still has to name its columns.
    columns: bool,
    /// The beginnings of plain events, by type.
    heads: [Bytes; 3],
}

impl Framer {
    fn new(server: Arc<Server>, resource: Arc<Resource>, output: Output, include: IncludeObject) -> Self {
        let prefix = object::type_prefix(&resource);
        let head =
            |name: &str| Bytes::from([format!("{{\"type\":\"{name}\",\"object\":").as_bytes(), &prefix[..]].concat());
        let heads = [head("ADDED"), head("MODIFIED"), head("DELETED")];
        Self { server, resource, form: output.form, media: output.media, include, columns: true, heads }
    }

    /// Whether the catalog still has the very resource that is watched.
    fn still_served(&self) -> bool {
        let resource = &self.resource;
        let catalog = self.server.catalog();
        let found = catalog.find(&resource.group, &resource.version, &resource.name);
        found.is_some_and(|found| Arc::ptr_eq(found, resource))
    }

    async fn event(&mut self, seen: Seen, entry: &Entry, out: &mut BytesMut) -> Result<(), Status> {
        if self.form == Form::Plain && self.media == Media::Json && !self.resource.strategy.converts() {
            let pieces: [&[u8]; 3] = [&self.heads[seen as usize], &entry.bytes()[1..], b"}\n"];
            out.reserve(pieces.iter().map(|piece| piece.len()).sum());
            pieces.into_iter().for_each(|piece| out.extend_from_slice(piece));
            return Ok(());
        }
        let object = conversion::read(&self.server, entry, &self.resource).await?;
        let shaped = self.shape(object, self.include);
        let name = match seen {
            Seen::Added => "ADDED",
            Seen::Modified => "MODIFIED",
            Seen::Deleted => "DELETED",
        };
        out.extend_from_slice(&frame(name, &shaped, self.media));
        Ok(())
    }

    fn shape(&mut self, object: Value, include: IncludeObject) -> Value {
        match self.form {
            Form::Plain | Form::MetadataList { .. } => object,
            Form::Metadata { beta } => printers::partial(&object, negotiate::version(beta)),
            Form::Table { beta } => {
                let options = TableOptions {
                    version: negotiate::version(beta),
                    columns: std::mem::replace(&mut self.columns, false),
                    include,
                    now: self.server.clock.now(),
                };
                let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                printers::table(&*self.resource.printer, [&object], metadata, &options)
            }
        }
    }

    fn bookmark(&mut self, revision: Revision, ends_initial: bool) -> Vec<u8> {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if ends_initial {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let object = blank(&self.resource, metadata);
        // The annotation must reach the client even if it wants no objects.
        let include = match self.include {
            IncludeObject::None if ends_initial => IncludeObject::Metadata,
            include => include,
        };
        let shaped = self.shape(object, include);
        frame("BOOKMARK", &shaped, self.media)
    }
}
