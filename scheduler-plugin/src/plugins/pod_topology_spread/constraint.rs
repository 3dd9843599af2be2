//! One constraint, and which nodes and pods it counts.

use super::{HARD, SOFT};
use crate::node_selector::RequiredNodeAffinity;
use crate::plugins::taint_toleration::repelled;
use crate::pod::PodSpec;
use crate::selector;
use crate::snapshot::{NodeRef, Row, Snapshot};
use crate::wire::{LabelSelector, TopologySpreadConstraint};

/// A constraint with its defaults filled in.
#[derive(Clone, Debug)]
pub(super) struct Constraint {
    pub(super) max_skew: i64,
    pub(super) topology_key: String,
    /// The column of that label; `None` if no node has it.
    pub(super) column: Option<usize>,
    /// `None` matches no pod.
    selector: Option<LabelSelector>,
    pub(super) min_domains: i64,
    honors_affinity: bool,
    honors_taints: bool,
}

impl Constraint {
    pub(super) fn new(constraint: &TopologySpreadConstraint, pod: &PodSpec, snapshot: &Snapshot) -> Self {
        let mut made = Self {
            max_skew: constraint.max_skew,
            topology_key: constraint.topology_key.clone(),
            column: snapshot.labels().column_number(&constraint.topology_key),
            selector: constraint.label_selector.clone(),
            min_domains: constraint.min_domains.unwrap_or(1),
            honors_affinity: constraint.node_affinity_policy != "Ignore",
            honors_taints: constraint.node_taints_policy == "Honor",
        };
        if let Some(selector) = &mut made.selector {
            for key in &constraint.match_label_keys {
                let Some(value) = pod.labels.get(key) else { continue };
                // As a requirement: the selector may have a value of its own for the key, and then both must hold.
                selector.match_expressions.push(crate::wire::Requirement {
                    key: key.clone(),
                    operator: "In".to_owned(),
                    values: vec![value.clone()],
                });
            }
        }
        made
    }

    pub(super) fn with_selector(
        constraint: &TopologySpreadConstraint,
        selector: LabelSelector,
        snapshot: &Snapshot,
    ) -> Self {
        Self { selector: Some(selector), ..Self::new(constraint, &PodSpec::default(), snapshot) }
    }

    /// The number of a node's value; 0 if it lacks the label.
    pub(super) fn value(&self, snapshot: &Snapshot, row: Row) -> usize {
        self.column.map_or(0, |column| snapshot.labels().numbered(column).value(row) as usize)
    }

    /// The number of the empty value, if there is one: it stands for the same place as no label at all.
    pub(super) fn empty_value(&self, snapshot: &Snapshot) -> Option<usize> {
        self.column.and_then(|column| snapshot.labels().numbered(column).number_of("")).map(|id| id as usize)
    }

    /// The length of a table by value.
    pub(super) fn values(&self, snapshot: &Snapshot) -> usize {
        self.column.map_or(1, |column| snapshot.labels().numbered(column).values())
    }

    /// Whether the pod is one of those that it is to be spread from.
    pub(super) fn matches_self(&self, pod: &PodSpec) -> bool {
        selector::given_and_matches(self.selector.as_ref(), &pod.labels)
    }

    /// Whether pods like `other` count. An empty selector counts nobody.
    pub(super) fn counts(&self, pod: &PodSpec, other: &PodSpec) -> bool {
        let selector = self.selector.as_ref().filter(|selector| **selector != LabelSelector::default());
        other.namespace == pod.namespace && !other.terminating && selector::given_and_matches(selector, &other.labels)
    }

    /// Whether the count changes when a pod like `other` comes or goes in a what-if question. As in upstream's
    /// `updateWithPod`, nobody asks here whether it is on its way out, and an empty selector means everybody.
    pub(super) fn moves(&self, pod: &PodSpec, other: &PodSpec) -> bool {
        other.namespace == pod.namespace && selector::given_and_matches(self.selector.as_ref(), &other.labels)
    }

    /// Whether pods on this node count.
    pub(super) fn includes(&self, (pod, required): (&PodSpec, &RequiredNodeAffinity), node: NodeRef<'_>) -> bool {
        (!self.honors_affinity || required.matches(node.snapshot(), node.row()))
            && (!self.honors_taints || !repelled(&pod.tolerations, node.taints()))
    }
}

/// Whether a node has the labels of all constraints.
pub(super) fn has_all_keys(constraints: &[Constraint], snapshot: &Snapshot, row: Row) -> bool {
    constraints.iter().all(|constraint| constraint.value(snapshot, row) > 0)
}

/// Checks a constraint of the arguments.
pub(super) fn validate_default(constraint: &TopologySpreadConstraint) -> Result<(), String> {
    if constraint.max_skew < 1 {
        return Err(format!("maxSkew: Invalid value: {}: not in valid range (0, inf)", constraint.max_skew));
    }
    if constraint.topology_key.is_empty() {
        return Err("topologyKey: Required value: can not be empty".to_owned());
    }
    if constraint.when_unsatisfiable != HARD && constraint.when_unsatisfiable != SOFT {
        let found = &constraint.when_unsatisfiable;
        return Err(format!("whenUnsatisfiable: Unsupported value: {found:?}: supported values: {HARD:?}, {SOFT:?}"));
    }
    if constraint.label_selector.is_some() {
        let message = "constraint must not define a selector, as they deduced for each pod";
        return Err(format!("labelSelector: Forbidden: {message}"));
    }
    Ok(())
}
