//! Objects into answers: plain, as a Table, or metadata only.

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use steersman_machinery::meta;
use steersman_machinery::status::Status;
use steersman_store::Entry;

use super::Answer;
use super::write::Written;
use crate::conversion;
use crate::http::body::Body;
use crate::http::negotiate::{self, Endpoint, Form, Media, Output};
use crate::http::respond;
use crate::object;
use crate::printers::{self, BadIncludeObject, TableOptions};
use crate::registry::resource::Resource;
use crate::service::Call;

/// Which answers the endpoints of a resource can give.
pub(super) fn endpoint(resource: &Resource) -> Endpoint {
    if resource.custom { Endpoint::Custom } else { Endpoint::BuiltIn }
}

/// Negotiates the form of an answer that holds one object.
pub(super) fn negotiate(call: &Call, resource: &Resource) -> Result<Output, Status> {
    let output = negotiate::output(&call.headers, &call.query, endpoint(resource))?;
    match output.form {
        Form::MetadataList { .. } => {
            Err(wrong_form("PartialObjectMetadataList", "is not a list", &go_type(resource, "")))
        }
        _ => Ok(output),
    }
}

/// Negotiates the form of an answer that holds a list.
pub(super) fn negotiate_list(call: &Call, resource: &Resource) -> Result<Output, Status> {
    let output = negotiate::output(&call.headers, &call.query, endpoint(resource))?;
    match output.form {
        Form::Metadata { .. } => Err(wrong_form("PartialObjectMetadata", "is a list", &go_type(resource, "List"))),
        _ => Ok(output),
    }
}

fn wrong_form(asked: &str, why: &str, go_type: &str) -> Status {
    let message = format!("you requested {asked}, but the requested object {why} ({go_type})");
    Status::failure(406, "NotAcceptable", message)
}

/// Upstream's name of the type in memory.
fn go_type(resource: &Resource, suffix: &str) -> String {
    match resource.custom {
        true => format!("*unstructured.Unstructured{suffix}"),
        false => format!("*{}.{}{suffix}", go_package(&resource.storage.group), resource.kind),
    }
}

/// Upstream's name of the package that has the types of a group in memory.
pub(super) fn go_package(group: &str) -> &str {
    match group.split('.').next() {
        None | Some("") => "core",
        Some(package) => package,
    }
}

/// Answers with an entry. Plain JSON is spliced from the stored bytes.
pub(super) async fn entry(call: &Call, resource: &Resource, entry: &Entry, output: Output) -> Answer {
    match as_stored(resource, (200, entry), output) {
        Some(response) => Ok(response),
        None => object(call, resource, (200, &conversion::read(&call.server, entry, resource).await?), output),
    }
}

/// Answers with what a write has made. Plain JSON is spliced from the stored bytes.
pub(super) fn written(call: &Call, resource: &Resource, (code, written): (u16, &Written), output: Output) -> Answer {
    let stored = written.entry.as_ref().and_then(|entry| as_stored(resource, (code, entry), output));
    stored.map_or_else(|| object(call, resource, (code, &written.object), output), Ok)
}

/// The answer with the stored bytes, if that is what was asked for.
fn as_stored(resource: &Resource, (code, entry): (u16, &Entry), output: Output) -> Option<Response<Body>> {
    let plain = output.form == Form::Plain && output.media == Media::Json && !output.pretty;
    let pieces = || [object::type_prefix(resource), object::tail(entry), Bytes::from_static(b"\n")];
    (plain && !resource.strategy.converts())
        .then(|| respond::with_body(code, "application/json", Body::pieces(pieces())))
}

/// Answers with an object and a status code.
pub(super) fn object(call: &Call, resource: &Resource, (code, value): (u16, &Value), output: Output) -> Answer {
    let shaped = match output.form {
        Form::Plain | Form::MetadataList { .. } => return Ok(respond::object(code, value, output)),
        Form::Metadata { beta } => printers::partial(value, negotiate::version(beta)),
        Form::Table { beta } => {
            let metadata = json!({"resourceVersion": meta::resource_version(value)});
            table(call, resource, std::slice::from_ref(value), Shape { metadata, beta })?
        }
    };
    Ok(respond::object(code, &shaped, output))
}

/// How a Table is made.
pub(super) struct Shape {
    /// The list metadata.
    pub(super) metadata: Value,
    /// Whether it is `v1beta1`.
    pub(super) beta: bool,
}

/// A Table of these objects.
pub(super) fn table(call: &Call, resource: &Resource, rows: &[Value], shape: Shape) -> Result<Value, Status> {
    let options = TableOptions {
        version: negotiate::version(shape.beta),
        columns: true,
        include: call.query.text("includeObject").parse().map_err(bad_include)?,
        now: call.server.clock.now(),
    };
    Ok(printers::table(&*resource.printer, rows, shape.metadata, &options))
}

/// The Status for an `includeObject` that does not exist.
pub(super) fn bad_include(error: BadIncludeObject) -> Status {
    Status::bad_request(error.to_string())
}

/// 201 with a Success, for what was done without making an object that could be returned.
pub(super) fn created(output: Output) -> Response<Body> {
    let mut success = Status::success(None);
    success.code = 201;
    respond::status(&success, output)
}
