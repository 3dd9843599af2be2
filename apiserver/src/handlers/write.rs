//! The write path that create, update, patch and the subresources share: who owns what, admission, preparation,
//! validation, and the store.
//! Source: `k8s.io/apiserver/pkg/registry/generic/registry.Store` and `rest.BeforeCreate`, `rest.BeforeUpdate`.

mod admin_access;
mod admitted;
mod commit;
mod identity;
pub(super) mod internal;
mod ownership;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use steersman_machinery::clock::format_time;
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::group::GroupKind;
use steersman_machinery::managed_fields;
use steersman_machinery::status::Status;
use steersman_machinery::{meta, names, object_meta};
use steersman_store::{Entry, Expect, StoreError, Write};

use admitted::Admitted;
use commit::{Failure, commit};
use identity::{check_identity, sent_version, unique_owners, wipe};
pub(super) use identity::{check_namespace, check_place};
pub(super) use ownership::writer;

use crate::addresses;
use crate::admission::{Attributes, Operation};
use crate::authorization::{self, escalation, parameters};
use crate::conversion;
use crate::features::Feature;
use crate::kinds;
use crate::object;
use crate::options::WriteOptions;
use crate::registry::resource::Resource;
use crate::registry::strategy::Strategy;
use crate::server::{Server, unavailable};
use crate::service::{Call, Origin};

/// How often a generated name is drawn anew when it is taken.
const NAME_ATTEMPTS: usize = 8;
/// How often a change is made anew on what another writer left. Each failure means that another write went through.
const CHANGE_ATTEMPTS: usize = 100;

/// Which part of an object a write touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All but the status, if that has a subresource.
    Main,
    /// The status alone.
    Status,
    /// What the strategy of the subresource says.
    Subresource,
}

/// What a write has made.
pub(super) struct Written {
    /// The object.
    pub(super) object: Value,
    /// The same as it is in the store; `None` if it is not there: after a dry run, and if the write was its last.
    pub(super) entry: Option<Arc<Entry>>,
}

/// A change of an object that exists.
pub(super) struct Change<'a> {
    /// Through which subresource; empty for the object itself.
    pub(super) subresource: &'a str,
    /// What it touches.
    part: Part,
    /// What is prepared and validated, and how.
    strategy: Arc<dyn Strategy>,
    /// The options of the request.
    options: &'a WriteOptions,
    /// Whether the ownership of fields is already recorded in the new object (apply).
    applied: bool,
    /// How the uid of the new object is understood.
    uid: Uid,
}

/// How the uid of a new object is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uid {
    /// The object must have it (PUT).
    Replaces,
    /// The object must have it, and the error tells its version.
    Precondition,
    /// It is a field that may not change (PATCH).
    Field,
}

impl<'a> Change<'a> {
    /// A change by a patch, of the object or of what the subresource stands for.
    pub(super) fn patch(resource: &Resource, subresource: &'a str, options: &'a WriteOptions) -> Self {
        let own = || kinds::subresource_strategy(&resource.group, &resource.name, subresource);
        let (part, strategy) = match subresource {
            "" => (Part::Main, None),
            "status" => (Part::Status, None),
            _ => (Part::Subresource, own()),
        };
        let strategy = strategy.unwrap_or_else(|| resource.strategy.clone());
        Self { subresource, part, strategy, options, applied: false, uid: Uid::Field }
    }

    /// A change by an apply: who owns what is recorded already.
    pub(super) fn apply(resource: &Resource, subresource: &'a str, options: &'a WriteOptions) -> Self {
        Self { applied: true, ..Self::patch(resource, subresource, options) }
    }

    /// A change by a PUT.
    pub(super) fn replace(resource: &Resource, subresource: &'a str, options: &'a WriteOptions) -> Self {
        Self { uid: Uid::Replaces, ..Self::patch(resource, subresource, options) }
    }

    /// A change of the object by way of its scale, which has recorded who owns what.
    pub(super) fn scale(resource: &Resource, options: &'a WriteOptions) -> Self {
        let main = Self::apply(resource, "", options);
        Self { subresource: "scale", uid: Uid::Precondition, ..main }
    }
}

/// Makes an object. Returns it as it was stored.
pub(super) async fn create(
    call: &mut Call,
    resource: &Resource,
    mut object: Value,
    options: &WriteOptions,
    applied: bool,
) -> Result<Written, Status> {
    let server = call.server.clone();
    if resource.custom && !resource.has_verb("create") {
        let why = "create not allowed while custom resource definition is terminating";
        return Err(Status::forbidden(&resource.group_resource(), meta::name(&object), why));
    }
    wipe(&mut object);
    check_namespace(call, resource, &mut object)?;
    unique_owners(call, &mut object);
    if !applied {
        object = writer(call, "", options).record(resource, None, object);
    }
    let name = meta::name(&object).to_owned();
    let origin = call.origin();
    let namespace = call.info.namespace.clone();
    let attributes = attributes((resource, ""), Operation::Create, (&namespace, &name), (&server, &origin), options);
    server.admission.admit(&attributes, &mut object).await?;
    check_namespace(call, resource, &mut object)?;
    unique_owners(call, &mut object);
    resource.default(&mut object);
    escalation::check(call, resource, &object, None).await?;
    let now = server.clock.now();
    meta::set(&mut object, &["metadata", "uid"], server.random.uuid());
    meta::set(&mut object, &["metadata", "creationTimestamp"], format_time(now));
    let rules = resource.strategy.rules();
    if rules.has_status && !resource.strategy.keeps_status_on_create() {
        meta::remove(&mut object, &["status"]);
    }
    if rules.tracks_generation {
        meta::set(&mut object, &["metadata", "generation"], 1);
    } else {
        meta::remove(&mut object, &["metadata", "generation"]);
    }
    resource.strategy.prepare_for_create(&mut object, now);
    resource.strategy.sign(&mut object, &call.user);
    let prefix = meta::text(&object, &["metadata", "generateName"]).to_owned();
    let generated = name.is_empty() && !prefix.is_empty();
    let _allocation = allocate(&server, resource, &mut object, None).await?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        if generated {
            meta::set(&mut object, &["metadata", "name"], names::generate_name(&prefix, &server.random));
        }
        let name = meta::name(&object).to_owned();
        let attributes = Attributes { name: &name, ..attributes_of(&attributes) };
        let attempted = attempt_create(call, resource, &mut object, &attributes).await;
        match attempted {
            Err(status) if generated && status.is("AlreadyExists") && attempt < NAME_ATTEMPTS => {}
            Err(status) if generated && status.is("AlreadyExists") => return Err(exhausted(status)),
            Err(status) => return Err(status),
            Ok(entry) => return Ok(Written { object, entry }),
        }
    }
}

fn attributes_of<'a>(other: &Attributes<'a>) -> Attributes<'a> {
    Attributes { ..*other }
}

fn exhausted(mut status: Status) -> Status {
    status.message.push_str(", the server was not able to generate a unique name for the object");
    status.retry_after(1)
}

async fn attempt_create(
    call: &mut Call,
    resource: &Resource,
    object: &mut Value,
    attributes: &Attributes<'_>,
) -> Result<Option<Arc<Entry>>, Status> {
    let server = call.server.clone();
    let strategy = &resource.strategy;
    let mut errors = object_meta::validate(object, resource.namespaced, &|name| strategy.validate_name(name));
    errors.extend(admin_access::of_created(&server, resource, object).await?);
    errors.extend(strategy.validate(object));
    refuse_invalid(&call.server, resource, (object, None), errors)?;
    parameters::check(call, resource, object, None).await?;
    call.warnings.extend(strategy.warnings(object, None));
    if call.info.verb != "create" {
        // A PUT or an apply that makes an object is both.
        authorization::require_verb(call, "create").await?;
    }
    server.admission.validate(attributes, Some(object)).await?;
    let key = object::key(resource, attributes.namespace, attributes.name);
    if attributes.dry_run {
        server.admission.charge(attributes, object).await?;
        let existing = server.store.get(&key).await.map_err(|error| unavailable(&error))?;
        return existing.map_or(Ok(None), |entry| Err(already_exists(resource, &entry)));
    }
    if sent_version(object).is_ok_and(|version| version != 0) {
        return Err(Status::untyped("resourceVersion should not be set on objects to be created"));
    }
    match commit(attributes, object, Expect::Absent).await {
        Ok(entry) => {
            meta::set(object, &["metadata", "resourceVersion"], entry.revision.to_string());
            follow(&server, resource, None, object).await?;
            Ok(Some(entry))
        }
        Err(Failure::Store(StoreError::Conflict(Some(entry)))) => Err(already_exists(resource, &entry)),
        Err(failure) => Err(failure.into()),
    }
}

fn already_exists(resource: &Resource, existing: &Entry) -> Status {
    let mut status = Status::already_exists(&resource.group_resource(), &existing.key.name);
    let existing = object::decode(existing, resource);
    if meta::deletion_timestamp(&existing).is_some() {
        status.message.insert_str(0, "object is being deleted: ");
    }
    status
}

/// Lets admission change and refuse what is posted to be done, not to be stored: a binding, an eviction, a review.
pub(super) async fn admit_posted(
    call: &Call,
    (resource, subresource): (&Resource, &str),
    object: &mut Value,
    options: &WriteOptions,
) -> Result<(), Status> {
    let origin = call.origin();
    let name = if call.info.name_in_path { call.info.name.clone() } else { meta::name(object).to_owned() };
    let place = (call.info.namespace.as_str(), name.as_str());
    let attributes = attributes((resource, subresource), Operation::Create, place, (&call.server, &origin), options);
    call.server.admission.admit(&attributes, object).await?;
    call.server.admission.validate(&attributes, Some(object)).await
}

/// Lets admission refuse an object that is to be replaced but does not exist.
pub(super) async fn admit_unmade(
    call: &Call,
    (resource, subresource): (&Resource, &str),
    object: &mut Value,
    options: &WriteOptions,
) -> Result<(), Status> {
    let origin = call.origin();
    let place = (call.info.namespace.as_str(), call.info.name.as_str());
    let attributes = attributes((resource, subresource), Operation::Create, place, (&call.server, &origin), options);
    call.server.admission.admit(&attributes, object).await
}

/// Changes an object: reads it, lets `change` make the new one of it, and stores that; again from the beginning if
/// somebody else wrote in between, unless the client named the resource version that it had seen.
pub(super) async fn update<F>(
    call: &mut Call,
    resource: &Resource,
    how: &Change<'_>,
    mut change: F,
) -> Result<Written, Status>
where
    F: FnMut(&mut Call, &Value) -> Result<Value, Status>,
{
    let name = call.info.name.clone();
    let key = object::key(resource, &call.info.namespace, &name);
    let group_resource = resource.group_resource();
    for _ in 0..CHANGE_ATTEMPTS {
        let entry = call.server.store.get(&key).await.map_err(|error| unavailable(&error))?;
        let entry = entry.ok_or_else(|| Status::not_found(&group_resource, &name))?;
        let live = conversion::read(&call.server, &entry, resource).await?;
        let new = change(call, &live)?;
        let named = how.uid == Uid::Replaces && sent_version(&new)? != 0;
        match attempt_update(call, resource, how, (&entry, &live), new).await {
            Err(Attempt::Overtaken) if named => return Err(Status::stale(&group_resource, &name)),
            Err(Attempt::Overtaken) => {}
            Err(Attempt::Refused(status)) => return Err(status),
            Ok(written) => return Ok(written),
        }
    }
    Err(Status::stale(&group_resource, &name))
}

/// How an attempt to change an object ends without success.
enum Attempt {
    /// Somebody else wrote in between.
    Overtaken,
    /// With an error for the client.
    Refused(Status),
}

impl From<Status> for Attempt {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

async fn attempt_update(
    call: &mut Call,
    resource: &Resource,
    how: &Change<'_>,
    (entry, live): (&Arc<Entry>, &Value),
    mut new: Value,
) -> Result<Written, Attempt> {
    let server = call.server.clone();
    check_place(call, resource, &mut new)?;
    check_identity(resource, how, live, &new)?;
    if how.part == Part::Subresource && !how.strategy.owns_what_it_ignores() {
        // Nobody comes to own what a subresource does not write.
        how.strategy.prepare_for_update(&mut new, live);
    }
    if !how.applied {
        new = writer(call, how.subresource, how.options).record(resource, Some(live), new);
    }
    unique_owners(call, &mut new);
    isolate(resource, how.part, live, &mut new);
    let origin = call.origin();
    let place = (meta::namespace(live), meta::name(live));
    let admitted = Admitted::of(resource, how, live)?;
    let attributes = Attributes {
        old: Some(admitted.old(live)),
        ..attributes((resource, how.subresource), Operation::Update, place, (&server, &origin), how.options)
    };
    admitted.admit(&attributes, &mut new).await?;
    unique_owners(call, &mut new);
    escalation::check(call, resource, &new, Some(live)).await?;
    prepare(how, live, &mut new);
    how.strategy.stamp(&mut new, live, server.clock.now());
    let _allocation = match how.part {
        Part::Main => allocate(&server, resource, &mut new, Some(live)).await?,
        _ => None,
    };
    let (mut problems, warnings) = problems(resource, how, live, &new);
    call.warnings.extend(warnings);
    if how.part == Part::Status {
        problems.extend(admin_access::of_status(&server, resource, (&new, live)).await?);
    }
    refuse_invalid(&server, resource, (&new, Some(live)), problems)?;
    parameters::check(call, resource, &new, Some(live)).await?;
    if matches!(how.part, Part::Main | Part::Subresource) {
        call.warnings.extend(how.strategy.warnings(&new, Some(live)));
    }
    managed_fields::keep_times_if_unchanged(live, &mut new);
    admitted.validate(&attributes, &new).await?;
    if is_finished(resource, live, &new) {
        remove(call, resource, entry, how.options.dry_run).await?;
        return Ok(Written { object: new, entry: None });
    }
    let same = new == *live;
    if !same && how.options.dry_run {
        server.admission.charge(&attributes, &new).await?;
    }
    if same || how.options.dry_run {
        return Ok(Written { object: new, entry: same.then(|| entry.clone()) });
    }
    match commit(&attributes, &new, Expect::Revision(entry.revision)).await {
        Ok(entry) => {
            meta::set(&mut new, &["metadata", "resourceVersion"], entry.revision.to_string());
            follow(&server, resource, Some(live), &new).await?;
            Ok(Written { object: new, entry: Some(entry) })
        }
        Err(Failure::Store(StoreError::Conflict(_))) => Err(Attempt::Overtaken),
        Err(failure) => Err(Status::from(failure).into()),
    }
}

/// Lets those know who live on what was just written.
async fn follow(server: &Arc<Server>, resource: &Resource, old: Option<&Value>, object: &Value) -> Result<(), Status> {
    if addresses::has_addresses(resource) {
        addresses::follow(server, old, Some(object)).await?;
    }
    crate::aggregation::follow(server, resource, object).await?;
    crate::definitions::written(server, resource, object).await
}

/// Stores an object.
pub(crate) async fn put(
    server: &Server,
    resource: &Resource,
    object: &Value,
    expect: Expect,
) -> Result<Arc<Entry>, StoreError> {
    let entry = server.store.commit(object::put(resource, object, expect)).await?;
    commit::written(server, resource, &entry);
    Ok(entry)
}

/// Removes an object for good.
pub(super) async fn remove(
    call: &mut Call,
    resource: &Resource,
    entry: &Entry,
    dry_run: bool,
) -> Result<Option<Arc<Entry>>, Attempted> {
    if dry_run {
        return Ok(None);
    }
    let write = Write::Delete { key: entry.key.clone(), expect: Expect::Revision(entry.revision) };
    match call.server.store.commit(write).await {
        Ok(removed) => {
            if addresses::has_addresses(resource) {
                let gone = object::decode(&removed, resource);
                addresses::follow(&call.server, Some(&gone), None).await.map_err(Attempted)?;
            }
            crate::aggregation::follow_removal(&call.server, resource, &removed).await.map_err(Attempted)?;
            crate::definitions::removed(&call.server, resource, &removed).await.map_err(Attempted)?;
            Ok(Some(removed))
        }
        Err(StoreError::Conflict(_)) => Err(Attempted(overtaken(resource, entry))),
        Err(error) => Err(Attempted(unavailable(&error))),
    }
}

/// A removal that failed.
pub(super) struct Attempted(pub(super) Status);

impl From<Attempted> for Attempt {
    fn from(Attempted(status): Attempted) -> Self {
        if status.is("Conflict") { Self::Overtaken } else { Self::Refused(status) }
    }
}

fn overtaken(resource: &Resource, entry: &Entry) -> Status {
    Status::stale(&resource.group_resource(), &entry.key.name)
}

fn attributes<'a>(
    (resource, subresource): (&'a Resource, &'a str),
    operation: Operation,
    (namespace, name): (&'a str, &'a str),
    (server, origin): (&'a Arc<Server>, &'a Origin),
    options: &'a WriteOptions,
) -> Attributes<'a> {
    let old = None;
    let dry_run = options.dry_run;
    let options = match operation {
        Operation::Create => crate::admission::Options::Create(options),
        _ => crate::admission::Options::Update(options),
    };
    Attributes { server, operation, resource, subresource, namespace, name, old, origin, dry_run, options }
}

/// Chooses addresses and ports for services. They are taken as long as the returned guard lives or the service is stored.
async fn allocate<'a>(
    server: &'a Server,
    resource: &Resource,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<Option<tokio::sync::MutexGuard<'a, ()>>, Status> {
    if !addresses::has_addresses(resource) {
        return Ok(None);
    }
    let guard = server.service_allocation.lock().await;
    let services = server.read_all("services").await?;
    let others = services.iter().filter(|service| meta::uid(service) != meta::uid(object));
    let mut used = kinds::service::Used::of(others);
    let own = old.map(addresses::of).unwrap_or_default();
    used.cluster_ips
        .extend(addresses::taken(server).await?.into_iter().filter(|ip| ip.parse().is_ok_and(|ip| !own.contains(&ip))));
    let allocated = kinds::service::allocate(object, old, &used, &server.random);
    allocated.map_err(|refusal| match refusal {
        kinds::service::Refusal::Invalid(errors) => {
            Status::invalid(&resource.group_kind(), meta::name(object), &errors)
        }
        kinds::service::Refusal::Internal(why) => Status::internal(why),
    })?;
    Ok(Some(guard))
}

/// Holds back what a write by this way may not touch.
fn isolate(resource: &Resource, part: Part, live: &Value, new: &mut Value) {
    match part {
        Part::Main if resource.strategy.rules().has_status => {
            crate::registry::strategy::restore(new, live, &["status"])
        }
        Part::Main | Part::Subresource => {}
        Part::Status => {
            let objects = [live, &*new].into_iter().filter_map(Value::as_object);
            let fields: BTreeSet<String> = objects.flat_map(|object| object.keys().cloned()).collect();
            for field in fields.iter().filter(|field| !matches!(field.as_str(), "metadata" | "status")) {
                crate::registry::strategy::restore(new, live, &[field]);
            }
            for path in resource.strategy.status_keeps() {
                crate::registry::strategy::restore(new, live, path);
            }
        }
    }
}

fn prepare(how: &Change<'_>, live: &Value, new: &mut Value) {
    let strategy = &how.strategy;
    keep_metadata(live, new);
    match how.part {
        Part::Main | Part::Subresource => {
            strategy.prepare_for_update(new, live);
            if strategy.rules().tracks_generation && strategy.spec_changed(new, live) {
                meta::set(new, &["metadata", "generation"], meta::generation(live) + 1);
            }
        }
        Part::Status => strategy.prepare_for_status_update(new, live),
    }
}

/// What an update leaves as it is, whatever the body says.
fn keep_metadata(live: &Value, new: &mut Value) {
    for field in ["creationTimestamp", "generation", "resourceVersion", "namespace", "name"] {
        crate::registry::strategy::restore(new, live, &["metadata", field]);
    }
    if meta::uid(new).is_empty() {
        crate::registry::strategy::restore(new, live, &["metadata", "uid"]);
    }
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        if meta::at(live, &["metadata", field]).is_some() {
            crate::registry::strategy::restore(new, live, &["metadata", field]);
        }
    }
    meta::remove(new, &["metadata", "selfLink"]);
}

/// What is wrong with a change, and what the client is told about it in any case.
fn problems(resource: &Resource, how: &Change<'_>, live: &Value, new: &Value) -> (ErrorList, Vec<String>) {
    let mut errors = ErrorList::new();
    let strategy = &how.strategy;
    // Upstream looks at the metadata once for all kinds and again for this one, and shows all that it finds.
    errors.extend(object_meta::validate_common(new, resource.namespaced));
    let of_update = object_meta::validate_update(new, live);
    errors.extend(of_update.iter().cloned());
    if how.part != Part::Status && strategy.revalidates_metadata() {
        let name_check = |name: &str| resource.strategy.validate_name(name);
        errors.extend(object_meta::validate(new, resource.namespaced, &name_check));
    }
    errors.extend(of_update);
    let (found, warnings) = match how.part {
        Part::Main | Part::Subresource => strategy.check_update(new, live),
        Part::Status => strategy.check_status_update(new, live),
    };
    errors.extend(found);
    (errors, warnings)
}

fn refuse_invalid(
    server: &Server,
    resource: &Resource,
    (object, old): (&Value, Option<&Value>),
    mut errors: Vec<FieldError>,
) -> Result<(), Status> {
    if !server.refuse_privileged {
        errors.retain(|error| !kinds::pod::is_about_privileges(error));
    }
    if !resource.custom {
        let on = server.features.has(Feature::TaintTolerationComparisonOperators);
        errors = kinds::pod::comparison::judge(errors, object, old, on);
    }
    match errors.as_slice() {
        [] => Ok(()),
        // A custom object is called what it calls itself, even if that is what is wrong.
        errors if resource.custom => {
            let found = meta::gvk(object);
            Err(Status::invalid(&GroupKind::new(found.group, found.kind), meta::name(object), errors))
        }
        errors => Err(Status::invalid(&resource.group_kind(), meta::name(object), errors)),
    }
}

/// Whether the write took the last thing away for which a deleted object was kept.
fn is_finished(resource: &Resource, live: &Value, new: &Value) -> bool {
    meta::deletion_timestamp(live).is_some()
        && meta::deletion_grace_period(live).unwrap_or(0) == 0
        && meta::finalizers(new).next().is_none()
        && resource.strategy.may_be_removed(new)
}
