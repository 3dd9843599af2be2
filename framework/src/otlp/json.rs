//! The body of a request to a collector. Source: `opentelemetry/proto/trace/v1/trace.proto` in its JSON form, in which ids
//! are hexadecimal and whole numbers of 64 bits are texts.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Attribute, Attributed, Moment, Options, Span};

/// The code of a span that failed.
const ERROR: u8 = 2;
/// The kind of a span within a process.
const INTERNAL: u8 = 1;
/// The field of a span that says what went wrong, and that of an event that says what happened.
const FAILURE: &str = "error";
const MESSAGE: &str = "message";

/// The request that brings these spans.
pub(super) fn request(options: &Options, spans: &[Span]) -> Value {
    let mut resource = vec![("service.name", Attribute::Text(options.service.clone()))];
    if !options.version.is_empty() {
        resource.push(("service.version", Attribute::Text(options.version.clone())));
    }
    let scope = json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")});
    let spans: Vec<Value> = spans.iter().map(span).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": attributes(&resource)},
        "scopeSpans": [{"scope": scope, "spans": spans}],
    }]})
}

fn span(span: &Span) -> Value {
    let place = &span.place;
    let mut object = json!({
        "traceId": format!("{:032x}", place.trace),
        "spanId": format!("{:016x}", place.span),
        "name": span.name,
        "kind": INTERNAL,
        "startTimeUnixNano": nanos(span.begun),
        "endTimeUnixNano": nanos(span.ended),
        "attributes": attributes(&span.attributes),
        "events": span.events.iter().map(moment).collect::<Vec<_>>(),
    });
    if let Some(parent) = span.parent {
        object["parentSpanId"] = format!("{parent:016x}").into();
    }
    if let Some((_, failure)) = span.attributes.iter().find(|(name, _)| *name == FAILURE) {
        object["status"] = json!({"code": ERROR, "message": text(failure)});
    }
    object
}

fn moment(moment: &Moment) -> Value {
    let is_name = |(name, _): &&(&'static str, Attribute)| *name == MESSAGE;
    let name = moment.attributes.iter().find(is_name).map_or_else(|| "event".to_owned(), |(_, value)| text(value));
    let rest: Attributed = moment.attributes.iter().filter(|it| !is_name(it)).cloned().collect();
    json!({"timeUnixNano": nanos(moment.at), "name": name, "attributes": attributes(&rest)})
}

fn nanos(at: Timestamp) -> String {
    at.as_nanosecond().to_string()
}

fn text(value: &Attribute) -> String {
    match value {
        Attribute::Text(text) => text.clone(),
        Attribute::Integer(number) => number.to_string(),
        Attribute::Float(number) => number.to_string(),
        Attribute::Truth(truth) => truth.to_string(),
    }
}

fn attributes(all: &Attributed) -> Vec<Value> {
    let one = |(key, value): &(&'static str, Attribute)| {
        let (kind, value) = match value {
            Attribute::Text(text) => ("stringValue", json!(text)),
            Attribute::Integer(number) => ("intValue", json!(number.to_string())),
            Attribute::Float(number) => ("doubleValue", json!(number)),
            Attribute::Truth(truth) => ("boolValue", json!(truth)),
        };
        json!({"key": key, "value": Map::from_iter([(kind.to_owned(), value)])})
    };
    all.iter().map(one).collect()
}
