//! What is particular about a kind: its defaults, its rules, and which parts of it a write may touch.
//! Source: `k8s.io/apiserver/pkg/registry/rest` (`RESTCreateStrategy`, `RESTUpdateStrategy`, `RESTDeleteStrategy`).

use jiff::Timestamp;
use serde_json::Value;
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use crate::authentication::UserInfo;
use crate::conversion::Conversion;

/// What the write path has to know of a kind besides its functions.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// PUT to a name that does not exist creates the object.
    pub create_on_update: bool,
    /// PUT without a resource version is accepted.
    pub unconditional_update: bool,
    /// `metadata.generation` starts at 1 and grows with each change of what [`Strategy::spec_changed`] compares.
    pub tracks_generation: bool,
    /// The kind has a status subresource: writes to the object leave `status` alone, writes to it nothing else.
    pub has_status: bool,
    /// DELETE answers with the object, not with a Status.
    pub returns_deleted_object: bool,
    /// `propagationPolicy` adds finalizers (events are exempt).
    pub garbage_collected: bool,
}

impl Rules {
    /// What most kinds have: unconditional updates, no generation, no status.
    pub const DEFAULT: Self = Self {
        create_on_update: false,
        unconditional_update: true,
        tracks_generation: false,
        has_status: false,
        returns_deleted_object: false,
        garbage_collected: true,
    };
}

/// The behaviour of one kind. Everything is a pure function over the JSON form of the object in the version in which it
/// is served. The write path calls, in this order: `default` (on every decode), `prepare_for_create` or
/// `prepare_for_update`, `validate` or `validate_update`, `warnings`. Generic metadata is validated elsewhere.
pub trait Strategy: Send + Sync {
    /// What the write path has to know.
    fn rules(&self) -> Rules {
        Rules::DEFAULT
    }

    /// Fills in what the versioned type defaults. Must be idempotent.
    fn default(&self, _object: &mut Value) {}

    /// Takes away what the kind's own schema does not know, and returns the paths of that: `spec.x`. Built-in kinds lose
    /// unknown fields while they are decoded, so that only custom resources do anything here.
    fn prune(&self, _object: &mut Value) -> Vec<String> {
        Vec::new()
    }

    /// Clears what a client may not set on create (the write path itself removes `status` if `has_status`, before this)
    /// and sets what the server sets.
    fn prepare_for_create(&self, _object: &mut Value, _now: Timestamp) {}

    /// Writes down in a new object who makes it, for kinds that tell: certificate signing requests do.
    fn sign(&self, _object: &mut Value, _user: &UserInfo) {}

    /// Writes down when a change was made, for kinds that tell, by whichever way the change comes.
    fn stamp(&self, _object: &mut Value, _old: &Value, _now: Timestamp) {}

    /// Whether a new object keeps the status that the client gives it, although the kind has a status subresource:
    /// kubelets register nodes that way.
    fn keeps_status_on_create(&self) -> bool {
        false
    }

    /// Restores what an update may not touch. The write path itself restores `status` if `has_status`, before this.
    fn prepare_for_update(&self, _object: &mut Value, _old: &Value) {}

    /// Restores what a write to the status subresource may not touch besides everything but `status` and `metadata`.
    fn prepare_for_status_update(&self, _object: &mut Value, _old: &Value) {}

    /// What is wrong with a new object, metadata aside.
    fn validate(&self, _object: &Value) -> ErrorList {
        ErrorList::new()
    }

    /// What is wrong with the change from `old` to `object`, including all that is wrong with `object` by itself.
    fn validate_update(&self, object: &Value, _old: &Value) -> ErrorList {
        self.validate(object)
    }

    /// Whether upstream's validation of an update of this kind looks at the whole metadata again, as on create.
    fn revalidates_metadata(&self) -> bool {
        false
    }

    /// [`Strategy::validate_update`], and what the client is told of the object even if the update is refused.
    fn check_update(&self, object: &Value, old: &Value) -> (ErrorList, Vec<String>) {
        (self.validate_update(object, old), Vec::new())
    }

    /// What a write to the status subresource leaves alone besides `spec`, and whose ownership it does not record.
    fn status_keeps(&self) -> &'static [&'static [&'static str]] {
        &[]
    }

    /// Whether who writes to this subresource comes to own what it does not change: upstream's resize resets no fields.
    fn owns_what_it_ignores(&self) -> bool {
        false
    }

    /// What is wrong with a write to the status subresource.
    fn validate_status_update(&self, _object: &Value, _old: &Value) -> ErrorList {
        ErrorList::new()
    }

    /// [`Strategy::validate_status_update`], and what the client is told of the object even if the update is refused.
    fn check_status_update(&self, object: &Value, old: &Value) -> (ErrorList, Vec<String>) {
        (self.validate_status_update(object, old), Vec::new())
    }

    /// What the client should be told although the write succeeds.
    fn warnings(&self, _object: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }

    /// What is wrong with the name.
    fn validate_name(&self, name: &str) -> Vec<String> {
        names::dns1123_subdomain(name)
    }

    /// Whether the change bumps the generation: by default, whether anything but metadata and status differs.
    fn spec_changed(&self, object: &Value, old: &Value) -> bool {
        let rest = |value: &Value| {
            let mut fields = value.as_object().cloned().unwrap_or_default();
            for field in ["metadata", "status", "apiVersion", "kind"] {
                fields.remove(field);
            }
            fields
        };
        rest(object) != rest(old)
    }

    /// The grace period with which a first DELETE marks the object, given the one that was asked for. `None`: the kind
    /// is not deleted gracefully.
    fn grace_period(&self, _object: &Value, _requested: Option<i64>) -> Option<i64> {
        None
    }

    /// Whether the dependents stay when an object is deleted by a client that does not say what becomes of them.
    fn orphans_by_default(&self) -> bool {
        false
    }

    /// What a client is told that does not say what becomes of the dependents of what it deletes.
    fn warnings_on_vague_delete(&self) -> Option<String> {
        None
    }

    /// What the first DELETE changes besides the metadata, when the object stays: a namespace becomes `Terminating`.
    fn prepare_for_delete(&self, _object: &mut Value) {}

    /// Whether the object, marked for deletion and without finalizers in its metadata, may leave the store.
    fn may_be_removed(&self, _object: &Value) -> bool {
        true
    }

    /// The values of the kind's own field selectors, beside `metadata.name` and `metadata.namespace`. The same names for
    /// every object, in a fixed order.
    fn selectable_fields(&self, _object: &Value) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// What is kept of an object for field selectors: the [`Strategy::selectable_fields`] of every version that serves it,
    /// each once, whatever it is called.
    fn indexed_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        self.selectable_fields(object)
    }

    /// The name in [`Strategy::indexed_fields`] of a selectable field of this version.
    fn indexed_as<'a>(&self, field: &'a str) -> &'a str {
        field
    }

    /// Turns an object as it is stored into the form in which this version serves it: defaults that were added later,
    /// fields that other versions name otherwise. `apiVersion` and `kind` are already those of this version.
    fn to_served(&self, _object: &mut Value) {}

    /// The reverse of [`Strategy::to_served`].
    fn to_stored(&self, _object: &mut Value) {}

    /// Whether [`Strategy::to_served`] changes anything; if not, stored bytes are sent as they are.
    fn converts(&self) -> bool {
        false
    }

    /// The `apiVersion` that is stored with an object, so that it can be converted later; `None` if the version in which it
    /// is stored does not matter. Only if [`Strategy::converts`].
    fn stored_version(&self) -> Option<&str> {
        None
    }

    /// The webhook that converts between the versions, if there is one.
    fn conversion(&self) -> Option<&Conversion> {
        None
    }

    /// The text of the error about a field that cannot be selected by.
    fn unknown_field(&self, field: &str) -> String {
        match self.selectable_fields(&Value::Null).is_empty() {
            true => {
                format!("\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
            }
            false => format!("field label not supported: {field}"),
        }
    }

    /// Whether `metadata.namespace` is a field selector although the kind is cluster-scoped.
    fn selects_by_namespace(&self) -> bool {
        true
    }
}

/// A kind about which nothing is particular.
#[derive(Clone, Copy, Debug)]
pub struct Plain(pub Rules);

impl Strategy for Plain {
    fn rules(&self) -> Rules {
        self.0
    }
}

/// Copies `field` from `old` into `object`, or takes it away if `old` has none.
pub fn restore(object: &mut Value, old: &Value, path: &[&str]) {
    match meta::at(old, path) {
        // Most often nothing is to be done: to compare costs less than to copy.
        Some(value) if meta::at(object, path) == Some(value) => {}
        Some(value) => meta::set(object, path, value.clone()),
        None => drop(meta::remove(object, path)),
    }
}
