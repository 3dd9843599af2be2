//! DELETE of one object: preconditions, graceful deletion, finalizers, removal.
//! Source: `k8s.io/apiserver/pkg/registry/generic/registry.Store.Delete`, `rest.BeforeDelete`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use steersman_machinery::clock::{format_time, parse_time};
use steersman_machinery::group::{GroupKind, GroupResource};
use steersman_machinery::meta::{self, FINALIZER_FOREGROUND, FINALIZER_ORPHAN};
use steersman_machinery::status::{Status, StatusDetails};
use steersman_store::{Entry, Expect, StoreError};

use super::write;
use super::{Answer, input, output};
use crate::admission::{Attributes, Operation};
use crate::conversion;
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
    let output = output::negotiate(call, resource)?;
    let name = call.info.name.clone();
    if options.propagation.is_none() {
        call.warnings.extend(resource.strategy.warnings_on_vague_delete());
    }
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
        false => DeleteOptions::read(Some(&input::options(call, "DeleteOptions")?), &call.query),
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

/// [`delete`] without asking admission, which was asked about what led to it.
pub(super) async fn delete_unasked(
    call: &mut Call,
    resource: &Resource,
    name: &str,
    options: &DeleteOptions,
) -> Result<Deleted, Status> {
    let namespace = call.info.namespace.clone();
    run(call, resource, (&namespace, name), options, false).await
}

/// [`delete`] for an object in a namespace that need not be that of the request.
pub(super) async fn delete_at(
    call: &mut Call,
    resource: &Resource,
    (namespace, name): (&str, &str),
    options: &DeleteOptions,
) -> Result<Deleted, Status> {
    run(call, resource, (namespace, name), options, true).await
}

async fn run(
    call: &mut Call,
    resource: &Resource,
    (namespace, name): (&str, &str),
    options: &DeleteOptions,
    asks: bool,
) -> Result<Deleted, Status> {
    let key = object::key(resource, namespace, name);
    for _ in 0..ATTEMPTS {
        let entry = call.server.store.get(&key).await.map_err(|error| unavailable(&error))?;
        let entry = entry.ok_or_else(|| Status::not_found(&resource.group_resource(), name))?;
        let live = conversion::read(&call.server, &entry, resource).await?;
        check_preconditions(resource, &live, options)?;
        if asks {
            admit(call, resource, &live, options).await?;
        }
        if let Some(deleted) = attempt(call, resource, (&entry, live), options).await? {
            return Ok(deleted);
        }
    }
    Err(Status::stale(&resource.group_resource(), name))
}

async fn admit(call: &Call, resource: &Resource, live: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let origin = call.origin();
    let attributes = Attributes {
        server: &call.server,
        operation: Operation::Delete,
        resource,
        subresource: "",
        namespace: meta::namespace(live),
        name: if call.info.verb == "deletecollection" { "" } else { meta::name(live) },
        old: Some(live),
        origin: &origin,
        dry_run: options.dry_run,
        options: crate::admission::Options::Delete(options),
    };
    call.server.admission.admit(&attributes, &mut Value::Null).await?;
    call.server.admission.validate(&attributes, None).await
}

/// `None`: somebody else wrote in between.
async fn attempt(
    call: &mut Call,
    resource: &Resource,
    (entry, live): (&Entry, Value),
    options: &DeleteOptions,
) -> Result<Option<Deleted>, Status> {
    let plan = mark(resource, &live, options, call.server.clock.now());
    let Plan { object: marked, stays } = plan;
    if options.dry_run {
        return Ok(Some(if stays { Deleted::Kept(marked) } else { Deleted::Removed(marked) }));
    }
    let server = call.server.clone();
    let mut entry = entry.clone();
    if marked != live {
        let stored = conversion::to_store(&server, resource, &marked).await?;
        match write::put(&server, resource, &stored, Expect::Revision(entry.revision)).await {
            Ok(stored) => entry = (*stored).clone(),
            Err(StoreError::Conflict(_)) => return Ok(None),
            Err(error) => return Err(unavailable(&error)),
        }
    }
    if stays {
        let mut marked = marked;
        meta::set(&mut marked, &["metadata", "resourceVersion"], entry.revision.to_string());
        crate::definitions::written(&server, resource, &marked).await?;
        return Ok(Some(Deleted::Kept(marked)));
    }
    match write::remove(call, resource, &entry, false).await {
        Ok(removed) => {
            let mut object = marked;
            if let Some(removed) = removed {
                meta::set(&mut object, &["metadata", "resourceVersion"], removed.revision.to_string());
            }
            Ok(Some(Deleted::Removed(object)))
        }
        Err(write::Attempted(status)) if status.is("Conflict") => Ok(None),
        Err(write::Attempted(status)) => Err(status),
    }
}

fn check_preconditions(resource: &Resource, live: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let check = |what: &str, wanted: Option<&str>, have: &str, guess: &str| match wanted {
        Some(wanted) if wanted != have => {
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({have}). {guess}"
            );
            let GroupKind { group, kind } = resource.group_kind();
            Err(Status::conflict(&GroupResource::new(group, kind), meta::name(live), why))
        }
        _ => Ok(()),
    };
    let recreated = "The object might have been deleted and then recreated";
    check("UID", options.uid.as_deref(), meta::uid(live), recreated)?;
    let version = options.resource_version.as_deref();
    check("ResourceVersion", version, meta::resource_version(live), "The object might have been modified")
}

/// What a delete makes of an object.
struct Plan {
    object: Value,
    /// Whether it stays for the time being.
    stays: bool,
}

/// The object as the delete leaves it: with finalizers for the propagation, and marked with a time and a grace period.
/// An object that goes at once is marked only if its kind is deleted gracefully.
fn mark(resource: &Resource, live: &Value, options: &DeleteOptions, now: Timestamp) -> Plan {
    let strategy = &resource.strategy;
    let mut object = live.clone();
    if !strategy.may_be_removed(live) {
        terminate(resource, &mut object, options, now);
        return Plan { object, stays: true };
    }
    let requested = options.grace_period.map(|seconds| if seconds < 0 { 1 } else { seconds });
    let grace = grace(resource, live, requested);
    if matches!(grace, Grace::Pending) {
        return Plan { object, stays: true };
    }
    set_gc_finalizers(resource, &mut object, options);
    let held = meta::finalizers(&object).next().is_some();
    match grace {
        Grace::Seconds(seconds) => mark_graceful(&mut object, live, seconds, now),
        _ if held => mark_held(&mut object, live, now),
        _ => {}
    }
    Plan { stays: held || matches!(grace, Grace::Seconds(1..)), object }
}

/// The first delete of an object that somebody has to empty before it goes: it is marked, without a grace period.
fn terminate(resource: &Resource, object: &mut Value, options: &DeleteOptions, now: Timestamp) {
    if meta::deletion_timestamp(object).is_none() {
        meta::set(object, &["metadata", "deletionTimestamp"], format_time(now));
        set_gc_finalizers(resource, object, options);
        resource.strategy.prepare_for_delete(object);
    }
}

/// How gracefully an object goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grace {
    /// Its kind knows no grace, or it is over.
    None,
    /// It was told before, and this delete changes nothing about it.
    Pending,
    /// It has this many seconds.
    Seconds(i64),
}

fn grace(resource: &Resource, live: &Value, requested: Option<i64>) -> Grace {
    let first = resource.strategy.grace_period(live, requested);
    if meta::deletion_timestamp(live).is_none() || first.is_none() {
        return first.map_or(Grace::None, Grace::Seconds);
    }
    match (meta::deletion_grace_period(live).unwrap_or(0), requested) {
        (0, _) => Grace::None,
        // Once begun, a period is only shortened.
        (present, Some(requested)) if requested < present => Grace::Seconds(requested),
        _ => Grace::Pending,
    }
}

fn mark_graceful(object: &mut Value, live: &Value, seconds: i64, now: Timestamp) {
    let after = |start: Timestamp, seconds: i64| start.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
    let (time, seconds) = match meta::deletion_timestamp(live).and_then(parse_time) {
        None => (after(now, seconds), seconds),
        Some(present) => {
            let began = after(present, -meta::deletion_grace_period(live).unwrap_or(0));
            match after(began, seconds) {
                time if time < now => (now, seconds.min(1)),
                time => (time, seconds),
            }
        }
    };
    meta::set(object, &["metadata", "deletionTimestamp"], format_time(time));
    meta::set(object, &["metadata", "deletionGracePeriodSeconds"], seconds);
    if meta::deletion_timestamp(live).is_none() {
        count_up(object, live);
    }
}

/// Marks an object whose finalizers hold it.
fn mark_held(object: &mut Value, live: &Value, now: Timestamp) {
    if meta::deletion_grace_period(live).is_none() {
        count_up(object, live);
    }
    let later = meta::deletion_timestamp(live).and_then(parse_time).is_none_or(|at| at > now);
    if later {
        meta::set(object, &["metadata", "deletionTimestamp"], format_time(now));
    }
    meta::set(object, &["metadata", "deletionGracePeriodSeconds"], 0);
}

/// Those who look after an object are to notice that it is being deleted.
fn count_up(object: &mut Value, live: &Value) {
    if meta::generation(live) > 0 {
        meta::set(object, &["metadata", "generation"], meta::generation(live) + 1);
    }
}

/// Sets the finalizers that tell the garbage collector what becomes of the dependents.
fn set_gc_finalizers(resource: &Resource, object: &mut Value, options: &DeleteOptions) {
    let rules = resource.strategy.rules();
    if !rules.garbage_collected {
        return;
    }
    let is_gc = |finalizer: &str| matches!(finalizer, FINALIZER_ORPHAN | FINALIZER_FOREGROUND);
    let said = meta::finalizers(object).any(is_gc);
    let propagation = match options.propagation {
        None if !said && resource.strategy.orphans_by_default() => Some(Propagation::Orphan),
        propagation => propagation,
    };
    let Some(propagation) = propagation else { return };
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
