//! `serviceaccounts/token`: a new token for a service account.
//! Source: `k8s.io/kubernetes/pkg/registry/core/serviceaccount/storage/token.go`, `pkg/apis/authentication/validation`.

use std::sync::Arc;

use serde_json::{Value, json};
use steersman_machinery::clock::format_time;
use steersman_machinery::field::{FieldError, Path, go_quote};
use steersman_machinery::group::{GroupKind, GroupResource, GroupVersionKind};
use steersman_machinery::meta;
use steersman_machinery::schema::builtin;
use steersman_machinery::status::Status;

use super::write;
use super::{Answer, input, output};
use crate::authentication::service_account::{self, Claims};
use crate::options::{WriteKind, WriteOptions};
use crate::registry::resource::{ObjectType, Resource};
use crate::registry::strategy::{Plain, Rules};
use crate::service::Call;

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";
/// The life of a token for which nobody asked for another one.
const DEFAULT_SECONDS: i64 = 3600;
const MIN_SECONDS: i64 = 600;
const MAX_SECONDS: i64 = 1 << 32;
/// The life by which the token that is mounted into every pod is known.
const MOUNTED_SECONDS: i64 = 3607;
/// How long such a token really lives.
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// Makes a token.
pub(super) async fn handle(call: &mut Call, resource: &Resource) -> Answer {
    let options = WriteOptions::read(&call.query, WriteKind::Create, call.user_agent())?;
    let output = output::negotiate(call, resource)?;
    let kind = request_kind(resource)?;
    let mut request = input::object(call, &kind, options.field_validation)?;
    meta::set_default(&mut request, &["spec", "expirationSeconds"], DEFAULT_SECONDS);
    if !matches!(meta::namespace(&request), "") && meta::namespace(&request) != call.info.namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(why));
    }
    let mut request = write::writer(call, "token", &options).record(&kind, None, request);
    write::admit_posted(call, (resource, "token"), &mut request, &options).await?;
    let account = prepare(call, &mut request).await?;
    issue(call, &account, &mut request).await?;
    output::object(call, &kind, (201, &request), output)
}

/// Service accounts, but with the kind of the requests.
fn request_kind(resource: &Resource) -> Result<Resource, Status> {
    let gvk = GroupVersionKind::new(GROUP, "v1", KIND);
    let root = builtin::type_of(&gvk).ok_or_else(|| Status::internal("TokenRequest has no schema"))?;
    Ok(Resource {
        object_type: ObjectType { schema: builtin::schema().clone(), root },
        strategy: Arc::new(Plain(Rules::DEFAULT)),
        group: gvk.group,
        version: gvk.version,
        kind: gvk.kind,
        ..resource.clone()
    })
}

/// Finds the service account, fills in what the request leaves open, and checks it.
async fn prepare(call: &Call, request: &mut Value) -> Result<Value, Status> {
    let (namespace, name) = (call.info.namespace.as_str(), call.info.name.as_str());
    let kind = GroupKind::new(GROUP, KIND);
    if !matches!(meta::name(request), "") && meta::name(request) != name {
        let detail = "must match the service account name if specified";
        let error = FieldError::invalid_str(&Path::from("metadata.name"), meta::name(request), detail);
        return Err(Status::invalid(&kind, name, &[error]));
    }
    let account = read(call, ("serviceaccounts", namespace), name).await?;
    match (meta::uid(request), meta::uid(&account)) {
        ("", _) => {}
        (asked, found) if asked == found => {}
        (asked, found) => {
            let why = format!(
                "the UID in the token request ({asked}) does not match the UID of the service account ({found})"
            );
            return Err(Status::conflict(&GroupResource::new(GROUP, KIND), name, why));
        }
    }
    if meta::items(request, &["spec", "audiences"]).is_empty() {
        meta::set(request, &["spec", "audiences"], json!(call.server.authentication.api_audiences));
    }
    for (field, value) in [("name", name), ("namespace", namespace), ("uid", meta::uid(&account))] {
        meta::set(request, &["metadata", field], value);
    }
    meta::set(request, &["metadata", "creationTimestamp"], format_time(call.server.clock.now()));
    let (seconds, path) = (seconds(request), Path::from("spec.expirationSeconds"));
    let refuse = |detail: &str| Err(Status::invalid(&kind, "", &[FieldError::invalid(&path, &json!(seconds), detail)]));
    match seconds {
        ..MIN_SECONDS => refuse("may not specify a duration less than 10 minutes"),
        MIN_SECONDS..=MAX_SECONDS => Ok(account),
        _ => refuse("may not specify a duration larger than 2^32 seconds"),
    }
}

fn seconds(request: &Value) -> i64 {
    meta::at(request, &["spec", "expirationSeconds"]).and_then(Value::as_i64).unwrap_or_default()
}

async fn read(call: &Call, (resource, namespace): (&str, &str), name: &str) -> Result<Value, Status> {
    let found = call.server.read(resource, namespace, name).await?;
    found.ok_or_else(|| Status::not_found(&GroupResource::new("", resource), name))
}

/// What the token is to be bound to, by the names of claims.
async fn bound(call: &Call, request: &Value) -> Result<Vec<(&'static str, Value)>, Status> {
    let Some(reference) = meta::at(request, &["spec", "boundObjectRef"]).filter(|it| it.is_object()) else {
        return Ok(Vec::new());
    };
    let text = |field: &str| meta::text(reference, &[field]);
    let (namespace, name) = (call.info.namespace.as_str(), text("name"));
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let bound = match (group, text("kind")) {
        ("", "Pod") => pod(call, name).await?,
        ("", "Secret") => vec![("secret", read(call, ("secrets", namespace), name).await?)],
        ("", "Node") => vec![("node", read(call, ("nodes", ""), name).await?)],
        (_, kind) => {
            let kind = format!("{group}/{version}, Kind={kind}");
            return Err(Status::bad_request(format!("cannot bind token to object of type {kind}")));
        }
    };
    let uid = text("uid");
    if !uid.is_empty() && uid != meta::uid(&bound[0].1) {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(&GroupResource::new("", text("kind")), name, why));
    }
    Ok(bound)
}

/// A pod and, if it has one, its node. A node that is not known is named without its uid.
async fn pod(call: &Call, name: &str) -> Result<Vec<(&'static str, Value)>, Status> {
    let pod = read(call, ("pods", &call.info.namespace), name).await?;
    if meta::text(&pod, &["spec", "serviceAccountName"]) != call.info.name {
        let account = go_quote(&call.info.name);
        let why = format!(
            "cannot bind token for serviceaccount {account} to pod running with different serviceaccount name."
        );
        return Err(Status::bad_request(why));
    }
    let node = meta::text(&pod, &["spec", "nodeName"]).to_owned();
    let mut bound = vec![("pod", pod)];
    if !node.is_empty() {
        let found = call.server.read("nodes", "", &node).await?;
        bound.push(("node", found.unwrap_or_else(|| json!({"metadata": {"name": node}}))));
    }
    Ok(bound)
}

async fn issue(call: &Call, account: &Value, request: &mut Value) -> Result<(), Status> {
    let bound = bound(call, request).await?;
    let (authentication, now) = (&call.server.authentication, call.server.clock.now());
    let mut asked = seconds(request);
    if let Some(max) = authentication.issuer.max_seconds.filter(|max| asked > *max) {
        call.warnings.add(format!("requested expiration of {asked} seconds shortened to {max} seconds"));
        meta::set(request, &["spec", "expirationSeconds"], max);
        asked = max;
    }
    let audiences = meta::at(request, &["spec", "audiences"]).cloned().unwrap_or_default();
    let for_us = audiences.as_array().is_some_and(|audiences| {
        audiences.iter().all(|audience| authentication.api_audiences.iter().any(|ours| audience == ours.as_str()))
    });
    let extended = authentication.issuer.extends
        && for_us
        && asked == MOUNTED_SECONDS
        && bound.first().is_some_and(|(kind, _)| *kind == "pod");
    let id = call.server.random.uuid();
    let claims = Claims {
        account,
        bound: &bound,
        audiences: &audiences,
        seconds: if extended { EXTENDED_SECONDS } else { asked },
        warn_after: extended.then_some(asked),
        id: &id,
    };
    let token = service_account::issue(&authentication.issuer, now, &claims).await;
    let token = token.ok_or_else(|| Status::internal("failed to generate token"))?;
    call.annotations.add("authentication.kubernetes.io/issued-credential-id", format!("JTI={id}"));
    let expires = now.saturating_add(jiff::SignedDuration::from_secs(asked)).unwrap_or(now);
    meta::set(request, &["status"], json!({"token": token, "expirationTimestamp": format_time(expires)}));
    Ok(())
}
