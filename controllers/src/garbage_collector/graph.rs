//! Who owns whom, over all resources: nodes are what the watches have shown, edges are owner references by uid.
//! Source: `k8s.io/kubernetes/pkg/controller/garbagecollector/graph_builder.go`.
//!
//! The edges are kept apart from the nodes, under the owner's uid, so that they need no stand-in for an owner that has
//! not been seen yet, and none is lost when owners and dependents show up in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use steersman_framework::api::Resource;
use steersman_framework::meta::{Meta, ObjectKey, OwnerReference};
use steersman_machinery::meta::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN};

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its resource.
    pub resource: Arc<Resource>,
    /// Where it lives.
    pub key: ObjectKey,
    /// Its owner references.
    pub owners: Vec<OwnerReference>,
    /// The version that this is about.
    pub resource_version: String,
    /// Its finalizers that tell what becomes of its dependents.
    pub finalizers: Vec<&'static str>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether its deletion waits for its dependents.
    pub waiting: bool,
    /// Whether its deletion waits until its dependents were orphaned.
    pub orphaning: bool,
}

impl Node {
    /// The node of an object.
    pub fn new(resource: &Arc<Resource>, meta: &Meta) -> Self {
        let deleting = meta.is_deleting();
        Self {
            resource: Arc::clone(resource),
            key: meta.key(),
            owners: meta.owner_references.clone(),
            resource_version: meta.resource_version.clone(),
            finalizers: [FINALIZER_FOREGROUND, FINALIZER_ORPHAN]
                .into_iter()
                .filter(|finalizer| meta.has_finalizer(finalizer))
                .collect(),
            deleting,
            waiting: deleting && meta.has_finalizer(FINALIZER_FOREGROUND),
            orphaning: deleting && meta.has_finalizer(FINALIZER_ORPHAN),
        }
    }

    /// What the graph knows of the object's metadata.
    pub fn meta(&self, uid: &str) -> Meta {
        Meta {
            name: self.key.name.clone(),
            namespace: self.key.namespace.clone(),
            uid: uid.to_owned(),
            resource_version: self.resource_version.clone(),
            owner_references: self.owners.clone(),
            finalizers: self.finalizers.iter().map(|finalizer| (*finalizer).to_owned()).collect(),
            ..Meta::default()
        }
    }

    /// Whether its deletion is underway and needs nothing from here.
    pub fn is_leaving(&self) -> bool {
        self.deleting && !self.waiting
    }

    /// The reference to the owner with this uid.
    pub fn owner(&self, uid: &str) -> Option<&OwnerReference> {
        self.owners.iter().find(|owner| owner.uid == uid)
    }

    fn blocks(&self, owner: &str) -> bool {
        self.owner(owner).is_some_and(|owner| owner.block_owner_deletion == Some(true))
    }
}

/// What a change of the graph calls for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Objects to look at: should they be deleted?
    pub examine: Vec<String>,
    /// Objects whose dependents are to be orphaned.
    pub orphan: Vec<String>,
    /// Pairs of dependent and owner that may not be: the owner lives in another namespace.
    pub misplaced: Vec<(String, String)>,
}

/// The graph.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: BTreeMap<String, Node>,
    /// The uids of the dependents under the uid of each owner, seen or not.
    dependents: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// The node of an object.
    pub fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// The dependents of an owner, in order of their uids.
    pub fn dependents<'a>(&'a self, owner: &str) -> impl Iterator<Item = (&'a String, &'a Node)> {
        let uids = self.dependents.get(owner).into_iter().flatten();
        uids.filter_map(|uid| self.nodes.get_key_value(uid))
    }

    /// The dependents that a foreground deletion of `owner` waits for.
    pub fn blocking<'a>(&'a self, owner: &'a str) -> impl Iterator<Item = (&'a String, &'a Node)> {
        self.dependents(owner).filter(|(_, node)| node.blocks(owner))
    }

    /// Whether every owner of `node` is there for good, as far as the graph knows.
    pub fn has_only_solid_owners(&self, node: &Node) -> bool {
        node.owners.iter().all(|reference| {
            self.nodes.get(&reference.uid).is_some_and(|owner| !owner.waiting && is_owner(owner, reference, node))
        })
    }

    /// Takes in that an object was created or changed.
    pub fn apply(&mut self, uid: &str, node: Node) -> Effects {
        let mut effects = Effects::default();
        let old = self.nodes.get(uid).cloned();
        let new_owners =
            node.owners.iter().filter(|owner| old.as_ref().is_none_or(|old| old.owner(&owner.uid).is_none()));
        for reference in new_owners {
            self.dependents.entry(reference.uid.clone()).or_default().insert(uid.to_owned());
            match self.nodes.get(&reference.uid) {
                Some(owner) if is_owner(owner, reference, &node) => {
                    if owner.waiting {
                        effects.examine.push(uid.to_owned());
                    }
                }
                Some(owner) => {
                    if !is_in_reach(owner, &node) {
                        effects.misplaced.push((uid.to_owned(), reference.uid.clone()));
                    }
                    effects.examine.push(uid.to_owned());
                }
                // It may come yet, or may never have been: to be asked of the server.
                None => effects.examine.push(uid.to_owned()),
            }
        }
        if let Some(old) = &old {
            self.unlink(uid, old, &node, &mut effects);
        }
        self.transition(uid, old.as_ref(), &node, &mut effects);
        self.nodes.insert(uid.to_owned(), node);
        effects
    }

    /// Follows the references that are gone or block no more: their owners may have waited for that.
    fn unlink(&mut self, uid: &str, old: &Node, new: &Node, effects: &mut Effects) {
        for reference in &old.owners {
            if new.owner(&reference.uid).is_none() {
                self.forget_edge(&reference.uid, uid);
            }
            if old.blocks(&reference.uid) && !new.blocks(&reference.uid) {
                effects.examine.push(reference.uid.clone());
            }
        }
    }

    fn transition(&self, uid: &str, old: Option<&Node>, new: &Node, effects: &mut Effects) {
        if new.orphaning && old.is_none_or(|old| !old.orphaning) {
            effects.orphan.push(uid.to_owned());
        }
        if new.waiting && old.is_none_or(|old| !old.waiting) {
            effects.examine.extend(self.dependents(uid).map(|(dependent, _)| dependent.clone()));
            effects.examine.push(uid.to_owned());
        }
        if old.is_none() {
            for (dependent, node) in self.dependents(uid) {
                if node.owner(uid).is_some_and(|reference| is_owner(new, reference, node)) {
                    continue;
                }
                if !is_in_reach(new, node) {
                    effects.misplaced.push((dependent.clone(), uid.to_owned()));
                }
                effects.examine.push(dependent.clone());
            }
        }
    }

    /// Takes in that an object is gone.
    pub fn remove(&mut self, uid: &str) -> Effects {
        let mut effects = Effects::default();
        let Some(node) = self.nodes.remove(uid) else { return effects };
        effects.examine.extend(self.dependents(uid).map(|(dependent, _)| dependent.clone()));
        for reference in &node.owners {
            self.forget_edge(&reference.uid, uid);
            if self.nodes.get(&reference.uid).is_some_and(|owner| owner.waiting) {
                effects.examine.push(reference.uid.clone());
            }
        }
        effects
    }

    /// The uids of all objects of a resource.
    pub fn of_resource(&self, resource: &Resource) -> Vec<String> {
        let members = self.nodes.iter().filter(|(_, node)| *node.resource == *resource);
        members.map(|(uid, _)| uid.clone()).collect()
    }

    fn forget_edge(&mut self, owner: &str, dependent: &str) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }
}

/// The group of an owner.
fn group_of(reference: &OwnerReference) -> &str {
    reference.api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Whether `reference`, a reference of `dependent` with the uid of `owner`, is true in all else. If it is not, it has to be
/// asked for what it names.
fn is_owner(owner: &Node, reference: &OwnerReference, dependent: &Node) -> bool {
    is_in_reach(owner, dependent)
        && owner.key.name == reference.name
        && owner.resource.kind == reference.kind
        && owner.resource.group == group_of(reference)
}

/// Whether `dependent` may refer to `owner`: it is cluster-scoped, or in the same namespace.
fn is_in_reach(owner: &Node, dependent: &Node) -> bool {
    owner.key.namespace.is_empty() || owner.key.namespace == dependent.key.namespace
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(namespace: &str, owners: &[(&str, bool)]) -> Node {
        let owner = |(uid, block): &(&str, bool)| OwnerReference {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            name: "x".to_owned(),
            uid: (*uid).to_owned(),
            block_owner_deletion: Some(*block),
            ..OwnerReference::default()
        };
        Node {
            resource: Arc::new(Resource::namespaced("", "v1", "ConfigMap", "configmaps")),
            key: ObjectKey::new(namespace, "x"),
            owners: owners.iter().map(owner).collect(),
            resource_version: String::new(),
            finalizers: Vec::new(),
            deleting: false,
            waiting: false,
            orphaning: false,
        }
    }

    fn waiting(node: Node) -> Node {
        Node { deleting: true, waiting: true, ..node }
    }

    fn graph(nodes: &[(&str, Node)]) -> Graph {
        let mut graph = Graph::default();
        for (uid, node) in nodes {
            graph.apply(uid, node.clone());
        }
        graph
    }

    #[test]
    fn a_dependent_is_examined_if_its_owner_is_not_known() {
        let mut graph = Graph::default();
        assert_eq!(graph.apply("owner", node("ns", &[])), Effects::default());
        assert_eq!(graph.apply("a", node("ns", &[("owner", false)])), Effects::default());
        assert_eq!(graph.apply("b", node("ns", &[("nobody", false)])).examine, ["b"]);
        assert!(graph.has_only_solid_owners(graph.get("a").unwrap()));
        assert!(!graph.has_only_solid_owners(graph.get("b").unwrap()));
    }

    #[test]
    fn the_dependents_of_a_removed_owner_are_examined() {
        let mut graph = graph(&[
            ("owner", node("ns", &[])),
            ("b", node("ns", &[("owner", false)])),
            ("a", node("ns", &[("owner", true)])),
            ("c", node("ns", &[])),
        ]);
        assert_eq!(graph.remove("owner").examine, ["a", "b"]);
        assert_eq!(graph.remove("owner"), Effects::default());
        assert_eq!(graph.blocking("owner").count(), 1, "the edges outlive the owner");
    }

    #[test]
    fn a_foreground_deletion_examines_dependents_and_then_the_owner() {
        let mut graph = graph(&[("owner", node("ns", &[])), ("a", node("ns", &[("owner", true)]))]);
        assert_eq!(graph.apply("owner", waiting(node("ns", &[]))).examine, ["a", "owner"]);
        assert_eq!(graph.apply("owner", waiting(node("ns", &[]))), Effects::default());
        assert_eq!(graph.remove("a").examine, ["owner"]);
    }

    #[test]
    fn a_reference_that_blocks_no_more_examines_the_owner() {
        let blocking = || node("ns", &[("owner", true)]);
        for unblocked in [node("ns", &[("owner", false)]), node("ns", &[])] {
            let mut graph = graph(&[("owner", waiting(node("ns", &[]))), ("a", blocking())]);
            assert_eq!(graph.apply("a", unblocked).examine, ["owner"]);
            assert_eq!(graph.blocking("owner").count(), 0);
        }
    }

    #[test]
    fn an_owner_in_another_namespace_is_reported_whoever_comes_first() {
        let pair = vec![("child".to_owned(), "owner".to_owned())];
        let mut first = graph(&[("owner", node("other", &[]))]);
        assert_eq!(first.apply("child", node("ns", &[("owner", false)])).misplaced, pair);
        let mut second = graph(&[("child", node("ns", &[("owner", false)]))]);
        assert_eq!(second.apply("owner", node("other", &[])).misplaced, pair);
        let mut cluster = graph(&[("owner", node("", &[]))]);
        assert!(cluster.apply("child", node("ns", &[("owner", false)])).misplaced.is_empty());
    }

    #[test]
    fn a_reference_with_a_wrong_name_or_kind_is_examined_whoever_comes_first() {
        let wrong = |change: fn(&mut OwnerReference)| {
            let mut node = node("ns", &[("owner", false)]);
            change(&mut node.owners[0]);
            node
        };
        let changes: [fn(&mut OwnerReference); 3] = [
            |reference| reference.name = "y".to_owned(),
            |reference| reference.kind = "Secret".to_owned(),
            |reference| reference.api_version = "example.com/v1".to_owned(),
        ];
        for child in changes.map(wrong) {
            let mut first = graph(&[("owner", node("ns", &[]))]);
            assert_eq!(first.apply("child", child.clone()).examine, ["child"]);
            assert!(!first.has_only_solid_owners(&child));
            let mut second = graph(&[("child", child)]);
            let effects = second.apply("owner", node("ns", &[]));
            assert_eq!((effects.examine, effects.misplaced), (vec!["child".to_owned()], Vec::new()));
        }
    }

    #[test]
    fn orphaning_starts_once() {
        let orphaning = || Node { deleting: true, orphaning: true, ..node("ns", &[]) };
        let mut graph = graph(&[("owner", node("ns", &[]))]);
        assert_eq!(graph.apply("owner", orphaning()).orphan, ["owner"]);
        assert_eq!(graph.apply("owner", orphaning()), Effects::default());
    }
}
