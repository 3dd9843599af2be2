//! PodTopologySpread: equal pods are spread evenly over places. Source: KEP-895, KEP-1258 (defaults), KEP-3022
//! (minDomains), KEP-3094 (inclusion policies), KEP-3243 (matchLabelKeys).

mod constraint;
mod scoring;

use std::sync::Arc;

use serde::Deserialize;

use crate::cluster_event::{ActionType, ClusterEvent, EventObject, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::node_selector::RequiredNodeAffinity;
use crate::plugin::{
    Candidates, Counts, Dependence, Difference, FilterPlugin, Plugin, PodChange, PreFilterPlugin, PreFilterResult,
    PreScorePlugin, ScorePlugin,
};
use crate::pod::{Pod, PodSpec};
use crate::selector::given_and_matches;
use crate::snapshot::{NodeRef, Row, Snapshot};
use crate::status::Status;
use crate::wire::TopologySpreadConstraint;
use constraint::{Constraint, has_all_keys};

pub(super) const NAME: &str = "PodTopologySpread";
const PRE_FILTER: &str = "PreFilterPodTopologySpread";
const HARD: &str = "DoNotSchedule";
const SOFT: &str = "ScheduleAnyway";
const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// `PodTopologySpreadArgs`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PodTopologySpreadArgs {
    /// Constraints of pods that have none; only with `defaultingType: List`, and without selectors.
    pub default_constraints: Vec<TopologySpreadConstraint>,
    /// Whose constraints are the default ones.
    pub defaulting_type: DefaultingType,
}

/// Whose constraints are the default ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum DefaultingType {
    /// Soft ones over hosts and zones.
    #[default]
    System,
    /// Those in the arguments.
    List,
}

/// Compares how many equal pods there are in each place.
#[derive(Clone, Debug)]
pub struct PodTopologySpread {
    defaults: Vec<TopologySpreadConstraint>,
    system_defaults: bool,
}

/// What PreFilter counts: one for each hard constraint.
struct Counted(Vec<Domains>);

/// Equal pods by domain.
#[derive(Debug)]
struct Domains {
    constraint: Constraint,
    /// By the value's number in the label's column.
    counts: Vec<i64>,
    /// Whether an eligible node has the value.
    present: Vec<bool>,
    /// The lowest count, or 0 if there are fewer domains than there should be; `None` if there are no domains.
    minimum: Option<i64>,
    /// Which rows are counted.
    eligible: Vec<bool>,
    self_match: i64,
}

impl PodTopologySpread {
    /// The plugin with these arguments.
    ///
    /// # Errors
    /// If default constraints are given but not asked for, or make no sense.
    pub fn new(args: PodTopologySpreadArgs) -> Result<Self, String> {
        let system_defaults = args.defaulting_type == DefaultingType::System;
        if system_defaults && !args.default_constraints.is_empty() {
            return Err("defaultingType: Invalid value: \"System\": when .defaultConstraints are not empty".to_owned());
        }
        for (place, constraint) in args.default_constraints.iter().enumerate() {
            constraint::validate_default(constraint).map_err(|error| format!("defaultConstraints[{place}].{error}"))?;
        }
        let system = |topology_key: &str, max_skew| TopologySpreadConstraint {
            max_skew,
            topology_key: topology_key.to_owned(),
            when_unsatisfiable: SOFT.to_owned(),
            ..TopologySpreadConstraint::default()
        };
        Ok(Self {
            defaults: if system_defaults {
                vec![system(HOSTNAME, 3), system(ZONE, 5)]
            } else {
                args.default_constraints
            },
            system_defaults,
        })
    }

    /// The pod's constraints of one kind; the default ones if it has none of either kind.
    fn constraints(&self, pod: &PodSpec, snapshot: &Snapshot, kind: &str) -> Vec<Constraint> {
        let of_kind = |constraint: &&TopologySpreadConstraint| constraint.when_unsatisfiable == kind;
        if !pod.topology_spread_constraints.is_empty() {
            let own = pod.topology_spread_constraints.iter().filter(of_kind);
            return own.map(|constraint| Constraint::new(constraint, pod, snapshot)).collect();
        }
        let mut defaults = self.defaults.iter().filter(of_kind).peekable();
        if defaults.peek().is_none() {
            return Vec::new();
        }
        let Some(selector) = snapshot.selecting().default_selector(pod) else { return Vec::new() };
        defaults.map(|constraint| Constraint::with_selector(constraint, selector.clone(), snapshot)).collect()
    }
}

impl Domains {
    fn count(all: &[Constraint], constraint: Constraint, (pod, snapshot): (&PodSpec, &Snapshot)) -> Self {
        let required = RequiredNodeAffinity::new(pod, snapshot);
        let mut domains = Self {
            counts: vec![0; constraint.values(snapshot)],
            present: vec![false; constraint.values(snapshot)],
            minimum: None,
            eligible: vec![false; snapshot.rows()],
            self_match: i64::from(constraint.matches_self(pod)),
            constraint,
        };
        for &row in snapshot.order() {
            let counted =
                has_all_keys(all, snapshot, row) && domains.constraint.includes((pod, &required), snapshot.node(row));
            if counted {
                domains.eligible[row as usize] = true;
                let value = domains.constraint.value(snapshot, row);
                domains.present[value] = true;
            }
        }
        for group in snapshot.specs().filter(|group| domains.constraint.counts(pod, &group.spec)) {
            for (&row, &count) in &group.rows {
                if domains.eligible[row as usize] {
                    domains.counts[domains.constraint.value(snapshot, row)] += i64::from(count);
                }
            }
        }
        domains.find_minimum();
        domains
    }

    fn find_minimum(&mut self) {
        let counts = self.counts.iter().zip(&self.present).filter(|(_, present)| **present).map(|(count, _)| *count);
        let too_few = (counts.clone().count() as i64) < self.constraint.min_domains;
        self.minimum = if too_few { Some(0) } else { counts.min() };
    }

    /// Whether one more pod in the domain of the node keeps the skew; `None` if the node has no domain.
    fn allow(&self, snapshot: &Snapshot, row: Row) -> Option<bool> {
        let value = self.constraint.value(snapshot, row);
        if value == 0 {
            return None;
        }
        let count = self.counts[value];
        // Without any domain there is nothing to be uneven to.
        let allowed = |minimum| count + self.self_match - minimum <= self.constraint.max_skew;
        Some(self.minimum.is_none_or(allowed))
    }

    /// The answer to a what-if question: pods like `other` come to a node or leave it.
    fn change(&mut self, pod: &PodSpec, other: &PodSpec, node: NodeRef<'_>, amount: i64) {
        if self.constraint.moves(pod, other) {
            self.add(node, amount);
        }
    }

    /// Counts pods on a node.
    fn add(&mut self, node: NodeRef<'_>, amount: i64) {
        if !self.eligible[node.row() as usize] {
            return;
        }
        self.counts[self.constraint.value(node.snapshot(), node.row())] += amount;
        self.find_minimum();
    }
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        NAME
    }

    fn dependence(&self, _: &Pod) -> Dependence {
        Dependence::Pods
    }

    fn differences<'a>(&self, state: &'a CycleState, _: &Pod, _: &Snapshot) -> Option<Vec<Difference<'a>>> {
        let filter = state.read(PRE_FILTER).into_iter().flat_map(|Counted(all)| all);
        let filter = filter.filter_map(|domains| {
            Some(Difference { column: domains.constraint.column?, counts: Counts::ByValue(&domains.counts) })
        });
        Some(filter.chain(scoring::differences(state)).collect())
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        let pod = ActionType::ADD.or(ActionType::DELETE).or(ActionType::UPDATE_POD_LABEL);
        let node = ActionType::ADD.or(ActionType::DELETE).or(ActionType::UPDATE_NODE_LABEL);
        vec![
            ClusterEvent::pod(pod.or(ActionType::UPDATE_POD_TOLERATION)),
            ClusterEvent::node(node.or(ActionType::UPDATE_NODE_TAINT)),
        ]
    }

    fn queueing_hint(&self, pod: &Pod, happening: &Happening) -> QueueingHint {
        let hard = |constraint: &&TopologySpreadConstraint| constraint.when_unsatisfiable == HARD;
        let own: Vec<_> = pod.spec.topology_spread_constraints.iter().filter(hard).collect();
        if own.is_empty() {
            // The profile's constraints, whose selectors depend on services and owners.
            return QueueingHint::Queue;
        }
        let counted = |other: &Arc<Pod>| {
            let selected = |constraint: &&TopologySpreadConstraint| {
                given_and_matches(constraint.label_selector.as_ref(), &other.spec.labels)
            };
            other.spec.namespace == pod.spec.namespace && own.iter().any(selected)
        };
        let spans = |node: &Arc<crate::wire::Node>| {
            own.iter().all(|constraint| node.metadata.labels.contains_key(&constraint.topology_key))
        };
        let helps = match &happening.object {
            EventObject::AssignedPod { old, new } => [old, new].into_iter().flatten().any(counted),
            EventObject::Node { old, new } => old.as_ref().is_some_and(spans) || spans(new),
            _ => true,
        };
        if helps { QueueingHint::Queue } else { QueueingHint::Skip }
    }

    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }

    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }

    fn as_pre_score(&self) -> Option<&dyn PreScorePlugin> {
        Some(self)
    }

    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
}

impl PreFilterPlugin for PodTopologySpread {
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot) -> Result<PreFilterResult, Status> {
        let constraints = self.constraints(&pod.spec, snapshot, HARD);
        if constraints.is_empty() {
            return Err(Status::skip());
        }
        let count = |constraint: &Constraint| Domains::count(&constraints, constraint.clone(), (&pod.spec, snapshot));
        state.write(PRE_FILTER, Counted(constraints.iter().map(count).collect()));
        Ok(PreFilterResult::ALL_NODES)
    }

    fn add_pod(&self, state: &mut CycleState, pod: &Pod, added: &Pod, node: NodeRef<'_>) {
        if let Some(Counted(all)) = state.read_mut(PRE_FILTER) {
            all.iter_mut().for_each(|domains| domains.change(&pod.spec, &added.spec, node, 1));
        }
    }

    fn remove_pod(&self, state: &mut CycleState, pod: &Pod, removed: &Pod, node: NodeRef<'_>) {
        if let Some(Counted(all)) = state.read_mut(PRE_FILTER) {
            all.iter_mut().for_each(|domains| domains.change(&pod.spec, &removed.spec, node, -1));
        }
    }

    fn update_filter(&self, state: &mut CycleState, pod: &Pod, change: PodChange<'_>) -> bool {
        // Whether there are constraints does not depend on pods.
        if let Some(Counted(all)) = state.read_mut(PRE_FILTER) {
            let node = change.snapshot.node(change.row);
            for domains in all.iter_mut().filter(|domains| domains.constraint.counts(&pod.spec, &change.pod.spec)) {
                domains.add(node, change.amount);
            }
        }
        true
    }
}

impl FilterPlugin for PodTopologySpread {
    fn filter(&self, state: &CycleState, _: &Pod, node: NodeRef<'_>) -> Status {
        let Some(Counted(all)) = state.read(PRE_FILTER) else { return Status::success() };
        for domains in all {
            match domains.allow(node.snapshot(), node.row()) {
                Some(true) => {}
                Some(false) => return Status::unschedulable("node(s) didn't match pod topology spread constraints"),
                None => {
                    return Status::unresolvable(
                        "node(s) didn't match pod topology spread constraints (missing required label)",
                    );
                }
            }
        }
        Status::success()
    }

    fn filter_nodes(&self, state: &CycleState, _: &Pod, candidates: &mut Candidates<'_>) {
        let snapshot = candidates.snapshot();
        let Some(Counted(all)) = state.read(PRE_FILTER) else { return };
        candidates.retain(|row| all.iter().all(|domains| domains.allow(snapshot, row) == Some(true)));
    }
}
