//! Node selectors and required node affinity, prepared for asking about many nodes.
//! Source: `k8s.io/component-helpers/scheduling/corev1/nodeaffinity`.

pub(crate) mod faults;

use std::collections::BTreeSet;

use crate::pod::PodSpec;
use crate::selector;
use crate::snapshot::{Matcher, Row, Snapshot};
use crate::wire::{self, NodeSelector, NodeSelectorTerm, Requirement};

/// A term: all of its requirements must hold. Valid until the snapshot changes.
#[derive(Clone, Debug)]
pub struct Term {
    labels: Vec<Matcher>,
    /// Node names: whether it must be this one, and its row if there is such a node.
    names: Vec<(bool, Option<Row>)>,
    never: bool,
}

impl Term {
    /// Prepares a term. One without requirements matches no node.
    pub fn new(term: &NodeSelectorTerm, snapshot: &Snapshot) -> Self {
        let empty = term.match_expressions.is_empty() && term.match_fields.is_empty();
        let names: Option<Vec<_>> = term.match_fields.iter().map(|field| name_requirement(field, snapshot)).collect();
        Self {
            labels: term.match_expressions.iter().map(|requirement| snapshot.labels().matcher(requirement)).collect(),
            never: empty || names.is_none(),
            names: names.unwrap_or_default(),
        }
    }

    /// Whether a node satisfies the term.
    pub fn matches(&self, snapshot: &Snapshot, row: Row) -> bool {
        !self.never
            && self.names.iter().all(|(wanted, name)| (*name == Some(row)) == *wanted)
            && self.labels.iter().all(|matcher| matcher.matches(snapshot.labels(), row))
    }
}

/// The only field is the name, with one value.
fn is_name_requirement(field: &Requirement) -> bool {
    field.key == "metadata.name" && matches!(field.operator.as_str(), "In" | "NotIn") && field.values.len() == 1
}

fn name_requirement(field: &Requirement, snapshot: &Snapshot) -> Option<(bool, Option<Row>)> {
    let name = field.values.first().filter(|_| is_name_requirement(field))?;
    Some((field.operator == "In", snapshot.node_by_name(name).map(|node| node.row())))
}

/// Terms of which one must hold. Valid until the snapshot changes.
#[derive(Clone, Debug)]
pub struct Terms(Vec<Term>);

impl Terms {
    /// Prepares a selector. One without terms matches no node.
    pub fn new(selector: &NodeSelector, snapshot: &Snapshot) -> Self {
        Self(selector.node_selector_terms.iter().map(|term| Term::new(term, snapshot)).collect())
    }

    /// Prepares what a volume requires. Only labels are compared: upstream asks with a node that has no name, and then
    /// takes requirements on the name for satisfied. Source: `k8s.io/component-helpers/storage/volume.CheckNodeAffinity`.
    pub fn of_labels(selector: &NodeSelector, snapshot: &Snapshot) -> Self {
        let term = |term| Term { names: Vec::new(), ..Term::new(term, snapshot) };
        Self(selector.node_selector_terms.iter().map(term).collect())
    }

    /// Whether a node satisfies one of the terms.
    pub fn matches(&self, snapshot: &Snapshot, row: Row) -> bool {
        self.0.iter().any(|term| term.matches(snapshot, row))
    }
}

/// Where a pod must run: its node selector and its required node affinity.
#[derive(Clone, Debug)]
pub struct RequiredNodeAffinity {
    selector: Vec<Matcher>,
    terms: Option<Terms>,
}

impl RequiredNodeAffinity {
    /// Prepares what a pod requires. Valid until the snapshot changes.
    pub fn new(pod: &PodSpec, snapshot: &Snapshot) -> Self {
        let required = pod.affinity.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
        let pairs = pod.node_selector.iter();
        Self {
            selector: pairs.map(|(key, value)| snapshot.labels().pair_matcher(key, value)).collect(),
            terms: required.map(|required| Terms::new(required, snapshot)),
        }
    }

    /// Whether the pod may run on the node.
    pub fn matches(&self, snapshot: &Snapshot, row: Row) -> bool {
        self.selector.iter().all(|matcher| matcher.matches(snapshot.labels(), row))
            && self.terms.as_ref().is_none_or(|terms| terms.matches(snapshot, row))
    }
}

/// The only nodes that can match, if every term names nodes; an empty set if the terms contradict themselves.
pub fn named_nodes(selector: &NodeSelector) -> Option<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for term in &selector.node_selector_terms {
        let mut names: Option<BTreeSet<String>> = None;
        for field in term.match_fields.iter().filter(|field| field.key == "metadata.name" && field.operator == "In") {
            let these: BTreeSet<String> = field.values.iter().cloned().collect();
            names = Some(match names {
                Some(names) => names.intersection(&these).cloned().collect(),
                None => these,
            });
        }
        all.extend(names?);
    }
    (!selector.node_selector_terms.is_empty()).then_some(all)
}

/// Whether a pod may run on a node that is in no snapshot (yet, or any more).
pub fn matches_node(pod: &PodSpec, node: &wire::Node) -> bool {
    let labels = &node.metadata.labels;
    let required = pod.affinity.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
    pod.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        && required.is_none_or(|required| selects_node(required, node))
}

/// Whether a node that is in no snapshot satisfies a selector.
pub fn selects_node(selector: &NodeSelector, node: &wire::Node) -> bool {
    selector.node_selector_terms.iter().any(|term| term_matches(term, node))
}

/// Whether a node with these labels can have a volume that requires this; see [`Terms::of_labels`].
pub fn labels_satisfy(selector: &NodeSelector, labels: &wire::Map) -> bool {
    let label =
        |requirement: &Requirement| selector::satisfies(requirement, labels.get(&requirement.key).map(String::as_str));
    selector.node_selector_terms.iter().any(|term| {
        !(term.match_expressions.is_empty() && term.match_fields.is_empty())
            && term.match_expressions.iter().all(label)
            && term.match_fields.iter().all(is_name_requirement)
    })
}

fn term_matches(term: &NodeSelectorTerm, node: &wire::Node) -> bool {
    let label = |requirement: &Requirement| {
        let value = node.metadata.labels.get(&requirement.key);
        selector::satisfies(requirement, value.map(String::as_str))
    };
    let name =
        |field: &Requirement| field.key == "metadata.name" && selector::satisfies(field, Some(&node.metadata.name));
    !(term.match_expressions.is_empty() && term.match_fields.is_empty())
        && term.match_expressions.iter().all(label)
        && term.match_fields.iter().all(name)
}
