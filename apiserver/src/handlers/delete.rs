//! DELETE of one object: preconditions, graceful deletion, finalizers, removal.
//! Source: `k8s.io/apiserver/pkg/registry/generic/registry.Store.Delete`, `rest.BeforeDelete`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use steersman_machinery::clock::{format_time, parse_time};
use steersman_machinery::meta::{self, FINALIZER_FOREGROUND, FINALIZER_ORPHAN};
use steersman_machinery::status::{Status, StatusDetails};
use steersman_store::{Entry, Expect, StoreError};

use super::write;
use super::{Answer, input, output};
use crate::admission::{Attributes, Operation};
use crate::http::respond;
use crate::object;
use crate::options::{DeleteOptions, Propagation};
use crate::registry::resource::Resource;
use crate::server::unavailable;
use crate::service::Call;

/// How often a delete is tried anew when others write to the object.
const ATTEMPTS: usize = 100;

/// What became of the object.
pub(super) enum Deleted {
    /// It is gone; this is what it was.
    Removed(Value),
    /// It stays for the time being, marked.
    Kept(Value),
}

/// Deletes an object.
pub(super) async fn handle(call: &mut Call, resource: &Resource) -> Answer {
    let options = options(call)?;
    let output = output::negotiate(call)?;
    let name = call.info.name.clone();
    let deleted = delete(call, resource, &name, &options).await?;
    let object = match &deleted {
        Deleted::Removed(object) if !resource.strategy.rules().returns_deleted_object => {
            let success = Status::success(Some(StatusDetails {
                name,
                group: resource.group.clone(),
                kind: resource.name.clone(),
                uid: meta::uid(object).to_owned(),
                ..StatusDetails::default()
            }));
            return Ok(respond::status(&success, output));
        }
        Deleted::Removed(object) | Deleted::Kept(object) => object,
    };
    let waits = matches!(deleted, Deleted::Kept(_)) && options.orphan_dependents == Some(false);
    output::object(call, resource, (if waits { 202 } else { 200 }, object), output)
}

/// The options of a delete, from the body or the query.
pub(super) fn options(call: &Call) -> Result<DeleteOptions, Status> {
    match call.body.is_empty() {
        true => DeleteOptions::read(None, &call.query),
        false => DeleteOptions::read(Some(&input::document(call, "DeleteOptions")?.value), &call.query),
    }
}

/// Deletes an object or marks it for deletion, as its kind, its finalizers and the options say.
pub(super) async fn delete(
    call: &mut Call,
    resource: &Resource,
    name: &str,
    options: &DeleteOptions,
) -> Result<Deleted, Status> {
    let namespace = call.info.namespace.clone();
    delete_at(call, resource, (&namespace, name), options).await
}

/// [`delete`] for an object in a namespace that need not be that of the request.
pub(super) async fn delete_at(
    call: &mut Call,
    resource: &Resource,
    (namespace, name): (&str, &str),
    options: &DeleteOptions,
) -> Result<Deleted, Status> {
    let key = object::key(resource, namespace, name);
    for _ in 0..ATTEMPTS {
        let entry = call.server.store.get(&key).await.map_err(|error| unavailable(&error))?;
        let entry = entry.ok_or_else(|| Status::not_found(&resource.group_resource(), name))?;
        let live = object::decode(&entry, resource);
        check_preconditions(resource, &live, options)?;
        admit(call, resource, &live, options).await?;
        if let Some(deleted) = attempt(call, resource, (&entry, live), options).await? {
            return Ok(deleted);
        }
    }
    Err(Status::stale(&resource.group_resource(), name))
}

async fn admit(call: &Call, resource: &Resource, live: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let attributes = Attributes {
        operation: Operation::Delete,
        resource,
        subresource: "",
        namespace: meta::namespace(live),
        name: meta::name(live),
        old: Some(live),
        user: &call.user,
        dry_run: options.dry_run,
    };
    call.server.admission.validate(&call.server, &attributes, None).await
}

/// `None`: somebody else wrote in between.
async fn attempt(
    call: &mut Call,
    resource: &Resource,
    (entry, live): (&Entry, Value),
    options: &DeleteOptions,
) -> Result<Option<Deleted>, Status> {
    let marked = mark(resource, &live, options, call.server.clock.now());
    let stays = meta::finalizers(&marked).next().is_some()
        || meta::deletion_grace_period(&marked).is_some_and(|seconds| seconds > 0)
        || !resource.strategy.may_be_removed(&marked);
    if !stays {
        return match write::remove(call, resource, entry, options.dry_run).await {
            Ok(Some(removed)) => Ok(Some(Deleted::Removed(object::decode(&removed, resource)))),
            Ok(None) => Ok(Some(Deleted::Removed(marked))),
            Err(write::Attempted(status)) if status.is("Conflict") => Ok(None),
            Err(write::Attempted(status)) => Err(status),
        };
    }
    if options.dry_run || marked == live {
        return Ok(Some(Deleted::Kept(marked)));
    }
    let server = call.server.clone();
    match write::put(&server, resource, &marked, Expect::Revision(entry.revision)).await {
        Ok(entry) => {
            let mut marked = object::decode(&entry, resource);
            crate::definitions::written(&server, resource, &mut marked).await?;
            Ok(Some(Deleted::Kept(marked)))
        }
        Err(StoreError::Conflict(_)) => Ok(None),
        Err(error) => Err(unavailable(&error)),
    }
}

fn check_preconditions(resource: &Resource, live: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let conflict = |what: &str, want: &str, have: &str| {
        let why = format!("Precondition failed: {what} in precondition: {want}, {what} in object meta: {have}");
        Status::conflict(&resource.group_resource(), meta::name(live), why)
    };
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != meta::uid(live)) {
        return Err(conflict("UID", uid, meta::uid(live)));
    }
    let version = options.resource_version.as_deref();
    if let Some(version) = version.filter(|version| *version != meta::resource_version(live)) {
        return Err(conflict("ResourceVersion", version, meta::resource_version(live)));
    }
    Ok(())
}

/// The object as the delete leaves it: with finalizers for the propagation, and marked with a time and a grace period.
fn mark(resource: &Resource, live: &Value, options: &DeleteOptions, now: Timestamp) -> Value {
    let mut object = live.clone();
    let strategy = &resource.strategy;
    let first = meta::deletion_timestamp(live).is_none();
    if first && strategy.rules().garbage_collected {
        set_gc_finalizers(&mut object, options.propagation);
    }
    let requested = options.grace_period.map(|seconds| if seconds < 0 { 1 } else { seconds });
    let seconds = match strategy.grace_period(live, requested) {
        Some(seconds) if !first => match shortened(live, requested, seconds) {
            Some(seconds) => Some(seconds),
            None => return object,
        },
        seconds => seconds,
    };
    if !first && seconds.is_none() {
        return object;
    }
    let grace = SignedDuration::from_secs(seconds.unwrap_or(0));
    let time = match (first, seconds) {
        (false, Some(_)) => deadline(live, grace, now),
        _ => now.saturating_add(grace).unwrap_or(now),
    };
    meta::set(&mut object, &["metadata", "deletionTimestamp"], format_time(time));
    if first {
        strategy.prepare_for_delete(&mut object);
    }
    if seconds.is_some() || meta::finalizers(&object).next().is_some() {
        meta::set(&mut object, &["metadata", "deletionGracePeriodSeconds"], seconds.unwrap_or(0));
    }
    if first && meta::generation(live) > 0 {
        meta::set(&mut object, &["metadata", "generation"], meta::generation(live) + 1);
    }
    object
}

/// The new grace period of an object that is being deleted already; `None` if it is not to be shortened.
fn shortened(live: &Value, requested: Option<i64>, seconds: i64) -> Option<i64> {
    let present = meta::deletion_grace_period(live).unwrap_or(0);
    (requested.is_some() && seconds < present).then_some(seconds)
}

/// When an object that is being deleted is gone, counted from when that began.
fn deadline(live: &Value, grace: SignedDuration, now: Timestamp) -> Timestamp {
    let present = SignedDuration::from_secs(meta::deletion_grace_period(live).unwrap_or(0));
    let began = meta::deletion_timestamp(live).and_then(parse_time).and_then(|at| at.checked_sub(present).ok());
    began.and_then(|began| began.checked_add(grace).ok()).map_or(now, |at| at.max(now))
}

fn set_gc_finalizers(object: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    let is_gc = |finalizer: &str| matches!(finalizer, FINALIZER_ORPHAN | FINALIZER_FOREGROUND);
    let mut finalizers: Vec<Value> = meta::finalizers(object).filter(|it| !is_gc(it)).map(|it| json!(it)).collect();
    match propagation {
        Propagation::Orphan => finalizers.push(json!(FINALIZER_ORPHAN)),
        Propagation::Foreground => finalizers.push(json!(FINALIZER_FOREGROUND)),
        Propagation::Background => {}
    }
    match finalizers.is_empty() {
        true => drop(meta::remove(object, &["metadata", "finalizers"])),
        false => meta::set(object, &["metadata", "finalizers"], finalizers),
    }
}
