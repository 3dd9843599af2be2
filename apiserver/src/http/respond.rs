//! Answers: objects, Status errors and texts as HTTP responses.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::Value;
use steersman_machinery::status::Status;

use super::body::Body;
use super::negotiate::{self, Media, Output};
use super::{protobuf, yaml};

/// A response with a body of that type.
pub fn with_body(code: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A plain text.
pub fn text(code: u16, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = with_body(code, "text/plain; charset=utf-8", Body::from(text.into()));
    response.headers_mut().insert("X-Content-Type-Options", HeaderValue::from_static("nosniff"));
    response
}

/// An object, in the form that was negotiated.
pub fn object(code: u16, value: &Value, output: Output) -> Response<Body> {
    serialized(code, value, output)
}

/// A failure (or a Success without an object) as its own code says.
pub fn status(status: &Status, output: Output) -> Response<Body> {
    let mut response = serialized(if status.code == 0 { 200 } else { status.code }, status, output);
    let seconds = status.retry_after_seconds();
    if seconds > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn serialized(code: u16, value: &impl Serialize, output: Output) -> Response<Body> {
    let (content_type, body) = match output.media {
        Media::Json => ("application/json", json(value, output.pretty)),
        Media::Yaml => {
            // Through a Value, so that keys are sorted as upstream's YAML sorts them.
            let value = serde_json::to_value(value).expect("what was made from JSON can be written as JSON");
            ("application/yaml", yaml::to_bytes(&value))
        }
        Media::Protobuf => match protobuf::of_serialized(value) {
            Some(body) => (negotiate::PROTOBUF, body),
            // Kinds without a message are JSON, whatever was asked for; clients that ask for protobuf can read it.
            None => ("application/json", json(value, output.pretty)),
        },
    };
    with_body(code, content_type, Body::from(body))
}

/// JSON with a line end, indented by two spaces if `pretty`.
pub fn json(value: &impl Serialize, pretty: bool) -> Vec<u8> {
    let bytes = if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    let mut bytes = bytes.expect("a JSON value with text keys can always be written");
    bytes.push(b'\n');
    bytes
}
