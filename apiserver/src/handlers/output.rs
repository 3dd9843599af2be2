//! Objects into answers: plain, as a Table, or metadata only.

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use steersman_machinery::meta;
use steersman_machinery::status::Status;
use steersman_store::Entry;

use super::Answer;
use crate::http::body::Body;
use crate::http::negotiate::{self, Form, Media, Output};
use crate::http::respond;
use crate::object;
use crate::printers::{self, BadIncludeObject, TableOptions};
use crate::registry::resource::Resource;
use crate::service::Call;

/// Negotiates the form of an answer that holds one object.
pub(super) fn negotiate(call: &Call) -> Result<Output, Status> {
    let output = negotiate::output(&call.headers, &call.query)?;
    match output.form {
        Form::MetadataList => Err(wrong_form("PartialObjectMetadataList", "PartialObjectMetadata", "is not a list")),
        _ => Ok(output),
    }
}

/// Negotiates the form of an answer that holds a list.
pub(super) fn negotiate_list(call: &Call) -> Result<Output, Status> {
    let output = negotiate::output(&call.headers, &call.query)?;
    match output.form {
        Form::Metadata => Err(wrong_form("PartialObjectMetadata", "PartialObjectMetadataList", "is a list")),
        _ => Ok(output),
    }
}

fn wrong_form(asked: &str, instead: &str, why: &str) -> Status {
    let message = format!("you requested {asked}, but the requested object {why}; ask for {instead}");
    Status::failure(406, "NotAcceptable", message)
}

/// Answers with an entry. Plain JSON is spliced from the stored bytes.
pub(super) fn entry(call: &Call, resource: &Resource, entry: &Entry, output: Output) -> Answer {
    let as_stored = output.form == Form::Plain && output.media == Media::Json && !output.pretty;
    if as_stored && !resource.strategy.converts() {
        let pieces = [object::type_prefix(resource), object::tail(entry), Bytes::from_static(b"\n")];
        return Ok(respond::with_body(200, "application/json", Body::pieces(pieces)));
    }
    object(call, resource, (200, &object::decode(entry, resource)), output)
}

/// Answers with an object and a status code.
pub(super) fn object(call: &Call, resource: &Resource, (code, value): (u16, &Value), output: Output) -> Answer {
    let shaped = match output.form {
        Form::Plain | Form::MetadataList => return Ok(respond::object(code, value, output)),
        Form::Metadata => printers::partial(value),
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
        version: if shape.beta { "v1beta1" } else { "v1" },
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
