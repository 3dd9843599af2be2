//! Paths that are no resource: discovery, OpenAPI, version, health, metrics.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, EXPIRES, IF_NONE_MATCH, LOCATION, VARY};
use http::{HeaderValue, Method};
use serde_json::Value;
use steersman_machinery::group::GroupVersion;
use steersman_machinery::status::Status;

use super::{Answer, open_id};
use crate::http::body::Body;
use crate::http::negotiate::{self, Endpoint, Media, Output};
use crate::http::respond;
use crate::service::Call;
use crate::{aggregation, discovery, health, object, openapi, version};

/// What the paths begin with at which there is something to read.
const ROOTS: [&str; 11] = [
    ".well-known",
    "api",
    "apis",
    "healthz",
    "index.html",
    "livez",
    "metrics",
    "openapi",
    "openid",
    "readyz",
    "version",
];

/// What the server counts.
async fn metrics(call: &Call) -> Answer {
    let mut objects = Vec::new();
    let catalog = call.server.catalog();
    let mut seen = BTreeSet::new();
    for resource in catalog.all() {
        let name = object::storage_name(resource);
        if resource.verbs.iter().any(|verb| verb == "watch") && seen.insert(name.clone()) {
            let count = call.server.snapshot(&name).await?.len();
            objects.push((resource.group.clone(), resource.name.clone(), count));
        }
    }
    objects.sort();
    let text = call.server.metrics.render(&call.server.flow.nominal_seats(), &objects);
    let mut response = respond::text(200, text);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    Ok(response)
}

/// Answers a request for a path that is no resource.
pub(super) async fn handle(call: &Call) -> Answer {
    let path = call.info.path.clone();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if path.starts_with("//") {
        return not_found();
    }
    if !matches!(call.method, Method::GET | Method::HEAD) {
        let known = segments.first().is_none_or(|first| ROOTS.contains(first));
        return if known { Err(Status::method_not_allowed()) } else { not_found() };
    }
    let catalog = call.server.catalog();
    let others = aggregation::all(&call.server).await?;
    match segments.as_slice() {
        [] | ["index.html"] => document(call, Some(discovery::root_paths(catalog.all()))),
        ["version"] => pretty(&version::info()),
        ["healthz" | "livez" | "readyz", ..] => health(call, &path),
        [".well-known", "openid-configuration"] => open_id::configuration(call).await,
        ["openid", "v1", "jwks"] => open_id::keys(call).await,
        ["metrics"] => metrics(call).await,
        ["debug", "api_priority_and_fairness", endpoint] => {
            let shown = call.server.flow.dump(endpoint, |level| call.server.metrics.past(level));
            shown.map_or_else(not_found, |text| Ok(respond::text(200, text)))
        }
        ["api"] if wants_aggregated(call) => aggregated(call, true, &others),
        ["apis"] if wants_aggregated(call) => aggregated(call, false, &others),
        ["api"] => document(call, Some(discovery::api_versions(&host(call)))),
        ["apis"] => {
            let mut list = discovery::api_group_list(catalog.all());
            aggregation::discovery::add_groups(&mut list, &others);
            document(call, Some(list))
        }
        ["api", version] => match discovery::api_resource_list(catalog.all(), "", version) {
            None => Err(Status::no_such_resource()),
            list => document(call, list),
        },
        ["apis", group] => {
            let found = discovery::api_group(catalog.all(), group);
            document(call, aggregation::discovery::add_to_group(found, group, &others))
        }
        ["apis", group, version] => match discovery::api_resource_list(catalog.all(), group, version) {
            None if catalog.all().iter().any(|it| it.group == *group) => Err(Status::no_such_resource()),
            list => document(call, list),
        },
        ["openapi", "v2"] if accepts(call, &[openapi::v2::PROTOBUF]) => {
            let body = Body::pieces([openapi::v2::outline().into()]);
            Ok(respond::with_body(200, openapi::v2::PROTOBUF_SERVED, body))
        }
        ["openapi", "v2"] if !accepts_json(call) => bare(406),
        ["openapi", "v2"] => {
            let document = call.server.openapi.v2(catalog.all());
            let mut response = tagged(call, &document.hash, "application/json", || document.body);
            response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
            Ok(response)
        }
        ["openapi", "v3"] => index(call, &openapi::v3::index(catalog.all())),
        ["openapi", "v3", "api", version] => openapi_v3(call, &GroupVersion::new("", *version)),
        ["openapi", "v3", "apis", group, version] => openapi_v3(call, &GroupVersion::new(*group, *version)),
        _ => not_found(),
    }
}

pub(super) fn not_found() -> Answer {
    Ok(respond::text(404, "404 page not found\n"))
}

/// An answer without a body.
fn bare(code: u16) -> Answer {
    let mut response = respond::with_body(code, "text/plain", Body::empty());
    response.headers_mut().remove(CONTENT_TYPE);
    Ok(response)
}

fn document(call: &Call, value: Option<Value>) -> Answer {
    let output = negotiate::output(&call.headers, &call.query, Endpoint::Plain)?;
    value.map_or_else(not_found, |value| Ok(respond::object(200, &value, output)))
}

fn pretty(value: &Value) -> Answer {
    Ok(respond::object(200, value, Output { media: Media::Json, pretty: true, ..Output::default() }))
}

pub(super) fn host(call: &Call) -> String {
    call.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned()
}

fn health(call: &Call, path: &str) -> Answer {
    let exclude: Vec<String> = call.query.all("exclude").map(str::to_owned).collect();
    let query = health::Query { verbose: call.query.first("verbose").is_some(), exclude: &exclude };
    // The server answers only once it is complete, so that all checks hold whenever it does.
    let checks: Vec<_> = health::checks(path).map(|name| (name, Ok(()))).collect();
    let (code, text) = health::render(path, &checks, query);
    Ok(respond::text(code, text))
}

fn wants_aggregated(call: &Call) -> bool {
    let clauses = negotiate::clauses(&call.headers);
    let readable = clauses.iter().find(|clause| {
        let plain = clause.parameter("as").is_empty();
        let current = clause.parameter("as") == "APIGroupDiscoveryList"
            && clause.parameter("g") == "apidiscovery.k8s.io"
            && clause.parameter("v") == "v2";
        matches!(clause.media.as_str(), "application/json" | "*/*" | "application/*") && (plain || current)
    });
    readable.is_some_and(|clause| !clause.parameter("as").is_empty())
}

fn aggregated(call: &Call, core: bool, others: &[Arc<aggregation::ApiService>]) -> Answer {
    let mut list = discovery::aggregated(call.server.catalog().all(), core);
    if !core {
        aggregation::discovery::add_resources(&call.server, &mut list, others);
    }
    let body = respond::json(&list, false);
    let tag = discovery::hash(&body);
    let mut response = tagged(call, &tag, discovery::AGGREGATED_CONTENT_TYPE, || body.into());
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    Ok(response)
}

/// The index of OpenAPI documents. Upstream leaves its type to be guessed from its beginning, which gives a plain text.
fn index(call: &Call, value: &Value) -> Answer {
    let body = respond::json(value, false);
    let tag = discovery::hash(&body);
    Ok(tagged(call, &tag, "text/plain; charset=utf-8", || body.into()))
}

/// The body with its ETag, or 304 if the client has it.
fn tagged(call: &Call, tag: &str, content_type: &'static str, body: impl FnOnce() -> Bytes) -> http::Response<Body> {
    let tag = format!("\"{tag}\"");
    let known = call.headers.get_all(IF_NONE_MATCH).iter().any(|have| have.as_bytes() == tag.as_bytes());
    let mut response = match known {
        true => respond::with_body(304, content_type, Body::empty()),
        false => respond::with_body(200, content_type, Body::from(body())),
    };
    if known {
        response.headers_mut().remove(CONTENT_TYPE);
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// Whether JSON is among what the client takes; clients of OpenAPI also ask for a protobuf form that there is not.
fn accepts_json(call: &Call) -> bool {
    negotiate::clauses(&call.headers).is_empty() || accepts(call, &["application/json", "application/*", "*/*"])
}

fn accepts(call: &Call, media: &[&str]) -> bool {
    negotiate::clauses(&call.headers).iter().any(|clause| media.contains(&clause.media.as_str()))
}

/// The document of a group version. A client that names its hash may keep it for good; one that names an old hash is
/// sent to the present one.
fn openapi_v3(call: &Call, group_version: &GroupVersion) -> Answer {
    let catalog = call.server.catalog();
    let GroupVersion { group, version } = group_version;
    if !catalog.has_group_version(group, version) {
        return bare(404);
    }
    let openapi::cache::Document { hash, body } = call.server.openapi.v3(catalog.all(), group_version);
    let named = call.query.first("hash");
    if named.is_some_and(|named| named != hash) {
        let mut response = respond::with_body(301, "text/plain", Body::empty());
        let target = format!("{}?hash={hash}", call.info.path);
        if let Ok(target) = HeaderValue::from_str(&target) {
            response.headers_mut().insert(LOCATION, target);
        }
        return Ok(response);
    }
    let mut response = tagged(call, &hash, "application/json", || body);
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    if named.is_some() {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        let expires = call.server.clock.now() + jiff::SignedDuration::from_hours(365 * 24);
        let date = expires.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(date) = HeaderValue::from_str(&date) {
            response.headers_mut().insert(EXPIRES, date);
        }
    }
    Ok(response)
}
