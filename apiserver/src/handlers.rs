//! What is done with a request: one file a verb or subresource.

mod access_review;
mod binding;
mod component_status;
mod connect;
mod create;
mod delete;
mod delete_collection;
mod eviction;
mod get;
mod input;
mod list;
mod nonresource;
mod open_id;
mod output;
mod patch;
mod review;
mod scale;
mod selection;
mod token_request;
mod token_review;
mod update;
mod watch;
mod write;
mod yaml;

pub(crate) use connect::forward::to as forward_to;
pub(crate) use input::readable;
pub(crate) use input::shape;
pub(crate) use write::put;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http::{HeaderMap, Method, Response};
use serde_json::Value;
use steersman_machinery::names;
use steersman_machinery::status::Status;

use crate::aggregation;
use crate::audit::{Annotations, Trail};
use crate::authentication::UserInfo;
use crate::events;
use crate::http::body::Body;
use crate::http::negotiate;
use crate::http::query::Query;
use crate::http::request_info::RequestInfo;
use crate::http::respond;
use crate::http::warnings::Warnings;
use crate::registry::resource::Resource;
use crate::server::Server;
use crate::service::Call;

/// The answer to a request.
pub(crate) type Answer = Result<Response<Body>, Status>;

/// Finds what is to be done and does it. What handlers keep while they wait is boxed here: it would be moved several times, and
/// the largest of them would be paid for with every request.
pub(crate) async fn dispatch(call: &mut Call) -> Answer {
    if let Some(answer) = aggregation::serve(call).await {
        return answer;
    }
    let path = &call.info.path;
    if !call.info.is_resource || path.starts_with("//") {
        return nonresource::handle(call).boxed().await;
    }
    if call.info.resource.is_empty() {
        let why = format!("failed to create RequestInfo: unable to determine kind and namespace from url, {path}");
        return Ok(respond::text(500, format!("Internal Server Error: {path:?}: {why}\n")));
    }
    let catalog = call.server.catalog();
    let info = &call.info;
    let Some(resource) = catalog.find(&info.group, &info.version, &info.resource).cloned() else {
        // Upstream's router knows the groups of built-in resources, and answers for them.
        let known = catalog.all().iter().any(|it| it.group == info.group && !it.custom);
        return if known { Err(Status::no_such_resource()) } else { nonresource::not_found() };
    };
    if info.verb == "proxy" {
        return Err(Status::no_such_resource());
    }
    if info.name_in_path {
        check_name(&info.name)?;
    }
    if resource.storage.resource == "events" {
        events::expire(&call.server).await;
    }
    if info.subresource.is_empty() { on_object(call, resource).await } else { on_subresource(call, resource).await }
}

fn check_name(name: &str) -> Result<(), Status> {
    match names::path_segment(name).first() {
        Some(complaint) => Err(Status::bad_request(format!("Name parameter invalid: \"{name}\": {complaint}"))),
        None => Ok(()),
    }
}

async fn on_object(call: &mut Call, resource: Arc<Resource>) -> Answer {
    if resource.custom && !resource.namespaced && !call.info.namespace.is_empty() {
        return nonresource::not_found();
    }
    check_scope(call, &resource)?;
    // While a definition is being deleted, its instances can still be changed: they have finalizers to lose.
    let changes = resource.custom && matches!(call.info.verb.as_str(), "create" | "update" | "patch");
    if !resource.has_verb(&call.info.verb) && !changes {
        return Err(Status::method_not_allowed());
    }
    check_route(call, &resource)?;
    match call.info.verb.as_str() {
        "get" if resource.group.is_empty() && resource.name == "componentstatuses" => {
            component_status::get(call, &resource)
        }
        "get" => get::handle(call, &resource).boxed().await,
        "list" => list::handle(call, &resource).boxed().await,
        "watch" => watch::handle(call, resource).boxed().await,
        "create" if resource.verbs == ["create"] => review::handle(call, &resource).boxed().await,
        "create" if !call.info.name_in_path => create::handle(call, &resource).boxed().await,
        "update" if call.info.name_in_path => update::handle(call, &resource, "").boxed().await,
        "patch" if call.info.name_in_path => patch::handle(call, &resource, "").boxed().await,
        "delete" => delete::handle(call, &resource).boxed().await,
        "deletecollection" => delete_collection::handle(call, &resource).boxed().await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// What upstream's router of built-in resources looks at before anybody reads the request.
fn check_route(call: &mut Call, resource: &Resource) -> Result<(), Status> {
    let verb = call.info.verb.as_str();
    if call.method == Method::HEAD || (verb == "watch" && call.method != Method::GET) {
        return Err(Status::method_not_allowed());
    }
    if let Some(deprecation) = &resource.deprecation {
        call.annotations.add("k8s.io/deprecated", "true");
        call.warnings.add(deprecation.as_str());
    }
    if resource.custom {
        return Ok(());
    }
    if verb == "patch" {
        negotiate::route_consumes(&call.headers, &patch::TYPES)?;
    }
    let streams = if matches!(verb, "list" | "watch") { &negotiate::STREAMED[..] } else { &[] };
    negotiate::route_produces(&call.headers, &[&negotiate::ACCEPTED, streams].concat())
}

/// A collection over all namespaces can only be read; a cluster-scoped resource has no place in a namespace.
fn check_scope(call: &Call, resource: &Resource) -> Result<(), Status> {
    let info = &call.info;
    let reads = matches!(info.verb.as_str(), "list" | "watch");
    match (resource.namespaced, info.namespace.is_empty()) {
        (true, true) if info.name_in_path => Err(Status::no_such_resource()),
        (true, true) if !reads => Err(Status::method_not_allowed()),
        (false, false) if resource.name != "namespaces" => Err(Status::no_such_resource()),
        _ => Ok(()),
    }
}

async fn on_subresource(call: &mut Call, resource: Arc<Resource>) -> Answer {
    let name = call.info.subresource.clone();
    let may_go_on = name == "proxy" || call.info.rest.is_empty();
    let Some(subresource) = resource.subresource(&name).filter(|_| may_go_on) else {
        let missing = || Status::not_found(&resource.group_resource(), &call.info.name);
        return Err(if resource.custom { missing() } else { Status::no_such_resource() });
    };
    if !subresource.verbs.contains(&call.info.verb) {
        return Err(Status::method_not_allowed());
    }
    if !resource.custom && connect::SUBRESOURCES.contains(&name.as_str()) {
        return connect::handle(call, &resource).boxed().await;
    }
    check_route(call, &resource)?;
    match (name.as_str(), call.info.verb.as_str()) {
        ("scale", _) => scale::handle(call, &resource).boxed().await,
        ("binding", _) => binding::handle(call, &resource).boxed().await,
        ("eviction", _) => eviction::handle(call, &resource).boxed().await,
        ("token", "create") if !resource.custom => token_request::handle(call, &resource).boxed().await,
        (_, "get") => get::handle(call, &resource).boxed().await,
        (_, "update") => update::handle(call, &resource, &name).boxed().await,
        (_, "patch") => patch::handle(call, &resource, &name).boxed().await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// Performs a request on behalf of the server itself, in the same way as a request from outside. A null body is none. The
/// path may have a query.
pub(crate) fn perform(
    server: &Arc<Server>,
    user: UserInfo,
    (method, path): (Method, &str),
    body: &Value,
) -> BoxFuture<'static, Result<(), Status>> {
    let (path, query) = path.split_once('?').unwrap_or((path, "fieldManager=kube-apiserver"));
    let query = Query::parse(query);
    let info = RequestInfo::new(&method, path, &query);
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let (headers, warnings, annotations) = (HeaderMap::new(), Warnings::default(), Annotations::default());
    let (server, trail) = (server.clone(), Trail::default());
    let (upgrade, remote, flow, body_handled) = (None, false, None, None);
    let mut call = Call {
        server,
        info,
        method,
        query,
        headers,
        body,
        user,
        warnings,
        annotations,
        trail,
        upgrade,
        remote,
        flow,
        body_handled,
    };
    async move { dispatch(&mut call).await.map(drop) }.boxed()
}
