//! The bindings of the cluster or of one namespace, by whom they concern.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use steersman_machinery::field::go_quote;
use steersman_store::Entry;

use crate::authentication::UserInfo;
use crate::authorization::rule;

/// Bindings in order of their names.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    entries: Vec<Arc<Entry>>,
    bindings: Vec<Binding>,
    /// The positions of the bindings with a subject of that kind and name. A service account is the user that it is.
    users: Positions,
    groups: Positions,
}

type Positions = HashMap<Box<str>, Vec<usize>>;

/// A binding: who has which role.
#[derive(Debug)]
pub(super) struct Binding {
    name: String,
    namespace: String,
    subjects: Vec<Subject>,
    pub(super) role: RoleRef,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Stored {
    role_ref: RoleRef,
    #[serde(deserialize_with = "rule::list")]
    subjects: Vec<Subject>,
}

/// Which role a binding gives.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RoleRef {
    pub(super) kind: String,
    pub(super) name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subject {
    kind: String,
    name: String,
    namespace: String,
}

impl Bindings {
    /// Reads the bindings of a namespace, or of the cluster if it is empty.
    pub(super) fn new(entries: Vec<Arc<Entry>>, namespace: &str) -> Self {
        let bindings: Vec<Binding> = entries.iter().map(|entry| Binding::new(entry, namespace)).collect();
        let (mut users, mut groups) = (Positions::new(), Positions::new());
        for (position, binding) in bindings.iter().enumerate() {
            for subject in &binding.subjects {
                match subject.kind.as_str() {
                    "User" => users.entry(subject.name.as_str().into()).or_default().push(position),
                    "Group" => groups.entry(subject.name.as_str().into()).or_default().push(position),
                    _ => users.entry(subject.user_of_account(namespace).into()).or_default().push(position),
                }
            }
        }
        Self { entries, bindings, users, groups }
    }

    /// Whether it was read from exactly these.
    pub(super) fn shows(&self, entries: &[Arc<Entry>]) -> bool {
        self.entries.len() == entries.len() && self.entries.iter().zip(entries).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// The bindings that concern a user, each with the position of the first subject that does.
    pub(super) fn of<'a>(&'a self, user: &'a UserInfo) -> impl Iterator<Item = (&'a Binding, usize)> {
        let by_name = self.users.get(user.name.as_str());
        let by_group = user.groups.iter().filter_map(|group| self.groups.get(group.as_str()));
        let positions: BTreeSet<usize> = by_name.into_iter().chain(by_group).flatten().copied().collect();
        positions.into_iter().filter_map(|position| {
            let binding = &self.bindings[position];
            let subject = binding.subjects.iter().position(|subject| subject.is(user, &binding.namespace))?;
            Some((binding, subject))
        })
    }
}

impl Binding {
    fn new(entry: &Entry, namespace: &str) -> Self {
        let stored: Stored = serde_json::from_slice(entry.bytes()).expect("the store holds bindings of their schema");
        Self {
            name: entry.key.name.to_string(),
            namespace: namespace.to_owned(),
            subjects: stored.subjects,
            role: stored.role_ref,
        }
    }

    /// What it gives to one of its subjects, as in the reason of a decision.
    pub(super) fn describe(&self, subject: usize) -> String {
        let (kind, place) = match self.namespace.as_str() {
            "" => ("ClusterRoleBinding", self.name.clone()),
            namespace => ("RoleBinding", format!("{}/{namespace}", self.name)),
        };
        let RoleRef { kind: role_kind, name } = &self.role;
        let subject = self.subjects[subject].describe(&self.namespace);
        format!("{kind} {} of {role_kind} {} to {subject}", go_quote(&place), go_quote(name))
    }
}

impl Subject {
    fn namespace_or<'a>(&'a self, of_binding: &'a str) -> &'a str {
        if self.namespace.is_empty() { of_binding } else { &self.namespace }
    }

    fn user_of_account(&self, of_binding: &str) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace_or(of_binding), self.name)
    }

    fn is(&self, user: &UserInfo, of_binding: &str) -> bool {
        match self.kind.as_str() {
            "User" => user.name == self.name,
            "Group" => user.groups.contains(&self.name),
            "ServiceAccount" => {
                !self.namespace_or(of_binding).is_empty() && user.name == self.user_of_account(of_binding)
            }
            _ => false,
        }
    }

    fn describe(&self, of_binding: &str) -> String {
        let name = match self.kind.as_str() {
            "ServiceAccount" => format!("{}/{}", self.name, self.namespace_or(of_binding)),
            _ => self.name.clone(),
        };
        format!("{} {}", self.kind, go_quote(&name))
    }
}
