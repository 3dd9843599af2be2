//! managedFields of the scale subresource: they are those of the object, as far as they are about replicas.
//! Source: `k8s.io/apimachinery/pkg/util/managedfields/scalehandler.go`.

use serde_json::Value;

use super::entries::Entries;
use crate::field_set::{FieldSet, fields};

const SCALE_VERSION: &str = "autoscaling/v1";
const SCALE_REPLICAS: [&str; 2] = ["spec", "replicas"];

/// The managedFields with which a Scale is presented: an entry for each owner of the field at `replicas` (the path in the
/// object) in `managed_fields`, the object's list.
#[must_use]
pub fn from_object(managed_fields: Option<&Value>, replicas: &[&str]) -> Value {
    let path = fields(replicas);
    let mut entries = Entries::decode(managed_fields).unwrap_or_default();
    entries.0.retain(|entry| entry.fields().has(&path));
    for entry in &mut entries.0 {
        entry.set_version(SCALE_VERSION);
        entry.set_fields(FieldSet::of_fields(&SCALE_REPLICAS));
    }
    entries.encode()
}

/// The object's managedFields after a write to its scale: `scale` is the list of the Scale as [`super::Writer`] left it,
/// `api_version` that of the object. Who lost the replicas there loses them here; who gained them has an entry of its own.
#[must_use]
pub fn to_object(object: Option<&Value>, scale: Option<&Value>, api_version: &str, replicas: &[&str]) -> Value {
    let path = fields(replicas);
    let lost = FieldSet::of_fields(replicas);
    let mut entries = Entries::decode(object).unwrap_or_default();
    let mut owners = Entries::decode(scale).unwrap_or_default().0;
    for entry in entries.0.iter_mut().filter(|entry| entry.fields().has(&path)) {
        let same = |owner: &super::entries::Entry| {
            (&owner.manager, owner.operation, &owner.subresource)
                == (&entry.manager, entry.operation, &entry.subresource)
        };
        match owners.iter().position(same) {
            Some(at) => drop(owners.remove(at)),
            None => entry.set_fields(entry.fields().difference(&lost)),
        }
    }
    entries.0.retain(|entry| !entry.fields().is_empty());
    for mut owner in owners {
        owner.set_version(api_version);
        owner.set_fields(lost.clone());
        owner.set_time(None);
        entries.0.push(owner);
    }
    entries.encode()
}
