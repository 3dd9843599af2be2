//! `metadata.managedFields`: who owns which fields of an object. Every write goes through a [`Writer`].
//! Source: Kubernetes doc "Server-Side Apply"; KEP-555; `k8s.io/apimachinery/pkg/util/managedfields`.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field_set::{FieldSet, PathElement};
use crate::meta;
use crate::patch::apply::{self, Comparison, Duplicates};
use crate::schema::TypeRef;

mod alike;
mod entries;
mod error;
mod last_applied;
mod prune;
pub mod scale;

pub use alike::Alike;
use entries::{Entries, Operation};
pub use error::{ApplyError, Conflict};

const MANAGED_FIELDS: [&str; 2] = ["metadata", "managedFields"];
/// Who owns what was there before anything was tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// The manager of a write whose client does not say who it is.
const UNKNOWN: &str = "unknown";
/// What nobody ever owns: identity and what the server keeps.
const NEVER_OWNED: [&[&str]; 11] = [
    &["apiVersion"],
    &["kind"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// One write: who writes what kind of object, through which endpoint, when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The field manager; empty if the client does not say.
    pub manager: &'a str,
    /// The subresource that is written; empty for the object itself.
    pub subresource: &'a str,
    /// The `apiVersion` of the request.
    pub api_version: &'a str,
    /// The time that is recorded.
    pub now: Timestamp,
    /// The type of the object.
    pub ty: TypeRef<'a>,
    /// What this endpoint does not write, whatever the client sends: `status` for an object with a status subresource.
    pub reset_fields: &'a [&'a [&'a str]],
    /// What is remembered of earlier creates.
    pub alike: Option<&'a Alike>,
}

impl Writer<'_> {
    /// Records a create (`live` is `None`), an update or a patch other than apply. `new` is the object as it will be
    /// stored, save for managedFields: those that it has are the client's, which may replace (a list that can be read),
    /// reset (`[]`, `[{}]`) or leave alone (anything else) the live ones. Returns `new` with the managedFields to store.
    #[must_use]
    pub fn update(&self, live: Option<&Value>, mut new: Value) -> Value {
        let sent = meta::remove(&mut new, &MANAGED_FIELDS);
        if let (None, None, Some(alike)) = (live, &sent, self.alike) {
            let known = alike.list(self, &new, &crate::clock::format_time(self.now));
            let list = known.unwrap_or_else(|| {
                let list = self.list_of_new(&new);
                alike.note(self, &new, &list);
                list
            });
            return with_list(new, list);
        }
        let Some(base) = self.base_of_update(live, sent) else {
            return new;
        };
        let changes = self.changes(live.unwrap_or(&json!({})), &new);
        if changes.is_empty() {
            return with_list(new, base.into_list());
        }
        let mut entries = base.into_entries();
        entries.record(self, changes);
        entries.cap();
        with_list(new, entries.encode())
    }

    /// The managedFields of an object that is created, if its client sends none.
    fn list_of_new(&self, new: &Value) -> Value {
        let mut entries = Entries::default();
        entries.record(self, self.changes(&json!({}), new));
        entries.encode()
    }

    /// Applies a configuration: returns the object with the configuration merged in, with what its manager applied
    /// before and no longer does taken away, and with the managedFields to store. Maps and lists whose last item was taken
    /// away may stay, empty. Without conflicts, or with `force`, the manager owns what the configuration says.
    pub fn apply(&self, live: Option<&Value>, config: Value, force: bool) -> Result<Value, ApplyError> {
        self.check_config(&config)?;
        let mut base = live.cloned().unwrap_or_else(|| json!({}));
        let list = meta::remove(&mut base, &MANAGED_FIELDS);
        let mut entries = Entries::decode(list.as_ref()).unwrap_or_default();
        if entries.is_empty() && live.is_some() {
            let before = Writer { manager: BEFORE_FIRST_APPLY, ..*self };
            let changes = before.changes(&json!({}), &base);
            entries.record(&before, changes);
        }
        if self.manager != last_applied::MANAGER {
            return self.merge(&base, &config, entries, force);
        }
        let mut object = match self.merge(&base, &config, entries.clone(), force) {
            Err(ApplyError::Conflicts(conflicts)) => match last_applied::remaining(self, &base, conflicts) {
                remaining if remaining.is_empty() => self.merge(&base, &config, entries, true),
                remaining => Err(ApplyError::Conflicts(remaining)),
            },
            other => other,
        }?;
        last_applied::rewrite(&mut object, config);
        Ok(object)
    }

    fn check_config(&self, config: &Value) -> Result<(), ApplyError> {
        let version = meta::text(config, &["apiVersion"]);
        if version != self.api_version {
            return Err(ApplyError::WrongVersion {
                specified: version.to_owned(),
                expected: self.api_version.to_owned(),
            });
        }
        if meta::at(config, &MANAGED_FIELDS).is_some_and(|list| !list.is_null()) {
            return Err(ApplyError::ManagedFieldsGiven);
        }
        match apply::validate(config, self.ty, Duplicates::Refused) {
            errors if errors.is_empty() => Ok(()),
            errors => Err(ApplyError::not_typed(config, &errors)),
        }
    }

    fn merge(&self, live: &Value, config: &Value, mut entries: Entries, force: bool) -> Result<Value, ApplyError> {
        let mut reset = FieldSet::default();
        self.add_reset(&mut reset);
        let mut said = apply::field_set(config, self.ty).recursive_difference(&reset);
        let last = entries.take_applied(self);
        let mut merged = apply::merge(live, config, self.ty);
        if let Some(last) = last.as_ref().map(|last| last.fields())
            && !last.difference(&said).is_empty()
        {
            let managed = entries.all_fields().union(&said);
            merged = prune::prune(&merged, last, &managed, self.ty);
        }
        let changes = apply::compare_except(live, &merged, self.ty, &reset);
        let mut written = changes.modified;
        written.add(changes.added);
        let conflicts = entries.conflicts(&written);
        if !conflicts.is_empty() && !force {
            return Err(ApplyError::Conflicts(conflicts));
        }
        written.add(changes.removed);
        entries.take_away(&written);
        drop(written);
        // Nobody wrote anything if the object stays as it is: then the entry's time stays, too.
        let time = match merged == *live {
            true => last.and_then(|last| last.time),
            false => Some(crate::clock::format_time(self.now)),
        };
        NEVER_OWNED.iter().for_each(|path| said.remove(&crate::field_set::fields(path)));
        forget_metadata(&mut said);
        entries.put(self, Operation::Apply, said, time);
        Ok(with_list(merged, entries.encode()))
    }

    /// What the write changes, as far as this endpoint may and somebody could own it.
    fn changes(&self, old: &Value, new: &Value) -> Comparison {
        match self.reset_fields {
            [] => apply::compare_except(old, new, self.ty, &UNOWNED),
            [["status"]] => apply::compare_except(old, new, self.ty, &UNOWNED_OR_STATUS),
            _ => {
                let mut ignored = UNOWNED.clone();
                self.add_reset(&mut ignored);
                apply::compare_except(old, new, self.ty, &ignored)
            }
        }
    }

    fn add_reset(&self, set: &mut FieldSet) {
        for path in self.reset_fields {
            set.insert(&crate::field_set::fields(path));
        }
    }

    /// The entries that an update starts from; `None` if nothing is tracked.
    fn base_of_update<'b>(&self, live: Option<&'b Value>, sent: Option<Value>) -> Option<Base<'b>> {
        let create = live.is_none();
        let base = match sent {
            // Who patches sends what there is.
            Some(sent) if live.and_then(|live| meta::at(live, &MANAGED_FIELDS)) == Some(&sent) => Base::live(live),
            Some(sent) if self.subresource.is_empty() => match Entries::decode_strictly(&sent) {
                _ if is_reset(&sent) => Base::Entries(Entries::default()),
                Some(entries) if !entries.is_empty() => Base::Entries(entries),
                _ => Base::live(live),
            },
            _ => Base::live(live),
        };
        (create || !base.is_empty()).then_some(base)
    }
}

/// The entries from which an update starts: the live list, not yet read, or a list that the client sent.
enum Base<'a> {
    Live(&'a Value),
    Entries(Entries),
}

impl<'a> Base<'a> {
    fn live(live: Option<&'a Value>) -> Self {
        match live.and_then(|live| meta::at(live, &MANAGED_FIELDS)) {
            Some(list) => Self::Live(list),
            None => Self::Entries(Entries::default()),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Live(list) => list.as_array().is_none_or(Vec::is_empty),
            Self::Entries(entries) => entries.is_empty(),
        }
    }

    fn into_list(self) -> Value {
        match self {
            Self::Live(list) => list.clone(),
            Self::Entries(entries) => entries.encode(),
        }
    }

    fn into_entries(self) -> Entries {
        match self {
            Self::Live(list) => Entries::decode(Some(list)).unwrap_or_default(),
            Self::Entries(entries) => entries,
        }
    }
}

/// Whether a client asks for its managedFields to be forgotten.
fn is_reset(sent: &Value) -> bool {
    match sent.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([entry]) => entry.as_object().is_some_and(crate::Object::is_empty),
        _ => false,
    }
}

/// [`NEVER_OWNED`] as a set.
static UNOWNED: LazyLock<FieldSet> = LazyLock::new(|| {
    let mut set = FieldSet::default();
    for path in NEVER_OWNED {
        set.insert(&crate::field_set::fields(path));
    }
    set
});

/// [`UNOWNED`] and the status: what nearly all writes leave alone.
static UNOWNED_OR_STATUS: LazyLock<FieldSet> = LazyLock::new(|| {
    let mut set = UNOWNED.clone();
    set.insert(&crate::field_set::fields(&["status"]));
    set
});

/// `metadata` itself is never owned, but what is in it may be.
fn forget_metadata(set: &mut FieldSet) {
    set.remove(&[PathElement::Field("metadata".to_owned())]);
}

fn with_list(mut object: Value, list: Value) -> Value {
    if list.as_array().is_some_and(|list| !list.is_empty()) {
        meta::set(&mut object, &MANAGED_FIELDS, list);
    }
    object
}

/// Keeps the managedFields of the stored object if `new` differs from it in nothing but their times, so that a write
/// that changes nothing is none.
pub fn keep_times_if_unchanged(old: &Value, new: &mut Value) {
    let (Some(old_list), Some(new_list)) = (meta::at(old, &MANAGED_FIELDS), meta::at(new, &MANAGED_FIELDS)) else {
        return;
    };
    if old_list != new_list && entries::same_but_times(old_list, new_list) && same_object(old, new) {
        let list = old_list.clone();
        meta::set(new, &MANAGED_FIELDS, list);
    }
}

/// Whether the objects are the same save for managedFields and resource version.
fn same_object(old: &Value, new: &Value) -> bool {
    same_fields(old, new, &["metadata"])
        && match (old.get("metadata"), new.get("metadata")) {
            (Some(old), Some(new)) => same_fields(old, new, &["managedFields", "resourceVersion"]),
            (old, new) => old == new,
        }
}

fn same_fields(old: &Value, new: &Value, except: &[&str]) -> bool {
    match (old.as_object(), new.as_object()) {
        (Some(old), Some(new)) => {
            let compared = |(name, _): &(&String, &Value)| !except.contains(&name.as_str());
            old.iter().filter(compared).eq(new.iter().filter(compared))
        }
        _ => old == new,
    }
}

#[cfg(test)]
mod tests;
