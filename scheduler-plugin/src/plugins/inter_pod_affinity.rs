//! InterPodAffinity: near these pods, away from those; what the pod itself wants and what pods that run want of it.

mod hints;
mod scoring;
mod terms;

use serde::Deserialize;

use crate::cluster_event::{ActionType, ClusterEvent, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::plugin::{
    Candidates, Counts, Dependence, Difference, FilterPlugin, Plugin, PodChange, PreFilterPlugin, PreFilterResult,
    PreScorePlugin, ScorePlugin,
};
use crate::pod::{Pod, PodSpec};
use crate::snapshot::{LabelColumn, NodeRef, Row, Snapshot, SpecPods};
use crate::status::Status;
use crate::wire::PodAffinityTerm;
use terms::{matches_all, matches_term};

pub(super) const NAME: &str = "InterPodAffinity";
const PRE_FILTER: &str = "PreFilterInterPodAffinity";
const MAX_HARD_WEIGHT: i64 = 100;

/// `InterPodAffinityArgs`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct InterPodAffinityArgs {
    /// How much the required affinity of running pods counts when nodes are scored, from 0 to 100.
    pub hard_pod_affinity_weight: i64,
    /// Whether the preferences of running pods play no role for pods that have none.
    pub ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for InterPodAffinityArgs {
    fn default() -> Self {
        Self { hard_pod_affinity_weight: 1, ignore_preferred_terms_of_existing_pods: false }
    }
}

/// Compares the labels of pods on nodes with what pods want.
#[derive(Clone, Debug)]
pub struct InterPodAffinity {
    args: InterPodAffinityArgs,
}

/// A number for each place: by topology key, then by the value's number in the column of that label.
#[derive(Clone, Debug, Default)]
struct Places(Vec<PlacesByKey>);

/// The numbers of one topology key. There are few keys: they are found by looking through them.
#[derive(Clone, Debug)]
struct PlacesByKey {
    key: String,
    column: usize,
    counts: Vec<i64>,
}

impl PlacesByKey {
    fn value(&self, snapshot: &Snapshot, row: Row) -> usize {
        snapshot.labels().numbered(self.column).value(row) as usize
    }
}

impl Places {
    /// Adds to the place of a node, if it has the label.
    fn add(&mut self, snapshot: &Snapshot, (key, row): (&str, Row), amount: i64) {
        let Some(column) = snapshot.labels().column_number(key) else { return };
        let labels = snapshot.labels().numbered(column);
        let value = labels.value(row) as usize;
        if value == 0 {
            return;
        }
        let place = self.0.iter().position(|places| places.column == column).unwrap_or_else(|| {
            self.0.push(PlacesByKey { key: key.to_owned(), column, counts: vec![0; labels.values()] });
            self.0.len() - 1
        });
        self.0[place].counts[value] += amount;
    }

    fn differences(&self) -> impl Iterator<Item = Difference<'_>> {
        self.0.iter().map(|places| Difference { column: places.column, counts: Counts::ByValue(&places.counts) })
    }

    /// Whether something was ever counted and is not taken back.
    fn any(&self) -> bool {
        self.0.iter().flat_map(|places| &places.counts).any(|count| *count != 0)
    }
}

/// What PreFilter counts.
#[derive(Debug, Default)]
struct Counted {
    /// Pods that can't stand the incoming one.
    existing_anti: Places,
    /// Pods that satisfy all of its required affinity terms.
    affinity: Places,
    /// Pods that it can't stand.
    anti: Places,
    /// Whether it satisfies its own terms.
    self_match: bool,
}

impl InterPodAffinity {
    /// The plugin with these arguments.
    ///
    /// # Errors
    /// If the weight is out of range.
    pub fn new(args: InterPodAffinityArgs) -> Result<Self, String> {
        let weight = args.hard_pod_affinity_weight;
        if !(0..=MAX_HARD_WEIGHT).contains(&weight) {
            return Err(format!("hardPodAffinityWeight: Invalid value: {weight}: not in valid range [0-100]"));
        }
        Ok(Self { args })
    }
}

impl Counted {
    fn new(pod: &PodSpec, snapshot: &Snapshot) -> Self {
        let affinity = required(pod);
        let mut counted = Self { self_match: matches_all(affinity, (pod, pod), snapshot), ..Self::default() };
        // A pod without terms only meets those of others.
        let groups: Vec<&SpecPods> = if affinity.is_empty() && required_anti(pod).is_empty() {
            snapshot.specs_with_affinity().collect()
        } else {
            snapshot.specs().collect()
        };
        for group in groups {
            for (&row, &count) in &group.rows {
                // Groups that concern nobody are recognized once, by their first node.
                if !counted.count(pod, &group.spec, (snapshot, row), i64::from(count)) {
                    break;
                }
            }
        }
        counted
    }

    /// Counts pods like `other` on a node; false if they play no role.
    fn count(&mut self, pod: &PodSpec, other: &PodSpec, (snapshot, row): (&Snapshot, Row), amount: i64) -> bool {
        let mut concerned = false;
        for term in &other.affinity.pod_anti_affinity.required {
            if matches_term(term, (other, pod), snapshot) {
                self.existing_anti.add(snapshot, (&term.topology_key, row), amount);
                concerned = true;
            }
        }
        let affinity = required(pod);
        if !affinity.is_empty() && matches_all(affinity, (pod, other), snapshot) {
            for term in affinity {
                self.affinity.add(snapshot, (&term.topology_key, row), amount);
            }
            concerned = true;
        }
        for term in &pod.affinity.pod_anti_affinity.required {
            if matches_term(term, (pod, other), snapshot) {
                self.anti.add(snapshot, (&term.topology_key, row), amount);
                concerned = true;
            }
        }
        concerned
    }

    /// What tells nodes apart: the places that are counted, and which of them have the labels that the pod's terms name.
    fn differences<'a>(&'a self, pod: &PodSpec, snapshot: &Snapshot) -> Vec<Difference<'a>> {
        let counted = [&self.existing_anti, &self.affinity, &self.anti].into_iter().flat_map(Places::differences);
        let named = required(pod).iter().filter_map(|term| snapshot.labels().column_number(&term.topology_key));
        counted.chain(named.map(|column| Difference { column, counts: Counts::ByValue(&[]) })).collect()
    }

    /// The counts beside the terms, to ask many nodes.
    fn rules<'a>(&'a self, pod: &PodSpec, snapshot: &'a Snapshot) -> Rules<'a> {
        let of = |terms: &[PodAffinityTerm], places: &'a Places| {
            let rule = |term: &PodAffinityTerm| Rule {
                labels: snapshot.labels().column(&term.topology_key),
                counts: places.0.iter().find(|places| places.key == term.topology_key).map(|places| &*places.counts),
            };
            terms.iter().map(rule).collect()
        };
        let existing = self.existing_anti.0.iter().map(|places| Rule {
            labels: Some(snapshot.labels().numbered(places.column)),
            counts: Some(&places.counts),
        });
        Rules {
            affinity: of(required(pod), &self.affinity),
            anti: of(required_anti(pod), &self.anti),
            existing: existing.collect(),
            is_first: self.self_match && !self.affinity.any(),
        }
    }
}

/// A term and what was counted for it.
struct Rule<'a> {
    /// The values of the topology key; `None` if no node has it.
    labels: Option<&'a LabelColumn>,
    /// By value; `None` if nothing was counted.
    counts: Option<&'a [i64]>,
}

/// What nodes are asked.
struct Rules<'a> {
    affinity: Vec<Rule<'a>>,
    anti: Vec<Rule<'a>>,
    existing: Vec<Rule<'a>>,
    /// Whether the pod is the first of a group that wants to be together: it may go anywhere.
    is_first: bool,
}

impl Rule<'_> {
    /// The number at the place of a node; `None` if the node lacks the label.
    fn at(&self, row: Row) -> Option<i64> {
        let value = self.labels?.value(row) as usize;
        (value > 0).then(|| self.counts.map_or(0, |counts| counts[value]))
    }

    fn counts_any(&self, row: Row) -> bool {
        self.at(row).is_some_and(|count| count > 0)
    }
}

impl Rules<'_> {
    fn affinity_holds(&self, row: Row) -> bool {
        let mut all = true;
        for rule in &self.affinity {
            match rule.at(row) {
                Some(count) => all &= count > 0,
                None => return false,
            }
        }
        all || self.is_first
    }

    fn anti_affinity_holds(&self, row: Row) -> bool {
        !self.anti.iter().any(|rule| rule.counts_any(row))
    }

    fn existing_hold(&self, row: Row) -> bool {
        !self.existing.iter().any(|rule| rule.counts_any(row))
    }
}

fn required(pod: &PodSpec) -> &[PodAffinityTerm] {
    &pod.affinity.pod_affinity.required
}

fn required_anti(pod: &PodSpec) -> &[PodAffinityTerm] {
    &pod.affinity.pod_anti_affinity.required
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn dependence(&self, _: &Pod) -> Dependence {
        Dependence::Pods
    }

    fn differences<'a>(&self, state: &'a CycleState, pod: &Pod, snapshot: &Snapshot) -> Option<Vec<Difference<'a>>> {
        let filter = state.read::<Counted>(PRE_FILTER).map(|counted| counted.differences(&pod.spec, snapshot));
        let score = state.read::<Places>(scoring::PRE_SCORE).into_iter().flat_map(Places::differences);
        Some(filter.into_iter().flatten().chain(score).collect())
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        let pod = ActionType::ADD.or(ActionType::UPDATE_POD_LABEL).or(ActionType::DELETE);
        vec![ClusterEvent::pod(pod), ClusterEvent::node(ActionType::ADD.or(ActionType::UPDATE_NODE_LABEL))]
    }

    fn queueing_hint(&self, pod: &Pod, happening: &Happening) -> QueueingHint {
        hints::hint(pod, happening)
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

impl PreFilterPlugin for InterPodAffinity {
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot) -> Result<PreFilterResult, Status> {
        let counted = Counted::new(&pod.spec, snapshot);
        let nothing = required(&pod.spec).is_empty() && required_anti(&pod.spec).is_empty();
        if nothing && !counted.existing_anti.any() {
            return Err(Status::skip());
        }
        state.write(PRE_FILTER, counted);
        Ok(PreFilterResult::ALL_NODES)
    }

    fn add_pod(&self, state: &mut CycleState, pod: &Pod, added: &Pod, node: NodeRef<'_>) {
        if let Some(counted) = state.read_mut::<Counted>(PRE_FILTER) {
            counted.count(&pod.spec, &added.spec, (node.snapshot(), node.row()), 1);
        }
    }

    fn remove_pod(&self, state: &mut CycleState, pod: &Pod, removed: &Pod, node: NodeRef<'_>) {
        if let Some(counted) = state.read_mut::<Counted>(PRE_FILTER) {
            counted.count(&pod.spec, &removed.spec, (node.snapshot(), node.row()), -1);
        }
    }

    fn update_filter(&self, state: &mut CycleState, pod: &Pod, change: PodChange<'_>) -> bool {
        let place = (change.snapshot, change.row);
        match state.read_mut::<Counted>(PRE_FILTER) {
            Some(counted) => {
                counted.count(&pod.spec, &change.pod.spec, place, change.amount);
                true
            }
            // Nothing was of concern up to now.
            None => !Counted::default().count(&pod.spec, &change.pod.spec, place, change.amount),
        }
    }
}

impl FilterPlugin for InterPodAffinity {
    fn filter(&self, state: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Status {
        let (snapshot, row) = (node.snapshot(), node.row());
        let Some(counted) = state.read::<Counted>(PRE_FILTER) else { return Status::success() };
        let rules = counted.rules(&pod.spec, snapshot);
        if !rules.affinity_holds(row) {
            return Status::unresolvable("node(s) didn't match pod affinity rules");
        }
        if !rules.anti_affinity_holds(row) {
            return Status::unschedulable("node(s) didn't match pod anti-affinity rules");
        }
        if !rules.existing_hold(row) {
            return Status::unschedulable("node(s) didn't satisfy existing pods anti-affinity rules");
        }
        Status::success()
    }

    fn filter_nodes(&self, state: &CycleState, pod: &Pod, candidates: &mut Candidates<'_>) {
        let snapshot = candidates.snapshot();
        let Some(counted) = state.read::<Counted>(PRE_FILTER) else { return };
        let rules = counted.rules(&pod.spec, snapshot);
        candidates
            .retain(|row| rules.existing_hold(row) && rules.anti_affinity_holds(row) && rules.affinity_holds(row));
    }
}
