//! GET of a collection: an immutable snapshot, whole or in pages.
//! Source: Kubernetes doc "API Concepts", sections "Resource versions" and "Retrieving large results sets in chunks".

use std::collections::VecDeque;
use std::sync::Arc;

use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine};
use bytes::Bytes;
use http::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use steersman_machinery::status::Status;
use steersman_machinery::{decode, meta};
use steersman_store::{At, Entry, Revision, Snapshot, StoreError};

use super::selection::Selection;
use super::{Answer, output};
use crate::conversion;
use crate::http::body::{Body, PIECE};
use crate::http::negotiate::{self, Form, Media, Output};
use crate::http::{protobuf, respond};
use crate::object;
use crate::options::{ListOptions, Match};
use crate::printers;
use crate::registry::resource::Resource;
use crate::server::{Server, unavailable};
use crate::service::Call;

/// Where a list goes on; upstream's format.
#[derive(Serialize, Deserialize)]
struct Continue {
    v: String,
    rv: i64,
    start: String,
}

/// How a token is written; bits that no byte needs are not looked at.
const TOKEN_ENCODING: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);
/// Objects that are shaped in one turn, and those that are looked at: each takes a fraction of a millisecond.
const SHAPED_AT_ONCE: usize = 16;
const SEEN_AT_ONCE: usize = 2048;
/// The version of the format of continue tokens.
const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// One page of a list.
pub(super) struct Page {
    revision: Revision,
    pub(super) entries: Vec<Arc<Entry>>,
    continue_token: String,
    remaining: Option<usize>,
}

/// Answers with the objects that are selected.
pub(super) async fn handle(call: &Call, resource: &Resource) -> Answer {
    let output = output::negotiate_list(call, resource)?;
    let options = ListOptions::read(&call.query, false)?;
    let page = page(call, resource, &options).await?;
    render(call, resource, &page, output).await
}

/// Finds the objects that are selected.
pub(super) async fn page(call: &Call, resource: &Resource, options: &ListOptions) -> Result<Page, Status> {
    let selection = Selection::read(call, resource, options)?;
    let start = start(options, &selection)?;
    let snapshot = snapshot(&call.server, resource, options, start.as_ref()).await?;
    let whole = options.resource_version == Some(0) && options.version_match != Match::Exact;
    let limit = if options.limit == 0 || whole { usize::MAX } else { options.limit };
    Ok(select(call, (&snapshot, &selection), start.map(|start| start.after), limit).await)
}

/// Where a page begins, and on which revision.
struct Start {
    /// The key after which it begins, relative to the list, as it stood in the token.
    relative: String,
    after: (String, String),
    revision: Option<Revision>,
}

fn start(options: &ListOptions, selection: &Selection) -> Result<Option<Start>, Status> {
    if options.continue_token.is_empty() {
        return Ok(None);
    }
    let invalid = |why: &str| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
    let json = TOKEN_ENCODING.decode(&options.continue_token).map_err(|error| invalid(&not_base64(&error)))?;
    let value = decode::parse_json(&json).map_err(|error| invalid(&error.to_string()))?.value;
    let token: Continue = serde_json::from_value(value).map_err(|error| invalid(&error.to_string()))?;
    if token.v != TOKEN_VERSION {
        return Err(invalid(&format!("server does not recognize this encoded version {}", token.v)));
    }
    if token.rv == 0 {
        let why = format!("incorrect encoded start resourceVersion (version {TOKEN_VERSION})");
        return Err(invalid(&why));
    }
    if token.start.is_empty() {
        return Err(invalid(&format!("encoded start key empty (version {TOKEN_VERSION})")));
    }
    let key = token.start.trim_end_matches('\0');
    let key = key.strip_prefix('/').unwrap_or(key);
    if key.is_empty() || key.split('/').any(|segment| matches!(segment, "." | ".." | "")) {
        return Err(invalid(&token.start));
    }
    if options.resource_version.is_some_and(|version| version != 0) {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    let after = match (selection.namespace(), key.split_once('/')) {
        // A key of another collection is compared like a name.
        (Some(namespace), _) => (namespace.to_owned(), key.to_owned()),
        (None, Some((namespace, name))) => (namespace.to_owned(), name.to_owned()),
        (None, None) => (String::new(), key.to_owned()),
    };
    Ok(Some(Start { relative: key.to_owned(), after, revision: u64::try_from(token.rv).ok() }))
}

/// Go's words for what is no base64.
fn not_base64(error: &DecodeError) -> String {
    let at = match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLength(at) => *at,
        DecodeError::InvalidLastSymbol { offset, .. } => *offset,
        DecodeError::InvalidPadding => 0,
    };
    format!("illegal base64 data at input byte {at}")
}

async fn snapshot(
    server: &Server,
    resource: &Resource,
    options: &ListOptions,
    start: Option<&Start>,
) -> Result<Snapshot, Status> {
    let paged_exactly = options.version_match == Match::Unset && options.limit > 0;
    let at = match (start, options.resource_version) {
        (Some(start), _) => start.revision.map_or(At::Latest, At::Exactly),
        (None, Some(revision)) if options.version_match == Match::Exact => At::Exactly(revision),
        (None, Some(revision)) if revision != 0 && paged_exactly => At::Exactly(revision),
        (None, Some(revision)) if revision > server.store.revision() => {
            return Err(Status::too_large_resource_version(revision, server.store.revision()));
        }
        _ => At::Latest,
    };
    server.store.snapshot(&object::storage_name(resource), at).await.map_err(|error| match (error, start) {
        (StoreError::Compacted { .. }, Some(start)) => expired_token(start),
        (StoreError::Compacted { .. }, None) => {
            Status::expired("The resourceVersion for the provided list is too old.")
        }
        (StoreError::Future { requested, current }, _) => Status::too_large_resource_version(requested, current),
        (error, _) => unavailable(&error),
    })
}

/// 410 with a token with which the list can go on, inconsistently.
fn expired_token(start: &Start) -> Status {
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    status.metadata.continue_token = token(-1, &start.relative);
    status
}

fn token(revision: i64, start: &str) -> String {
    let token = Continue { v: TOKEN_VERSION.to_owned(), rv: revision, start: format!("{start}\0") };
    TOKEN_ENCODING.encode(serde_json::to_vec(&token).expect("a token can be written as JSON"))
}

async fn select(
    call: &Call,
    (snapshot, selection): (&Snapshot, &Selection),
    after: Option<(String, String)>,
    limit: usize,
) -> Page {
    let after = after.as_ref().map(|(namespace, name)| (namespace.as_str(), name.as_str()));
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    let mut more = false;
    for (seen, entry) in snapshot.range(selection.namespace(), after).enumerate() {
        if seen % SEEN_AT_ONCE == SEEN_AT_ONCE - 1 {
            call.turn().await;
        }
        if !selection.matches(entry) {
            continue;
        }
        if entries.len() == limit {
            more = true;
            break;
        }
        entries.push(entry.clone());
    }
    let mut page = Page { revision: snapshot.revision(), entries, continue_token: String::new(), remaining: None };
    if let Some(last) = page.entries.last().filter(|_| more) {
        let key = &last.key;
        let start = match selection.namespace() {
            None if !key.namespace.is_empty() => format!("{}/{}", key.namespace, key.name),
            _ => key.name.to_string(),
        };
        let revision = i64::try_from(page.revision).unwrap_or(i64::MAX);
        page.remaining = (!selection.is_selective())
            .then(|| snapshot.count(selection.namespace(), Some((&key.namespace, &key.name))));
        page.continue_token = token(revision, &start);
    }
    page
}

impl Page {
    /// The metadata of a list of whole objects: those of custom objects always say whether they go on.
    fn plain_metadata(&self, resource: &Resource) -> Value {
        let mut metadata = self.metadata();
        if resource.custom {
            metadata["continue"] = json!(self.continue_token);
        }
        metadata
    }

    /// The metadata of the list.
    fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if !self.continue_token.is_empty() {
            metadata["continue"] = json!(self.continue_token);
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        metadata
    }
}

/// Answers with a page. Plain JSON is spliced from the stored bytes.
pub(super) async fn render(call: &Call, resource: &Resource, page: &Page, output: Output) -> Answer {
    let as_stored = output.form == Form::Plain && output.media == Media::Json && !output.pretty;
    if as_stored && !resource.strategy.converts() {
        return Ok(respond::with_body(200, "application/json", splice(resource, page)));
    }
    if output.form == Form::Plain && output.media == Media::Protobuf {
        return in_protobuf(call, resource, page).await;
    }
    let (frame, at) = match output.form {
        Form::Table { beta } => {
            (output::table(call, resource, &[], output::Shape { metadata: page.metadata(), beta })?, "rows")
        }
        Form::MetadataList { beta } | Form::Metadata { beta } => {
            let api_version = format!("meta.k8s.io/{}", negotiate::version(beta));
            (list_of("PartialObjectMetadataList", &api_version, page.metadata()), "items")
        }
        Form::Plain => {
            let metadata = page.plain_metadata(resource);
            (list_of(&resource.list_kind, &resource.api_version(), metadata), "items")
        }
    };
    let mut list = ShapedList::new(frame, at, output);
    let in_order = matches!(output.form, Form::Table { .. }).then(|| arranged(resource, &page.entries)).flatten();
    let entries = in_order.as_ref().unwrap_or(&page.entries);
    // A webhook is asked once for all objects.
    let at_once = if resource.strategy.conversion().is_some() { entries.len().max(1) } else { SHAPED_AT_ONCE };
    for (chunk, entries) in entries.chunks(at_once).enumerate() {
        if chunk > 0 {
            call.turn().await;
        }
        let objects = conversion::read_all(&call.server, entries.iter().map(AsRef::as_ref), resource).await?;
        list.add(match output.form {
            Form::Table { beta } => {
                let shape = output::Shape { metadata: Value::Null, beta };
                let mut table = output::table(call, resource, &objects, shape)?;
                table["rows"].as_array_mut().map(std::mem::take).unwrap_or_default()
            }
            Form::MetadataList { beta } | Form::Metadata { beta } => {
                objects.iter().map(|object| printers::partial(object, negotiate::version(beta))).collect()
            }
            Form::Plain => items(resource, objects),
        });
    }
    Ok(list.finish())
}

/// The entries of a page in the order of the rows of a Table, where it is another than that of the list: flow schemas
/// stand in the order in which requests are matched with them.
fn arranged(resource: &Resource, entries: &[Arc<Entry>]) -> Option<Vec<Arc<Entry>>> {
    if (resource.group.as_str(), resource.name.as_str()) != ("flowcontrol.apiserver.k8s.io", "flowschemas") {
        return None;
    }
    let precedence = |entry: &Arc<Entry>| {
        let object = object::decode(entry, resource);
        meta::at(&object, &["spec", "matchingPrecedence"]).and_then(Value::as_i64).unwrap_or_default()
    };
    let mut entries = entries.to_vec();
    entries.sort_by_cached_key(|entry| (precedence(entry), entry.key.name.clone()));
    Some(entries)
}

/// A list of built-in objects in protobuf, some objects at a time.
async fn in_protobuf(call: &Call, resource: &Resource, page: &Page) -> Answer {
    let missing = || Status::not_acceptable(&negotiate::CUSTOM_READABLE);
    let (api_version, kind) = (resource.api_version(), &resource.list_kind);
    let mut items = Vec::with_capacity(page.entries.len());
    for (number, entry) in page.entries.iter().enumerate() {
        if number % SHAPED_AT_ONCE == SHAPED_AT_ONCE - 1 {
            call.turn().await;
        }
        let object = object::decode(entry, resource);
        items.push(protobuf::item(&api_version, kind, &object).ok_or_else(missing)?);
    }
    let body = protobuf::list(&api_version, kind, (page.metadata(), &items)).ok_or_else(missing)?;
    Ok(respond::with_body(200, negotiate::PROTOBUF, body.into()))
}

/// A list whose items are made some at a time. As JSON they are written at once, so that no turn takes long.
struct ShapedList {
    frame: Value,
    at: &'static str,
    output: Output,
    written: Option<VecDeque<Bytes>>,
    items: Vec<Value>,
}

impl ShapedList {
    /// `frame` is the list without items, which come into its member `at`.
    fn new(frame: Value, at: &'static str, output: Output) -> Self {
        let written = (output.media == Media::Json && !output.pretty).then(VecDeque::new);
        Self { frame, at, output, written, items: Vec::new() }
    }

    fn add(&mut self, items: Vec<Value>) {
        let Some(written) = &mut self.written else { return self.items.extend(items) };
        let mut bytes = Vec::new();
        for item in items {
            if !(written.is_empty() && bytes.is_empty()) {
                bytes.push(b',');
            }
            serde_json::to_writer(&mut bytes, &item).expect("writing to memory cannot fail");
        }
        written.push_back(bytes.into());
    }

    fn finish(mut self) -> Response<Body> {
        let Some(mut written) = self.written else {
            self.frame[self.at] = self.items.into();
            return respond::object(200, &self.frame, self.output);
        };
        self.frame[self.at] = json!([]);
        let frame = respond::json(&self.frame, false);
        // Within a text its quotes would be escaped, so that this is the member itself: no list's metadata has one like it.
        let member = format!("\"{}\":[", self.at);
        let place = frame.windows(member.len()).position(|window| window == member.as_bytes());
        let (head, tail) = frame.split_at(place.map_or(0, |place| place + member.len()));
        written.push_front(head.to_vec().into());
        written.push_back(tail.to_vec().into());
        respond::with_body(200, "application/json", Body::pieces(written))
    }
}

fn list_of(kind: &str, api_version: &str, metadata: Value) -> Value {
    json!({"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": []})
}

/// Items of built-in kinds don't repeat the type that the list has.
fn items(resource: &Resource, mut objects: Vec<Value>) -> Vec<Value> {
    if !resource.custom {
        for object in objects.iter_mut().filter_map(Value::as_object_mut) {
            object.remove("apiVersion");
            object.remove("kind");
        }
    }
    objects
}

/// The bytes of a list, put together from what is stored while they are sent: as many objects at once as make a piece.
fn splice(resource: &Resource, page: &Page) -> Body {
    const END: &[u8] = b"]}\n";
    let kind = json!(resource.list_kind);
    let head = format!(
        "{{\"kind\":{kind},\"apiVersion\":{},\"metadata\":{},\"items\":[",
        json!(resource.api_version()),
        page.plain_metadata(resource)
    );
    let prefix = if resource.custom { object::type_prefix(resource) } else { Bytes::from_static(b"{") };
    // Of each object all but its brace, behind a prefix and, but for the first, a comma.
    let each = page.entries.iter().map(|entry| prefix.len() + entry.bytes().len() - 1);
    let length = head.len() + each.sum::<usize>() + page.entries.len().saturating_sub(1) + END.len();
    let mut entries = page.entries.clone().into_iter();
    let (mut piece, mut first, mut ended) = (head.into_bytes(), true, false);
    let pieces = std::iter::from_fn(move || {
        if ended {
            return None;
        }
        while piece.len() < PIECE {
            let Some(entry) = entries.next() else {
                ended = true;
                piece.extend_from_slice(END);
                return Some(std::mem::take(&mut piece).into());
            };
            let comma: &[u8] = if std::mem::take(&mut first) { b"" } else { b"," };
            [comma, &prefix, &entry.bytes()[1..]].into_iter().for_each(|part| piece.extend_from_slice(part));
        }
        Some(std::mem::replace(&mut piece, Vec::with_capacity(PIECE + PIECE / 8)).into())
    });
    Body::made(length as u64, pieces)
}
