//! Which object a write is about: its name, its place, and the uid and version that the client has seen.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use steersman_machinery::field::{FieldError, Path};
use steersman_machinery::group::GroupKind;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::{Change, Uid};
use crate::http::query::parse_uint;
use crate::registry::resource::Resource;
use crate::service::Call;

/// What a client may not set on a new object.
pub(super) fn wipe(object: &mut Value) {
    if let Some(metadata) = meta::at_mut(object, &["metadata"]).and_then(Value::as_object_mut) {
        for field in ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            metadata.remove(field);
        }
    }
}

pub(in crate::handlers) fn check_namespace(call: &Call, resource: &Resource, object: &mut Value) -> Result<(), Status> {
    if !resource.namespaced {
        meta::remove(object, &["metadata", "namespace"]);
        return Ok(());
    }
    match meta::namespace(object) {
        "" => meta::set(object, &["metadata", "namespace"], call.info.namespace.as_str()),
        namespace if namespace == call.info.namespace => {}
        _ => {
            let why = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Status::bad_request(why));
        }
    }
    Ok(())
}

pub(super) fn unique_owners(call: &mut Call, object: &mut Value) {
    let Some(owners) = meta::at_mut(object, &["metadata", "ownerReferences"]).and_then(Value::as_array_mut) else {
        return;
    };
    let mut seen = BTreeSet::new();
    let mut unique: Vec<Value> = Vec::with_capacity(owners.len());
    for owner in owners.drain(..) {
        if !seen.insert(owner.to_string()) {
            let uid = meta::text(&owner, &["uid"]);
            call.warnings.add(format!(
                ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {uid}"
            ));
        } else {
            unique.push(owner);
        }
    }
    *owners = unique;
}

/// Whether an object is the one that the URL names. What it does not say of its namespace is filled in.
pub(in crate::handlers) fn check_place(call: &Call, resource: &Resource, object: &mut Value) -> Result<(), Status> {
    let url = &call.info.name;
    let message = match meta::name(object) {
        "" => format!("the name of the object ({url} based on URL) was undeterminable: name must be provided"),
        name if name != url => format!("the name of the object ({name}) does not match the name on the URL ({url})"),
        _ => return check_namespace(call, resource, object),
    };
    Err(Status::bad_request(message))
}

pub(super) fn check_identity(resource: &Resource, how: &Change<'_>, live: &Value, new: &Value) -> Result<(), Status> {
    if how.uid != Uid::Field {
        check_uid(resource, live, meta::uid(new), how.uid)?;
    }
    let version = sent_version(new)?;
    if version == 0 && !how.strategy.rules().unconditional_update {
        let path = Path::from("metadata.resourceVersion");
        let error = FieldError::invalid(&path, &json!(0), "must be specified for an update");
        // Upstream names the resource where a kind belongs.
        let kind = GroupKind::new(resource.group.clone(), resource.name.clone());
        return Err(Status::invalid(&kind, meta::name(live), &[error]));
    }
    check_version(resource, live, version)
}

/// Whether an object is the one that was meant. No uid means any.
pub(super) fn check_uid(resource: &Resource, live: &Value, wanted: &str, how: Uid) -> Result<(), Status> {
    let have = meta::uid(live);
    if wanted.is_empty() || wanted == have {
        return Ok(());
    }
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: {}, AdditionalErrorMsg: Precondition \
         failed: UID in precondition: {wanted}, UID in object meta: {have}",
        registry_key(resource, live),
        if how == Uid::Replaces { "0" } else { meta::resource_version(live) },
    );
    Err(Status::conflict(&resource.group_resource(), meta::name(live), why))
}

/// Whether an object still has the version that was meant. 0 means any.
pub(super) fn check_version(resource: &Resource, live: &Value, wanted: u64) -> Result<(), Status> {
    if wanted == 0 || wanted.to_string() == meta::resource_version(live) {
        return Ok(());
    }
    Err(Status::stale(&resource.group_resource(), meta::name(live)))
}

/// The resource version of an object from a client; 0 if it has none.
pub(super) fn sent_version(object: &Value) -> Result<u64, Status> {
    match meta::resource_version(object) {
        "" => Ok(0),
        text => parse_uint(text).map_err(Status::untyped),
    }
}

/// The key under which upstream stores an object in etcd; it shows in the texts of failed preconditions.
fn registry_key(resource: &Resource, object: &Value) -> String {
    let group = if resource.custom { format!("{}/", resource.group) } else { String::new() };
    let directory = match (resource.group.as_str(), resource.name.as_str()) {
        ("", "replicationcontrollers") => "controllers",
        ("", "nodes") => "minions",
        ("", "endpoints") => "services/endpoints",
        ("", "services") => "services/specs",
        ("networking.k8s.io", "ingresses") => "ingress",
        (_, name) => name,
    };
    let parts = [meta::namespace(object), meta::name(object)];
    let place: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("/registry/{group}{directory}/{}", place.join("/"))
}
