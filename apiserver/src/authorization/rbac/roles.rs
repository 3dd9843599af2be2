//! The roles of one snapshot, each read when it is first asked for.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Deserialize;
use steersman_store::{Entry, Snapshot};

use crate::authorization::rule::{self, PolicyRule};

/// Roles by namespace and name.
#[derive(Debug, Default)]
pub(super) struct Roles {
    snapshot: Option<Snapshot>,
    /// What was read, by the place of the role, with the entry that it was read from.
    read: Mutex<HashMap<Place, Read>>,
}

/// A namespace and a name.
type Place = (Box<str>, Box<str>);

#[derive(Clone, Debug)]
struct Read {
    entry: Arc<Entry>,
    rules: Arc<[PolicyRule]>,
}

#[derive(Deserialize)]
struct Role {
    #[serde(default, deserialize_with = "rule::list")]
    rules: Vec<PolicyRule>,
}

impl Roles {
    /// The roles of that snapshot. Those that did not change need not be read again.
    pub(super) fn of(&self, snapshot: Snapshot) -> Self {
        let current = |read: &Read| {
            let key = &read.entry.key;
            snapshot.get(&key.namespace, &key.name).is_some_and(|entry| Arc::ptr_eq(entry, &read.entry))
        };
        let known = self.read.lock();
        let read = known.iter().filter(|(_, read)| current(read)).map(|(place, read)| (place.clone(), read.clone()));
        Self { read: Mutex::new(read.collect()), snapshot: Some(snapshot) }
    }

    /// The rules of a role.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<[PolicyRule]>> {
        let entry = self.snapshot.as_ref()?.get(namespace, name)?;
        let place = (namespace.into(), name.into());
        let mut read = self.read.lock();
        let known = read.entry(place).or_insert_with(|| Read { entry: Arc::clone(entry), rules: rules_of(entry) });
        Some(Arc::clone(&known.rules))
    }
}

fn rules_of(entry: &Entry) -> Arc<[PolicyRule]> {
    let role: Role = serde_json::from_slice(entry.bytes()).expect("the store holds roles of their schema");
    role.rules.into()
}
